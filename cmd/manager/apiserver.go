// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
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
	// apiServerReminder is how often the log repeats why the manager waits.
	apiServerReminder = time.Minute
)

// awaitAPIServer waits until the Kubernetes API server answers. The manager needs data
// from it at startup. If it exited instead, it would be restarted with a growing back-off
// and come back minutes after the API server. An error is returned only if ctx is done
// first.
func awaitAPIServer(ctx context.Context, config *rest.Config) error {
	return await(ctx, config, "the Kubernetes API server", func(client *discovery.DiscoveryClient) func(logr.Logger) {
		_, err := client.ServerVersionWithContext(ctx)
		if err == nil || answered(err) {
			return nil
		}
		return func(log logr.Logger) {
			log.Error(err, "Waiting for the Kubernetes API server, without which nothing can start", "server", config.Host)
		}
	})
}

// await asks the API server until ask returns nil. Until then, ask returns what logs why the
// manager waits.
func await(ctx context.Context, config *rest.Config, what string, ask func(*discovery.DiscoveryClient) func(logr.Logger)) error {
	config = rest.CopyConfig(config)
	config.Timeout = apiServerTimeout
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("connecting to the Kubernetes API server: %w", err)
	}
	var reminded time.Time
	for {
		remind := ask(client)
		if remind == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
		if time.Since(reminded) >= apiServerReminder {
			reminded = time.Now()
			remind(ctrl.Log.WithName("manager"))
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
	return await(ctx, config, "the operator's CustomResourceDefinitions", func(client *discovery.DiscoveryClient) func(logr.Logger) {
		missing := missingKinds(ctx, client)
		if len(missing) == 0 {
			return nil
		}
		return func(log logr.Logger) {
			log.Error(nil, "Waiting for the operator's CustomResourceDefinitions, without which nothing can start: apply config/crd of this version", "missing", missing)
		}
	})
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
