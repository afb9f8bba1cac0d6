// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// TestPoliciesRunBeforeExpensiveWork checks that a refusal skips all later work, and that
// the recipient is still recorded.
func TestPoliciesRunBeforeExpensiveWork(t *testing.T) {
	const failing = "{{ user.id|divisibleby:0 }}"
	brokenSMS := sms(func(s *v1alpha1.SMSMessage) { s.Message = failing })
	brokenPush := push(func(p *v1alpha1.PushMessage) { p.Message = failing })
	disabled := false
	for name, test := range map[string]struct {
		rule         *v1alpha1.NotificationRule
		change       func(*v1alpha1.NotificationRuleSpec)
		preference   bool
		pushDisabled bool
		want         string
	}{
		"the text fails": {
			rule: brokenSMS, want: "not own to  about zoe: RenderFailed",
		},
		"opted out": {
			rule: brokenSMS, preference: true, want: "not sms to +27820000001 about zoe: OptedOut",
		},
		"push disabled": {
			rule: brokenPush, pushDisabled: true, want: "not push to zoe about zoe: PushDisabled",
		},
		"rule disabled": {
			rule: brokenSMS, want: "not own to  about nobody: RuleDisabled",
			change: func(s *v1alpha1.NotificationRuleSpec) { s.Enabled, s.Expression = &disabled, "1 / 0" },
		},
		"rule disabled and invalid": {
			rule: brokenSMS, want: "not own to  about nobody: RuleDisabled",
			change: func(s *v1alpha1.NotificationRuleSpec) { s.Enabled, s.Expression = &disabled, "(" },
		},
		"muted": {
			rule: brokenSMS, want: "not own to  about zoe: Muted",
			change: func(s *v1alpha1.NotificationRuleSpec) {
				s.MutedUntil, s.MutedBy, s.MuteReason = &metav1.Time{Time: testNow.Add(time.Second)}, "alice", "wrong amounts"
			},
		},
		"muted and the expression is false": {
			rule: brokenSMS, want: "not own to  about zoe: ExpressionFalse",
			change: func(s *v1alpha1.NotificationRuleSpec) {
				s.MutedUntil, s.Expression = &metav1.Time{Time: testNow.Add(time.Second)}, "False"
			},
		},
		"the mute has ended": {
			rule: brokenSMS, want: "not own to  about zoe: RenderFailed",
			change: func(s *v1alpha1.NotificationRuleSpec) { s.MutedUntil = &metav1.Time{Time: testNow} },
		},
		"rule invalid": {
			rule: brokenSMS, want: "not own to  about nobody: RuleInvalid",
			change: func(s *v1alpha1.NotificationRuleSpec) { s.Expression = "(" },
		},
		"layout missing": {
			rule: email(nil), want: "not own to  about zoe: RuleInvalid",
			change: func(s *v1alpha1.NotificationRuleSpec) {
				s.Email.To, s.Email.LayoutRef = failing, &v1alpha1.NotificationLayoutReference{Name: "brand"}
			},
		},
		"expression before the layout": {
			rule: email(nil), want: "not own to  about zoe: ExpressionFalse",
			change: func(s *v1alpha1.NotificationRuleSpec) {
				s.Expression, s.Email.LayoutRef = "False", &v1alpha1.NotificationLayoutReference{Name: "brand"}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			rule := withUID(test.rule.DeepCopy(), "rule", test.preference, false)
			if test.change != nil {
				test.change(&rule.Spec)
			}
			compiled := CompileRule(rule, nil, CompileLayout)
			e := event(t, mobileData, nil)
			e.Company.PushDisabled = test.pushDisabled
			e.OptedOut = func(context.Context, []string) (map[string][]string, error) {
				return map[string][]string{zoe: {"rule"}}, nil
			}
			decision, err := compiled.Decide(t.Context(), e, "")
			if err != nil {
				t.Fatal(err)
			}
			if got := outcome(decision); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			for _, not := range decision.NotSent {
				if not.Detail == "" && not.Reason != ExpressionFalse || strings.Contains(not.Detail, "zoe@") {
					t.Errorf("the detail of %s is %q", not.Reason, not.Detail)
				}
			}
		})
	}
}

// TestSuppressedRecipients checks that a suppressed recipient costs no rendering, that a rule
// can override a wish but not a dead address, and that an in-app copy is stored all the same.
func TestSuppressedRecipients(t *testing.T) {
	for name, test := range map[string]struct {
		rule   *v1alpha1.NotificationRule
		found  Suppression
		ignore bool
		want   string
	}{
		"hard":                  {sms(nil), Suppression{"HardBounce", true}, false, "not sms to +27820000001 about zoe: Suppressed"},
		"hard, a security rule": {sms(nil), Suppression{"HardBounce", true}, true, "not sms to +27820000001 about zoe: Suppressed"},
		"stop":                  {sms(nil), Suppression{"Stop", false}, false, "not sms to +27820000001 about zoe: Suppressed"},
		"stop, a security rule": {sms(nil), Suppression{"Stop", false}, true, ""},
		"nobody":                {sms(nil), Suppression{}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rule := withUID(test.rule.DeepCopy(), "rule", false, true)
			rule.Spec.IgnoreSuppressions = test.ignore
			compiled := CompileRule(rule, nil, CompileLayout)
			e := event(t, mobileData, nil)
			asked := 0
			e.Suppressed = func(_ context.Context, channel Channel, recipients []string) (map[string]Suppression, error) {
				asked++
				if channel != ChannelSMS || len(recipients) != 1 || recipients[0] != "+27820000001" {
					t.Errorf("asked for %s %q", channel, recipients)
				}
				if test.found.Reason == "" {
					return nil, nil
				}
				return map[string]Suppression{recipients[0]: test.found}, nil
			}
			decision, err := compiled.Decide(t.Context(), e, "")
			if err != nil {
				t.Fatal(err)
			}
			copies := 0
			for _, m := range decision.Messages {
				if m.Channel == ChannelSystem {
					copies++
				}
			}
			if copies != 1 || asked != 1 {
				t.Errorf("%d in-app copies, asked %d times", copies, asked)
			}
			got := ""
			for _, not := range decision.NotSent {
				got = outcome(Decision{NotSent: []NotSent{not}})
			}
			if got != test.want || (test.want == "") != (len(decision.Messages) == 2) {
				t.Errorf("got  %s with %d messages\nwant %s", got, len(decision.Messages), test.want)
			}
		})
	}
}
