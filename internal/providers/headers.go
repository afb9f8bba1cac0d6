// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// withHeaders returns the provider of a company's emails, which then get the headers that
// the company or the rule asks for.
func (r *Registry) withHeaders(a *v1alpha1.CompanyActivation, p provider.Provider) provider.Provider {
	selector, _ := v1alpha1.BIMIHeader(a.Spec.BIMISelector)
	if selector == "" && r.Unsubscribe == nil {
		return p
	}
	return withHeaders{next: p, registry: r, company: a, selector: selector}
}

type withHeaders struct {
	next     provider.Provider
	registry *Registry
	company  *v1alpha1.CompanyActivation
	selector string
}

// Send implements [provider.Provider].
func (h withHeaders) Send(ctx context.Context, m provider.Message) (provider.Receipt, error) {
	m.BIMISelector = h.selector
	if h.registry.Unsubscribe != nil && m.User != "" {
		m.Unsubscribe = h.registry.Unsubscribe(ctx, h.company, m.Rule, m.User)
	}
	return h.next.Send(ctx, m)
}
