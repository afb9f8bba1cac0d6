// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
)

var clockSteps = map[string]time.Duration{
	"an hour forward": time.Hour, "an hour back": -time.Hour, "years forward": 30 * 365 * 24 * time.Hour, "years back": -30 * 365 * 24 * time.Hour,
}

func TestLeaseLastsWhenTheClockIsSet(t *testing.T) {
	for name, by := range clockSteps {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			clk := ledgertest.NewMachineClock()
			s := open(t, ledgerPath(t), clk)
			ledgertest.Accept(t, s, "shop", "1")
			g.Expect(s.CompleteEvent(bg, ledgertest.ClaimOne(t, s), []ledger.NewDelivery{ledgertest.Email("a", "joe@example.com")})).To(Succeed())
			ledgertest.Accept(t, s, "shop", "2")
			event, sent := ledgertest.ClaimOne(t, s), ledgertest.ClaimDelivery(t, s) // a minute
			clk.Set(by)
			clk.Pass(59 * time.Second)
			events, err := s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(events).To(BeEmpty(), "it is another's")
			deliveries, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(deliveries).To(BeEmpty(), "it would be sent twice")
			clk.Pass(time.Second)
			g.Expect(ledgertest.ClaimOne(t, s).ID).To(Equal(event.ID))
			g.Expect(ledgertest.ClaimDelivery(t, s).ID).To(Equal(sent.ID))
		})
	}
}

func TestRetryComesInTimeWhenTheClockIsSet(t *testing.T) {
	for name, by := range clockSteps {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			clk := ledgertest.NewMachineClock()
			path := ledgerPath(t)
			s := open(t, path, clk)
			ledgertest.Accept(t, s, "shop", "1")
			g.Expect(s.CompleteEvent(bg, ledgertest.ClaimOne(t, s), []ledger.NewDelivery{ledgertest.Email("a", "joe@example.com")})).To(Succeed())
			ledgertest.Accept(t, s, "shop", "2")
			delay := func() {
				g.Expect(s.RetryEvent(bg, ledgertest.ClaimOne(t, s), 10*time.Minute, "busy")).To(Succeed())
				g.Expect(s.RetryDelivery(bg, ledgertest.ClaimDelivery(t, s), 10*time.Minute, "Busy", "busy")).To(Succeed())
			}
			due := func(in time.Duration) {
				t.Helper()
				for _, next := range []func() (time.Duration, bool, error){
					func() (time.Duration, bool, error) { return s.NextEventDue(bg) },
					func() (time.Duration, bool, error) { return s.NextDeliveryDue(bg, nil) },
				} {
					wait, ok, err := next()
					g.Expect(err).NotTo(HaveOccurred())
					g.Expect(ok).To(BeTrue())
					g.Expect(wait).To(Equal(in))
				}
			}
			delay()
			clk.Set(by)
			clk.Pass(4 * time.Minute)
			due(6 * time.Minute)
			list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(list[0].NextAttemptAt).To(Equal(clk.Now().Add(6*time.Minute)), "people read it by the clock on the wall")
			g.Expect(list[0].CreatedAt).To(Equal(clk.Now().Add(-4 * time.Minute)))
			g.Expect(list[0].ReceivedAt).To(BeZero())
			for after, n := range map[time.Duration]int{-5 * time.Minute: 1, -3 * time.Minute: 0} {
				page, err := s.Log(bg, ledger.LogFilter{Company: "shop", CreatedAfter: clk.Now().Add(after)}, 0, 10)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(page.Deliveries).To(HaveLen(n))
				if n > 0 {
					g.Expect(page.Deliveries[0].CreatedAt).To(Equal(list[0].CreatedAt))
				}
			}

			// The next process knows too; this one wrote something since.
			ledgertest.Accept(t, s, "shop", "3")
			g.Expect(s.Close()).To(Succeed())
			s = open(t, path, clk)
			g.Expect(s.FailEvent(bg, ledgertest.ClaimOne(t, s), "")).To(Succeed())
			due(6 * time.Minute)
			clk.Pass(6 * time.Minute)
			delay()
			due(10 * time.Minute)
			clk.Pass(10 * time.Minute)
			d := ledgertest.ClaimDelivery(t, s)
			g.Expect(d.Age).To(Equal(20*time.Minute), "nothing is given up because a clock was set")
			g.Expect(d.CreatedAt).To(Equal(clk.Now().Add(-20 * time.Minute)))
			e := ledgertest.ClaimOne(t, s)
			g.Expect(e.Age).To(Equal(20 * time.Minute))
			g.Expect(e.ReceivedAt).To(Equal(clk.Now().Add(-20 * time.Minute)))
		})
	}
}

