// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controllers reconciles the operator's kinds: it verifies tokens and providers,
// keeps the platform's webhooks in sync with the rules, and reports the results in
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
	// DefaultResyncPeriod is how often an unchanged activation is compared with the
	// platform.
	DefaultResyncPeriod = 10 * time.Minute

	// retryBase and retryMax limit the growing delay between attempts after a temporary
	// failure.
	retryBase = time.Second
	retryMax  = 5 * time.Minute

	// jitter randomizes delays by up to this share, so that a thousand companies that
	// started together do not call together.
	jitter = 0.2

	// Concurrent reconciliations. They mostly wait, for the platform or for the API
	// server.
	concurrentActivations = 16
	concurrentRules       = 16
)

// Options configure the controllers.
type Options struct {
	// Platform calls Rehive.
	Platform *rehive.Client
	// PublicURL is the URL with which the extension is registered on the platform, such
	// as https://notifications.example.com/api/. Webhooks go to webhook/ below it.
	PublicURL string
	// Ledger is notified when a company has a new token, and cleaned when it is deleted.
	Ledger ledger.Companies
	// Activity is reported in the status of rules and activations; if nil, it is not.
	Activity ledger.Activity
	// QuotaLimits are the operator's limits on what companies send, for the report of
	// activity.
	QuotaLimits providers.Limits
	// Recorder records events; the manager's own by default.
	Recorder events.EventRecorder
	// ResyncPeriod is how often an unchanged activation is compared with the platform.
	// The default is DefaultResyncPeriod.
	ResyncPeriod time.Duration
	// DefaultRules are created once for each company. The default is DefaultRules().
	DefaultRules []v1alpha1.NotificationRule
	// TemplateNamespace is the operator's namespace, which has the NotificationTemplates;
	// if empty, none are used.
	TemplateNamespace string
	// Providers builds senders from DeliveryProviders, so that they can be checked; if
	// nil, they are not checked.
	Providers *providers.Builder
	// ProviderSecrets holds the Secrets of DeliveryProviders and notifies of their
	// changes.
	ProviderSecrets cache.Cache
	// DefaultProviders name the DeliveryProviders for companies that do not name their
	// own.
	DefaultProviders map[v1alpha1.Channel]types.NamespacedName
	// ServedChannels are the channels that companies without a DeliveryProvider of their
	// own can use. Rules of other channels report that they cannot send.
	ServedChannels []v1alpha1.Channel
	// APIReader bypasses the cache. The default is the manager's own.
	APIReader client.Reader
	// Namespaces define which namespaces may hold the activations of which companies; the
	// zero value allows none.
	Namespaces activation.Namespaces
	// ErasureWebhook registers the webhook of [rehive.EventUserUpdate] for every company, also
	// if no rule needs it, so that the data of users whom Rehive deletes is erased.
	ErasureWebhook bool
	// SenderDomains knows the DNS records of the companies' domains; nil checks none.
	SenderDomains SenderDomains
	// DKIMSelectors are those of the operator's own mail server.
	DKIMSelectors []string
	// Now is the clock. The default is time.Now.
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
	reporter := newReporter(mgr.GetClient(), o.Recorder)
	activations := &companyActivationReconciler{
		Client:        mgr.GetClient(),
		apiReader:     o.APIReader,
		platform:      o.Platform,
		webhookURL:    WebhookURL(o.PublicURL),
		ledger:        o.Ledger,
		reporter:      reporter,
		namespaces:    o.Namespaces,
		resyncPeriod:  o.ResyncPeriod,
		defaultRules:  o.DefaultRules,
		namespace:     o.TemplateNamespace,
		now:           o.Now,
		senderDomains: o.SenderDomains,
		emailProvider: o.DefaultProviders[v1alpha1.ChannelEmail],
		dkimSelectors: o.DKIMSelectors,
		memory:        newMemory(),

		erasureWebhook: o.ErasureWebhook,
	}
	if err := activations.setupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up the CompanyActivation controller: %w", err)
	}
	rules := &notificationRuleReconciler{Client: mgr.GetClient(), reporter: reporter, namespaces: o.Namespaces, served: o.ServedChannels, defaults: o.DefaultProviders, now: o.Now}
	if err := rules.setupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up the NotificationRule controller: %w", err)
	}
	layouts := &notificationLayoutReconciler{Client: mgr.GetClient(), reporter: reporter}
	if err := layouts.setupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up the NotificationLayout controller: %w", err)
	}
	if o.Activity != nil {
		activity := newActivityReporter(mgr.GetClient(), o.Activity, o.Namespaces, o.QuotaLimits, o.Now, mgr.GetLogger().WithName("activity"))
		if err := mgr.Add(activity); err != nil {
			return fmt.Errorf("setting up the report of activity: %w", err)
		}
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

// WebhookURL returns the URL of webhooks, given the base URL with which the extension is
// registered on the platform.
func WebhookURL(publicURL string) string {
	return strings.TrimRight(publicURL, "/") + "/webhook/"
}

// RuleActivationField is the index, and the selectable field, of NotificationRules by the
// name of their CompanyActivation. Use it together with a namespace.
const RuleActivationField = activation.RuleField

// RuleLayoutField is the index of NotificationRules by the name of their
// NotificationLayout. Use it together with a namespace.
const RuleLayoutField = "spec.layoutRef.name"

// IndexFields adds the indexes by which the operator looks up objects. It must be called
// once, before the manager starts.
func IndexFields(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexer.IndexField(ctx, &v1alpha1.CompanyActivation{}, activation.CompanyField, func(o client.Object) []string {
		return []string{o.(*v1alpha1.CompanyActivation).Spec.Company}
	}); err != nil {
		return fmt.Errorf("indexing CompanyActivations by company: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.CompanyActivation{}, ActivationProviderField, providerIndex); err != nil {
		return fmt.Errorf("indexing CompanyActivations by DeliveryProvider: %w", err)
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

// controllerOptions make retries wait from a second to five minutes. The default begins
// with milliseconds, which does not help against an outage and would use up the
// platform's call budget.
func controllerOptions(concurrency int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: concurrency,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryBase, retryMax),
	}
}
