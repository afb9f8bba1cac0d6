// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// testMode allows one recipient and in-app messages.
type testMode struct {
	allowed, redirect string
	err               error
}

func (m testMode) Allows(_ context.Context, channel v1alpha1.Channel, recipient string) (bool, error) {
	return channel == v1alpha1.ChannelSystem || recipient == m.allowed || recipient == m.redirect, m.err
}

func (m testMode) RedirectTo(channel v1alpha1.Channel) string {
	if channel == v1alpha1.ChannelEmail {
		return m.redirect
	}
	return ""
}

// TestUnsubscribeURL checks who gets a link to opt out in a text, and that no rule gets the
// link of another.
func TestUnsubscribeURL(t *testing.T) {
	const text = "[{{ context.unsubscribe_url }}]"
	e := event(t, mobileData, nil)
	made := 0
	rule := func(preference bool, change func(*v1alpha1.NotificationRuleSpec)) *Rule {
		r := email(func(s *v1alpha1.NotificationRuleSpec) {
			s.Email.To, s.Email.From, s.Email.Text = "ann@example.com", "shop@example.com", text
			if change != nil {
				change(s)
			}
		})
		return compile(t, withUID(r, "rule", preference, false))
	}
	e.UnsubscribeURL = func(user string) string {
		made++
		return "https://x.example/" + user
	}
	want := "[https://x.example/" + zoe + "]"
	for _, test := range []struct {
		name string
		rule *Rule
		want string
		made int
	}{
		{"optional", rule(true, nil), want, 1},
		{"not optional", rule(false, nil), "[]", 0},
		{"another one", rule(true, nil), want, 1},
		{"about nobody", rule(true, func(s *v1alpha1.NotificationRuleSpec) { s.Email.ToUser = "{{ nobody }}" }), "[]", 0},
		{"not read", rule(true, func(s *v1alpha1.NotificationRuleSpec) { s.Email.Text = "Hi {{ context.company.name }}" }), "Hi Acme & Sons", 0},
	} {
		made = 0
		decision, err := test.rule.Decide(t.Context(), e, "")
		if err != nil || len(decision.Messages) != 1 {
			t.Fatalf("%s: %+v, %v", test.name, decision, err)
		}
		if got := decision.Messages[0].Text; got != test.want || made != test.made {
			t.Errorf("%s: %q after %d links were made", test.name, got, made)
		}
	}
}

func TestTestMode(t *testing.T) {
	two := email(func(s *v1alpha1.NotificationRuleSpec) {
		s.Email.To, s.Email.From = "ann@example.com, bob@example.com, {{ user.id }}@example.com", "shop@example.com"
	})
	withCopy := withUID(two.DeepCopy(), "rule", false, true)
	for name, test := range map[string]struct {
		rule *v1alpha1.NotificationRule
		mode TestMode
		want string
	}{
		"production": {two, nil, "email to ann@example.com about zoe; email to bob@example.com about zoe; email to zoe@example.com about zoe"},
		"recorded": {two, testMode{allowed: "ann@example.com"},
			"email to ann@example.com about zoe; not email to bob@example.com about zoe: TestMode; not email to zoe@example.com about zoe: TestMode"},
		"redirected once": {two, testMode{redirect: "qa@example.com"},
			"email to qa@example.com about zoe; not email to ann@example.com about zoe: TestMode; not email to bob@example.com about zoe: TestMode; not email to zoe@example.com about zoe: TestMode"},
		"redirected to a recipient": {two, testMode{redirect: "ann@example.com"},
			"email to ann@example.com about zoe; not email to bob@example.com about zoe: TestMode; not email to zoe@example.com about zoe: TestMode"},
		"the in-app copy stays": {withCopy, testMode{allowed: "ann@example.com"},
			"email to ann@example.com about zoe; system to zoe about zoe; not email to bob@example.com about zoe: TestMode; not email to zoe@example.com about zoe: TestMode"},
		"a channel without a redirect": {push(nil), testMode{redirect: "qa@example.com"}, "not push to zoe about zoe: TestMode"},
	} {
		t.Run(name, func(t *testing.T) {
			e := event(t, mobileData, nil)
			e.TestMode = test.mode
			decision, err := compile(t, test.rule).Decide(t.Context(), e, "")
			if err != nil {
				t.Fatal(err)
			}
			if got := outcome(decision); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			for _, not := range decision.NotSent {
				if !strings.Contains(not.Detail, "is in test mode") || strings.Contains(not.Detail, "@") {
					t.Errorf("the detail is %q", not.Detail)
				}
			}
		})
	}
	e, unknown := event(t, mobileData, nil), errors.New("the admins are unknown")
	e.TestMode = testMode{err: unknown}
	if decision, err := compile(t, two).Decide(t.Context(), e, ""); !errors.Is(err, unknown) {
		t.Errorf("got %+v, %v", decision, err)
	}
}
