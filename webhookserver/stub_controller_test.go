// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"errors"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
)

// verdict is the result of the stub controller for a company.
type verdict int

const (
	registered   verdict = iota // all webhooks are registered
	refused                     // the platform refuses a webhook
	tokenRefused                // the platform refuses the token
	outage                      // the platform is unavailable
	silent                      // the controller doesn't reconcile the company
)

// refusalMessage is the message of the stub's condition when the platform refuses.
const refusalMessage = "Rehive refused the webhook for user.create: You do not have permission to perform this action. Grant webhook: add."

// stubController sets an activation's status like the real controller, but with a verdict
// that the test chooses, so that tests can force every outcome.
// TestFullLifecycleWithControllers covers the real one.
type stubController struct {
	client    client.Client
	apiReader client.Reader
	verdicts  sync.Map // company → verdict
}

func (s *stubController) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("stub").For(&v1alpha1.CompanyActivation{}).Complete(s)
}

func (s *stubController) decide(company string, v verdict) { s.verdicts.Store(company, v) }

func (s *stubController) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	if strings.HasPrefix(request.Namespace, realNamespace) {
		return ctrl.Result{}, nil
	}
	a := new(v1alpha1.CompanyActivation)
	if err := s.client.Get(ctx, request.NamespacedName, a); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	found, _ := s.verdicts.LoadOrStore(a.Spec.Company, registered)
	if found == silent {
		return ctrl.Result{}, nil
	}
	before := a.DeepCopy()
	if !a.DeletionTimestamp.IsZero() {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: activation.SecretName(a)}}
		if err := s.client.Delete(ctx, secret); client.IgnoreNotFound(err) != nil {
			return ctrl.Result{}, err
		}
		controllerutil.RemoveFinalizer(a, v1alpha1.CompanyActivationFinalizer)
		return ctrl.Result{}, client.IgnoreNotFound(s.client.Patch(ctx, a, client.MergeFrom(before)))
	}
	if controllerutil.AddFinalizer(a, v1alpha1.CompanyActivationFinalizer) {
		if err := s.client.Patch(ctx, a, client.MergeFrom(before)); err != nil {
			return ctrl.Result{}, err
		}
		before = a.DeepCopy()
	}
	credentials, err := activation.Get(ctx, s.apiReader, a)
	if err != nil && !errors.Is(err, activation.ErrMissing) {
		return ctrl.Result{}, err
	}
	if a.IsActive() && credentials.Token != "" {
		a.Status.ServiceUser = credentials.ServiceUser
		if credentials.WebhookSecret == "" && found != outage {
			credentials.WebhookSecret = activation.NewWebhookSecret()
			if err := activation.Save(ctx, s.client, a, credentials); err != nil {
				return ctrl.Result{}, err
			}
		}
		set := func(conditionType string, status metav1.ConditionStatus, reason, message string) {
			meta.SetStatusCondition(&a.Status.Conditions, metav1.Condition{
				Type: conditionType, Status: status, Reason: reason, Message: message, ObservedGeneration: a.Generation,
			})
		}
		set(v1alpha1.TokenValidCondition, metav1.ConditionTrue, v1alpha1.TokenAcceptedReason, "Rehive accepted the token.")
		switch found {
		case registered:
			set(v1alpha1.WebhooksRegisteredCondition, metav1.ConditionTrue, v1alpha1.RegisteredReason, "All stand.")
		case refused:
			set(v1alpha1.WebhooksRegisteredCondition, metav1.ConditionFalse, v1alpha1.RefusedReason, refusalMessage)
		case outage:
			set(v1alpha1.WebhooksRegisteredCondition, metav1.ConditionFalse, v1alpha1.PlatformUnavailableReason, "Rehive did not answer in time.")
		case tokenRefused:
			set(v1alpha1.TokenValidCondition, metav1.ConditionFalse, v1alpha1.TokenRefusedReason, "Rehive refused the token.")
		}
	}
	a.Status.LastHandledRequestedAt = a.Annotations[v1alpha1.RequestedAtAnnotation]
	return ctrl.Result{}, s.client.Status().Patch(ctx, a, client.MergeFrom(before))
}
