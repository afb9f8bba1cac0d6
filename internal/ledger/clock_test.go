// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// machineClock is a machine's clock: it goes on, and it can be set. Like a
// [time.Time] of the real one, what it told knows how much time passed since.
type machineClock struct {
	mu     sync.Mutex
	shows  time.Time
	passed time.Duration
	told   map[time.Time]time.Duration
}

func newMachineClock() *machineClock {
	return &machineClock{shows: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), told: map[time.Time]time.Duration{}}
}

func (c *machineClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told[c.shows] = c.passed
	return c.shows
}

func (c *machineClock) Since(t time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if passed, ok := c.told[t]; ok {
		return c.passed - passed
	}
	return c.shows.Sub(t)
}

// pass lets time pass; set sets what is shown and suspend lets time pass that is
// not counted: to a clock they look the same.
func (c *machineClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shows, c.passed = c.shows.Add(d), c.passed+d
}

func (c *machineClock) set(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shows = c.shows.Add(by)
}

var clockSteps = map[string]time.Duration{
	"an hour forward": time.Hour, "an hour back": -time.Hour, "years forward": 30 * 365 * 24 * time.Hour, "years back": -30 * 365 * 24 * time.Hour,
}

func TestLeaseLastsWhenTheClockIsSet(t *testing.T) {
	for name, by := range clockSteps {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			clk := newMachineClock()
			s := open(t, ledgerPath(t), clk)
			accept(t, s, "shop", "1")
			g.Expect(s.CompleteEvent(bg, claimOne(t, s), []NewDelivery{email("a", "joe@example.com")})).To(Succeed())
			accept(t, s, "shop", "2")
			event, sent := claimOne(t, s), claimDelivery(t, s) // a minute
			clk.set(by)
			clk.pass(59 * time.Second)
			events, err := s.ClaimEvents(bg, 10, time.Minute)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(events).To(BeEmpty(), "it is another's")
			deliveries, err := s.ClaimDeliveries(bg, Claim{Limit: 10, Lease: time.Minute})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(deliveries).To(BeEmpty(), "it would be sent twice")
			clk.pass(time.Second)
			g.Expect(claimOne(t, s).ID).To(Equal(event.ID))
			g.Expect(claimDelivery(t, s).ID).To(Equal(sent.ID))
		})
	}
}

func TestRetryComesInTimeWhenTheClockIsSet(t *testing.T) {
	for name, by := range clockSteps {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			clk := newMachineClock()
			path := ledgerPath(t)
			s := open(t, path, clk)
			accept(t, s, "shop", "1")
			g.Expect(s.CompleteEvent(bg, claimOne(t, s), []NewDelivery{email("a", "joe@example.com")})).To(Succeed())
			accept(t, s, "shop", "2")
			delay := func() {
				g.Expect(s.RetryEvent(bg, claimOne(t, s), 10*time.Minute, "busy")).To(Succeed())
				g.Expect(s.RetryDelivery(bg, claimDelivery(t, s), 10*time.Minute, "Busy", "busy")).To(Succeed())
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
			clk.set(by)
			clk.pass(4 * time.Minute)
			due(6 * time.Minute)
			list, err := s.ListDeliveries(bg, DeliveryFilter{})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(list[0].NextAttemptAt).To(Equal(clk.Now().Add(6*time.Minute)), "people read it by the clock on the wall")
			g.Expect(list[0].CreatedAt).To(Equal(clk.Now().Add(-4 * time.Minute)))
			g.Expect(list[0].ReceivedAt).To(BeZero())
			for after, n := range map[time.Duration]int{-5 * time.Minute: 1, -3 * time.Minute: 0} {
				page, err := s.Log(bg, LogFilter{Company: "shop", CreatedAfter: clk.Now().Add(after)}, 0, 10)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(page.Deliveries).To(HaveLen(n))
				if n > 0 {
					g.Expect(page.Deliveries[0].CreatedAt).To(Equal(list[0].CreatedAt))
				}
			}

			// The next process knows too; this one wrote something since.
			accept(t, s, "shop", "3")
			g.Expect(s.Close()).To(Succeed())
			s = open(t, path, clk)
			g.Expect(s.FailEvent(bg, claimOne(t, s), "")).To(Succeed())
			due(6 * time.Minute)
			clk.pass(6 * time.Minute)
			delay()
			due(10 * time.Minute)
			clk.pass(10 * time.Minute)
			d := claimDelivery(t, s)
			g.Expect(d.Age).To(Equal(20*time.Minute), "nothing is given up because a clock was set")
			g.Expect(d.CreatedAt).To(Equal(clk.Now().Add(-20 * time.Minute)))
			e := claimOne(t, s)
			g.Expect(e.Age).To(Equal(20 * time.Minute))
			g.Expect(e.ReceivedAt).To(Equal(clk.Now().Add(-20 * time.Minute)))
		})
	}
}

