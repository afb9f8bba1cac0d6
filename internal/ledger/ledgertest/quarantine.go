// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rehive/extension-operator/internal/ledger"
)

// dies ends the process that holds a ledger, as a kill does: it records no outcome. The
// next one opens it when the leases are over.
func dies(t *testing.T, at Place, s ledger.Store, clk *clocktesting.FakeClock) ledger.Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	clk.Step(time.Hour)
	return at.open(t, clk)
}

// isKiller reports whether an event kills the process that works on it.
func isKiller(id string) bool { return strings.HasPrefix(id, "killer") }

// Events that kill the process are found, and those that were only in the same process
// are decided. Everything that a process claims is in progress at once, so a killer
// takes all others with it.
func testKillersAreQuarantined(t *testing.T, at Place) {
	for _, killers := range []int{1, 2} {
		t.Run(fmt.Sprint(killers), func(t *testing.T) {
			g := NewWithT(t)
			clk := FakeClock()
			s := at.open(t, clk)
			company := fmt.Sprint("company-", killers)
			const innocents = 30
			for n := range innocents {
				Accept(t, s, company, fmt.Sprint(n))
			}
			for n := range killers {
				Accept(t, s, company, fmt.Sprint("killer-", n))
			}
			var seen []ledger.Quarantined
			s.OnQuarantine(func(q ledger.Quarantined) { seen = append(seen, q) })
			deaths, decided := 0, map[string]int{}
			for idle := 0; idle < 20; {
				claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: 64, Lease: time.Minute})
				g.Expect(err).NotTo(HaveOccurred())
				if len(claimed) == 0 {
					clk.Step(suspectWait)
					idle++
					continue
				}
				idle = 0
				killed := false
				for _, e := range claimed {
					killed = killed || isKiller(e.ID)
				}
				if killed {
					deaths++
					s = dies(t, at, s, clk)
					s.OnQuarantine(func(q ledger.Quarantined) { seen = append(seen, q) })
					continue
				}
				for _, e := range claimed {
					g.Expect(s.CompleteEvent(bg, e, nil)).To(Succeed())
					decided[e.ID]++
				}
			}
			g.Expect(decided).To(HaveLen(innocents))
			g.Expect(deaths).To(BeNumerically("<=", ledger.MaxUnfinished*killers))

			found, err := s.QuarantinedEvents(bg, company, 0, 100)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(found).To(HaveLen(killers))
			g.Expect(seen).To(HaveLen(killers), "each is reported once")
			for i := range found {
				g.Expect(isKiller(found[i].ID)).To(BeTrue())
				g.Expect(found[i].EventID).To(Equal(found[i].ID))
				g.Expect(seen).To(ContainElement(And(HaveField("Key", found[i].Key), HaveField("EventID", found[i].ID))))
				g.Expect(found[i].Event.Company).To(Equal(company))
				g.Expect(found[i].Data).To(BeNil())
				g.Expect(found[i].Reason).To(Equal(ledger.ReasonUnfinished))
				g.Expect(found[i].Message).To(ContainSubstring("3 times"))
				g.Expect(found[i].Attempts).To(Equal(ledger.MaxUnfinished))
			}
			_, more, err := s.NextEventDue(bg)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(more).To(BeFalse())
		})
	}
}

// A process that lives but hangs is no different.
func testHangingWorkIsQuarantined(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	Accept(t, s, "shop", "1")
	for range ledger.MaxUnfinished {
		ClaimOne(t, s)
		clk.Step(time.Minute)
	}
	claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(BeEmpty())
	stats, err := s.Stats(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stats.QuarantinedEvents).To(BeEquivalentTo(1))
	g.Expect(stats.PendingEvents).To(BeZero())
}

