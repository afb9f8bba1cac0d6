// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

func TestFallback(t *testing.T) {
	rule := func(name, fallback string, change ...func(*v1alpha1.NotificationRuleSpec)) *v1alpha1.NotificationRule {
		r := &v1alpha1.NotificationRule{ObjectMeta: metav1.ObjectMeta{Name: name}}
		r.Spec.CompanyRef.Name = "shop"
		r.Spec.Email = &v1alpha1.EmailMessage{To: "a@example.com"}
		if fallback != "" {
			r.Spec.Fallback = &v1alpha1.RuleFallback{Name: fallback}
		}
		for _, f := range change {
			f(&r.Spec)
		}
		return r
	}
	off := false
	for name, test := range map[string]struct {
		rule             *v1alpha1.NotificationRule
		others           []*v1alpha1.NotificationRule
		problem, warning string
	}{
		"none":       {rule: rule("a", "")},
		"fine":       {rule: rule("a", "b"), others: []*v1alpha1.NotificationRule{rule("b", "c"), rule("c", "d"), rule("d", "")}},
		"itself":     {rule: rule("a", "a"), problem: "in a circle: a, a"},
		"circle":     {rule: rule("a", "b"), others: []*v1alpha1.NotificationRule{rule("b", "c"), rule("c", "b")}, problem: "in a circle: a, b, c, b"},
		"too long":   {rule: rule("a", "b"), others: []*v1alpha1.NotificationRule{rule("b", "c"), rule("c", "d"), rule("d", "e")}, problem: "more than 3 rules follow one another: a, b, c, d, e"},
		"missing":    {rule: rule("a", "b"), warning: "there is no rule b"},
		"company":    {rule: rule("a", "b"), others: []*v1alpha1.NotificationRule{rule("b", "", func(s *v1alpha1.NotificationRuleSpec) { s.CompanyRef.Name = "bank" })}, problem: "another company"},
		"disabled":   {rule: rule("a", "b"), others: []*v1alpha1.NotificationRule{rule("b", "", func(s *v1alpha1.NotificationRuleSpec) { s.Enabled = &off })}, warning: "disabled"},
		"same event": {rule: rule("a", "b", func(s *v1alpha1.NotificationRuleSpec) { s.Event = "x" }), others: []*v1alpha1.NotificationRule{rule("b", "", func(s *v1alpha1.NotificationRuleSpec) { s.Event = "x" })}, warning: "in any case"},
		"never read": {rule: rule("a", "b", func(s *v1alpha1.NotificationRuleSpec) { s.Fallback.IfUnreadAfter = "5m" }), others: []*v1alpha1.NotificationRule{rule("b", "")}, problem: "nobody knows whether"},
		"can be read": {rule: rule("a", "b", func(s *v1alpha1.NotificationRuleSpec) {
			s.Fallback.IfUnreadAfter, s.Email, s.System = "5m", nil, &v1alpha1.SystemMessage{}
		}), others: []*v1alpha1.NotificationRule{rule("b", "")}},
	} {
		t.Run(name, func(t *testing.T) {
			var r Report
			err := r.Fallback(test.rule, func(name string) (*v1alpha1.NotificationRule, error) {
				for _, other := range append(test.others, test.rule) {
					if other.Name == name {
						return other, nil
					}
				}
				return nil, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for what, is := range map[string][2]string{"problem": {r.Problems.Error(), test.problem}, "warning": {r.Warnings.Error(), test.warning}} {
				if (is[0] == "") != (is[1] == "") || !strings.Contains(is[0], is[1]) {
					t.Errorf("the %s is %q, want %q", what, is[0], is[1])
				}
			}
		})
	}
}
