// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/catalog"
	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/expo"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/smtp"
	"github.com/rehive/extension-operator/internal/feedback"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/namespaces"
	"github.com/rehive/extension-operator/internal/phone"
	"github.com/rehive/extension-operator/internal/providers"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/testmode"
	"github.com/rehive/extension-operator/internal/tracing"
	"github.com/rehive/extension-operator/webhookserver/admin"
)

// senders are the providers and policies by which messages are sent.
type senders struct {
	secrets  *providers.SecretCache
	builder  *providers.Builder
	registry *providers.Registry
	limits   providers.Limits
	feedback *feedback.Receiver
}

func newSenders(ctx context.Context, s *settings, store ledger.Store, mgr manager.Manager, watched namespaces.Set, companies providers.Companies, platform *rehive.Client, testMode *testmode.Guard, unsubscribe optOutURL, traces *tracing.Tracer) (*senders, error) {
	log := ctrl.Log.WithName("delivery")
	doing, err := delivery.NewProvidersMetrics(metrics.Registry)
	if err != nil {
		return nil, err
	}
	mailServer, err := newEmailProvider(s, doing)
	if err != nil {
		return nil, err
	}
	networks, err := s.allowedNetworks()
	if err != nil {
		return nil, err
	}
	secrets, err := providers.NewSecretCache(mgr.GetConfig(), mgr.GetScheme(), watched.CacheNamespaces())
	if err != nil {
		return nil, err
	}
	push, err := providers.NewFeedback(metrics.Registry, log)
	if err != nil {
		return nil, err
	}
	domains, err := providers.NewDomains(ctx, mgr.GetCache(), s.trustSystemEmail)
	if err != nil {
		return nil, err
	}
	quotas, err := s.newQuotas(store)
	if err != nil {
		return nil, err
	}
	key, err := store.Key(ctx, feedback.KeyName)
	if err != nil {
		return nil, err
	}
	references := feedback.NewReferences(key, s.publicURL)
	builder := &providers.Builder{
		Secrets:        secrets,
		Devices:        providers.Devices{Platform: platform, Companies: companies},
		Feedback:       push,
		DeadTokens:     providers.DeadTokens{Ledger: store},
		AllowNetworks:  networks,
		AllowPlaintext: s.providerAllowPlaintext,
		UserAgent:      "rehive-extension-operator/" + version,
		References:     references,
	}
	registry := providers.NewRegistry(providers.RegistryOptions{
		Reader:      mgr.GetCache(),
		Companies:   companies,
		Builder:     builder,
		Defaults:    s.defaultProviders(),
		Fallback:    delivery.ByChannel{ledger.ChannelEmail: mailServer, ledger.ChannelSystem: delivery.Inbox{}},
		Domains:     domains,
		Quotas:      quotas,
		TestMode:    testMode,
		Unsubscribe: unsubscribe,
		EmailFrom:   s.emailFrom,
		Metrics:     doing,
		Log:         log,
	})
	receiver, err := feedback.New(feedback.Options{
		References: references, Providers: registry, Companies: companies, Ledger: store, Registerer: metrics.Registry, Traces: traces, Log: log,
	})
	if err != nil {
		return nil, err
	}
	builder.Earlier = func(ctx context.Context, p *v1alpha1.DeliveryProvider, since time.Time) ([]expo.Ticket, error) {
		companies, err := registry.UsedBy(ctx, p)
		if err != nil {
			return nil, err
		}
		return providers.EarlierTickets(ctx, store, companies, since)
	}
	push.Record = func(ctx context.Context, outcomes []expo.Outcome) error {
		return receiver.PushOutcomes(ctx, outcomes, time.Now())
	}
	return &senders{secrets: secrets, builder: builder, registry: registry, limits: quotas.Limits, feedback: receiver}, nil
}

