// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package user declares the part of the API that the users of a company's app use: their
// preferences and their inbox.
package user

import (
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
	ledger.Inbox
	ledger.Preferences
}

// Options configure an API. All fields are required.
type Options struct {
	// Cache reads from the manager's cache, which indexes NotificationRules by
	// activation.RuleField.
	Cache  client.Reader
	Ledger Ledger
}

// API is the part of the API for users. It is safe for concurrent use.
type API struct {
	Options

	feed feed
	// reads has a place for each message that may be read for a stream at once: a message may
	// be for thousands of users.
	reads chan struct{}
}

// New returns the API.
func New(o Options) *API {
	return &API{Options: o, feed: feed{ledger: o.Ledger}, reads: make(chan struct{}, streamReads)}
}

// Operations returns the API's operations.
func (a *API) Operations() []rest.Operation {
	return append(append(a.notifications().Operations(), a.logs().Operations()...), a.inbox(), a.readInbox(), a.inboxEvents())
}
