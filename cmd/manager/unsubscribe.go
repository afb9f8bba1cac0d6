// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/catalog"
	"github.com/rehive/extension-operator/internal/unsubscribe"
)

// newLinks returns the links that are signed with --unsubscribe-keys; nil without that.
func (s *settings) newLinks() (*unsubscribe.Links, error) {
	if s.unsubscribeKeys == "" {
		return nil, nil //nolint:nilnil // documented above
	}
	keys, err := unsubscribe.OpenKeys(s.unsubscribeKeys, ctrl.Log.WithName("unsubscribe"))
	if err != nil {
		return nil, err
	}
	return unsubscribe.NewLinks(strings.TrimRight(s.publicURL, "/"), keys), nil
}

// optOutURL returns the URL by which a user opts out of a rule's messages; empty if there is
// none.
type optOutURL func(ctx context.Context, a *v1alpha1.CompanyActivation, rule, user string) string

// optOutLinks returns the links for emails, whose rule must still let users opt out; nil
// without links.
func optOutLinks(links *unsubscribe.Links, rules *catalog.Catalog) optOutURL {
	if links == nil {
		return nil
	}
	return func(ctx context.Context, a *v1alpha1.CompanyActivation, name, user string) string {
		namespace, bare, _ := strings.Cut(name, "/")
		if namespace != a.Namespace {
			return ""
		}
		rule, err := rules.Rule(ctx, a, bare)
		if err != nil || rule == nil || !rule.PreferenceEnabled {
			return "" // the email is sent without a link rather than not at all
		}
		return links.URL(a.Spec.Company, user, name)
	}
}
