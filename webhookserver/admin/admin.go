// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package admin declares the part of the API that a company's admins use. What they
// make are custom resources, the same that platform teams manage as YAML.
package admin

import (
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
}

// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=notificationrules;notificationlayouts,verbs=get;list;watch;create;update;patch;delete
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
	ops = append(ops, a.notifications().Operations()...)
	ops = append(ops, a.layouts().Operations()...)
	ops = append(ops, a.layoutTemplates().Operations()...)
	ops = append(ops, a.templates().Operations()...)
	return ops
}
