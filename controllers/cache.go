// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
)

// CacheOptions limit the memory of the manager's cache. It holds no Secrets except those
// of activations, and no managed fields, which are often larger than the object itself.
// For kinds whose time of change the API shows, it keeps that time.
func CacheOptions() cache.Options {
	exists, err := labels.NewRequirement(activation.ActivationLabel, selection.Exists, nil)
	if err != nil {
		panic(err) // the label is a constant
	}
	dated := cache.ByObject{Transform: keepLastChange}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}:                 {Label: labels.NewSelector().Add(*exists)},
			&v1alpha1.NotificationLayout{}:   dated,
			&v1alpha1.NotificationTemplate{}: dated,
			&v1alpha1.DeliveryProvider{}:     dated,
		},
	}
}

// keepLastChange replaces an object's managed fields with a single entry that holds only
// the time of the last change, see [activation.LastChange]. An object that has not
// changed since its creation needs none.
func keepLastChange(o any) (any, error) {
	object, ok := o.(client.Object)
	if !ok {
		// A deletion that the watch missed arrives as a DeletedFinalStateUnknown, whose
		// object was transformed before.
		return o, nil
	}
	created := object.GetCreationTimestamp()
	changed := activation.LastChange(object)
	var kept []metav1.ManagedFieldsEntry
	if changed.After(created.Time) {
		kept = []metav1.ManagedFieldsEntry{{Time: &metav1.Time{Time: changed}}}
	}
	object.SetManagedFields(kept)
	return object, nil
}

var _ toolscache.TransformFunc = keepLastChange
