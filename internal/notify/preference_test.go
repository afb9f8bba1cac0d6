// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

const (
	zoe = "11111111-2222-3333-4444-555555555555"
	joe = "aaaaaaaa-2222-3333-4444-555555555555"
)

// outcome formats a decision in lines: channel, recipient, user, and the reason if the
// message is not sent.
func outcome(decision Decision) string {
	name := strings.NewReplacer(zoe, "zoe", joe, "joe").Replace
	var lines []string
	for _, m := range decision.Messages {
		lines = append(lines, name(fmt.Sprintf("%s to %s about %s", m.Channel, m.Recipient, cmp.Or(m.User, "nobody"))))
	}
	for _, n := range decision.NotSent {
		lines = append(lines, name(fmt.Sprintf("not %s to %s about %s: %s", cmp.Or(n.Channel, "own"), n.Recipient, cmp.Or(n.User, "nobody"), n.Reason)))
	}
	return strings.Join(lines, "; ")
}

// The rule's UID is in the data so that the rules of the tests have one each.
func withUID(rule *v1alpha1.NotificationRule, uid string, preference, system bool) *v1alpha1.NotificationRule {
	rule.UID, rule.Spec.PreferenceEnabled, rule.Spec.SystemEnabled = types.UID(uid), preference, system
	return rule
}

