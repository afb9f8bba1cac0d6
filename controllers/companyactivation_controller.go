// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/rehive"
)

const (
	// reconcileTimeout limits one reconciliation with all its platform calls. The first
	// call that is not answered ends it earlier.
	reconcileTimeout = 60 * time.Second

	// settleDelay is the wait after a change to a rule or a Secret. A hundred rules that
	// are applied at once then cost one check of the platform, not a hundred. The same
	// holds for a token and the request to check it, which the HTTP server writes one
	// after the other.
	settleDelay = 300 * time.Millisecond

	// checkInterval is the minimum time between two checks of the platform that only
	// rules cause. However long rules are applied one after another, they cost the
	// company three calls in this time, of the 200 per minute that the platform allows.
	checkInterval = 2 * time.Second
)

// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=companyactivations,verbs=get;list;watch;patch
// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=companyactivations/status,verbs=patch
// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=companyactivations/finalizers,verbs=update
// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=notificationrules,verbs=get;list;watch;create;deletecollection
// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=notificationtemplates,verbs=get;list;watch
// The HTTP server, in the same process, creates and deletes activations when the
// platform activates a company and when it removes one for good.
//
// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=companyactivations,verbs=create;delete
// +kubebuilder:rbac:namespace=system,groups="",resources=secrets,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:namespace=system,groups=events.k8s.io,resources=events,verbs=create;patch

// companyActivationReconciler reconciles CompanyActivations.
type companyActivationReconciler struct {
	client.Client
	// apiReader bypasses the cache. The HTTP server first writes the Secret and then the
	// annotation that requests a check; the two reach the cache in any order, and a check
	// with the previous token would answer the wrong call.
	apiReader     client.Reader
	platform      *rehive.Client
	webhookURL    string
	ledger        ledger.Companies
	reporter      reporter
	namespaces    activation.Namespaces
	resyncPeriod  time.Duration
	defaultRules  []v1alpha1.NotificationRule
	namespace     string // of NotificationTemplates; empty if there are none
	now           func() time.Time
	memory        *memory
	senderDomains SenderDomains // may be nil
	// queue is the controller's, for what happens outside of the cluster.
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
	// emailProvider and dkimSelectors are those of companies without a provider of their own;
	// the selectors count if there is no such provider.
	emailProvider types.NamespacedName
	dkimSelectors []string
	// erasureWebhook is [Options.ErasureWebhook].
	erasureWebhook bool
}

func (r *companyActivationReconciler) setupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("companyactivation").
		For(&v1alpha1.CompanyActivation{}, builder.WithPredicates(
			predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&v1alpha1.CompanyActivation{}, handler.EnqueueRequestsFromMapFunc(r.sameCompany),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Secret{}, delayed(activationOfSecret),
			builder.WithPredicates(predicate.ResourceVersionChangedPredicate{})).
		Watches(&v1alpha1.DeliveryProvider{}, handler.EnqueueRequestsFromMapFunc(r.activationsOfProvider),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.NotificationRule{}, delayed(activationOfRule), builder.WithPredicates(ruleWebhooksChanged())).
		WatchesRawSource(source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			r.queue = queue // before the first reconciliation
			return nil
		})).
		WithOptions(controllerOptions(concurrentActivations)).
		Complete(r)
}

// sameCompany maps an activation to the others of its company: when one is deleted, the
// next oldest may hold the company.
func (r *companyActivationReconciler) sameCompany(ctx context.Context, o client.Object) []reconcile.Request {
	changed, ok := o.(*v1alpha1.CompanyActivation)
	if !ok {
		return nil
	}
	var list v1alpha1.CompanyActivationList
	if err := r.List(ctx, &list, client.MatchingFields{activation.CompanyField: changed.Spec.Company}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing the CompanyActivations of a company failed")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if list.Items[i].UID != changed.UID {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return requests
}

// activationOfSecret goes by the name, because somebody may have changed the label.
func activationOfSecret(o client.Object) types.NamespacedName {
	name, ok := activation.NameOfSecret(o.GetName())
	if !ok {
		name = o.GetLabels()[activation.ActivationLabel]
	}
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: name}
}