func TestClockThatWasSetBackWhileTheLedgerWasClosedDelaysNothing(t *testing.T) {
	g := NewWithT(t)
	clk := ledgertest.NewMachineClock()
	path := ledgerPath(t)
	s := open(t, path, clk)
	ledgertest.Accept(t, s, "shop", "1")
	g.Expect(s.CompleteEvent(bg, ledgertest.ClaimOne(t, s), []ledger.NewDelivery{ledgertest.Email("a", "joe@example.com")})).To(Succeed())
	g.Expect(s.RetryDelivery(bg, ledgertest.ClaimDelivery(t, s), 10*time.Minute, "Busy", "busy")).To(Succeed())
	ledgertest.Accept(t, s, "shop", "2")
	g.Expect(s.Close()).To(Succeed())
	clk.Set(-365 * 24 * time.Hour)
	s = open(t, path, clk)
	g.Expect(ledgertest.ClaimOne(t, s).ID).To(Equal("2"))
	ledgertest.ClaimDelivery(t, s)
}

func TestRetentionDoesNotFollowTheClock(t *testing.T) {
	g := NewWithT(t)
	clk := ledgertest.NewMachineClock()
	s := open(t, ledgerPath(t), clk)
	ledgertest.Accept(t, s, "shop", "1")
	g.Expect(s.CompleteEvent(bg, ledgertest.ClaimOne(t, s), nil)).To(Succeed())
	clk.Set(365 * 24 * time.Hour)
	n, err := s.DeleteBefore(bg, clk.Now().Add(-ledger.MinRetention), 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n).To(BeZero(), "the platform may repeat it yet")
	clk.Pass(ledger.MinRetention + time.Minute)
	n, err = s.DeleteBefore(bg, clk.Now().Add(-ledger.MinRetention), 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n).To(Equal(1))
}

func TestLeaseThatIsLeft(t *testing.T) {
	g := NewWithT(t)
	clk := ledgertest.NewMachineClock()
	s := open(t, ledgerPath(t), clk)
	ledgertest.Accept(t, s, "shop", "1")
	g.Expect(s.CompleteEvent(bg, ledgertest.ClaimOne(t, s), []ledger.NewDelivery{ledgertest.Email("a", "joe@example.com")})).To(Succeed())
	d := ledgertest.ClaimDelivery(t, s)
	g.Expect(s.LeaseLeft(d.Lease)).To(Equal(time.Minute))
	clk.Pass(20 * time.Second)
	clk.Set(-time.Hour)
	g.Expect(s.LeaseLeft(d.Lease)).To(Equal(40*time.Second), "a clock that is set back makes it no longer")
	clk.Set(time.Hour + 10*time.Second) // or the machine was suspended
	g.Expect(s.LeaseLeft(d.Lease)).To(Equal(30 * time.Second))
	g.Expect(s.RenewDelivery(bg, &d, time.Minute)).To(Succeed())
	g.Expect(s.LeaseLeft(d.Lease)).To(Equal(time.Minute))
	clk.Pass(61 * time.Second)
	g.Expect(s.LeaseLeft(d.Lease)).To(Equal(-time.Second))
	ledgertest.ClaimDelivery(t, s)
	g.Expect(s.RenewDelivery(bg, &d, time.Minute)).To(MatchError(ledger.ErrLeaseLost))
}
