// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/providers"
)

const (
	// providerCheckTimeout limits the whole check of a provider.
	providerCheckTimeout = 30 * time.Second

	concurrentProviders = 4
)

// ProviderSecretField is the index of DeliveryProviders by the name of their Secret. Use
// it together with a namespace.
const ProviderSecretField = "spec.secretRef.name" //nolint:gosec // the path of a field

// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=deliveryproviders,verbs=get;list;watch
// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=deliveryproviders/status,verbs=patch

// deliveryProviderReconciler reports in the status of a DeliveryProvider whether its
// configuration and credentials are valid, and wakes the messages that waited for it once
// they are. It changes nothing else, and messages are sent regardless of its result.
type deliveryProviderReconciler struct {
	client.Client
	builder      *providers.Builder
	secrets      cache.Cache
	reporter     reporter
	resyncPeriod time.Duration
	ledger       ledger.Companies
	defaults     map[v1alpha1.Channel]types.NamespacedName

	mu sync.Mutex
	// seen is the version of each provider when the messages that waited for it were last
	// woken.
	seen map[types.NamespacedName]providers.Version
	// owed are the providers for which waking failed.
	owed map[types.NamespacedName]bool
}

func (r *deliveryProviderReconciler) setupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("deliveryprovider").
		For(&v1alpha1.DeliveryProvider{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Kind(r.secrets, &corev1.Secret{},
			handler.TypedEnqueueRequestsFromMapFunc(r.providersOfSecret),
			predicate.TypedResourceVersionChangedPredicate[*corev1.Secret]{})).
		WithOptions(controllerOptions(concurrentProviders)).
		Complete(r)
}

func (r *deliveryProviderReconciler) providersOfSecret(ctx context.Context, secret *corev1.Secret) []reconcile.Request {
	var list v1alpha1.DeliveryProviderList
	if err := r.List(ctx, &list, client.InNamespace(secret.Namespace), client.MatchingFields{ProviderSecretField: secret.Name}); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing the DeliveryProviders of a Secret failed")
		return nil
	}
	requests := make([]reconcile.Request, len(list.Items))
	for i := range list.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&list.Items[i])
	}
	return requests
}

