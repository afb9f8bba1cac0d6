// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"slices"
	"testing"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// TestDigestProblems reports mistakes in a digest with their positions, as in the rule itself.
func TestDigestProblems(t *testing.T) {
	sms := func(s *v1alpha1.NotificationRuleSpec) {
		s.Email, s.SMS = nil, &v1alpha1.SMSMessage{To: "{{ mobile }}", Message: "Hi"}
	}
	for name, test := range map[string]struct {
		change func(*v1alpha1.NotificationRuleSpec)
		digest v1alpha1.Digest
		want   []string
	}{
		"email": {nil, v1alpha1.Digest{DigestTexts: v1alpha1.DigestTexts{Subject: "a", Text: "a"}}, nil},
		"positions": {nil, v1alpha1.Digest{
			DigestTexts:  v1alpha1.DigestTexts{Subject: "{{ a", Text: "a\n  {% if %}", HTML: "{% no %}"},
			Translations: []v1alpha1.DigestTranslation{{Language: "fr", Text: "\n\n{% for %}"}},
		}, []string{"spec.throttle.digest.text 2 3", "spec.throttle.digest.html 1 1", "spec.throttle.digest.translations[fr].text 3 1"}},
		"no subject": {nil, v1alpha1.Digest{DigestTexts: v1alpha1.DigestTexts{Text: "a"}}, []string{"spec.throttle.digest.subject 0 0"}},
		"sms": {sms, v1alpha1.Digest{
			DigestTexts:  v1alpha1.DigestTexts{Subject: "a", Text: "a", HTML: "a"},
			Translations: []v1alpha1.DigestTranslation{{Language: "fr", HTML: "a"}},
		}, []string{"spec.throttle.digest.subject 0 0", "spec.throttle.digest.html 0 0", "spec.throttle.digest.translations[fr].html 0 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			rule := email(test.change)
			rule.Spec.Throttle = &v1alpha1.Throttle{Messages: 1, Per: "1h", Digest: &test.digest}
			_, problems := Compile(rule)
			var got []string
			for _, p := range problems {
				got = append(got, p.Field+" "+string(rune('0'+p.Line))+" "+string(rune('0'+p.Column)))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q: %v", got, test.want, problems)
			}
		})
	}
}

// TestDigestVariables keeps what a digest reads apart from what its rule reads: an event has no
// digest.
func TestDigestVariables(t *testing.T) {
	rule := email(func(s *v1alpha1.NotificationRuleSpec) {
		s.Email.Subject, s.Email.Text = "a", "{{ amount }}"
		s.Throttle = &v1alpha1.Throttle{Messages: 1, Per: "1h", Digest: &v1alpha1.Digest{
			DigestTexts: v1alpha1.DigestTexts{Subject: "{{ digest.count }}", Text: "{{ context.unsubscribe_url }} {{ computed.fee }}"},
		}}
	})
	compiled, problems := Compile(rule)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got := compiled.Variables(); !slices.Equal(got, []string{"amount", "user.email"}) {
		t.Errorf("the rule reads %q", got)
	}
	if compiled.messageReadsComputed || compiled.readsUnsubscribe || !compiled.digest.messageReadsComputed || !compiled.digest.readsUnsubscribe {
		t.Error("the digest and its rule don't read the same")
	}
	plain := *rule
	plain.Spec.Throttle = nil
	small, _ := Compile(&plain)
	if compiled.Size() <= small.Size() {
		t.Error("the digest takes no memory")
	}
}

// TestDigestOfAnotherChannel changes what a rule sends while a digest is pending. Its recipient is
// not one of the new channel, nor of an inbox.
func TestDigestOfAnotherChannel(t *testing.T) {
	const user = "11111111-2222-4333-8444-555555555555"
	for name, test := range map[string]struct {
		change  func(*v1alpha1.NotificationRuleSpec)
		digest  Digest
		removed bool
	}{
		"the same": {nil, Digest{Channel: ChannelEmail, Recipient: "zoe@example.com"}, false},
		"a push message now": {func(s *v1alpha1.NotificationRuleSpec) {
			s.Email, s.Push = nil, &v1alpha1.PushMessage{ToUser: "{{ user.id }}", Message: "Hi"}
		}, Digest{Channel: ChannelEmail, Recipient: "zoe@example.com"}, true},
		"in-app copies":             {func(s *v1alpha1.NotificationRuleSpec) { s.SystemEnabled = true }, Digest{Channel: ChannelSystem, Recipient: user, User: user}, false},
		"no in-app copies any more": {nil, Digest{Channel: ChannelSystem, Recipient: user, User: user}, true},
	} {
		t.Run(name, func(t *testing.T) {
			rule := email(test.change)
			rule.Spec.Throttle = &v1alpha1.Throttle{Messages: 1, Per: "1h", Digest: &v1alpha1.Digest{DigestTexts: v1alpha1.DigestTexts{Subject: "a", Text: "a"}}}
			digest, ok := (&Compiled{Rule: compile(t, rule)}).Digest()
			if !ok {
				t.Fatal("the rule has no digest")
			}
			e, err := event(t, `{}`, nil).ForDigest(&test.digest, &Collected{Count: 1})
			if err != nil {
				t.Fatal(err)
			}
			decision, err := digest.Decide(t.Context(), e, "a@example.com")
			if err != nil {
				t.Fatal(err)
			}
			removed := len(decision.NotSent) == 1 && decision.NotSent[0].Reason == DigestRemoved
			if removed != test.removed || len(decision.Messages) > 0 == removed {
				t.Errorf("the decision is %+v", decision)
			}
		})
	}
}