// Outages that are recorded never lead to quarantine, however many they are, and neither
// do claims that are given back.
func testOutcomesClearSuspicion(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	Accept(t, s, "shop", "1")
	for range 4 * ledger.MaxUnfinished {
		e := ClaimOne(t, s)
		g.Expect(s.RetryEvent(bg, e, time.Minute, "the platform does not answer")).To(Succeed())
		clk.Step(time.Minute)
		g.Expect(s.ReleaseEvent(bg, ClaimOne(t, s))).To(Succeed())
		e = ClaimOne(t, s)
		g.Expect(e.Unfinished).To(BeZero())
		clk.Step(time.Minute) // it hangs once
		e = ClaimOne(t, s)
		g.Expect(e.Unfinished).To(Equal(1))
		g.Expect(s.ReleaseEvent(bg, e)).To(Succeed())
		e = ClaimOne(t, s)
		g.Expect(e.Unfinished).To(Equal(1), "to give it back says nothing about it")
		g.Expect(s.RetryEvent(bg, e, time.Minute, "the platform does not answer")).To(Succeed())
		clk.Step(time.Minute)
	}
	g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), []ledger.NewDelivery{Email("rule", "a@example.com")})).To(Succeed())
	for range 4 * ledger.MaxUnfinished {
		g.Expect(s.RetryDelivery(bg, ClaimDelivery(t, s), 0, "Busy", "It is busy.")).To(Succeed())
		ClaimDelivery(t, s)
		clk.Step(time.Minute)
		d := ClaimDelivery(t, s)
		g.Expect(d.Unfinished).To(Equal(1))
		g.Expect(s.PostponeDelivery(bg, d, 0, "Limited", "It is limited.")).To(Succeed())
	}
	g.Expect(ClaimDelivery(t, s).Unfinished).To(BeZero())
}

// An event that was handed over when it was stored was claimed too.
func testHandedOverEventCounts(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	taken := make(chan ledger.ClaimedEvent, 1)
	s.HandOver(&ledger.Handover{Lease: time.Minute, Reserve: func(string, int) bool { return true }, Take: func(e ledger.ClaimedEvent) { taken <- e }, Release: func(string) {}})
	Accept(t, s, "shop", "1")
	g.Expect((<-taken).Unfinished).To(BeZero())
	s = dies(t, at, s, clk)
	e := ClaimOne(t, s)
	g.Expect(e.Unfinished).To(Equal(1))
	g.Expect(e.Attempts).To(Equal(2))
}

// Suspects are handed out a few at a time, and one by one after a second death, while
// other work continues.
func testSuspectsAreHandedOutApart(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	for n := range 20 {
		Accept(t, s, "shop", fmt.Sprint(n))
	}
	claim := func() (suspects, others []ledger.ClaimedEvent) {
		t.Helper()
		claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: 100, Lease: time.Minute})
		g.Expect(err).NotTo(HaveOccurred())
		for _, e := range claimed {
			if e.Unfinished > 0 {
				suspects = append(suspects, e)
			} else {
				others = append(others, e)
			}
		}
		return suspects, others
	}
	_, others := claim()
	g.Expect(others).To(HaveLen(20))
	s = dies(t, at, s, clk)
	Accept(t, s, "shop", "new")
	suspects, others := claim()
	g.Expect(suspects).To(HaveLen(maxSuspects))
	g.Expect(others).To(HaveLen(1))
	clk.Step(2 * suspectWait)
	more, _ := claim()
	g.Expect(more).To(BeEmpty(), "while those are in progress")
	g.Expect(s.CompleteEvent(bg, suspects[0], nil)).To(Succeed())
	clk.Step(3 * suspectWait)
	more, _ = claim()
	g.Expect(more).To(HaveLen(1))

	// Those in progress have now been interrupted twice.
	s = dies(t, at, s, clk)
	seen := 0
	for range 100 {
		suspects, _ = claim()
		twice := 0
		for _, e := range suspects {
			if e.Unfinished > 1 {
				twice++
			}
		}
		if twice > 0 {
			g.Expect(suspects).To(HaveLen(1), "alone")
			seen++
		}
		for _, e := range suspects {
			g.Expect(s.CompleteEvent(bg, e, nil)).To(Succeed())
		}
		clk.Step(suspectWait)
	}
	g.Expect(seen).To(Equal(maxSuspects))
	stats, err := s.Stats(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stats.PendingEvents).To(BeZero())
	g.Expect(stats.QuarantinedEvents).To(BeZero())
}

