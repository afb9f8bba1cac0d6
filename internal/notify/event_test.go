// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// TestMaxDataCost checks that the memory reserved for data of a given length covers the
// worst case.
func TestMaxDataCost(t *testing.T) {
	for _, size := range []int{100, smallData, smallData + 1, 300_000, 1 << 20} {
		for _, item := range []string{"{},", "[],", "1,", `"",`, `"\n",`, `{"":{}},`, `{"a":1},`, "10000000000000000000,", `{"":"\n"},`} {
			// The maximum number of values, filled up with text.
			n := min((size-4)/len(item), (MaxValues-2)/5)
			text := "[" + strings.Repeat(item, n) + `"`
			text += strings.Repeat("x", max(0, size-len(text)-2)) + `"]`
			cost, err := DataCost([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if worst := MaxDataCost(len(text)); cost > worst {
				t.Errorf("%d bytes of %s cost %d, which is more than %d", len(text), item, cost, worst)
			}
		}
	}
}

func TestTooManyValues(t *testing.T) {
	fits := []byte("[" + strings.Repeat("1,", MaxValues-2) + "1]")
	if err := CheckData(fits); err != nil {
		t.Error(err)
	}
	if err := CheckData([]byte("[" + strings.Repeat("1,", MaxValues-1) + "1]")); !errors.Is(err, ErrTooManyValues) {
		t.Errorf("the error is %v", err)
	}
}

// TestComputeErrors checks that a rule that takes too long is not sent, and that one that
// waited too long is tried again.
func TestComputeErrors(t *testing.T) {
	rule := compile(t, email(func(r *v1alpha1.NotificationRuleSpec) {
		r.Email.To, r.Email.Subject, r.Email.Text = "{{ to }}", "", "Text"
	}))
	for _, failure := range []error{ErrTooSlow, ErrEventTooSlow} {
		for calls := range 2 {
			event := newComputedEvent(t, calls, failure)
			decision, err := rule.Decide(t.Context(), event, "a@example.com")
			if err != nil || len(decision.NotSent) != 1 || decision.NotSent[0].Reason != TooSlow || !strings.Contains(decision.NotSent[0].Detail, failure.Error()) {
				t.Errorf("after %d calls: %+v, %v", calls, decision, err)
			}
		}
	}
	event := newComputedEvent(t, 0, context.DeadlineExceeded)
	if _, err := rule.Decide(t.Context(), event, "a@example.com"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
	event = newComputedEvent(t, 9, nil)
	if decision, err := rule.Decide(t.Context(), event, "a@example.com"); err != nil || len(decision.Messages) != 1 {
		t.Errorf("%+v, %v", decision, err)
	}
}

// newComputedEvent returns an event whose Compute runs a number of times and then fails.
func newComputedEvent(t *testing.T, calls int, failure error) *Event {
	t.Helper()
	event, err := NewEvent("user.create", Company{ID: "shop"}, []byte(fmt.Sprintf(`{"to":%q}`, "b@example.com")), time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	event.Compute = func(ctx context.Context, work func(context.Context) error) error {
		if calls--; calls < 0 {
			return failure
		}
		return work(ctx)
	}
	return event
}
