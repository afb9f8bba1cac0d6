// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

func testPurgeCompany(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	Pending(t, s, "shop", 3)
	Fill(t, s, "shop", 2*step+10)
	held, err := s.ClaimEvents(bg, ledger.Claim{Limit: 1, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	Accept(t, s, "bank", "1")

	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())
	st, err := s.Stats(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(st.PendingEvents).To(BeEquivalentTo(1), "the other company's")
	g.Expect(st.PendingDeliveries).To(BeZero())
	g.Expect(s.CompleteEvent(bg, held[0], []ledger.NewDelivery{Email("a", "joe@example.com")})).To(MatchError(ledger.ErrLeaseLost))
	list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list).To(BeEmpty())
	g.Expect(at.contents(t)).To(BeZero())
	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed(), "again")
	Accept(t, s, "shop", "event") // a purged ID is new again
}

// A company that is purged before what it stores was written stores nothing afterwards.
func testPurgedCompanyStoresNothing(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	Pending(t, s, "shop", 3)
	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())
	g.Expect(s.Close()).To(Succeed())
	g.Expect(at.stored(t, "shop")).To(BeZero())
}

func testCancelCompany(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	Pending(t, s, "shop", 2)
	sent, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 2, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.MarkSent(bg, sent[0], "")).To(Succeed())
	Accept(t, s, "shop", "stuck")
	g.Expect(s.QuarantineEvent(bg, ClaimOne(t, s), "X", "It is stuck.")).To(Succeed())
	Fill(t, s, "shop", step+10)

	// On a busy machine, a step may exceed its time. The next call cancels the rest.
	cancel := func() error {
		return s.CancelCompany(bg, "shop", ledger.ReasonCompanyDeleted, "The activation was deleted.")
	}
	err = cancel()
	for tries := 1; tries < 5 && errors.Is(err, ledger.ErrUnavailable); tries++ {
		err = cancel()
	}
	g.Expect(err).NotTo(HaveOccurred())
	st, err := s.Stats(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(st).To(Equal(ledger.Stats{}))
	g.Expect(s.MarkSent(bg, sent[1], "")).To(MatchError(ledger.ErrLeaseLost))
	list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list[0].State).To(Equal(ledger.DeliverySent), "a sent delivery stays sent")
	g.Expect(list[1].State).To(Equal(ledger.DeliveryCancelled))
	g.Expect(list[1].Reason).To(Equal(ledger.ReasonCompanyDeleted))
	for _, id := range []string{"stuck", "fill-0"} {
		e, err := s.StoredEvent(bg, "shop", id)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(e.State).To(Equal(ledger.EventCancelled))
		g.Expect(e.Masked).To(BeTrue(), "a rule for it may be sensitive, and nobody can say so any more")
	}
	g.Expect(list).To(HaveLen(3))
	g.Expect(list[2].State).To(Equal(ledger.DeliveryCancelled), "the log's entry of the quarantined event")
	duplicate, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: "event"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(duplicate).To(BeTrue(), "cancelled events still answer repeats")
}

func testResumeCompany(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	Accept(t, s, "shop", "waiting")
	events, err := s.ClaimEvents(bg, ledger.Claim{Limit: 1, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	const later = time.Hour
	g.Expect(s.RetryEvent(bg, events[0], later, "The token was refused.")).To(Succeed())
	Pending(t, s, "shop", 3)
	Pending(t, s, "bank", 1)
	claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 4, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(4))
	var held ledger.ClaimedDelivery
	reasons := []string{"TokenRefused", "Throttled"}
	for _, d := range claimed {
		switch {
		case d.Company == "bank":
			g.Expect(s.PostponeDelivery(bg, d, later, "TokenRefused", "The other company's.")).To(Succeed())
		case len(reasons) == 0:
			held = d
		default:
			g.Expect(s.PostponeDelivery(bg, d, later, reasons[0], "It waits.")).To(Succeed())
			reasons = reasons[1:]
		}
	}

	g.Expect(s.ResumeCompany(bg, "shop", "TokenMissing", "TokenRefused")).To(Succeed())
	events, err = s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(events).To(HaveLen(1))
	claimed, err = s.ClaimDeliveries(bg, ledger.Claim{Limit: 4, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(1), "what waits for something else, is held or is another's stays")
	g.Expect(claimed[0].Company).To(Equal("shop"))
	g.Expect(claimed[0].Reason).To(Equal("TokenRefused"))
	g.Expect(s.MarkSent(bg, held, "")).To(Succeed(), "the claim is untouched")
}

func testDeleteBefore(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	Pending(t, s, "shop", 3)
	claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 2, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	for _, d := range claimed {
		g.Expect(s.MarkSent(bg, d, "")).To(Succeed())
	}
	Fill(t, s, "shop", step+5)
	for {
		events, err := s.ClaimEvents(bg, ledger.Claim{Limit: 200, Lease: time.Minute})
		g.Expect(err).NotTo(HaveOccurred())
		if len(events) == 0 {
			break
		}
		for _, e := range events[:len(events)-1] {
			g.Expect(s.CompleteEvent(bg, e, nil)).To(Succeed())
		}
		g.Expect(s.FailEvent(bg, events[len(events)-1], "broken")).To(Succeed())
	}
	clk.Step(time.Hour)
	cut := clk.Now()
	Accept(t, s, "shop", "young and pending")
	clk.Step(time.Hour)

	n, err := s.DeleteBefore(bg, cut.Add(-2*time.Hour), 1e6)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n).To(BeZero())
	n, err = s.DeleteBefore(bg, clk.Now(), 100)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n).To(BeNumerically("<=", 2*step), "about the limit, in steps")
	m, err := s.DeleteBefore(bg, clk.Now(), 1e6)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n + m).To(Equal(1 + step + 5 + 2))
	st, err := s.Stats(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(st.PendingEvents).To(BeEquivalentTo(1), "pending work is kept however old")
	g.Expect(st.PendingDeliveries).To(BeEquivalentTo(1))
	g.Expect(at.contents(t)).To(Equal(1))
}

func testStats(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	Pending(t, s, "shop", 2)
	clk.Step(time.Second)
	Accept(t, s, "bank", "1")
	clk.Step(time.Second)
	st, err := s.Stats(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(st).To(Equal(ledger.Stats{
		PendingEvents: 1, PendingDeliveries: 2,
		EventOverdue: time.Second, DeliveryOverdue: 2 * time.Second,
	}))
}
