// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/notify"
)

// Fallback checks the rule that stands in for another one, and those that follow. Get returns a
// rule in the same namespace by its name; nil if there is none. Problems go into the report if
// the rules can't work, and are warnings if they may yet.
func (r *Report) Fallback(rule *v1alpha1.NotificationRule, get func(name string) (*v1alpha1.NotificationRule, error)) error {
	f := rule.Spec.Fallback
	if f == nil {
		return nil
	}
	problem := func(to *notify.Problems, field, format string, args ...any) {
		*to = append(*to, notify.Problem{Field: "spec.fallback." + field, Message: fmt.Sprintf(format, args...)})
	}
	if channel := rule.Spec.Channel(); f.IfUnreadAfter != "" && channel != v1alpha1.ChannelSystem && (channel != v1alpha1.ChannelPush || !rule.Spec.SystemEnabled) {
		problem(&r.Problems, "ifUnreadAfter", "nobody knows whether the message is read: only in-app messages are, and push messages with spec.systemEnabled")
	}
	chain := []string{rule.Name}
	for next := f; next != nil; {
		if slices.Contains(chain, next.Name) {
			problem(&r.Problems, "name", "the rules stand in for each other in a circle: %s", strings.Join(append(chain, next.Name), ", "))
			return nil
		}
		if len(chain) > v1alpha1.MaxFallbacks {
			problem(&r.Problems, "name", "more than %d rules follow one another: %s", v1alpha1.MaxFallbacks, strings.Join(append(chain, next.Name), ", "))
			return nil
		}
		found, err := get(next.Name)
		switch {
		case err != nil:
			return err
		case found == nil:
			problem(&r.Warnings, "name", "there is no rule %s in this namespace, so nothing replaces the message", next.Name)
			return nil
		case found.Spec.CompanyRef.Name != rule.Spec.CompanyRef.Name:
			problem(&r.Problems, "name", "the rule %s belongs to another company", next.Name)
			return nil
		case found.Spec.Event != "" && found.Spec.Event == rule.Spec.Event:
			problem(&r.Warnings, "name", "the rule %s handles the event %s itself, so it sends its message in any case", next.Name, rule.Spec.Event)
		case !found.IsEnabled():
			problem(&r.Warnings, "name", "the rule %s is disabled, so it replaces nothing", next.Name)
		}
		chain = append(chain, next.Name)
		next = found.Spec.Fallback
	}
	return nil
}
