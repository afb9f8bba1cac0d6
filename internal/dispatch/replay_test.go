// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
)

// replay replays an event as the API does, and returns the replay's ID.
func (s *scene) replay(of int64, name string, repeat ...int64) string {
	s.t.Helper()
	data, err := json.Marshal(notify.Replay{Event: of, Repeat: repeat})
	s.must(err)
	id := ledger.ReplayID(of, name)
	s.accept(id, notify.ReplayEvent, string(data))
	return id
}

// ended waits until an event is decided or given up.
func (s *scene) ended(id string) ledger.StoredEvent {
	s.t.Helper()
	var e ledger.StoredEvent
	s.eventually("the end of "+id, func() (err error) {
		e, err = s.store.StoredEvent(s.t.Context(), s.activation.Spec.Company, id)
		if err == nil && e.State == ledger.EventPending {
			err = errors.New("it is pending")
		}
		return err
	})
	return e
}

func TestReplay(t *testing.T) {
	s := newScene(t, "replay")
	s.rule("first", "user.update", nil)
	// Too large for a claim to bring along.
	large := fmt.Sprintf(`{"to":"zoe@example.com","filler":%q,"last":"end"}`, strings.Repeat("x", ledger.MaxClaimedData))
	s.accept("1", "user.update", large)
	s.deliveries("1", 1)
	of := s.ended("1")

	s.rule("second", "user.update", func(r *v1alpha1.NotificationRuleSpec) { r.Email.Text = "{{ last }}" })
	found := s.deliveries(s.replay(of.Key, "a"), 2)
	if found[0].Reason != ledger.ReasonAlreadySent || found[0].EventName != "user.update" {
		t.Errorf("the first rule's message is %s (%s) for %s", found[0].State, found[0].Reason, found[0].EventName)
	}
	if found[1].State != ledger.DeliveryPending || found[1].Content.Text != "end" {
		t.Errorf("the second rule's message is %s and says %q", found[1].State, found[1].Content.Text)
	}

	// Preferences and the like are today's.
	s.must(s.store.SetPreference(t.Context(), ledger.Preference{Company: s.activation.Spec.Company, UserID: "00000000-0000-0000-0000-00000000000a", Rule: ledger.Rule{Name: s.activation.Namespace + "/third"}}))
	s.rule("third", "user.update", func(r *v1alpha1.NotificationRuleSpec) {
		r.PreferenceEnabled, r.Email.ToUser = true, "00000000-0000-0000-0000-00000000000a"
	})
	if got := s.deliveries(s.replay(of.Key, "b"), 3)[2]; got.Reason != string(notify.OptedOut) {
		t.Errorf("the third rule's message is %s (%s)", got.State, got.Reason)
	}

	// A replay of a missing event, or of one that is not the platform's, fails at once.
	if e := s.ended(s.replay(99_999, "a")); e.State != ledger.EventFailed || e.Message != replayedEventGone {
		t.Errorf("the replay of an unknown event is %s: %s", e.State, e.Message)
	}
	own, err := s.store.StoredEvent(t.Context(), s.activation.Spec.Company, ledger.ReplayID(of.Key, "a"))
	s.must(err)
	if e := s.ended(s.replay(own.Key, "a")); e.State != ledger.EventQuarantined {
		t.Errorf("the replay of a replay is %s", e.State)
	}
	other := s.otherCompany("other")
	s.activation = other
	if e := s.ended(s.replay(of.Key, "a")); e.State != ledger.EventFailed {
		t.Errorf("the replay of another company's event is %s", e.State)
	}
}

// A company that previews as much as it can delays neither another's preview nor its events.
func TestPreviewsOfOneCompany(t *testing.T) {
	const flood = 60
	s := newScene(t, "previews")
	s.rule("slow", "user.update", func(r *v1alpha1.NotificationRuleSpec) {
		loop := "{% for a in many %}"
		r.Email.Text = strings.Repeat(loop, 5) + "{{ a|upper }}" + strings.Repeat("{% endfor %}", 5)
	})
	data := `{"to":"zoe@example.com","many":[` + strings.Repeat("1,", 99) + `1]}`
	slow := s.activation
	s.activation = s.otherCompany("quick")
	s.rule("quick", "user.update", nil)

	preview := func(ctx context.Context, a *v1alpha1.CompanyActivation, name, data string) error {
		rule, err := rules.Rule(ctx, a, name)
		if err != nil {
			return err
		}
		of := ledger.Event{Company: a.Spec.Company, Name: "user.update", Data: []byte(data)}
		return s.dispatcher.Preview(ctx, a, rule, of, false, func(*Preview) {})
	}
	ctx, cancel := context.WithCancel(t.Context())
	flooding := make(chan error, flood)
	var ended atomic.Int64 // previews of the flood
	for range flood {
		go func() {
			for ; ctx.Err() == nil; ended.Add(1) {
				if err := preview(ctx, slow, "slow", data); err != nil && !errors.Is(err, ErrBusy) && !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
					flooding <- err
					return
				}
			}
			flooding <- nil
		}()
	}
	defer func() {
		cancel()
		for range flood {
			if err := <-flooding; err != nil {
				t.Errorf("a preview failed: %v", err)
			}
		}
	}()
	s.eventually("the flood to be met", func() error {
		if s.dispatcher.previews.Waiting() < flood/2 {
			return errors.New("few previews wait")
		}
		return nil
	})
	for i := range 5 {
		before := ended.Load()
		s.must(preview(t.Context(), s.activation, "quick", `{"to":"ann@example.com"}`))
		if passed := ended.Load() - before; passed > flood/2 {
			t.Errorf("%d previews of the flood ended before another company's", passed)
		}
		s.accept(fmt.Sprint("quick-", i), "user.update", `{"to":"ann@example.com"}`)
		s.deliveries(fmt.Sprint("quick-", i), 1)
	}
}
