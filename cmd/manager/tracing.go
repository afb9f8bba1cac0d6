// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/rehive/extension-operator/internal/tracing"
)

// flushTimeout is how long the last spans may take to be exported. It is part of the time
// between the end of the grace period and the end of the pod's.
const flushTimeout = 3 * time.Second

// newTracer returns the tracer of --tracing; nil without it.
func newTracer(ctx context.Context, s *settings) (*tracing.Tracer, error) {
	if !s.tracing {
		return nil, nil //nolint:nilnil // a nil Tracer creates no traces
	}
	t, err := tracing.New(ctx, tracing.Options{Version: version, Registerer: metrics.Registry, Log: ctrl.Log.WithName("tracing")})
	if err != nil {
		return nil, fmt.Errorf("--tracing: %w", err)
	}
	return t, nil
}

// flushTraces exports the last spans, after everything that makes some has stopped.
func flushTraces(ctx context.Context, t *tracing.Tracer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err := t.Shutdown(ctx); err != nil {
		ctrl.Log.WithName("tracing").Info("The last spans were not exported", "reason", err.Error())
	}
}
