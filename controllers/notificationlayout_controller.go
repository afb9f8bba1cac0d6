// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/notify"
)

// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=notificationlayouts,verbs=get;list;watch
// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=notificationlayouts/status,verbs=patch

// notificationLayoutReconciler reports in the status of a layout whether it parses. It
// changes nothing else.
type notificationLayoutReconciler struct {
	client.Client
	reporter reporter
}

func (r *notificationLayoutReconciler) setupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("notificationlayout").
		For(&v1alpha1.NotificationLayout{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controllerOptions(concurrentRules)).
		Complete(r)
}

// Reconcile writes the status of one layout.
func (r *notificationLayoutReconciler) Reconcile(ctx context.Context, request reconcile.Request) (result ctrl.Result, err error) {
	layout := new(v1alpha1.NotificationLayout)
	if err := r.Get(ctx, request.NamespacedName, layout); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if r.reporter.isStale(layout) {
		return ctrl.Result{RequeueAfter: cacheDelay}, nil
	}
	if !layout.DeletionTimestamp.IsZero() {
		if len(layout.Finalizers) == 0 {
			return ctrl.Result{}, nil
		}
		return r.reporter.reportDeletionPending(ctx, layout, func() { layout.Status.ObservedGeneration = layout.Generation },
			"rules that name it use it while it remains")
	}
	report := r.reporter.begin(layout)
	defer func() { result, err = report.finish(ctx, result, err) }()

	layout.Status.ObservedGeneration = layout.Generation
	_, problems := notify.CompileLayout(layout)
	if len(problems) == 0 {
		setReady(layout, verdict{metav1.ConditionTrue, v1alpha1.ValidReason, "The layout is valid."}, false)
		return ctrl.Result{}, nil
	}
	message := notify.Sentence(problems.Error())
	setReady(layout, verdict{metav1.ConditionFalse, v1alpha1.SyntaxErrorReason, message}, true)
	if message = conditionMessage(layout, v1alpha1.ReadyCondition); message != conditionMessage(report.before, v1alpha1.ReadyCondition) {
		report.note(corev1.EventTypeWarning, "InvalidLayout", "Compiling", message)
	}
	return ctrl.Result{}, nil
}
