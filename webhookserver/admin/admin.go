// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package admin declares the part of the API that a company's admins use. What they
// make are custom resources, the same that platform teams manage as YAML.
package admin

import (
	"context"
	"net/url"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// channels are the values of type.
var channels = []string{
	string(v1alpha1.ChannelEmail), string(v1alpha1.ChannelSMS), string(v1alpha1.ChannelPush), string(v1alpha1.ChannelSystem),
}

// Options are what an API works with. All are required.
type Options struct {
	// Cache reads from the manager's cache, which indexes NotificationRules by
	// activation.RuleField.
	Cache client.Reader
	// APIReader reads from the API server.
	APIReader client.Reader
	// Client writes to the API server.
	Client client.Client
	// Namespace is the operator's, where templates are.
	Namespace string
	// WebhookSecret returns the secret of an activation's webhooks, empty if there is
	// none.
	WebhookSecret func(context.Context, *v1alpha1.CompanyActivation) (string, error)
	// Log is the ledger's log. SearchTurn waits until no other call of the company
	// searches it.
	Log        Log
	SearchTurn func(ctx context.Context, company string) (leave func(), err error)
	// AdmitWrite returns an *rest.Error if a company may not write so many bytes to the
	// API server now.
	AdmitWrite func(company string, bytes int) error
	// History is what became of events.
	History History
	// Previews tries rules; without it, previews are not offered.
	Previews Previewer
	// Quarantine is that of the ledger.
	Quarantine Quarantine
	// Quotas returns how many messages an activation may send on one day.
	Quotas func(*v1alpha1.CompanyActivation) Quotas
	// Events takes the events by which notifications are triggered.
	Events EventStore
}

// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=notificationrules;notificationlayouts,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=deliveryproviders,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=notificationtemplates,verbs=get;list;watch

// API is the admins' part of the API. It is safe for concurrent use.
type API struct {
	Options
	writer writer
}

// New returns the API.
func New(o Options) *API {
	return &API{Options: o, writer: writer{cluster: o.Client, cache: o.Cache}}
}

// Operations are the API's operations.
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
	ops = append(ops, a.events().Operations()...)
	ops = append(ops, a.explain())
	ops = append(ops, a.quarantine().Operations()...)
	if a.Previews != nil {
		ops = append(ops, a.previews()...)
		ops = append(ops, a.replay())
	}
	return append(ops, a.sendLog(), a.sendLogs(), a.releaseQuarantined())
}

// isWebURL says whether a text is an absolute URL of a web page.
func isWebURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}

func isOneLine(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}
