// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package notifications gives a company's NotificationRules the numbers that the API
// knows them by.
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

// Notification is a NotificationRule under its number.
type Notification struct {
	ID int64
	// Rule belongs to the cache and must not be changed.
	Rule *v1alpha1.NotificationRule
}

// All are the notifications of one company, the oldest first.
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
	return number(rules, ID), nil
}

// number gives each rule its number. Where two rules would have the same one, the
// older keeps it and the other has the next that is free.
func number(rules []*v1alpha1.NotificationRule, id func(*v1alpha1.NotificationRule) int64) All {
	slices.SortFunc(rules, func(a, b *v1alpha1.NotificationRule) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	all := make(All, 0, len(rules))
	taken := make(map[int64]bool, len(rules))
	for _, rule := range rules {
		n := id(rule)
		for taken[n] {
			n = n%maxID + 1
		}
		taken[n] = true
		all = append(all, Notification{ID: n, Rule: rule})
	}
	return all
}

// maxID is the greatest whole number that JavaScript can tell from the next.
const maxID = 1<<53 - 1

// ID derives a rule's number from its namespace and name, so that nothing has to
// store it and a rule that is replaced or restored keeps it: Rehive's own extensions
// store these numbers.
func ID(rule *v1alpha1.NotificationRule) int64 { return Number(rule.Namespace, rule.Name) }

// Number derives a number from what identifies an object. It is from 1 to 2^53-1; among
// a thousand objects two have the same with a probability of one in ten billion.
func Number(identity ...string) int64 {
	digest := sha256.Sum256([]byte(strings.Join(identity, "/")))
	return int64(binary.BigEndian.Uint64(digest[:8])%maxID) + 1
}

// ByID returns the notification of a number.
func (all All) ByID(id int64) (Notification, bool) {
	i := slices.IndexFunc(all, func(n Notification) bool { return n.ID == id })
	if i < 0 {
		return Notification{}, false
	}
	return all[i], true
}
