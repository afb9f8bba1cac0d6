// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

func testEventHistory(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	start := clk.Now()
	Decided(t, s, "shop", "1", Email("a", "joe@example.com"), ledger.NewDelivery{RuleName: "b", Channel: ledger.ChannelSMS, SkipReason: "ExpressionFalse", SkipMessage: "No."})
	Decided(t, s, "bank", "1", Email("a", "jane@example.com"))
	clk.Step(time.Minute)
	Accept(t, s, "shop", "2")
	g.Expect(s.FailEvent(bg, ClaimOne(t, s), "It can't be read.")).To(Succeed())
	clk.Step(time.Minute)
	Accept(t, s, "shop", "3")
	g.Expect(s.RetryEvent(bg, ClaimOne(t, s), time.Hour, "The platform is away.")).To(Succeed())

	ids := func(f ledger.EventFilter, offset, limit int) (ids string, page ledger.EventPage) {
		t.Helper()
		f.Company = "shop"
		page, err := s.Events(bg, f, offset, limit)
		g.Expect(err).NotTo(HaveOccurred())
		for i := range page.Events {
			g.Expect(page.Events[i].Company).To(Equal("shop"))
			g.Expect(page.Events[i].Data).To(BeNil())
			g.Expect(page.Events[i].Size).To(Equal(len(`{"id":"1"}`)))
			ids += page.Events[i].ID
		}
		return ids, page
	}
	for _, test := range []struct {
		filter ledger.EventFilter
		want   string
	}{
		{ledger.EventFilter{}, "321"},
		{ledger.EventFilter{OldestFirst: true}, "123"},
		{ledger.EventFilter{ID: "2"}, "2"},
		{ledger.EventFilter{ID: "9"}, ""},
		{ledger.EventFilter{Name: "transaction.initiate"}, "321"},
		{ledger.EventFilter{Name: "transaction"}, ""},
		{ledger.EventFilter{State: ledger.EventDone}, "1"},
		{ledger.EventFilter{State: ledger.EventFailed}, "2"},
		{ledger.EventFilter{State: ledger.EventPending}, "3"},
		{ledger.EventFilter{DataContains: `"2"}`}, "2"},
		{ledger.EventFilter{DataContains: `"ID"`}, ""},
		{ledger.EventFilter{ReceivedAfter: start}, "32"},
		{ledger.EventFilter{ReceivedBefore: start.Add(time.Minute)}, "1"},
	} {
		got, page := ids(test.filter, 0, 10)
		g.Expect(got).To(Equal(test.want), "%+v", test.filter)
		g.Expect(page.Count).To(Equal(len(test.want)))
		g.Expect(page.More).To(BeFalse())
	}
	got, page := ids(ledger.EventFilter{}, 1, 1)
	g.Expect(got).To(Equal("2"))
	g.Expect(page.More).To(BeTrue())
	g.Expect(page.Count).To(Equal(3))
	middle := page.Events[0].Key
	got, _ = ids(ledger.EventFilter{After: middle}, 0, 10)
	g.Expect(got).To(Equal("1"))
	got, _ = ids(ledger.EventFilter{After: middle, OldestFirst: true}, 0, 10)
	g.Expect(got).To(Equal("3"))

	e, err := s.StoredEvent(bg, "shop", "3")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(e.Data)).To(Equal(`{"id":"3"}`))
	g.Expect(e.State).To(Equal(ledger.EventPending))
	g.Expect(e.Message).To(Equal("The platform is away."))
	g.Expect(e.Attempts).To(Equal(1))
	g.Expect(e.ReceivedAt).To(BeTemporally("==", start.Add(2*time.Minute)))
	g.Expect(e.NextAttemptAt).To(BeTemporally("==", clk.Now().Add(time.Hour)))

	// Another company's event is as if it didn't exist.
	_, err = s.StoredEvent(bg, "club", "1")
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
	own, err := s.StoredEvent(bg, "shop", "1")
	g.Expect(err).NotTo(HaveOccurred())
	deliveries, more, err := s.EventDeliveries(bg, "bank", own.Key, 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(deliveries).To(BeEmpty())
	g.Expect(more).To(BeFalse())

	deliveries, more, err = s.EventDeliveries(bg, "shop", own.Key, 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(more).To(BeFalse())
	g.Expect(deliveries).To(HaveLen(2))
	g.Expect(deliveries[0].Recipient).To(Equal("joe@example.com"))
	g.Expect(deliveries[1].Reason).To(Equal("ExpressionFalse"))
	deliveries, more, err = s.EventDeliveries(bg, "shop", own.Key, 0, 1)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(more).To(BeTrue())
	g.Expect(deliveries).To(HaveLen(1))
}