// Reconcile checks one provider and writes its status.
func (r *deliveryProviderReconciler) Reconcile(ctx context.Context, request reconcile.Request) (result ctrl.Result, err error) {
	p := new(v1alpha1.DeliveryProvider)
	if err := r.Get(ctx, request.NamespacedName, p); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(request.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if r.reporter.isStale(p) {
		return ctrl.Result{RequeueAfter: cacheDelay}, nil
	}
	if !p.DeletionTimestamp.IsZero() {
		if len(p.Finalizers) == 0 {
			return ctrl.Result{}, nil
		}
		return r.reporter.reportDeletionPending(ctx, p, func() { p.Status.ObservedGeneration = p.Generation },
			"it isn't checked any more, and messages are sent through it while it remains")
	}
	report := r.reporter.begin(p)
	version, checked, err := r.check(ctx, p)
	if ctx.Err() != nil {
		return ctrl.Result{}, nil // the manager is stopping; the result says nothing about the provider
	}
	defer func() { result, err = report.finish(ctx, result, err) }()
	judgeProvider(p, checked, err)
	p.Status.FeedbackURL = r.feedbackURL(p)
	if report.readyChanged() {
		report.noteReady("Checking")
	}
	if woken := r.wake(ctx, report.before, p, version); woken != nil {
		return ctrl.Result{}, woken
	}

	var classed *provider.Error
	switch {
	case err == nil, provider.IsMisconfigured(err), provider.IsPermanent(err):
		// A refusal is checked again too: an account may be unlocked.
		return ctrl.Result{RequeueAfter: wait.Jitter(r.resyncPeriod, jitter)}, nil
	case errors.As(err, &classed) && classed.RetryAfter > 0:
		return ctrl.Result{RequeueAfter: wait.Jitter(max(classed.RetryAfter, retryBase), jitter)}, nil
	default:
		return ctrl.Result{}, err
	}
}

// feedbackURL returns the URL at which a provider reports about messages; empty if it
// doesn't call anybody.
func (r *deliveryProviderReconciler) feedbackURL(p *v1alpha1.DeliveryProvider) string {
	if !p.Spec.Feedback || r.builder.References == nil || p.Spec.SendGrid == nil && p.Spec.Twilio == nil {
		return ""
	}
	return r.builder.References.URL(p)
}

// check verifies the provider. checked is false if the provider has no call to verify it.
func (r *deliveryProviderReconciler) check(ctx context.Context, p *v1alpha1.DeliveryProvider) (version providers.Version, checked bool, err error) {
	built, err := r.builder.Build(ctx, p)
	if err != nil {
		return providers.Version{}, false, err
	}
	defer built.Close()
	if built.Check == nil {
		return built.Version, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, providerCheckTimeout)
	defer cancel()
	return built.Version, true, built.Check(ctx)
}

// wake makes the messages that waited for the provider due immediately if it or its
// Secret changed, or it became Ready after it was refused.
func (r *deliveryProviderReconciler) wake(ctx context.Context, was conditioned, p *v1alpha1.DeliveryProvider, version providers.Version) error {
	before, key := was.(*v1alpha1.DeliveryProvider), client.ObjectKeyFromObject(p)
	if meta.IsStatusConditionFalse(p.Status.Conditions, v1alpha1.ReadyCondition) {
		return nil
	}
	r.mu.Lock()
	last, known := r.seen[key]
	owed := r.owed[key] || known && last != version ||
		before.Status.ObservedGeneration != p.Generation || meta.IsStatusConditionFalse(before.Status.Conditions, v1alpha1.ReadyCondition)
	r.seen[key] = version
	r.owed[key] = owed // until it succeeds: the status will not show it a second time
	r.mu.Unlock()
	if !owed {
		return nil
	}
	_, channel := p.Spec.Type()
	var list v1alpha1.CompanyActivationList
	if err := r.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing the CompanyActivations that use the provider: %w", err)
	}
	for i := range list.Items {
		a := &list.Items[i]
		names := a.Spec.Providers.All(channel)
		if a.Namespace == p.Namespace && slices.Contains(names, p.Name) || len(names) == 0 && r.defaults[channel] == key {
			if err := r.ledger.WakeDeliveries(ctx, ledger.Lane{Company: a.Spec.Company, Channel: string(channel)}); err != nil {
				return fmt.Errorf("waking the messages that wait for the provider: %w", err)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.owed, key)
	return nil
}

func (r *deliveryProviderReconciler) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, key)
	delete(r.owed, key)
}

// judgeProvider sets the status of a provider according to the outcome of its check.
func judgeProvider(p *v1alpha1.DeliveryProvider, checked bool, err error) {
	p.Status.ObservedGeneration = p.Generation
	p.Status.Type, p.Status.Channel = p.Spec.Type()
	var classed *provider.Error
	switch {
	case err == nil && checked:
		setReady(p, verdict{metav1.ConditionTrue, v1alpha1.VerifiedReason, "The provider answers and accepts the credentials."}, false)
	case err == nil:
		setReady(p, verdict{metav1.ConditionTrue, v1alpha1.ConfiguredReason,
			"The configuration is complete. The provider has no call to verify the credentials without sending."}, false)
	case errors.As(err, &classed) && (provider.IsMisconfigured(err) || provider.IsPermanent(err)):
		setReady(p, verdict{metav1.ConditionFalse, classed.Reason, notify.Sentence(classed.Error())}, true)
	default:
		message := "The provider could not be checked."
		if classed != nil {
			message = classed.Error()
		}
		setReady(p, verdict{metav1.ConditionUnknown, v1alpha1.ProviderUnavailableReason, notify.Sentence(message) + " It will be retried."}, false)
	}
}
