// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
)

// notification is a NotificationRule as the API names it: by a number.
type notification struct {
	id   int64
	rule *v1alpha1.NotificationRule // the cache's own
}

// notifications are those of one company, the oldest first.
type notifications []notification

// notifications reads the rules of a company from the cache.
func (s *Server) notifications(ctx context.Context, a *v1alpha1.CompanyActivation) (notifications, error) {
	var list v1alpha1.NotificationRuleList
	if err := s.client.List(ctx, &list, client.InNamespace(a.Namespace),
		client.MatchingFields{activation.RuleField: a.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, unavailable(err, "The company's notifications could not be read. Try again later.")
	}
	rules := make([]*v1alpha1.NotificationRule, 0, len(list.Items))
	for i := range list.Items {
		if rule := &list.Items[i]; rule.DeletionTimestamp.IsZero() {
			rules = append(rules, rule)
		}
	}
	return number(rules, func(name string) int64 { return notificationID(a.Spec.Company, name) }), nil
}

// number gives the rules of a company their numbers. They are those of id, except that a
// rule whose number another has that comes before it by name gets the next free one.
func number(rules []*v1alpha1.NotificationRule, id func(name string) int64) notifications {
	all := make(notifications, 0, len(rules))
	for _, rule := range rules {
		all = append(all, notification{rule: rule})
	}
	byName := func(a, b notification) int { return strings.Compare(a.name(), b.name()) }
	slices.SortFunc(all, byName)
	taken := make(map[int64]bool, len(rules))
	for i := range all {
		n := id(all[i].name())
		for taken[n] {
			n = n%maxNotificationID + 1
		}
		taken[n] = true
		all[i].id = n
	}
	slices.SortStableFunc(all, func(a, b notification) int {
		return a.rule.CreationTimestamp.Compare(b.rule.CreationTimestamp.Time)
	})
	return all
}

// maxNotificationID is the greatest integer that JavaScript can tell from the next.
const maxNotificationID = 1<<53 - 1

// notificationID derives a rule's number from its company and its namespace/name, so
// that nothing has to store it and a rule that is replaced or restored keeps it. It is 1
// to maxNotificationID. Among a thousand rules of a company, two have the same with a
// probability of one in ten billion.
func notificationID(company, name string) int64 {
	digest := sha256.Sum256([]byte(company + "\x00" + name))
	return int64(binary.BigEndian.Uint64(digest[:8])%maxNotificationID) + 1
}

// name is the rule's namespace/name.
func (n *notification) name() string { return n.rule.Namespace + "/" + n.rule.Name }

// byID returns the notification of a number.
func (all notifications) byID(id int64) (notification, bool) {
	i := slices.IndexFunc(all, func(n notification) bool { return n.id == id })
	if i < 0 {
		return notification{}, false
	}
	return all[i], true
}

// names are what people call the rules, by namespace/name.
func (all notifications) names() map[string]string {
	names := make(map[string]string, len(all))
	for _, n := range all {
		names[n.name()] = n.rule.Spec.DisplayName
	}
	return names
}
