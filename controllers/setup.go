// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controllers reconciles the operator's kinds: it checks tokens and providers,
// keeps the platform's webhooks in step with the rules, and reports the outcome in
// statuses and events. It never renders or sends a message.
package controllers

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/providers"
	"github.com/rehive/extension-operator/internal/rehive"
)

const (
	// DefaultResyncPeriod is how often an activation that needs nothing is
	// compared with the platform.
	DefaultResyncPeriod = 10 * time.Minute

	// retryBase and retryMax bound the growing wait between tries after a
	// passing failure.
	retryBase = time.Second
	retryMax  = 5 * time.Minute

	// jitter spreads waits by up to this share, so that a thousand companies
	// which started together don't call together.
	jitter = 0.2

	// How many are reconciled at once. Most of the time goes into waiting, for the
	// platform or for the API server.
	concurrentActivations = 16
	concurrentRules       = 16
)

// Ledger is what the controllers need of the ledger.
type Ledger interface {
	// ResumeCompany makes due at once what waits for the company's token.
	ResumeCompany(ctx context.Context, company string) error
	// WakeDeliveries makes what waits of a company on a channel due at once.
	WakeDeliveries(ctx context.Context, l ledger.Lane) error
	// CancelCompany ends the company's pending events and deliveries; what was
	// done stays on record.
	CancelCompany(ctx context.Context, company string) error
	// PurgeCompany removes everything the ledger holds of the company.
	PurgeCompany(ctx context.Context, company string) error
}

// Options say what the controllers work with.
type Options struct {
	// Platform calls Rehive.
	Platform *rehive.Client
	// PublicURL is where the platform reaches this extension: the URL that the
	// extension is registered with, such as
	// https://notifications.example.com/api/. Webhooks go to webhook/ below it.
	PublicURL string
	// Ledger is told when a company gets another token, and cleaned when it leaves.
	Ledger Ledger
	// Recorder records events; the manager's own by default.
	Recorder events.EventRecorder
	// ResyncPeriod is how often an activation that needs nothing is compared
	// with the platform (DefaultResyncPeriod when 0).
	ResyncPeriod time.Duration
	// DefaultRules are given to each company once; DefaultRules() when nil.
	DefaultRules []v1alpha1.NotificationRule
	// TemplateNamespace is the operator's, where NotificationTemplates are; empty uses
	// none.
	TemplateNamespace string
	// Providers makes what DeliveryProviders describe, so that they can be checked;
	// nil leaves them unchecked.
	Providers *providers.Builder
	// ProviderSecrets holds the Secrets of DeliveryProviders and tells when they
	// change.
	ProviderSecrets cache.Cache
	// DefaultProviders name the DeliveryProviders of companies that name none.
	DefaultProviders map[v1alpha1.Channel]types.NamespacedName
	// ServedChannels are the channels on which a company can send that names no
	// DeliveryProvider. Rules of other channels say that they can't send.
	ServedChannels []v1alpha1.Channel
	// APIReader reads past the cache; the manager's own by default.
	APIReader client.Reader
	// Namespaces say which namespaces may hold the activations of which companies; the
	// zero value allows none.
	Namespaces activation.Namespaces
	// Now is the clock (time.Now when nil).
	Now func() time.Time
}

