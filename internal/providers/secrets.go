// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// SecretCache holds the Secrets that DeliveryProviders may use: those with the provider
// label. It is a separate cache because a cache has one selector for Secrets, and the
// manager's selects those of activations. Add it to the manager, which starts it before the
// controllers.
type SecretCache struct{ cache.Cache }

// NewSecretCache returns the cache. It is limited to the namespaces, unless they are nil.
func NewSecretCache(config *rest.Config, scheme *runtime.Scheme, namespaces map[string]cache.Config) (*SecretCache, error) {
	labelled, err := labels.NewRequirement(v1alpha1.ProviderSecretLabel, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("selecting the Secrets of providers: %w", err)
	}
	c, err := cache.New(config, cache.Options{
		Scheme:            scheme,
		DefaultNamespaces: namespaces,
		ByObject:          map[client.Object]cache.ByObject{&corev1.Secret{}: {Label: labels.NewSelector().Add(*labelled)}},
	})
	if err != nil {
		return nil, fmt.Errorf("creating the cache of provider Secrets: %w", err)
	}
	return &SecretCache{c}, nil
}

// GetCache lets the manager start the cache together with its own.
func (c *SecretCache) GetCache() cache.Cache { return c.Cache }
