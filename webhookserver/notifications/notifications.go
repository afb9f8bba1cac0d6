// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package notifications assigns a company's NotificationRules the numeric ids of the API.
package notifications

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
)

// Notification is a NotificationRule with its id.
type Notification struct {
	ID int64
	// Rule is shared with the cache: read only.
	Rule *v1alpha1.NotificationRule
}

// Name returns the rule's namespace/name, its key in the ledger.
func (n *Notification) Name() string { return n.Rule.Namespace + "/" + n.Rule.Name }

// All are the notifications of one company, oldest first.
type All []Notification

// Of reads the rules of an activation that are not being deleted. The reader is the
// manager's cache, which indexes rules by activation.RuleField.
func Of(ctx context.Context, cache client.Reader, a *v1alpha1.CompanyActivation) (All, error) {
	var list v1alpha1.NotificationRuleList
	if err := cache.List(ctx, &list, client.InNamespace(a.Namespace),
		client.MatchingFields{activation.RuleField: a.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the rules of a company: %w", err)
	}
	rules := make([]*v1alpha1.NotificationRule, 0, len(list.Items))
	for i := range list.Items {
		if rule := &list.Items[i]; rule.DeletionTimestamp.IsZero() {
			rules = append(rules, rule)
		}
	}
	return number(rules, func(name string) int64 { return Number(a.Spec.Company, name) }), nil
}

// number assigns the ids of a company's rules. If two rules would have the same id, the
// first by name gets it and the other gets the next free one.
func number(rules []*v1alpha1.NotificationRule, id func(name string) int64) All {
	all := make(All, 0, len(rules))
	for _, rule := range rules {
		all = append(all, Notification{Rule: rule})
	}
	slices.SortFunc(all, func(a, b Notification) int { return strings.Compare(a.Rule.Name, b.Rule.Name) })
	taken := make(map[int64]bool, len(rules))
	for i := range all {
		n := id(all[i].Name())
		for taken[n] {
			n = n%maxNumber + 1
		}
		taken[n] = true
		all[i].ID = n
	}
	slices.SortStableFunc(all, func(a, b Notification) int {
		return a.Rule.CreationTimestamp.Compare(b.Rule.CreationTimestamp.Time)
	})
	return all
}

// maxNumber is the largest integer that JavaScript represents exactly.
const maxNumber = 1<<53 - 1

// Number derives an object's id, from 1 to 2^53-1, from its company and namespace/name. So
// the id needs no storage, and an object that is replaced or restored keeps it, which
// matters because other Rehive extensions store ids of notifications. Among a thousand
// objects of a company, the probability of a collision is about one in ten billion.
func Number(company, name string) int64 {
	digest := sha256.Sum256([]byte(company + "\x00" + name))
	return int64(binary.BigEndian.Uint64(digest[:8])%maxNumber) + 1
}

// DisplayNames returns the rules' display names by namespace/name.
func (all All) DisplayNames() map[string]string {
	names := make(map[string]string, len(all))
	for i := range all {
		names[all[i].Name()] = all[i].Rule.Spec.DisplayName
	}
	return names
}

// ByID returns the notification with an id.
func (all All) ByID(id int64) (Notification, bool) {
	i := slices.IndexFunc(all, func(n Notification) bool { return n.ID == id })
	if i < 0 {
		return Notification{}, false
	}
	return all[i], true
}

// ByName returns the notification of the rule with a name.
func (all All) ByName(rule string) (Notification, bool) {
	i := slices.IndexFunc(all, func(n Notification) bool { return n.Rule.Name == rule })
	if i < 0 {
		return Notification{}, false
	}
	return all[i], true
}
