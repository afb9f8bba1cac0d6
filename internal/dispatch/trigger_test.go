// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

// newCompanyScene makes a scene whose company is on the platform, and has users there.
func newCompanyScene(t *testing.T, name string) *scene {
	t.Helper()
	platform, seed, client := startPlatform(t)
	name = unique(name)
	if _, err := platform.AddCompany(rehivetest.Company{ID: name, Name: "Acme"}); err != nil {
		t.Fatal(err)
	}
	admin, err := platform.AddUser(name, rehivetest.User{Group: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	return sceneWith(t, name, platform, seed, client, admin.Token)
}

func (s *scene) user(u rehivetest.User) rehivetest.User {
	s.t.Helper()
	added, err := s.platform.AddUser(s.activation.Spec.Company, u)
	s.must(err)
	return added
}

// trigger triggers a rule as the API does.
func (s *scene) trigger(id, rule string, t notify.Trigger) {
	s.t.Helper()
	t.Rule, t.Channel = s.activation.Namespace+"/"+rule, notify.ChannelEmail
	data, err := json.Marshal(t)
	s.must(err)
	s.accept(id, notify.TriggerEvent, string(data))
}

// outcomes are the deliveries of an event, each as recipient, state, reason and text.
func (s *scene) outcomes(id string, n int) []string {
	s.t.Helper()
	var outcomes []string
	for _, d := range s.deliveries(id, n) {
		outcomes = append(outcomes, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", d.Recipient, d.State, d.Reason, d.Content.Text)))
		if d.EventName != notify.TriggerEvent {
			s.t.Errorf("the event is %q", d.EventName)
		}
	}
	slices.Sort(outcomes)
	return outcomes
}

func (s *scene) want(id string, want ...string) {
	s.t.Helper()
	slices.Sort(want)
	if got := s.outcomes(id, len(want)); !slices.Equal(got, want) {
		s.t.Errorf("event %s: got  %q\nwant %q", id, got, want)
	}
}

func toUser(r *v1alpha1.NotificationRuleSpec) {
	r.Email.To, r.Email.Text = "{{ user.email }}", "{{ greeting }} {{ user.first_name }}"
}

func TestTriggerForUsersAndGroups(t *testing.T) {
	s := newCompanyScene(t, "trigger")
	zoe := s.user(rehivetest.User{Email: "zoe@example.com", FirstName: "Zoe"})
	joe := s.user(rehivetest.User{Email: "joe@example.com", FirstName: "Joe", Group: "vip"})
	bob := s.user(rehivetest.User{Email: "bob@example.com", FirstName: "Bob", Group: "vip"})
	ann := s.user(rehivetest.User{Email: "ann@example.com", FirstName: "Ann"})
	nobody := s.user(rehivetest.User{FirstName: "No", Group: "vip"})
	nobody2 := s.user(rehivetest.User{FirstName: "Neither", Group: "vip"})
	// A user who shares the address of one who opted out gets the message.
	twin := s.user(rehivetest.User{Email: "ann@example.com", FirstName: "Twin", Group: "vip"})
	gone := s.user(rehivetest.User{Email: "gone@example.com", Archived: true})
	s.user(rehivetest.User{Email: "left@example.com", Group: "vip", Deactivated: true})
	s.rule("news", "transaction.execute", func(r *v1alpha1.NotificationRuleSpec) {
		toUser(r)
		r.Expression = "'{{ user.first_name }}' != 'Bob'"
		r.PreferenceEnabled = true
	})
	s.must(s.store.SetPreference(t.Context(), ledger.Preference{
		Company: s.activation.Spec.Company, UserID: ann.ID, Rule: ledger.Rule{Name: s.activation.Namespace + "/news"},
	}))
	foreign := s.seed.Customers[0].ID
	s.trigger("t", "news", notify.Trigger{
		Data:   json.RawMessage(`{"greeting":"Hello","user":{"first_name":"Not read"}}`),
		Users:  []string{strings.ToUpper(zoe.ID), joe.ID, zoe.ID, ann.ID, gone.ID, foreign, "zoe@example.com"},
		Groups: []string{"vip", "none", "vip"},
	})
	s.want("t",
		"zoe@example.com pending  Hello Zoe", "joe@example.com pending  Hello Joe", "ann@example.com pending  Hello Twin",
		bob.ID+" skipped ExpressionFalse",
		nobody.ID+" skipped NoRecipient", nobody2.ID+" skipped NoRecipient", ann.ID+" ann@example.com skipped OptedOut",
		gone.ID+" failed UnknownUser", "user:zoe@example.com failed UnknownUser", foreign+" failed UnknownUser", "group:none failed UnknownGroup",
	)
	users := map[string]string{"joe@example.com": joe.ID, "ann@example.com": twin.ID}
	for _, d := range s.deliveries("t", 11) {
		if want, ok := users[d.Recipient]; ok && d.UserID != want {
			t.Errorf("the message to %s is about %q", d.Recipient, d.UserID)
		}
	}
}

func TestTriggerWithoutUsers(t *testing.T) {
	s := newScene(t, "trigger-alone")
	s.rule("alone", "", nil)
	s.rule("off", "", func(r *v1alpha1.NotificationRuleSpec) { r.Enabled = new(bool) })
	s.trigger("1", "alone", notify.Trigger{Data: json.RawMessage(`{"to":"zoe@example.com"}`)})
	s.want("1", "zoe@example.com pending  Text of Acme")
	s.trigger("2", "alone", notify.Trigger{})
	s.want("2", "skipped NoRecipient")
	s.trigger("3", "off", notify.Trigger{Users: []string{"u"}, Groups: []string{"g"}})
	s.want("3", "skipped RuleDisabled")

	// A rule that isn't there may only be unknown here yet.
	s.trigger("4", "later", notify.Trigger{Data: json.RawMessage(`{"to":"zoe@example.com"}`)})
	s.rule("later", "", nil)
	s.eventually("the trigger to be decided", func() error {
		s.clock.Step(time.Second)
		return s.noPending()
	})
	s.want("4", "zoe@example.com pending  Text of Acme")
	s.trigger("5", "never", notify.Trigger{})
	s.eventually("the trigger to be decided", func() error {
		s.clock.Step(time.Minute)
		return s.noPending()
	})
	s.want("5", "failed RuleNotFound")
}

func (s *scene) noPending() error {
	stats, err := s.store.Stats(s.t.Context())
	if err == nil && stats.PendingEvents > 0 {
		err = fmt.Errorf("%d events are pending", stats.PendingEvents)
	}
	return err
}

// A trigger that an outage of the platform interrupts continues later, and nobody gets it
// twice.
func TestTriggerOutageDelays(t *testing.T) {
	s := newCompanyScene(t, "trigger-outage")
	const n = 260 // more than a page
	for i := range n {
		s.user(rehivetest.User{Email: fmt.Sprintf("u%d@example.com", i), FirstName: fmt.Sprint(i), Group: "vip"})
	}
	s.rule("news", "", toUser)
	remove := s.platform.InjectFault(rehivetest.Fault{Path: "/3/admin/users/", Kind: rehivetest.FaultStatus, Status: 503, Skip: 2})
	s.trigger("t", "news", notify.Trigger{Groups: []string{"vip"}})
	// The steps before the outage are stored.
	s.deliveries("t", triggerStep)
	remove()
	s.eventually("the trigger to be decided", func() error {
		// Not while it is decided: the lease would end.
		due, ok, err := s.store.NextEventDue(t.Context())
		if err != nil {
			return err
		}
		if ok && due > 0 && due < lease/2 {
			s.clock.Step(due)
		}
		return s.noPending()
	})
	seen := map[string]bool{}
	for _, d := range s.deliveries("t", n) {
		if d.State != ledger.DeliveryPending || seen[d.Recipient] {
			t.Errorf("the delivery to %s is %s, or there are two", d.Recipient, d.State)
		}
		seen[d.Recipient] = true
	}
}

func TestTriggerForTooManyUsers(t *testing.T) {
	s := newCompanyScene(t, "trigger-many")
	for range maxTriggeredUsers {
		s.user(rehivetest.User{Email: "a@example.com", FirstName: "A", Group: "all"})
	}
	one := s.user(rehivetest.User{Email: "one@example.com"})
	s.rule("news", "", toUser)
	s.trigger("t", "news", notify.Trigger{Users: []string{one.ID}, Groups: []string{"all"}})
	s.want("t", "failed TooManyUsers")
	// So many are few enough.
	s.trigger("u", "news", notify.Trigger{Groups: []string{"all"}})
	s.want("u", "a@example.com pending   A")
}

// A trigger whose messages are large is stored in steps, and holds the memory of one.
func TestTriggerInSteps(t *testing.T) {
	s := newCompanyScene(t, "trigger-steps")
	for i := range 120 {
		s.user(rehivetest.User{Email: fmt.Sprintf("u%d@example.com", i), FirstName: fmt.Sprint(i), Group: "vip"})
	}
	s.rule("large", "", func(r *v1alpha1.NotificationRuleSpec) {
		toUser(r)
		r.Email.Text += strings.Repeat("x", 250<<10)
		r.Email.HTML = strings.Repeat("y", 250<<10)
	})
	s.trigger("t", "large", notify.Trigger{Groups: []string{"vip"}})
	s.deliveries("t", 120)
	s.drained()
}
