// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// collectInto has the events of a rule collected for a recipient, except for the first one, and
// returns the ID of the digest.
func (s *scene) collectInto(rule, event, prefix string, data ...string) (digest string) {
	s.t.Helper()
	for i, d := range data {
		id := fmt.Sprint(prefix, i)
		s.accept(id, event, d)
		found := s.deliveries(id, 1)[0]
		if i == 0 {
			if found.State != ledger.DeliveryPending {
				s.t.Fatalf("the first message of %s is %s %s", rule, found.State, found.Message)
			}
			continue
		}
		if found.Reason != ledger.ReasonCollected || found.Content != (ledger.Content{}) {
			s.t.Fatalf("message %d of %s is %s %s with %+v", i, rule, found.Reason, found.Message, found.Content)
		}
		_, digest, _ = strings.Cut(found.Message, "the event ")
	}
	return digest
}

// changeRule changes a rule, and waits until the catalog has it.
func (s *scene) changeRule(name string, change func(*v1alpha1.NotificationRule)) {
	s.t.Helper()
	var rule v1alpha1.NotificationRule
	s.must(kube.Get(s.t.Context(), client.ObjectKey{Namespace: s.activation.Namespace, Name: name}, &rule))
	known, err := rules.Rule(s.t.Context(), s.activation, name)
	s.must(err)
	change(&rule)
	if rule.UID == "" {
		return
	}
	s.must(kube.Update(s.t.Context(), &rule))
	s.eventually("the catalog to have the change", func() error {
		found, err := rules.Rule(s.t.Context(), s.activation, name)
		if err == nil && found == known {
			err = errors.New("it has not")
		}
		return err
	})
}

// digested steps the clock until digests are decided, and returns what the log says about each.
func (s *scene) digested(ids ...string) (lines []string) {
	s.t.Helper()
	for _, id := range ids {
		var found []ledger.Delivery
		s.eventually("the digest", func() (err error) {
			s.clock.Step(10 * time.Millisecond) // for a wait that began after the last step
			found, err = s.store.ListDeliveries(s.t.Context(), ledger.DeliveryFilter{Company: s.activation.Spec.Company, EventID: id, Limit: 10})
			if err == nil && len(found) != 1 {
				err = fmt.Errorf("it has %d deliveries", len(found))
			}
			return err
		})
		d := found[0]
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s %s: %s|%s", d.Recipient, d.UserID, d.State, d.Reason, d.Content.Subject, d.Content.Text)))
	}
	return lines
}

func withDigest(spec *v1alpha1.NotificationRuleSpec) {
	spec.Email = &v1alpha1.EmailMessage{To: "{{ email }}", Subject: "Paid", Text: "{{ amount }}"}
	spec.Throttle = &v1alpha1.Throttle{Messages: 1, Per: "1h", Digest: &v1alpha1.Digest{
		DigestTexts: v1alpha1.DigestTexts{
			Subject: "{{ digest.count }} more", HTML: "<b>{{ email }}</b>",
			Text: "{{ context.company.name }} to {{ email }}:{% for item in digest.items %} {{ item.amount }}{% endfor %}, {{ digest.omitted }} omitted",
		},
		Translations: []v1alpha1.DigestTranslation{{Language: "fr", Subject: "Encore {{ digest.count }}"}},
	}}
}