func TestDecideMessageUser(t *testing.T) {
	toUser := func(toUser string) *v1alpha1.NotificationRule {
		return email(func(s *v1alpha1.NotificationRuleSpec) {
			s.Email.To, s.Email.Subject, s.Email.ToUser = "a@example.com", "Hello", toUser
		})
	}
	for name, test := range map[string]struct {
		rule        *v1alpha1.NotificationRule
		event, data string
		want        string
	}{
		"a resource's user":           {toUser(""), "transaction.execute", `{"id":"` + joe + `","user":{"id":"` + zoe + `"}}`, zoe},
		"the user itself":             {toUser(""), "user.update", `{"id":"` + zoe + `"}`, zoe},
		"a user within a user event":  {toUser(""), "user.email.verify", `{"id":"` + joe + `","user":{"id":"` + zoe + `"}}`, zoe},
		"a resource is no user":       {toUser(""), "currency.update", `{"id":"` + zoe + `"}`, ""},
		"a transition's":              {toUser(""), "transaction.transition.create", `{"user":{"id":"` + joe + `"},"transaction":{"user":{"id":"` + zoe + `"}}}`, zoe},
		"a transition without":        {toUser(""), "transaction.transition.create", `{"transaction":7}`, ""},
		"in capitals":                 {toUser(""), "user.update", `{"id":"` + strings.ToUpper(joe) + `"}`, joe},
		"a number":                    {toUser(""), "user.update", `{"id":7}`, ""},
		"no identifier":               {toUser(""), "transaction.execute", `{"user":{"id":"zoe"}}`, ""},
		"a user that is a text":       {toUser(""), "transaction.execute", `{"user":"` + zoe + `"}`, ""},
		"the rule's":                  {toUser(" {{ partner.user.id }}\n"), "transaction.execute", `{"user":{"id":"` + joe + `"},"partner":{"user":{"id":"` + zoe + `"}}}`, zoe},
		"the rule's own word is last": {toUser("{{ partner.user.id }}"), "transaction.execute", `{"user":{"id":"` + joe + `"}}`, ""},
		"the rule's in capitals":      {toUser(strings.ToUpper(joe)), "transaction.execute", `{}`, joe},
		"the rule's that is none":     {toUser("{{ user.id }}, {{ user.id }}"), "transaction.execute", `{"user":{"id":"` + joe + `"}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := NewEvent(test.event, testCompany, []byte(test.data), testNow, nil)
			if err != nil {
				t.Fatal(err)
			}
			decision, err := compile(t, test.rule).Decide(t.Context(), e, "")
			if err != nil || len(decision.Messages) != 1 || len(decision.NotSent) != 0 {
				t.Fatalf("got %+v, %v", decision, err)
			}
			if got := decision.Messages[0].User; got != test.want {
				t.Errorf("the message is about %q, want %q", got, test.want)
			}
		})
	}
}

func TestDecidePreferencesAndInAppCopies(t *testing.T) {
	const nobody = `{"email":"a@example.com","partner":"` + joe + `"}`
	toBoth := func(p *v1alpha1.PushMessage) { p.ToUser = "{{ user.id }}, {{ partner }}" }
	const both = `{"user":{"id":"` + zoe + `"},"partner":"` + joe + `"}`
	for name, test := range map[string]struct {
		rule               *v1alpha1.NotificationRule
		preference, system bool
		data               string
		pushDisabled       bool
		optedOut           map[string][]string
		want               string
	}{
		"opted out": {
			rule: sms(nil), preference: true, optedOut: map[string][]string{zoe: {"other", "rule"}},
			want: "not sms to +27820000001 about zoe: OptedOut",
		},
		"of another rule": {
			rule: sms(nil), preference: true, optedOut: map[string][]string{zoe: {"other"}},
			want: "sms to +27820000001 about zoe",
		},
		"without a choice": {
			rule: sms(nil), optedOut: map[string][]string{zoe: {"rule"}},
			want: "sms to +27820000001 about zoe",
		},
		"nobody could opt out": {
			rule: email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To, s.Email.Subject = "{{ email }}", "Hello" }), data: nobody,
			preference: true, optedOut: map[string][]string{"": {"rule"}},
			want: "email to a@example.com about nobody",
		},
		"copy": {
			rule: sms(nil), system: true,
			want: "sms to +27820000001 about zoe; system to zoe about zoe",
		},
		"opted out of both": {
			rule: sms(nil), preference: true, system: true, optedOut: map[string][]string{zoe: {"rule"}},
			want: "not sms to +27820000001 about zoe: OptedOut; not system to zoe about zoe: OptedOut",
		},
		"copy for nobody": {
			rule: email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.To, s.Email.Subject = "{{ email }}", "Hello" }), data: nobody,
			system: true,
			want:   "email to a@example.com about nobody; not system to  about nobody: NoRecipient",
		},
		"copy for no user": {
			rule: sms(func(s *v1alpha1.SMSMessage) { s.ToUser = "{{ user.email }}" }), system: true,
			want: "sms to +27820000001 about nobody; not system to zoe@example.com about nobody: MalformedRecipient",
		},
		"copy without a recipient of the own channel": {
			rule: sms(func(s *v1alpha1.SMSMessage) { s.To = "{{ nothing }}, {{ user.email }}" }), system: true,
			want: "system to zoe about zoe; not own to zoe@example.com about zoe: MalformedRecipient",
		},
		"copy without a sender": {
			rule:   email(func(s *v1alpha1.NotificationRuleSpec) { s.Email.Subject, s.Email.From = "Hello", "{{ 'nobody' }}" }),
			system: true,
			want:   "system to zoe about zoe; not own to  about zoe: NoSender",
		},
		"neither recipient nor user": {
			rule: email(nil), data: `{}`, system: true,
			want: "not own to  about nobody: NoRecipient; not system to  about nobody: NoRecipient",
		},
		"copies of a push message": {
			rule: push(toBoth), data: both, system: true, preference: true, optedOut: map[string][]string{joe: {"rule"}},
			want: "push to zoe about zoe; system to zoe about zoe; not push to joe about joe: OptedOut; not system to joe about joe: OptedOut",
		},
		"copies of a push message to nobody": {
			rule: push(toBoth), data: `{"partner":"joe"}`, system: true,
			want: "not own to joe about nobody: MalformedRecipient; not system to joe about nobody: MalformedRecipient",
		},
		"no push": {
			rule: push(toBoth), data: both, pushDisabled: true, preference: true, optedOut: map[string][]string{joe: {"rule"}},
			want: "not push to zoe about zoe: PushDisabled; not push to joe about joe: PushDisabled",
		},
		"no push, but copies": {
			rule: push(nil), system: true, pushDisabled: true,
			want: "system to zoe about zoe; not push to zoe about zoe: PushDisabled",
		},
		"SMS where push is disabled": {rule: sms(nil), pushDisabled: true, want: "sms to +27820000001 about zoe"},
		"in-app where push is disabled": {
			rule: &v1alpha1.NotificationRule{Spec: v1alpha1.NotificationRuleSpec{
				NotificationSpec: v1alpha1.NotificationSpec{
					DisplayName: "A rule",
					System:      &v1alpha1.SystemMessage{ToUser: "{{ user.id }}", Message: "Hello"},
				},
			}},
			system: true, pushDisabled: true, want: "system to zoe about zoe",
		},
		"blank text": {
			rule: sms(func(s *v1alpha1.SMSMessage) { s.Message = "{{ nothing }}" }), system: true,
			want: "not own to  about zoe: EmptyText",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := event(t, cmp.Or(test.data, mobileData), nil)
			e.Company.PushDisabled = test.pushDisabled
			e.OptedOut = func(context.Context, []string) (map[string][]string, error) { return test.optedOut, nil }
			decision, err := compile(t, withUID(test.rule, "rule", test.preference, test.system)).Decide(t.Context(), e, "")
			if err != nil {
				t.Fatal(err)
			}
			if got := outcome(decision); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			for _, not := range decision.NotSent {
				if not.Detail == "" || strings.Contains(not.Detail, "zoe@") {
					t.Errorf("the detail of %s is %q", not.Reason, not.Detail)
				}
			}
		})
	}
}

// TestDecideInAppCopy checks that the in-app copy has the text of the message without the
// parts of an email.
func TestDecideInAppCopy(t *testing.T) {
	rule := withUID(email(func(s *v1alpha1.NotificationRuleSpec) {
		s.Email.Subject, s.Email.Text, s.Email.HTML = "For {{ user.name }}", "Hello", "<p>Hello</p>"
		s.Email.LayoutRef = &v1alpha1.NotificationLayoutReference{Name: "brand"}
	}), "rule", false, true)
	frame, problems := CompileLayout(layout("<b>{{ content }}</b>", "* {{ content }} *"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	decision, err := compile(t, rule).WithLayout(frame).Decide(t.Context(), event(t, mobileData, nil), "")
	if err != nil {
		t.Fatal(err)
	}
	want := []Message{
		{Channel: ChannelEmail, Recipient: "zoe@example.com", User: zoe, From: "<hello@acme.example>", Subject: "For Zoë <b>", Text: "* Hello *", HTML: "<b><p>Hello</p></b>"},
		{Channel: ChannelSystem, Recipient: zoe, User: zoe, Subject: "For Zoë <b>", Text: "Hello"},
	}
	if !slices.Equal(decision.Messages, want) {
		t.Errorf("got  %+v\nwant %+v", decision.Messages, want)
	}
}

// TestDecideReadsPreferencesLazily checks that preferences, which require a read of the
// ledger, are read only when a rule that lets users opt out is about to send, once for each
// user, and that an outage does not count as a choice.
func TestDecideReadsPreferencesLazily(t *testing.T) {
	var asked [][]string
	var outage error
	optedOut := func(_ context.Context, users []string) (map[string][]string, error) {
		asked = append(asked, users)
		return map[string][]string{zoe: {"choice"}}, outage
	}
	decide := func(e *Event, rule *v1alpha1.NotificationRule) (Decision, error) {
		return compile(t, rule).Decide(t.Context(), e, "")
	}
	e := event(t, mobileData, nil)
	e.OptedOut = optedOut
	e.Company.PushDisabled = true
	for _, rule := range []*v1alpha1.NotificationRule{
		withUID(sms(nil), "plain", false, true),
		withUID(sms(func(s *v1alpha1.SMSMessage) { s.To = "{{ nothing }}" }), "nobody", true, false),
		withUID(sms(func(s *v1alpha1.SMSMessage) { s.ToUser = "{{ nothing }}" }), "about nobody", true, true),
		withUID(push(nil), "disabled", true, false),
	} {
		if _, err := decide(e, rule); err != nil {
			t.Fatal(err)
		}
	}
	if len(asked) > 0 {
		t.Errorf("read the preferences of %v, although no message depends on them", asked)
	}

	outage = errors.New("the ledger is unavailable")
	if _, err := decide(e, withUID(sms(nil), "choice", true, true)); !errors.Is(err, outage) {
		t.Errorf("got %v, want the outage", err)
	}
	outage, asked = nil, nil
	for _, rule := range []*v1alpha1.NotificationRule{
		withUID(sms(nil), "choice", true, true),
		withUID(sms(nil), "another", true, true),
		withUID(sms(func(s *v1alpha1.SMSMessage) { s.ToUser = joe }), "choice", true, false),
		withUID(sms(nil), "choice", true, false),
	} {
		if _, err := decide(e, rule); err != nil {
			t.Fatal(err)
		}
	}
	decision, err := decide(e, withUID(sms(nil), "choice", false, false))
	if err != nil || len(decision.Messages) != 1 {
		t.Errorf("got %+v, %v: an opt-out must not count while the rule doesn't allow it", decision, err)
	}
	if len(asked) != 2 || !slices.Equal(asked[0], []string{zoe}) || !slices.Equal(asked[1], []string{joe}) {
		t.Errorf("read the preferences of %v, want each user once", asked)
	}
}

// A skipped message names its user if that is known without guessing.
func TestDecideNotSentNamesTheUser(t *testing.T) {
	declining := func(rule *v1alpha1.NotificationRule) *v1alpha1.NotificationRule {
		rule.Spec.Expression = "False"
		return rule
	}
	for name, test := range map[string]struct {
		rule *v1alpha1.NotificationRule
		want string
	}{
		"the event's user": {declining(sms(nil)), zoe},
		"the rule's":       {declining(sms(func(s *v1alpha1.SMSMessage) { s.ToUser = joe })), ""},
		"push":             {declining(push(nil)), ""},
	} {
		decision := decide(t, test.rule, mobileData)
		if len(decision.NotSent) != 1 || decision.NotSent[0].User != test.want {
			t.Errorf("%s: got %+v", name, decision)
		}
	}
}

// TestDecideTruncatesInvalidRecipients checks that invalid recipients, which may have any
// length, fit into the ledger's index.
func TestDecideTruncatesInvalidRecipients(t *testing.T) {
	long := strings.Repeat("ü", 3000)
	data := `{"long":"` + long + `"}`
	decision := decide(t, withUID(sms(func(s *v1alpha1.SMSMessage) { s.To, s.ToUser = "{{ long }}", "{{ long }}" }), "rule", false, true), data)
	if len(decision.NotSent) != 2 {
		t.Fatalf("got %+v", decision)
	}
	for _, not := range decision.NotSent {
		if want := strings.Repeat("ü", 127) + "…"; not.Recipient != want {
			t.Errorf("%s: the recipient is %q", not.Channel, not.Recipient)
		}
	}
}
