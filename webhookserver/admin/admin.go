// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package admin declares the part of the API that a company's admins use. It stores their
// notifications and layouts as custom resources, the same ones that platform teams manage
// as YAML.
package admin

import (
	"context"
	"net/url"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// channels are the values of the field type.
var channels = []string{
	string(v1alpha1.ChannelEmail), string(v1alpha1.ChannelSMS), string(v1alpha1.ChannelPush), string(v1alpha1.ChannelSystem),
}

// Ledger is the part of the ledger that the API uses.
type Ledger interface {
	ledger.Intake
	ledger.Log
	ledger.History
	ledger.Quarantine
	ledger.Erasures
	ledger.Suppressions
}

// Options configure an API. All fields except Previews are required.
type Options struct {
	// Cache reads from the manager's cache, which indexes NotificationRules by
	// activation.RuleField.
	Cache client.Reader
	// APIReader reads from the API server.
	APIReader client.Reader
	// Client writes to the API server.
	Client client.Client
	// Namespace is the operator's namespace, which holds the templates.
	Namespace string
	// WebhookSecret returns the secret of an activation's webhooks, or "" if there is none.
	WebhookSecret func(context.Context, *v1alpha1.CompanyActivation) (string, error)
	// Ledger holds events and messages.
	Ledger Ledger
	// SearchTurn waits until no other call of the company is searching the ledger's log.
	SearchTurn func(ctx context.Context, company string) (leave func(), err error)
	// AdmitWrite returns a *rest.Error if a company may not write that many bytes to the
	// API server now.
	AdmitWrite func(company string, bytes int) error
	// Previews evaluates rules without sending. If nil, the API offers no previews.
	Previews Previewer
	// Suppressions returns why nothing is sent to the recipient of a message; empty if it is
	// sent.
	Suppressions func(context.Context, *ledger.Delivery) (ledger.SuppressionReason, error)
	// Quotas returns how many messages an activation may send on one day.
	Quotas func(*v1alpha1.CompanyActivation) Quotas
}

// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=notificationrules;notificationlayouts,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=deliveryproviders,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=notificationtemplates,verbs=get;list;watch

// API is the part of the API for admins. It is safe for concurrent use.
type API struct {
	Options
	writer writer
}

// New returns the API.
func New(o Options) *API {
	return &API{Options: o, writer: writer{cluster: o.Client, cache: o.Cache}}
}

// Operations returns the API's operations.
func (a *API) Operations() []rest.Operation {
	var ops []rest.Operation
	ops = append(ops, a.company().Operations()...)
	ops = append(ops, a.credentials().Operations()...)
	ops = append(ops, a.notifications().Operations()...)
	ops = append(ops, a.triggerNotification().Operation())
	ops = append(ops, a.layouts().Operations()...)
	ops = append(ops, a.layoutTemplates().Operations()...)
	ops = append(ops, a.templates().Operations()...)
	ops = append(ops, a.logs().Operations()...)
	ops = append(ops, a.vocabulary())
	ops = append(ops, a.events().Operations()...)
	ops = append(ops, a.explain())
	ops = append(ops, a.quarantine().Operations()...)
	ops = append(ops, a.erasures().Operations()...)
	ops = append(ops, a.suppressions().Operations()...)
	if a.Previews != nil {
		ops = append(ops, a.previews()...)
		ops = append(ops, a.replay())
	}
	return append(ops, a.sendLog(), a.sendLogs(), a.releaseQuarantined(), a.erase())
}

// isWebURL reports whether a text is an absolute http or https URL.
func isWebURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}