func TestClockThatWasSetBackWhileTheLedgerWasClosedDelaysNothing(t *testing.T) {
	g := NewWithT(t)
	clk := newMachineClock()
	path := ledgerPath(t)
	s := open(t, path, clk)
	accept(t, s, "shop", "1")
	g.Expect(s.CompleteEvent(bg, claimOne(t, s), []NewDelivery{email("a", "joe@example.com")})).To(Succeed())
	g.Expect(s.RetryDelivery(bg, claimDelivery(t, s), 10*time.Minute, "Busy", "busy")).To(Succeed())
	accept(t, s, "shop", "2")
	g.Expect(s.Close()).To(Succeed())
	clk.set(-365 * 24 * time.Hour)
	s = open(t, path, clk)
	g.Expect(claimOne(t, s).ID).To(Equal("2"))
	claimDelivery(t, s)
}

func TestRetentionDoesNotFollowTheClock(t *testing.T) {
	g := NewWithT(t)
	clk := newMachineClock()
	s := open(t, ledgerPath(t), clk)
	accept(t, s, "shop", "1")
	g.Expect(s.CompleteEvent(bg, claimOne(t, s), nil)).To(Succeed())
	clk.set(365 * 24 * time.Hour)
	n, err := s.DeleteBefore(bg, clk.Now().Add(-MinRetention), 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n).To(BeZero(), "the platform may repeat it yet")
	clk.pass(MinRetention + time.Minute)
	n, err = s.DeleteBefore(bg, clk.Now().Add(-MinRetention), 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n).To(Equal(1))
}

func TestMovedTimesAreThoseOnTheWall(t *testing.T) {
	g := NewWithT(t)
	clk := newMachineClock()
	path := ledgerPath(t)
	s := open(t, path, clk)
	clk.set(-48 * time.Hour)
	accept(t, s, "shop", "1")
	g.Expect(s.CompleteEvent(bg, claimOne(t, s), []NewDelivery{email("a", "joe@example.com")})).To(Succeed())
	g.Expect(s.Close()).To(Succeed())
	to := postgresPlace(t)
	target := to.options(clk)
	_, err := Move(bg, path, target)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimDelivery(t, to.open(t, clk)).CreatedAt).To(Equal(clk.Now()))
}

func TestLeaseThatIsLeft(t *testing.T) {
	g := NewWithT(t)
	clk := newMachineClock()
	s := open(t, ledgerPath(t), clk)
	accept(t, s, "shop", "1")
	g.Expect(s.CompleteEvent(bg, claimOne(t, s), []NewDelivery{email("a", "joe@example.com")})).To(Succeed())
	d := claimDelivery(t, s)
	g.Expect(s.LeaseLeft(d)).To(Equal(time.Minute))
	clk.pass(20 * time.Second)
	clk.set(-time.Hour)
	g.Expect(s.LeaseLeft(d)).To(Equal(40*time.Second), "a clock that is set back makes it no longer")
	clk.set(time.Hour + 10*time.Second) // or the machine was suspended
	g.Expect(s.LeaseLeft(d)).To(Equal(30 * time.Second))
	g.Expect(s.RenewDelivery(bg, &d, time.Minute)).To(Succeed())
	g.Expect(s.LeaseLeft(d)).To(Equal(time.Minute))
	clk.pass(61 * time.Second)
	g.Expect(s.LeaseLeft(d)).To(Equal(-time.Second))
	claimDelivery(t, s)
	g.Expect(s.RenewDelivery(bg, &d, time.Minute)).To(MatchError(ErrLeaseLost))
}

func TestServersClockCounts(t *testing.T) {
	g := NewWithT(t)
	s := postgresPlace(t).open(t, nil)
	c := s.clock.(*serverClock)
	g.Expect(c.Now()).To(BeTemporally("~", time.Now(), time.Minute))

	clk := newMachineClock() // shows another year
	c = &serverClock{machine: clk}
	g.Expect(c.adjust(bg, s.reader)).To(Succeed())
	g.Expect(c.Now()).To(BeTemporally("~", time.Now(), time.Minute))
	before := c.Now()
	clk.pass(time.Hour)
	g.Expect(c.doubtful()).To(BeFalse())
	clk.set(24 * time.Hour)
	g.Expect(c.Since(before)).To(Equal(time.Hour), "whatever this machine's shows")
	g.Expect(c.doubtful()).To(BeTrue(), "it may have slept")

	s.db.(*postgresDatabase).clock = c
	accept(t, s, "shop", "1")
	claimOne(t, s)
	g.Expect(c.doubtful()).To(BeFalse(), "before a lease is taken it is looked at again")
	g.Expect(c.Now()).To(BeTemporally("~", time.Now(), time.Minute))
}