// SetupWithManager adds the controllers to the manager. IndexFields must have
// been called.
func SetupWithManager(mgr ctrl.Manager, o Options) error {
	if o.Recorder == nil {
		o.Recorder = mgr.GetEventRecorder("rehive-extension-operator")
	}
	if o.APIReader == nil {
		o.APIReader = mgr.GetAPIReader()
	}
	if o.ResyncPeriod <= 0 {
		o.ResyncPeriod = DefaultResyncPeriod
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.DefaultRules == nil {
		rules, err := DefaultRules()
		if err != nil {
			return err
		}
		o.DefaultRules = rules
	}
	reporter := reporter{client: mgr.GetClient(), recorder: o.Recorder}
	activations := &companyActivationReconciler{
		Client:       mgr.GetClient(),
		apiReader:    o.APIReader,
		platform:     o.Platform,
		webhookURL:   WebhookURL(o.PublicURL),
		ledger:       o.Ledger,
		reporter:     reporter,
		namespaces:   o.Namespaces,
		resyncPeriod: o.ResyncPeriod,
		defaultRules: o.DefaultRules,
		namespace:    o.TemplateNamespace,
		now:          o.Now,
		memory:       newMemory(),
	}
	if err := activations.setupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up the CompanyActivation controller: %w", err)
	}
	rules := &notificationRuleReconciler{Client: mgr.GetClient(), reporter: reporter, namespaces: o.Namespaces, served: o.ServedChannels}
	if err := rules.setupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up the NotificationRule controller: %w", err)
	}
	layouts := &notificationLayoutReconciler{Client: mgr.GetClient(), reporter: reporter}
	if err := layouts.setupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up the NotificationLayout controller: %w", err)
	}
	if o.Providers == nil {
		return nil
	}
	deliveryProviders := &deliveryProviderReconciler{
		Client:       mgr.GetClient(),
		builder:      o.Providers,
		secrets:      o.ProviderSecrets,
		ledger:       o.Ledger,
		defaults:     o.DefaultProviders,
		seen:         make(map[types.NamespacedName]providers.Version),
		owed:         make(map[types.NamespacedName]bool),
		reporter:     reporter,
		resyncPeriod: o.ResyncPeriod,
	}
	if err := deliveryProviders.setupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up the DeliveryProvider controller: %w", err)
	}
	return nil
}

// WebhookURL returns the URL that webhooks are registered with, given the base
// URL that the extension is registered with on the platform.
func WebhookURL(publicURL string) string {
	return strings.TrimRight(publicURL, "/") + "/webhook/"
}

// RuleActivationField is the index, and the selectable field, of
// NotificationRules by the CompanyActivation they name. Use it together with a
// namespace.
const RuleActivationField = activation.RuleField

// RuleLayoutField is the index of NotificationRules by the NotificationLayout they
// name. Use it together with a namespace.
const RuleLayoutField = "spec.layoutRef.name"

// IndexFields adds the indexes that the operator looks objects up by. It must
// be called once, before the manager starts.
func IndexFields(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexer.IndexField(ctx, &v1alpha1.CompanyActivation{}, activation.CompanyField, func(o client.Object) []string {
		return []string{o.(*v1alpha1.CompanyActivation).Spec.Company}
	}); err != nil {
		return fmt.Errorf("indexing CompanyActivations by company: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.NotificationRule{}, RuleActivationField, func(o client.Object) []string {
		return []string{o.(*v1alpha1.NotificationRule).Spec.CompanyRef.Name}
	}); err != nil {
		return fmt.Errorf("indexing NotificationRules by CompanyActivation: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.NotificationRule{}, RuleLayoutField, func(o client.Object) []string {
		if name := o.(*v1alpha1.NotificationRule).Spec.Layout(); name != "" {
			return []string{name}
		}
		return nil
	}); err != nil {
		return fmt.Errorf("indexing NotificationRules by NotificationLayout: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.DeliveryProvider{}, ProviderSecretField, func(o client.Object) []string {
		if reference := o.(*v1alpha1.DeliveryProvider).Spec.SecretRef; reference != nil {
			return []string{reference.Name}
		}
		return nil
	}); err != nil {
		return fmt.Errorf("indexing DeliveryProviders by Secret: %w", err)
	}
	return nil
}

// controllerOptions make failures wait from a second to five minutes. The
// default begins with milliseconds, which is of no use against an outage and
// would spend the platform's call budget.
func controllerOptions(concurrency int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: concurrency,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryBase, retryMax),
	}
}
