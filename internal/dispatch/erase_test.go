// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/ledger"
)

// TestDispatchErasesDeletedUsers has the platform report a user as deleted, whom the company's
// back office hears about.
func TestDispatchErasesDeletedUsers(t *testing.T) {
	s := newScene(t, "erases")
	const user = "11111111-2222-4333-8444-555555555555"
	email := func(to string) func(*v1alpha1.NotificationRuleSpec) {
		return func(spec *v1alpha1.NotificationRuleSpec) {
			spec.Email = &v1alpha1.EmailMessage{To: to, Subject: "User", Text: "{{ email }} is {{ retention_state }}"}
		}
	}
	s.rule("a-user", "user.update", email("{{ email }}"))
	s.rule("b-office", "user.update", email("office@acme.example"))
	data := func(state string) string {
		return `{"id":"` + user + `","email":"Zoe@example.com","mobile":null,"retention_state":"` + state + `","original_user":{"email":"old@example.com"}}`
	}
	s.accept("1", "user.update", data("retaining"))
	if all := s.deliveries("1", 2); all[0].Content.Text == "" {
		t.Fatal("the texts are there")
	}
	s.accept("2", "user.update", data("deleted"))
	office := s.deliveries("2", 1)[0]
	if office.Recipient != "office@acme.example" || office.UserID != "" || !office.Sensitive {
		t.Errorf("the back office gets %+v", office)
	}
	s.deliveries("1", 0)
	for _, id := range []string{"1", "2"} {
		s.eventually("the event to be masked", func() error {
			e, err := s.store.StoredEvent(t.Context(), s.activation.Spec.Company, id)
			if err == nil && (!e.Masked || strings.Contains(strings.ToLower(string(e.Data)), "zoe")) {
				err = errors.New("it holds the user's data")
			}
			return err
		})
	}
	erasures, err := s.store.Erasures(t.Context(), s.activation.Spec.Company, 10)
	if err != nil || len(erasures) != 1 || erasures[0].Cause != ledger.ErasedByPlatform {
		t.Errorf("recorded %+v, %v", erasures, err)
	}
}

// TestErasuresWaitForTheirTurn has a company compute so much that an erasure gets no turn in
// its time, and then no time at all.
func TestErasuresWaitForTheirTurn(t *testing.T) {
	s := newScene(t, "erases-later")
	subject := ledger.Subject{Company: s.activation.Spec.Company, UserID: "11111111-2222-4333-8444-555555555555"}
	erased := func() int {
		erasures, err := s.store.Erasures(t.Context(), subject.Company, 10)
		s.must(err)
		return len(erasures)
	}
	busy, err := s.dispatcher.processors.Acquire(t.Context(), subject.Company, s.dispatcher.processors.Share())
	s.must(err)
	if err := s.dispatcher.erase(t.Context(), time.Now().Add(10*time.Millisecond), subject, 0); !errors.Is(err, context.DeadlineExceeded) || erased() != 0 {
		t.Errorf("without a turn: %v, %d erasures", err, erased())
	}
	busy.Release()
	if err := s.dispatcher.erase(t.Context(), time.Now(), subject, 0); err == nil || erased() != 0 {
		t.Errorf("without time: %v, %d erasures", err, erased())
	}
	s.must(s.dispatcher.erase(t.Context(), time.Now().Add(time.Minute), subject, 0))
	if erased() != 1 {
		t.Errorf("%d erasures are recorded", erased())
	}
}

func TestDeletedUser(t *testing.T) {
	for data, want := range map[string]bool{
		`{"id":"11111111-2222-4333-8444-555555555555","retention_state":"deleted"}`:                                                 true,
		`{"id":"11111111-2222-4333-8444-555555555555","retention_state":"delete_requested"}`:                                        false,
		`{"id":"11111111-2222-4333-8444-555555555555","retention_state":"retaining","original_user":{"retention_state":"deleted"}}`: false,
		`{"id":"","retention_state":"deleted"}`:                                                                                     false,
		`{"id":5,"retention_state":"deleted"}`:                                                                                      false,
		`{"user":{"retention_state":"deleted"}}`:                                                                                    false,
		`["retention_state"]`:                                                                                                       false,
	} {
		event := &ledger.ClaimedEvent{Event: ledger.Event{Company: "shop", Name: "user.update", Data: []byte(data)}}
		if _, got := deletedUser(event); got != want {
			t.Errorf("%s: %t", data, got)
		}
		event.Name = "user.create"
		if _, got := deletedUser(event); got {
			t.Errorf("%s of another event", data)
		}
	}
}

// TestDispatchTooLate has an event wait until its messages are no longer valid.
func TestDispatchTooLate(t *testing.T) {
	s := newScene(t, "too-late")
	s.rule("a-code", "user.create", func(spec *v1alpha1.NotificationRuleSpec) { spec.ExpiresAfter, spec.Sensitive = "10m", true })
	s.rule("b-welcome", "user.create", nil)
	s.rule("c-no", "user.create", func(spec *v1alpha1.NotificationRuleSpec) { spec.ExpiresAfter, spec.Expression = "10m", "False" })
	_, err := s.store.AcceptEvent(t.Context(), ledger.Event{
		Company: s.activation.Spec.Company, ID: "1", Name: "user.create", Data: []byte(`{"to":"zoe@example.com"}`), ReceivedAt: s.clock.Now().Add(-time.Hour),
	})
	s.must(err)
	all := s.deliveries("1", 3)
	if d := all[0]; d.State != ledger.DeliveryFailed || d.Reason != ledger.ReasonExpired || d.Content.Text != "" {
		t.Errorf("the code is %+v", d)
	}
	if d := all[1]; d.State != ledger.DeliveryPending || d.ExpiresAt.Sub(d.EventReceivedAt) != v1alpha1.DefaultValidity || d.Sensitive {
		t.Errorf("the welcome is %+v", d)
	}
	if d := all[2]; d.Reason != "ExpressionFalse" {
		t.Errorf("what would not have been sent is %+v", d)
	}
	e, err := s.store.StoredEvent(t.Context(), s.activation.Spec.Company, "1")
	if err != nil || !e.Masked {
		t.Errorf("the event is %+v, %v", e, err)
	}
}
