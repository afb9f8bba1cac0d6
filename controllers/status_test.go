// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// staleClient reads a layout as it was once, as a cache that lags behind does.
type staleClient struct {
	client.Client
	layout *v1alpha1.NotificationLayout // nil once the cache has caught up
}

func (c *staleClient) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	if layout, ok := o.(*v1alpha1.NotificationLayout); ok && c.layout != nil {
		c.layout.DeepCopyInto(layout)
		return nil
	}
	return c.Client.Get(ctx, key, o, options...)
}

// TestStaleObject checks that a reconciler doesn't take an older status for the current one: the
// new status would seem to be written already, and the wrong one would stay.
func TestStaleObject(t *testing.T) {
	f := newFixture(t)
	layout := f.layout("<b>{{ content }}</b>", "")
	f.create(layout)
	f.Eventually(f.condition(layout, v1alpha1.ReadyCondition)).Should(Equal("True/Valid"))
	cached := &staleClient{Client: k8s, layout: layout.DeepCopy()}
	r := &notificationLayoutReconciler{Client: cached, reporter: newReporter(k8s, nil)}
	request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(layout)}

	report := r.reporter.begin(layout)
	setReady(layout, verdict{metav1.ConditionUnknown, v1alpha1.ProviderUnavailableReason, "Something is away."}, false)
	_, err := report.finish(f.ctx, ctrl.Result{}, nil)
	f.Expect(err).NotTo(HaveOccurred())

	result, err := r.Reconcile(f.ctx, request)
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(result.RequeueAfter).To(Equal(cacheDelay))
	cached.layout = nil
	result, err = r.Reconcile(f.ctx, request)
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(result.RequeueAfter).To(BeZero())
	f.Expect(f.condition(layout, v1alpha1.ReadyCondition)()).To(Equal("True/Valid"))
}
