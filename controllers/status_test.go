// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"reflect"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// staleClient reads an object as it was once, as a cache that lags behind does.
type staleClient struct {
	client.Client
	object client.Object // nil once the cache has caught up
}

func (c *staleClient) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	if c.object != nil && reflect.TypeOf(o) == reflect.TypeOf(c.object) {
		reflect.ValueOf(o).Elem().Set(reflect.ValueOf(c.object.DeepCopyObject()).Elem())
		return nil
	}
	return c.Client.Get(ctx, key, o, options...)
}

// TestStaleObjects checks that no reconciler looks at an object that is older than the status that
// it wrote.
func TestStaleObjects(t *testing.T) {
	named := metav1.ObjectMeta{Namespace: "shop", Name: "one", UID: "11111111-2222-4333-8444-555555555555"}
	for _, test := range []struct {
		object     conditioned
		reconciler func(client.Client, reporter) reconcile.Reconciler
	}{
		{&v1alpha1.CompanyActivation{ObjectMeta: named}, func(c client.Client, r reporter) reconcile.Reconciler {
			return &companyActivationReconciler{Client: c, reporter: r, memory: newMemory()}
		}},
		{&v1alpha1.DeliveryProvider{ObjectMeta: named}, func(c client.Client, r reporter) reconcile.Reconciler {
			return &deliveryProviderReconciler{Client: c, reporter: r}
		}},
		{&v1alpha1.NotificationLayout{ObjectMeta: named}, func(c client.Client, r reporter) reconcile.Reconciler {
			return &notificationLayoutReconciler{Client: c, reporter: r}
		}},
		{&v1alpha1.NotificationRule{ObjectMeta: named}, func(c client.Client, r reporter) reconcile.Reconciler {
			return &notificationRuleReconciler{Client: c, reporter: r}
		}},
	} {
		t.Run(reflect.TypeOf(test.object).Elem().Name(), func(t *testing.T) {
			g := NewWithT(t)
			scheme := runtime.NewScheme()
			g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
			server := fake.NewClientBuilder().WithScheme(scheme).WithObjects(test.object).WithStatusSubresource(test.object).Build()
			g.Expect(server.Get(t.Context(), client.ObjectKeyFromObject(test.object), test.object)).To(Succeed())
			cached := &staleClient{Client: server, object: test.object.DeepCopyObject().(client.Object)}
			reporter := newReporter(server, nil)
			reconciler := test.reconciler(cached, reporter)
			report := reporter.begin(test.object)
			setReady(test.object, verdict{metav1.ConditionUnknown, v1alpha1.ProviderUnavailableReason, "Something is away."}, false)
			_, err := report.finish(t.Context(), ctrl.Result{}, nil)
			g.Expect(err).NotTo(HaveOccurred())

			defer func() {
				// The reconciler has nothing but its cache, so going on may end like this.
				if p := recover(); p != nil {
					t.Errorf("the reconciler used an object that is older than the status it wrote: %v", p)
				}
			}()
			result, err := reconciler.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(test.object)})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(result.RequeueAfter).To(Equal(cacheDelay), "the reconciler used an object that is older than the status it wrote")
		})
	}
}

// TestStaleStatus checks that a reconciler doesn't take an older status for the current one: the
// new status would seem to be written already, and the wrong one would stay.
func TestStaleStatus(t *testing.T) {
	f := newFixture(t)
	layout := f.layout("<b>{{ content }}</b>", "")
	f.create(layout)
	f.Eventually(f.condition(layout, v1alpha1.ReadyCondition)).Should(Equal("True/Valid"))
	cached := &staleClient{Client: k8s, object: layout.DeepCopy()}
	r := &notificationLayoutReconciler{Client: cached, reporter: newReporter(k8s, nil)}
	request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(layout)}

	report := r.reporter.begin(layout)
	setReady(layout, verdict{metav1.ConditionUnknown, v1alpha1.ProviderUnavailableReason, "Something is away."}, false)
	_, err := report.finish(f.ctx, ctrl.Result{}, nil)
	f.Expect(err).NotTo(HaveOccurred())

	result, err := r.Reconcile(f.ctx, request)
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(result.RequeueAfter).To(Equal(cacheDelay))
	cached.object = nil
	result, err = r.Reconcile(f.ctx, request)
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(result.RequeueAfter).To(BeZero())
	f.Expect(f.condition(layout, v1alpha1.ReadyCondition)()).To(Equal("True/Valid"))
}
