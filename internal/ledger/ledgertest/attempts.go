// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

func testAttempts(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	start := clk.Now()
	attempts := func(id int64) []ledger.Attempt {
		t.Helper()
		found, err := s.Attempts(bg, []int64{id, 99_999})
		g.Expect(err).NotTo(HaveOccurred())
		return found[id]
	}
	Decided(t, s, "shop", "1", Email("a", "joe@example.com"))
	next := func() ledger.ClaimedDelivery {
		t.Helper()
		clk.Step(time.Minute)
		return ClaimDelivery(t, s)
	}
	// Attempts that end alike share a row.
	d := next()
	g.Expect(attempts(d.ID)).To(BeEmpty())
	g.Expect(s.RetryDelivery(bg, d, time.Second, "Deferred", "Later.")).To(Succeed())
	g.Expect(s.RetryDelivery(bg, next(), time.Second, "Deferred", "Later.")).To(Succeed())
	g.Expect(s.PostponeDelivery(bg, next(), time.Second, "NoProvider", "There is none.")).To(Succeed())
	g.Expect(s.RetryDelivery(bg, next(), time.Second, "Deferred", "Later.")).To(Succeed())
	g.Expect(s.FailDelivery(bg, next(), "Refused", "Nobody there.")).To(Succeed())
	want := func(first, last, times int, state ledger.DeliveryState, reason, message string) ledger.Attempt {
		return ledger.Attempt{
			First: start.Add(time.Duration(first) * time.Minute), Last: start.Add(time.Duration(last) * time.Minute),
			Times: times, State: state, Reason: reason, Message: message,
		}
	}
	g.Expect(attempts(d.ID)).To(Equal([]ledger.Attempt{
		want(1, 2, 2, ledger.DeliveryPending, "Deferred", "Later."),
		want(3, 3, 1, ledger.DeliveryPending, "NoProvider", "There is none."),
		want(4, 4, 1, ledger.DeliveryPending, "Deferred", "Later."),
		want(5, 5, 1, ledger.DeliveryFailed, "Refused", "Nobody there."),
	}))

	// A lost lease leaves nothing, and one that is sent has said all.
	_, err := s.Resend(bg, "shop", d.ID, "")
	g.Expect(err).NotTo(HaveOccurred())
	stale := next()
	clk.Step(time.Hour)
	d = next()
	g.Expect(s.RetryDelivery(bg, stale, 0, "Late", "Late.")).To(MatchError(ledger.ErrLeaseLost))
	g.Expect(s.MarkSent(bg, d, "p")).To(Succeed())
	g.Expect(attempts(d.ID)).To(HaveLen(4))

	// However often it is tried, it takes a bounded number of rows, and the last one has the
	// current state.
	Decided(t, s, "shop", "2", Email("a", "zoe@example.com"))
	for i := range 120 {
		d = next()
		g.Expect(s.RetryDelivery(bg, d, time.Second, "Deferred", fmt.Sprint("Try ", i))).To(Succeed())
	}
	found := attempts(d.ID)
	g.Expect(found).To(HaveLen(50))
	g.Expect(found[0].Message).To(Equal("Try 0"))
	g.Expect(found[49].Message).To(Equal("Try 119"))
	g.Expect(found[49].Times).To(Equal(71))

	g.Expect(s.CancelDelivery(bg, next(), "Gone", "Gone.")).To(Succeed())

	// An attempt whose outcome is unknown may have arrived, whatever came afterwards.
	Decided(t, s, "shop", "3", Email("a", "ann@example.com"))
	g.Expect(s.RetryDelivery(bg, next(), time.Second, "OutcomeUnknown", "It may have arrived.")).To(Succeed())
	d = next()
	g.Expect(s.FailDelivery(bg, d, "Refused", "Nobody there.")).To(Succeed())
	e, err := s.StoredEvent(bg, "shop", "3")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.EarlierTo(bg, "shop", e.Key, "a", ledger.ChannelEmail, "ann@example.com")).To(HaveLen(1))

	// They go with their delivery.
	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())
	g.Expect(attempts(d.ID)).To(BeEmpty())
}