// activationOfRule does not need the old object, because spec.companyRef is immutable.
func activationOfRule(o client.Object) types.NamespacedName {
	rule, ok := o.(*v1alpha1.NotificationRule)
	if !ok {
		return types.NamespacedName{}
	}
	return types.NamespacedName{Namespace: rule.Namespace, Name: rule.Spec.CompanyRef.Name}
}

// delayed enqueues the activation that an object belongs to after settleDelay.
func delayed(activationOf func(client.Object) types.NamespacedName) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	enqueue := func(o client.Object, q queue) {
		if key := activationOf(o); key.Name != "" {
			q.AddAfter(reconcile.Request{NamespacedName: key}, settleDelay)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { enqueue(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { enqueue(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { enqueue(e.Object, q) },
	}
}

// ruleWebhooksChanged passes changes to a rule that can affect which webhooks are needed.
func ruleWebhooksChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.NotificationRule)
		after, also := e.ObjectNew.(*v1alpha1.NotificationRule)
		return ok && also && requiredEvent(before) != requiredEvent(after)
	}}
}

// Reconcile checks one activation.
func (r *companyActivationReconciler) Reconcile(ctx context.Context, request reconcile.Request) (result ctrl.Result, err error) {
	a := new(v1alpha1.CompanyActivation)
	switch err := r.Get(ctx, request.NamespacedName, a); {
	case apierrors.IsNotFound(err):
		return r.cleanUpDeparted(ctx, request.NamespacedName, "")
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("reading the CompanyActivation: %w", err)
	}
	if r.reporter.isStale(a) {
		return ctrl.Result{RequeueAfter: cacheDelay}, nil
	}
	if _, err := r.cleanUpDeparted(ctx, request.NamespacedName, a.UID); err != nil {
		return ctrl.Result{}, err
	}
	if !a.DeletionTimestamp.IsZero() {
		return r.finalize(ctx, a)
	}
	s := &scope{activation: a, report: r.reporter.begin(a)}
	defer func() { result, err = s.report.finish(ctx, result, err) }()

	bounded, cancel := context.WithTimeout(ctx, reconcileTimeout)
	defer cancel()
	outcome := classify(r.reconcile(bounded, s))
	if s.unchanged {
		r.memory.restoreStatus(a)
		outcome = classify(r.checkSenderDomain(bounded, s)) // what is known about it may have changed
	}
	if s.conclude(outcome) {
		r.memory.keepStatus(a)
		if outcome != nil && !s.unchanged {
			r.memory.forget(a)
		}
	}
	s.recordEvents()
	if err := r.wake(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	return r.next(s, outcome)
}

// next decides when to reconcile again.
func (r *companyActivationReconciler) next(s *scope, outcome error) (ctrl.Result, error) {
	var stop *stopError
	switch {
	case outcome == nil, s.unchanged:
		return ctrl.Result{RequeueAfter: s.checkAgain}, nil
	case isStop(outcome, &stop):
		if stop.after > 0 {
			return ctrl.Result{RequeueAfter: stop.after}, nil
		}
		if !stop.checkAgain {
			return ctrl.Result{}, nil
		}
		return ctrl.Result{RequeueAfter: wait.Jitter(r.resyncPeriod, jitter)}, nil
	case activation.IsConflict(outcome):
		return ctrl.Result{RequeueAfter: retryBase}, nil
	default:
		if after := rehive.RetryAfter(outcome); after > 0 {
			after = wait.Jitter(after, jitter)
			r.memory.settle(s, r.now().Add(after))
			return ctrl.Result{RequeueAfter: after}, nil
		}
		return ctrl.Result{}, outcome
	}
}
