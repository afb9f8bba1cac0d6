// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
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

// notificationLayoutReconciler tells in a layout's status whether it parses. It
// changes nothing else.
type notificationLayoutReconciler struct {
	client.Client
	recorder events.EventRecorder
}

func (r *notificationLayoutReconciler) setupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("notificationlayout").
		For(&v1alpha1.NotificationLayout{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controllerOptions(concurrentRules)).
		Complete(r)
}

// Reconcile writes the status of one layout.
func (r *notificationLayoutReconciler) Reconcile(ctx context.Context, request reconcile.Request) (ctrl.Result, error) {
	layout := new(v1alpha1.NotificationLayout)
	if err := r.Get(ctx, request.NamespacedName, layout); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !layout.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	before := layout.DeepCopy()
	layout.Status.ObservedGeneration = layout.Generation
	removeCondition(layout, v1alpha1.StalledCondition)
	_, problems := notify.CompileLayout(layout)
	if len(problems) > 0 {
		message := fullStop(problems.Error())
		setCondition(layout, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.SyntaxErrorReason, message)
		setCondition(layout, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.SyntaxErrorReason, message)
	} else {
		setCondition(layout, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ValidReason, "The layout can be used.")
	}
	if err := patchStatus(ctx, r.Client, before, layout, before.Status, layout.Status); err != nil {
		return ctrl.Result{}, err
	}
	if is := readyMessage(layout); len(problems) > 0 && is != readyMessage(before) {
		r.recorder.Eventf(layout, nil, corev1.EventTypeWarning, "InvalidLayout", "Compiling", "%s", shorten(is, maxNoteRunes))
	}
	return ctrl.Result{}, nil
}
