// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/rehive/extension-operator/api/v1alpha1"
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

// kinds are the resources of the operator's CustomResourceDefinitions.
var kinds = []string{"companyactivations", "deliveryproviders", "notificationlayouts", "notificationrules", "notificationtemplates"}

// awaitKinds waits until the API server knows the operator's kinds. An update may install the
// manager before its CustomResourceDefinitions, or without those that are new.
func awaitKinds(ctx context.Context, config *rest.Config) error {
	config = rest.CopyConfig(config)
	config.Timeout = apiServerTimeout
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("connecting to the Kubernetes API server: %w", err)
	}
	log := ctrl.Log.WithName("manager")
	var reminded time.Time
	for {
		missing := missingKinds(ctx, client)
		if len(missing) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for the operator's CustomResourceDefinitions: %w", ctx.Err())
		}
		if time.Since(reminded) >= apiServerReminder {
			reminded = time.Now()
			log.Error(nil, "Waiting for the operator's CustomResourceDefinitions, without which nothing can start: apply config/crd of this version", "missing", missing)
		}
		select {
		case <-ctx.Done():
		case <-time.After(apiServerRetry):
		}
	}
}

// missingKinds returns which resources the API server doesn't know. If it doesn't answer, none
// counts as missing: the caches retry until it does.
func missingKinds(ctx context.Context, client discovery.ServerResourcesInterfaceWithContext) (missing []string) {
	served, err := client.ServerResourcesForGroupVersionWithContext(ctx, v1alpha1.GroupVersion.String())
	if err != nil && !apierrors.IsNotFound(err) {
		return nil
	}
	for _, kind := range kinds {
		known := served != nil && slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool { return r.Name == kind })
		if !known {
			missing = append(missing, kind+"."+v1alpha1.GroupVersion.Group)
		}
	}
	return missing
}

// answered reports whether an error came from a working API server, such as a refusal.
func answered(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code < 500 && status.Status().Code != 429
}