// TestDigest sends one message at the end of the period about all that were collected, as the
// rule and the user's preferences are at that time.
func TestDigest(t *testing.T) {
	s := newScene(t, "digests")
	const user = `"user":{"id":"11111111-2222-4333-8444-555555555555","language":"fr-CA"},`
	event := func(email, rest string, amounts ...int) (data []string) {
		for _, amount := range amounts {
			data = append(data, fmt.Sprintf(`{%s"email":"%s","amount":%d}`, rest, email, amount))
		}
		return data
	}
	for _, name := range []string{"paid", "off", "muted", "gone", "plain", "unwanted"} {
		s.rule(name, "x."+name, func(spec *v1alpha1.NotificationRuleSpec) {
			withDigest(spec)
			spec.PreferenceEnabled = name == "unwanted"
			if name == "paid" {
				spec.Expression = "'{{ digest.count }}' == ''" // which is not evaluated for the digest
			}
		})
	}
	begun := s.clock.Now()
	ids := []string{
		s.collectInto("paid", "x.paid", "zoe-", event("zoe@example.com", user, 1, 2, 3)...),
		s.collectInto("paid", "x.paid", "joe-", event("joe@example.com", "", 4, 6, 7, 8)...),
		s.collectInto("off", "x.off", "off-", event("off@example.com", "", 1, 2)...),
		s.collectInto("muted", "x.muted", "muted-", event("muted@example.com", "", 1, 2)...),
		s.collectInto("gone", "x.gone", "gone-", event("gone@example.com", "", 1, 2)...),
		s.collectInto("plain", "x.plain", "plain-", event("plain@example.com", "", 1, 2)...),
		s.collectInto("unwanted", "x.unwanted", "unwanted-", event("zoe@example.com", user, 1, 2)...),
	}
	s.changeRule("off", func(r *v1alpha1.NotificationRule) { r.Spec.Enabled = new(bool) })
	s.changeRule("plain", func(r *v1alpha1.NotificationRule) { r.Spec.Throttle.Digest = nil })
	s.changeRule("muted", func(r *v1alpha1.NotificationRule) {
		until := r.CreationTimestamp
		until.Time = begun.Add(24 * time.Hour).Truncate(time.Second)
		r.Spec.MutedUntil = &until
	})
	s.changeRule("gone", func(r *v1alpha1.NotificationRule) {
		s.must(kube.Delete(s.t.Context(), r))
		*r = v1alpha1.NotificationRule{}
	})
	s.eventually("the catalog to forget the rule", func() error {
		found, err := rules.Rule(t.Context(), s.activation, "gone")
		if err == nil && found != nil {
			err = errors.New("it has not")
		}
		return err
	})
	s.must(s.store.SetPreference(t.Context(), ledger.Preference{
		Company: s.activation.Spec.Company, UserID: "11111111-2222-4333-8444-555555555555", Rule: ledger.Rule{Name: s.activation.Namespace + "/unwanted"},
	}))
	s.clock.SetTime(begun.Add(time.Hour))
	want := []string{
		"zoe@example.com 11111111-2222-4333-8444-555555555555 pending : Encore 2|Acme to zoe@example.com: 2 3, 0 omitted",
		"joe@example.com  pending : 3 more|Acme to joe@example.com: 6 7 8, 0 omitted",
		"off@example.com  skipped RuleDisabled: |",
		"muted@example.com  skipped Muted: |",
		"gone@example.com  skipped DigestRemoved: |",
		"plain@example.com  skipped DigestRemoved: |",
		"zoe@example.com 11111111-2222-4333-8444-555555555555 skipped OptedOut: |",
	}
	for i, got := range s.digested(ids...) {
		if got != want[i] {
			t.Errorf("got  %s\nwant %s", got, want[i])
		}
	}
	d := s.deliveries(ids[1], 1)[0]
	if d.RuleName != s.activation.Namespace+"/paid" || d.Channel != ledger.ChannelEmail || d.EventName != notify.DigestEvent || d.Content.HTML != "<b>joe@example.com</b>" || d.Content.From == "" {
		t.Errorf("the digest is %+v", d)
	}
	if received := d.EventReceivedAt; received.Before(begun.Add(time.Hour-time.Second)) || !d.ExpiresAt.Equal(received.Add(v1alpha1.DefaultValidity)) {
		t.Errorf("the digest is of %s and expires at %s, and its period began at %s", received, d.ExpiresAt, begun)
	}
	// The digest is beyond the limit, and the next period has begun.
	s.accept("next", "x.paid", event("joe@example.com", "", 9)[0])
	if d := s.deliveries("next", 1)[0]; d.State != ledger.DeliveryPending {
		t.Errorf("the first message of the next period is %s %s", d.State, d.Reason)
	}
}

// TestDigestOfInAppCopies has the messages of each channel collected by themselves.
func TestDigestOfInAppCopies(t *testing.T) {
	s := newScene(t, "digest-copies")
	s.rule("copied", "user.create", func(spec *v1alpha1.NotificationRuleSpec) {
		withDigest(spec)
		spec.SystemEnabled = true
	})
	const user = "11111111-2222-4333-8444-555555555555"
	digests := map[string]string{}
	for _, id := range []string{"1", "2"} {
		s.accept(id, "user.create", `{"id":"`+user+`","email":"zoe@example.com","amount":7}`)
		for _, d := range s.deliveries(id, 2) {
			if _, digest, ok := strings.Cut(d.Message, "the event "); ok {
				digests[d.Channel] = digest
			}
		}
	}
	s.clock.Step(time.Hour)
	got := s.digested(digests[ledger.ChannelEmail], digests[ledger.ChannelSystem])
	for i, want := range []string{"zoe@example.com", user} {
		if want += " " + user + " pending : 1 more|Acme to zoe@example.com: 7, 0 omitted"; got[i] != want {
			t.Errorf("got  %s\nwant %s", got[i], want)
		}
	}
}

// TestCollectedData leaves out what can't be shown, and takes the data of triggers from them.
func TestCollectedData(t *testing.T) {
	many := []byte("[" + strings.Repeat("1,", notify.MaxValues-10) + "1]")
	c, cost := collectedData(&ledger.Collected{Count: 7, Events: []ledger.Event{
		{Name: "a", Data: []byte(`{"a":1}`)},
		{Name: notify.TriggerEvent, Data: []byte(`{"rule":"ns/a","data":{"b":2},"users":["x"]}`)},
		{Name: notify.TriggerEvent, Data: []byte(`{"rule":"ns/a"}`)},
		{Name: "a", Data: many},
		{Name: "a", Data: many},
		{Name: "a", Data: []byte(`{"c":3}`)},
	}})
	if len(c.Data) != 4 || string(c.Data[1]) != `{"b":2}` || string(c.Data[2]) != "{}" || c.Count != 7 {
		t.Errorf("it has %d events of %d", len(c.Data), c.Count)
	}
	if cost < int64(len(many)) {
		t.Errorf("it takes %d bytes", cost)
	}
}
