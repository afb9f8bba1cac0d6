// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	// apiServerTimeout bounds one request to an API server that may hang.
	apiServerTimeout = 10 * time.Second
	// apiServerRetry is the pause between two requests.
	apiServerRetry = 2 * time.Second
	// apiServerReminder is how often the log repeats that the manager waits for the API
	// server.
	apiServerReminder = time.Minute
)

// awaitAPIServer waits until the Kubernetes API server answers. The manager needs data
// from it at startup. If it exited instead, it would be restarted with a growing back-off
// and come back minutes after the API server. An error is returned only if ctx is done
// first.
func awaitAPIServer(ctx context.Context, config *rest.Config) error {
	config = rest.CopyConfig(config)
	config.Timeout = apiServerTimeout
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("connecting to the Kubernetes API server: %w", err)
	}
	log := ctrl.Log.WithName("manager")
	var reminded time.Time
	for {
		_, err := client.ServerVersionWithContext(ctx)
		if err == nil || answered(err) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for the Kubernetes API server: %w", ctx.Err())
		}
		if time.Since(reminded) >= apiServerReminder {
			reminded = time.Now()
			log.Error(err, "Waiting for the Kubernetes API server, without which nothing can start", "server", config.Host)
		}
		select {
		case <-ctx.Done():
		case <-time.After(apiServerRetry):
		}
	}
}

// answered reports whether an error came from a working API server, such as a refusal.
func answered(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code < 500 && status.Status().Code != 429
}
