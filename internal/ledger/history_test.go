// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func testEventHistory(t *testing.T, at place) {
	g := NewWithT(t)
	clk := fakeClock()
	s := at.open(t, clk)
	start := clk.Now()
	decided(t, s, "shop", "1", email("a", "joe@example.com"), NewDelivery{RuleName: "b", Channel: ChannelSMS, SkipReason: "ExpressionFalse", SkipMessage: "No."})
	decided(t, s, "bank", "1", email("a", "jane@example.com"))
	clk.Step(time.Minute)
	accept(t, s, "shop", "2")
	g.Expect(s.FailEvent(bg, claimOne(t, s), "It can't be read.")).To(Succeed())
	clk.Step(time.Minute)
	accept(t, s, "shop", "3")
	g.Expect(s.RetryEvent(bg, claimOne(t, s), time.Hour, "The platform is away.")).To(Succeed())

	ids := func(f EventFilter, offset, limit int) (ids string, page EventPage) {
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
		filter EventFilter
		want   string
	}{
		{EventFilter{}, "321"},
		{EventFilter{OldestFirst: true}, "123"},
		{EventFilter{ID: "2"}, "2"},
		{EventFilter{ID: "9"}, ""},
		{EventFilter{Name: "transaction.initiate"}, "321"},
		{EventFilter{Name: "transaction"}, ""},
		{EventFilter{State: EventDone}, "1"},
		{EventFilter{State: EventFailed}, "2"},
		{EventFilter{State: EventPending}, "3"},
		{EventFilter{DataContains: `"2"}`}, "2"},
		{EventFilter{DataContains: `"ID"`}, ""},
		{EventFilter{ReceivedAfter: start}, "32"},
		{EventFilter{ReceivedBefore: start.Add(time.Minute)}, "1"},
	} {
		got, page := ids(test.filter, 0, 10)
		g.Expect(got).To(Equal(test.want), "%+v", test.filter)
		g.Expect(page.Count).To(Equal(len(test.want)))
		g.Expect(page.More).To(BeFalse())
	}
	got, page := ids(EventFilter{}, 1, 1)
	g.Expect(got).To(Equal("2"))
	g.Expect(page.More).To(BeTrue())
	g.Expect(page.Count).To(Equal(3))
	beyond := page.Events[0].Key
	got, _ = ids(EventFilter{Beyond: beyond}, 0, 10)
	g.Expect(got).To(Equal("1"))
	got, _ = ids(EventFilter{Beyond: beyond, OldestFirst: true}, 0, 10)
	g.Expect(got).To(Equal("3"))

	e, err := s.StoredEvent(bg, "shop", "3")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(e.Data)).To(Equal(`{"id":"3"}`))
	g.Expect(e.State).To(Equal(EventPending))
	g.Expect(e.Message).To(Equal("The platform is away."))
	g.Expect(e.Attempts).To(Equal(1))
	g.Expect(e.ReceivedAt).To(BeTemporally("==", start.Add(2*time.Minute)))
	g.Expect(e.NextAttemptAt).To(BeTemporally("==", clk.Now().Add(time.Hour)))

	// What is another company's is as if it weren't there.
	_, err = s.StoredEvent(bg, "club", "1")
	g.Expect(err).To(MatchError(ErrNotFound))
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

// One company's events are found without reading those of others.
func TestHistoryUsesTheIndexes(t *testing.T) {
	s := open(t, ledgerPath(t), nil)
	from, before := replayRange(1)
	logOfOne, _ := s.where(LogFilter{Company: "a", EventID: "1"})
	where, _ := s.whereEvent(EventFilter{Company: "a"})
	one, _ := s.whereEvent(EventFilter{Company: "a", ID: "1"})
	for name, query := range map[string]string{
		"events":     "SELECT " + eventColumns + " FROM events " + where + eventOrder(EventFilter{}) + " LIMIT 10",
		"event":      "SELECT " + eventColumns + " FROM events " + one,
		"of one":     readDeliveries + deliveriesOfEvent + " LIMIT 10",
		"log of one": readDeliveries + logOfOne + " ORDER BY deliveries.id DESC LIMIT 10 OFFSET 0",
		"outcomes":   countOutcomes + "10",
		"earlier":    earlierTo,
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			rows, err := s.reader.QueryContext(bg, "EXPLAIN QUERY PLAN "+query, "a", "1", from, before, "r", "email", "joe@example.com")
			g.Expect(err).NotTo(HaveOccurred())
			defer func() { _ = rows.Close() }()
			var plan []string
			for rows.Next() {
				var id, parent, unused int
				var step string
				g.Expect(rows.Scan(&id, &parent, &unused, &step)).To(Succeed())
				plan = append(plan, step)
			}
			g.Expect(rows.Err()).NotTo(HaveOccurred())
			g.Expect(plan[0]).To(HavePrefix("SEARCH "), name+": "+strings.Join(plan, "\n"))
			if strings.HasSuffix(name, "of one") || name == "outcomes" || name == "earlier" {
				g.Expect(plan[0]).To(ContainSubstring("event=?"), strings.Join(plan, "\n"))
			}
		})
	}
}
