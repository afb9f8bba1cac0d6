// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"testing"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/ledger"
)

// TestFallbacksWait has an email with an SMS that stands in for it, and an email that stands
// in for that and names the first rule again.
func TestFallbacksWait(t *testing.T) {
	s := newScene(t, "falls-back")
	s.rule("a-email", "user.create", func(spec *v1alpha1.NotificationRuleSpec) {
		spec.Email = &v1alpha1.EmailMessage{To: "{{ email }}", Subject: "Hi", Text: "Hi {{ email }}"}
		spec.Fallback = &v1alpha1.RuleFallback{Name: "b-sms"}
	})
	s.rule("b-sms", "", func(spec *v1alpha1.NotificationRuleSpec) {
		spec.Email = nil
		spec.SMS = &v1alpha1.SMSMessage{To: "{{ mobile }}", Message: "Hi {{ email }}"}
		spec.Fallback = &v1alpha1.RuleFallback{Name: "c-email"}
	})
	s.rule("c-email", "", func(spec *v1alpha1.NotificationRuleSpec) {
		spec.Email = &v1alpha1.EmailMessage{To: "office@acme.example", Subject: "Hi", Text: "{{ email }} is not reached"}
		spec.Fallback = &v1alpha1.RuleFallback{Name: "a-email"} // in a circle, which ends
	})
	s.accept("1", "user.create", `{"id":"11111111-2222-4333-8444-555555555555","email":"zoe@example.com","mobile":"+27820000001"}`)
	all := s.deliveries("1", 3)
	want := []struct {
		rule, state, recipient string
		of                     int64
	}{
		{"a-email", "pending", "zoe@example.com", 0},
		{"b-sms", "skipped", "+27820000001", all[0].ID},
		{"c-email", "skipped", "office@acme.example", all[1].ID},
	}
	for i, w := range want {
		d := all[i]
		if d.RuleName != s.activation.Namespace+"/"+w.rule || string(d.State) != w.state || d.Recipient != w.recipient || d.FallbackOf != w.of {
			t.Errorf("delivery %d is %s to %s, %s %s, in place of %d; want %+v", i, d.RuleName, d.Recipient, d.State, d.Reason, d.FallbackOf, w)
		}
	}
	if all[1].Reason != ledger.ReasonFallbackWaiting || all[1].Content.Text != "Hi zoe@example.com" {
		t.Errorf("the SMS waits with %+v", all[1])
	}

	// A message that can't be rendered is not waited for.
	s.accept("2", "user.create", `{"id":"11111111-2222-4333-8444-555555555555","email":"not an address","mobile":"+27820000001"}`)
	for _, d := range s.deliveries("2", 3) {
		if d.RuleName == s.activation.Namespace+"/b-sms" && d.State != ledger.DeliveryPending {
			t.Errorf("the SMS is %s %s", d.State, d.Reason)
		}
	}
}