// newEmailProvider returns the provider of --smtp-address, protected like that of a
// DeliveryProvider. It is nil if no mail server is set: emails then stay pending with a
// reason that says so.
func newEmailProvider(s *settings, doing *delivery.ProvidersMetrics) (provider.Provider, error) {
	if s.smtpAddress == "" {
		return nil, nil //nolint:nilnil // documented above
	}
	password, err := s.readSMTPPassword()
	if err != nil {
		return nil, err
	}
	host, portText, err := net.SplitHostPort(s.smtpAddress)
	if err != nil {
		return nil, fmt.Errorf("--smtp-address: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("--smtp-address: %q is not a port number", portText)
	}
	var roots *x509.CertPool
	if s.smtpCAFile != "" {
		pem, err := os.ReadFile(s.smtpCAFile)
		if err != nil {
			return nil, fmt.Errorf("reading --smtp-ca-file: %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--smtp-ca-file: %s contains no PEM certificate", s.smtpCAFile)
		}
	}
	mailServer, err := smtp.New(smtp.Config{
		Host:     host,
		Port:     port,
		TLS:      smtp.TLSMode(s.smtpTLS),
		RootCAs:  roots,
		Username: s.smtpUsername,
		Password: password,
		From:     s.emailFrom,

		MaxConnections: s.smtpConnections,
	})
	if err != nil {
		return nil, fmt.Errorf("setting up the mail server: %w", err)
	}
	const name = "--smtp-address"
	log := ctrl.Log.WithName("delivery").WithValues("provider", name)
	return delivery.NewGuard(mailServer, delivery.GuardConfig{
		Concurrency: s.smtpConnections,
		PerSecond:   s.smtpRate,
		OnChange:    providers.LogCircuit(log),
		Metrics:     doing.Of(name, "smtp"),
	}), nil
}

// newTestMode returns the guard of --test-mode; nil if it delivers. Admins is needed only for
// sending, not for validating the flags.
func (s *settings) newTestMode(admins *testmode.Admins) (*testmode.Guard, error) {
	return testmode.New(s.testMode, s.testModeAllow, s.testModeRedirect, admins)
}

// newQuotas returns the quotas of --quotas, --sms-countries and --sms-allow-numbers. The
// store is needed only for counting, not for validating the flags.
func (s *settings) newQuotas(store ledger.Quotas) (*providers.Quotas, error) {
	q := &providers.Quotas{Limits: providers.DefaultLimits(), Ledger: store, Log: ctrl.Log.WithName("delivery")}
	if err := q.Limits.Parse(s.quotas); err != nil {
		return nil, fmt.Errorf("--quotas: %w", err)
	}
	for country := range strings.SplitSeq(s.smsCountries, ",") {
		if country = strings.ToUpper(strings.TrimSpace(country)); country == "" {
			continue
		}
		if !phone.IsRegion(country) {
			return nil, fmt.Errorf("--sms-countries: %q is not an ISO 3166 code such as ZA", country)
		}
		q.Countries = append(q.Countries, country)
	}
	for name := range strings.SplitSeq(s.smsAllowNumbers, ",") {
		switch kind := phone.Kind(strings.TrimSpace(name)); kind {
		case "":
		case phone.Premium, phone.SharedCost, phone.Satellite:
			q.Kinds = append(q.Kinds, kind)
		default:
			return nil, fmt.Errorf("--sms-allow-numbers: %q must be premium, shared-cost or satellite", name)
		}
	}
	return q, nil
}

// quotas returns how many messages a company may send per day, as the API shows it.
func (s *senders) quotas(a *v1alpha1.CompanyActivation) admin.Quotas {
	return admin.Quotas{
		SMS:   s.limits.Of(a, v1alpha1.ChannelSMS).Company,
		Email: s.limits.Of(a, v1alpha1.ChannelEmail).Company,
	}
}

// sendingRules returns what rules say about sending, for the delivery worker.
func sendingRules(rules *catalog.Catalog) delivery.Rules {
	return delivery.RulesFunc(func(ctx context.Context, company, name string) (delivery.RulePolicy, error) {
		rule, err := rules.RuleOf(ctx, company, name)
		if err != nil || rule == nil {
			return delivery.RulePolicy{}, err
		}
		return delivery.RulePolicy{IgnoreSuppressions: rule.IgnoreSuppressions, StopUnknown: rule.StopUnknown}, nil
	})
}