func testReleaseQuarantinedEvents(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	for n := range 3 {
		Accept(t, s, "shop", fmt.Sprint(n))
	}
	Accept(t, s, "bank", "1")
	claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(4))
	for _, e := range claimed {
		g.Expect(s.QuarantineEvent(bg, e, "TooLarge", "The event is too large.")).To(Succeed())
		g.Expect(s.QuarantineEvent(bg, e, "TooLarge", "The event is too large.")).To(MatchError(ledger.ErrLeaseLost))
	}
	all, err := s.QuarantinedEvents(bg, "", 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(all).To(HaveLen(4))
	shop, err := s.QuarantinedEvents(bg, "shop", 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(shop).To(HaveLen(3))
	g.Expect(shop[0].Reason).To(Equal("TooLarge"))
	g.Expect(shop[0].Message).To(Equal("The event is too large."))
	g.Expect(shop[0].At).To(Equal(clk.Now()))
	logged := func() (entries []ledger.Delivery) {
		t.Helper()
		page, err := s.Log(bg, ledger.LogFilter{Company: "shop", States: []ledger.DeliveryState{ledger.DeliveryQuarantined}, OldestFirst: true}, 0, 10)
		g.Expect(err).NotTo(HaveOccurred())
		return page.Deliveries
	}
	g.Expect(logged()).To(HaveLen(3))
	entry := logged()[0]
	g.Expect(entry.EventID + entry.EventName + entry.Reason + entry.Message).To(Equal(shop[0].ID + shop[0].Name + "TooLargeThe event is too large."))
	g.Expect(entry.RuleName + entry.Recipient).To(BeEmpty())
	g.Expect(entry.CreatedAt).To(Equal(clk.Now()))
	_, err = s.Resend(bg, "shop", entry.ID, "")
	g.Expect(err).To(MatchError(ledger.ErrNoMessage))
	outcomes, err := s.EventOutcomes(bg, "shop", shop[0].Key)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(outcomes).To(BeEmpty(), "no rule was evaluated")
	decisions, _, err := s.EventDeliveries(bg, "shop", shop[0].Key, 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(decisions).To(BeEmpty())
	page, err := s.QuarantinedEvents(bg, "shop", shop[0].Key, 1)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page).To(Equal(shop[1:2]))
	duplicate, err := s.AcceptEvent(bg, shop[0].Event)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(duplicate).To(BeTrue(), "a repeated webhook does not bring it back")

	released, err := s.ReleaseQuarantinedEvent(bg, "bank", shop[0].Key)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(released).To(BeFalse(), "it is another company's")
	raised(s.EventsReady())
	for _, want := range []bool{true, false} {
		released, err = s.ReleaseQuarantinedEvent(bg, "shop", shop[0].Key)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(released).To(Equal(want))
	}
	g.Expect(raised(s.EventsReady())).To(BeTrue())
	g.Expect(logged()).To(HaveLen(2), "its result is logged in its place")
	e := ClaimOne(t, s)
	g.Expect(e.Key).To(Equal(shop[0].Key))
	g.Expect(e.Attempts).To(Equal(1), "it has all its attempts again")
	g.Expect(s.CompleteEvent(bg, e, nil)).To(Succeed())
	released, err = s.ReleaseQuarantinedEvent(bg, "shop", shop[0].Key)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(released).To(BeFalse(), "what is done is not done again")
	for _, want := range []int{2, 0} {
		n, err := s.ReleaseQuarantinedEvents(bg, "shop")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(n).To(Equal(want))
	}

	g.Expect(logged()).To(BeEmpty())

	// The remaining rows have the same retention as other finished work.
	stats, err := s.Stats(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stats.QuarantinedEvents).To(BeEquivalentTo(1))
	g.Expect(stats.QuarantinedDeliveries).To(BeZero())
	_, err = s.DeleteBefore(bg, clk.Now(), 100)
	g.Expect(err).NotTo(HaveOccurred())
	all, err = s.QuarantinedEvents(bg, "", 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(all).To(HaveLen(1))
	clk.Step(time.Minute)
	_, err = s.DeleteBefore(bg, clk.Now(), 100)
	g.Expect(err).NotTo(HaveOccurred())
	all, err = s.QuarantinedEvents(bg, "", 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(all).To(BeEmpty())
}

// A delivery that kills the process is quarantined; those beside it are sent; the log
// shows it, and to send it again releases it.
func testQuarantinedDelivery(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	const innocents = 12
	Accept(t, s, "shop", "1")
	deliveries := []ledger.NewDelivery{Email("rule", "killer@example.com")}
	for n := range innocents {
		deliveries = append(deliveries, Email("rule", fmt.Sprint(n, "@example.com")))
	}
	g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), deliveries)).To(Succeed())
	deaths, sent := 0, 0
	var seen []ledger.Quarantined
	for idle := 0; idle < 20; {
		s.OnQuarantine(func(q ledger.Quarantined) { seen = append(seen, q) })
		claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 64, Lease: time.Minute})
		g.Expect(err).NotTo(HaveOccurred())
		killed := false
		for i := range claimed {
			killed = killed || isKiller(claimed[i].Recipient)
		}
		switch {
		case len(claimed) == 0:
			clk.Step(suspectWait)
			idle++
		case killed:
			deaths, idle = deaths+1, 0
			s = dies(t, at, s, clk)
		default:
			idle = 0
			for _, d := range claimed {
				g.Expect(s.MarkSent(bg, d, "")).To(Succeed())
				sent++
			}
		}
	}
	g.Expect(sent).To(Equal(innocents))
	g.Expect(deaths).To(Equal(ledger.MaxUnfinished))
	g.Expect(seen).To(HaveLen(1))
	g.Expect(seen[0].EventID).To(Equal("1"))
	page, err := s.Log(bg, ledger.LogFilter{Company: "shop", States: []ledger.DeliveryState{ledger.DeliveryQuarantined}}, 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page.Deliveries).To(HaveLen(1))
	d := page.Deliveries[0]
	g.Expect(d.State).To(Equal(ledger.DeliveryQuarantined))
	g.Expect(d.Recipient).To(Equal("killer@example.com"))
	g.Expect(d.Reason).To(Equal(ledger.ReasonUnfinished))
	g.Expect(d.Message).NotTo(BeEmpty())
	stats, err := s.Stats(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stats.QuarantinedDeliveries).To(BeEquivalentTo(1))

	id, err := s.Resend(bg, "shop", d.ID, "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(id).To(Equal(d.ID))
	_, err = s.Resend(bg, "shop", d.ID, "")
	g.Expect(err).To(MatchError(ledger.ErrPending))
	claimed := ClaimDelivery(t, s)
	g.Expect(claimed.Attempts).To(Equal(1))
	g.Expect(claimed.Unfinished).To(BeZero())
	g.Expect(s.QuarantineDelivery(bg, claimed, "TooLarge", "It is too large.")).To(Succeed())
	n, _, err := s.ResendAll(bg, ledger.LogFilter{Company: "shop"}, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n).To(BeZero(), "only what failed, unless the filter says otherwise")
	n, _, err = s.ResendAll(bg, ledger.LogFilter{Company: "shop", States: []ledger.DeliveryState{ledger.DeliveryQuarantined}}, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n).To(Equal(1))
	g.Expect(s.MarkSent(bg, ClaimDelivery(t, s), "")).To(Succeed())
}

func testAttemptsHaveACeiling(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	Pending(t, s, "shop", 1)
	Accept(t, s, "shop", "often")
	for _, table := range []string{"events", "deliveries"} {
		at.exec(t, "UPDATE "+table+" SET attempts = $1 WHERE state = 'pending'", ledger.MaxAttempts-1)
	}
	g.Expect(s.RetryEvent(bg, ClaimOne(t, s), 0, "x")).To(Succeed())
	g.Expect(s.RetryDelivery(bg, ClaimDelivery(t, s), 0, "X", "x")).To(Succeed())
	events, err := s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(events).To(BeEmpty())
	deliveries, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(deliveries).To(BeEmpty())
	found, err := s.QuarantinedEvents(bg, "shop", 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found).To(HaveLen(1))
	g.Expect(found[0].Reason).To(Equal(ledger.ReasonTooManyAttempts))
	page, err := s.Log(bg, ledger.LogFilter{Company: "shop", Reason: ledger.ReasonTooManyAttempts}, 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page.Deliveries).To(HaveLen(2), "the event and the delivery")
}
