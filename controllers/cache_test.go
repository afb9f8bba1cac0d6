// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
)

// TestCacheKeepsTheLastChange checks that the cache keeps the time of an object's last
// change, but no managed fields.
func TestCacheKeepsTheLastChange(t *testing.T) {
	g := gomega.NewWithT(t)
	created := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	entry := func(manager, subresource string, after time.Duration) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{
			Manager: manager, Subresource: subresource, Operation: metav1.ManagedFieldsOperationUpdate,
			Time: &metav1.Time{Time: created.Add(after)}, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`),
		}
	}
	for name, test := range map[string]struct {
		fields []metav1.ManagedFieldsEntry
		after  time.Duration
	}{
		"never changed":      {[]metav1.ManagedFieldsEntry{entry("kubectl", "", 0)}, 0},
		"changed twice":      {[]metav1.ManagedFieldsEntry{entry("kubectl", "", time.Hour), entry("api", "", 2*time.Hour)}, 2 * time.Hour},
		"status was written": {[]metav1.ManagedFieldsEntry{entry("kubectl", "", time.Hour), entry("operator", "status", 2*time.Hour)}, time.Hour},
		"unknown":            {nil, 0},
	} {
		layout := &v1alpha1.NotificationLayout{}
		layout.CreationTimestamp = metav1.Time{Time: created}
		layout.ManagedFields = test.fields
		for range 2 { // objects that a watch missed are transformed twice
			kept, err := keepLastChange(layout)
			g.Expect(err).NotTo(gomega.HaveOccurred())
			object := kept.(client.Object)
			g.Expect(activation.LastChange(object)).To(gomega.Equal(created.Add(test.after)), name)
			for _, field := range object.GetManagedFields() {
				g.Expect(field).To(gomega.Equal(metav1.ManagedFieldsEntry{Time: field.Time}), name)
			}
			g.Expect(len(object.GetManagedFields())).To(gomega.BeNumerically("<=", 1), name)
		}
	}
	awaitDeletion := toolscache.DeletedFinalStateUnknown{Key: "a/b"}
	kept, err := keepLastChange(awaitDeletion)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(kept).To(gomega.Equal(awaitDeletion))
}
