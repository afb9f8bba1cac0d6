// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
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
	return number(rules, notificationID), nil
}

// number gives the rules of a company their numbers. They are those of id, but for a
// rule whose number an older one has: it has the next that is free.
func number(rules []*v1alpha1.NotificationRule, id func(types.UID) int64) notifications {
	slices.SortFunc(rules, func(a, b *v1alpha1.NotificationRule) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(string(a.UID), string(b.UID))
	})
	all := make(notifications, 0, len(rules))
	taken := make(map[int64]bool, len(rules))
	for _, rule := range rules {
		n := id(rule.UID)
		for taken[n] {
			n = n%maxNotificationID + 1
		}
		taken[n] = true
		all = append(all, notification{id: n, rule: rule})
	}
	return all
}

// maxNotificationID is the greatest whole number that JavaScript can tell from the
// next.
const maxNotificationID = 1<<53 - 1

// notificationID derives a rule's number from its UID, so that nothing has to store
// it: it is 1 to maxNotificationID, and among a thousand rules of a company two have
// the same with a probability of one in ten billion.
func notificationID(uid types.UID) int64 {
	digest := sha256.Sum256([]byte(uid))
	return int64(binary.BigEndian.Uint64(digest[:8])%maxNotificationID) + 1
}

// byID returns the notification of a number.
func (all notifications) byID(id int64) (notification, bool) {
	i := slices.IndexFunc(all, func(n notification) bool { return n.id == id })
	if i < 0 {
		return notification{}, false
	}
	return all[i], true
}

// names are what people call the rules, by UID.
func (all notifications) names() map[string]string {
	names := make(map[string]string, len(all))
	for _, n := range all {
		names[string(n.rule.UID)] = n.rule.Spec.DisplayName
	}
	return names
}
