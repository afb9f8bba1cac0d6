// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

func testAcceptedEventSurvivesReopening(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	received := time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC)
	e := ledger.Event{Company: "shop", ID: "1", Name: "user.create", Data: []byte("{\"a\": 1.10 }"), ReceivedAt: received}
	duplicate, err := s.AcceptEvent(bg, e)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(duplicate).To(BeFalse())
	g.Expect(s.Close()).To(Succeed())

	s = at.open(t, nil)
	g.Expect(raised(s.EventsReady())).To(BeTrue(), "unfinished work is signalled")
	got := ClaimOne(t, s)
	g.Expect(got.Event).To(Equal(e), "byte for byte")
	g.Expect(got.Attempts).To(Equal(1))

	duplicate, err = s.AcceptEvent(bg, e)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(duplicate).To(BeTrue())
}

func testAcceptEventRefusesEmptyKeys(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	for _, e := range []ledger.Event{{Company: "", ID: "1"}, {Company: "shop", ID: ""}} {
		_, err := s.AcceptEvent(bg, e)
		g.Expect(err).To(HaveOccurred())
		g.Expect(errors.Is(err, ledger.ErrUnavailable)).To(BeFalse())
	}
}

func testSameIDOfTwoCompaniesIsTwoEvents(t *testing.T, at Place) {
	s := at.open(t, nil)
	Accept(t, s, "shop", "1")
	Accept(t, s, "bank", "1")
}

func testConcurrentSameEventIsStoredOnce(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	for round := range 20 {
		var fresh atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				duplicate, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: fmt.Sprint(round), Name: "x"})
				if err != nil {
					t.Error(err)
				}
				if !duplicate {
					fresh.Add(1)
				}
			})
		}
		wg.Wait()
		g.Expect(fresh.Load()).To(BeEquivalentTo(1))
	}
	st, err := s.Stats(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(st.PendingEvents).To(BeEquivalentTo(20))
}

func testEventsAreAnnouncedOnce(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	g.Expect(raised(s.EventsReady())).To(BeTrue())
	g.Expect(raised(s.EventsReady())).To(BeFalse())
	Accept(t, s, "shop", "1")
	Accept(t, s, "shop", "2")
	g.Expect(raised(s.EventsReady())).To(BeTrue())
	g.Expect(raised(s.EventsReady())).To(BeFalse())
}

func testClaimsAreFairBetweenCompanies(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	for i := range 300 {
		Accept(t, s, "flood", fmt.Sprint(i))
	}
	for _, company := range []string{"alpha", "midway", "zulu"} {
		Accept(t, s, company, "1")
		Accept(t, s, company, "2")
	}
	claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: 20, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(20), "shares that small companies don't need go to the others")
	first := map[string]bool{}
	count := map[string]int{}
	for i, e := range claimed {
		count[e.Company]++
		if i < 4 {
			first[e.Company] = true
		}
	}
	g.Expect(count).To(Equal(map[string]int{"alpha": 2, "midway": 2, "zulu": 2, "flood": 14}))
	g.Expect(first).To(HaveLen(4), "one event of each company comes first")
	g.Expect(claimed[0].ID).To(Equal("1"))

	ids := map[string]bool{}
	for _, e := range claimed {
		if e.Company == "flood" {
			ids[e.ID] = true
		}
	}
	for i := range 14 {
		g.Expect(ids).To(HaveKey(fmt.Sprint(i)), "the oldest events come first")
	}
}

func testSmallClaimsRotateThroughCompanies(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	for c := range 5 {
		for i := range 3 {
			Accept(t, s, fmt.Sprintf("company-%d", c), fmt.Sprint(i))
		}
	}
	served := map[string]int{}
	for round := 1; round <= 3; round++ {
		for range 5 {
			claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: 1, Lease: time.Minute})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(claimed).To(HaveLen(1))
			served[claimed[0].Company]++
		}
		for company, n := range served {
			g.Expect(n).To(Equal(round), company)
		}
	}
}

func testLeaseExpires(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	Accept(t, s, "shop", "1")
	first := ClaimOne(t, s)

	claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(BeEmpty(), "another worker holds the lease")
	due, ok, err := s.NextEventDue(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(ok).To(BeTrue())
	g.Expect(due).To(Equal(time.Minute))

	clk.Step(40 * time.Second)
	g.Expect(s.RenewEvent(bg, &first, time.Minute)).To(Succeed())
	clk.Step(40 * time.Second)
	claimed, err = s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(BeEmpty(), "the lease was renewed")

	clk.Step(20 * time.Second)
	second := ClaimOne(t, s)
	g.Expect(second.Attempts).To(Equal(2))

	g.Expect(s.CompleteEvent(bg, first, []ledger.NewDelivery{Email("rule", "a@example.com")})).To(MatchError(ledger.ErrLeaseLost))
	g.Expect(s.RetryEvent(bg, first, 0, "x")).To(MatchError(ledger.ErrLeaseLost))
	g.Expect(s.FailEvent(bg, first, "x")).To(MatchError(ledger.ErrLeaseLost))
	g.Expect(s.ReleaseEvent(bg, first)).To(MatchError(ledger.ErrLeaseLost))
	g.Expect(s.RenewEvent(bg, &first, time.Minute)).To(MatchError(ledger.ErrLeaseLost))
	list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list).To(BeEmpty())

	g.Expect(s.CompleteEvent(bg, second, nil)).To(Succeed())
	g.Expect(s.CompleteEvent(bg, second, nil)).To(MatchError(ledger.ErrLeaseLost))
}

func testRetryReleaseAndFail(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	Accept(t, s, "shop", "1")
	e := ClaimOne(t, s)
	raised(s.EventsReady())
	g.Expect(s.RetryEvent(bg, e, time.Hour, "the rules aren't read yet")).To(Succeed())
	g.Expect(raised(s.EventsReady())).To(BeTrue(), "a sleeping dispatcher is woken to compute its next wake-up time")
	due, _, err := s.NextEventDue(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(due).To(Equal(time.Hour))
	clk.Step(time.Hour)
	e = ClaimOne(t, s)
	g.Expect(e.Attempts).To(Equal(2))
	g.Expect(s.ReleaseEvent(bg, e)).To(Succeed())
	e = ClaimOne(t, s)
	g.Expect(e.Attempts).To(Equal(2), "a release doesn't count")
	g.Expect(s.FailEvent(bg, e, "it is broken")).To(Succeed())
	_, ok, err := s.NextEventDue(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(ok).To(BeFalse())
}

func testAnyTextCanBeStored(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	const hostile = "a\x00b\xff'; DROP TABLE events; --\u202e\\"
	e := ledger.Event{Company: hostile, ID: hostile, Name: hostile, Data: []byte("{\x00\xff")}
	for _, want := range []bool{false, true} {
		duplicate, err := s.AcceptEvent(bg, e)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(duplicate).To(Equal(want))
	}
	claimed := ClaimOne(t, s)
	g.Expect(claimed.Data).To(Equal(e.Data))
	d := Email(hostile, hostile)
	d.Content.Text = hostile
	g.Expect(s.CompleteEvent(bg, claimed, []ledger.NewDelivery{d})).To(Succeed())
	list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: hostile, Rule: hostile})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list).To(HaveLen(1))
	g.Expect(list[0].Recipient).To(Equal("a\uFFFDb\uFFFD'; DROP TABLE events; --\u202e\\"))
	g.Expect(s.RetryDelivery(bg, ClaimDelivery(t, s), 0, hostile, hostile)).To(Succeed())
}

// A worker that is stopped during a claim learns which events it received, so that it can
// release them. Otherwise, nobody could claim them before the lease ends.
func testStoppedClaimKeepsNothing(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	const events, rounds = 100, 160
	for n := range events {
		Accept(t, s, "shop", fmt.Sprint(n))
	}
	stopped, longest := 0, time.Duration(0)
	for round := range rounds {
		ctx, stop := context.WithCancel(bg)
		var timer *time.Timer
		if round >= 5 { // the first rounds measure how long a claim takes
			timer = time.AfterFunc(longest*time.Duration(round%40)/30, stop)
		}
		begun := time.Now()
		claimed, err := s.ClaimEvents(ctx, ledger.Claim{Limit: 3, Lease: time.Hour})
		if timer == nil {
			longest = time.Since(begun)
		} else {
			timer.Stop()
		}
		stop()
		if err != nil {
			stopped++
			// The claim may have lost its connection. Open another one now, so that its cost
			// doesn't count towards the next claim.
			_, _, err := s.NextEventDue(bg)
			g.Expect(err).NotTo(HaveOccurred())
		}
		for _, e := range claimed {
			g.Expect(s.ReleaseEvent(bg, e)).To(Succeed())
		}
	}
	t.Logf("%d of %d claims, which take %s, were stopped", stopped, rounds, longest)
	// The database may still be undoing what the last claims did.
	claimed := 0
	g.Eventually(func() int {
		more, err := s.ClaimEvents(bg, ledger.Claim{Limit: 2 * events, Lease: time.Hour})
		g.Expect(err).NotTo(HaveOccurred())
		claimed += len(more)
		return claimed
	}, time.Minute, 10*time.Millisecond).Should(Equal(events))
}

// An event that is handed over is stored as claimed; one that finds no free slot can be claimed.
func testHandover(t *testing.T, at Place) {
	g := NewWithT(t)
	c := FakeClock()
	s := at.open(t, c)
	slots := make(chan struct{}, 1)
	var taken []ledger.ClaimedEvent
	s.HandOver(&ledger.Handover{
		Lease: time.Minute,
		Reserve: func(company string, size int) bool {
			g.Expect(company).To(Equal("shop"))
			g.Expect(size).To(BeNumerically(">", 0))
			select {
			case slots <- struct{}{}:
				return true
			default:
				return false
			}
		},
		Take:    func(e ledger.ClaimedEvent) { taken = append(taken, e) },
		Release: func(string) { <-slots },
	})
	raised(s.EventsReady())
	Accept(t, s, "shop", "1")
	g.Expect(taken).To(HaveLen(1))
	handed := taken[0]
	g.Expect(raised(s.EventsReady())).To(BeFalse(), "there is nothing to claim")
	g.Expect(s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})).To(BeEmpty())

	// No slot is free.
	Accept(t, s, "shop", "2")
	g.Expect(taken).To(HaveLen(1))
	g.Expect(raised(s.EventsReady())).To(BeTrue())
	g.Expect(ClaimOne(t, s).ID).To(Equal("2"))

	// A duplicate, or an event that can't be stored, releases the slot.
	<-slots
	duplicate, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: "1", Data: []byte("{}")})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(duplicate).To(BeTrue())
	g.Expect(slots).To(BeEmpty())
	gone, cancel := context.WithCancel(bg)
	cancel()
	if _, err = s.AcceptEvent(gone, ledger.Event{Company: "shop", ID: "3", Data: []byte("{}")}); err == nil {
		t.Error("an event of a caller that has gone was accepted")
	}
	g.Eventually(slots).Should(BeEmpty())
	g.Expect(taken).To(HaveLen(1))

	// As with a claim, another worker can claim the event when its lease has ended.
	c.Step(2 * time.Minute)
	claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	i := slices.IndexFunc(claimed, func(e ledger.ClaimedEvent) bool { return e.ID == "1" })
	g.Expect(i).To(BeNumerically(">=", 0))
	again := claimed[i]
	g.Expect(again.Attempts).To(Equal(2))
	g.Expect(handed.Attempts).To(Equal(1))
	g.Expect(handed.Event).To(Equal(again.Event))
	g.Expect(handed.Key).To(Equal(again.Key))
	g.Expect(s.CompleteEvent(bg, handed, nil)).To(MatchError(ledger.ErrLeaseLost))
	g.Expect(s.CompleteEvent(bg, again, nil)).To(Succeed())

	// An event that was handed over is completed without a claim.
	Accept(t, s, "shop", "4")
	g.Expect(taken).To(HaveLen(2))
	g.Expect(s.CompleteEvent(bg, taken[1], []ledger.NewDelivery{Email("a", "joe@example.com")})).To(Succeed())
	g.Expect(ClaimDelivery(t, s).EventID).To(Equal("4"))

	s.HandOver(nil)
	<-slots
	Accept(t, s, "shop", "5")
	g.Expect(taken).To(HaveLen(2))
}

// A claim returns the data of small events; that of large ones is read separately.
func testClaimedData(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, FakeClock())
	for id, size := range map[string]int{"1": 2, "2": ledger.MaxClaimedData, "3": ledger.MaxClaimedData + 1} {
		_, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: id, Data: bytes.Repeat([]byte("x"), size)})
		g.Expect(err).NotTo(HaveOccurred())
	}
	claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(3))
	for _, e := range claimed {
		if e.ID == "3" {
			g.Expect(e.Data).To(BeNil())
		} else {
			g.Expect(e.Data).To(HaveLen(e.Size))
		}
		data, err := s.EventData(bg, e)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(data).To(HaveLen(e.Size))
	}
	_, err = s.EventData(bg, ledger.ClaimedEvent{Key: 4711})
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
}

// A claim takes no more of a company's events than its bound, and those of other companies.
func testEventsWithinBounds(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, FakeClock())
	for i := range 20 {
		Accept(t, s, "busy", fmt.Sprint(i))
	}
	Accept(t, s, "quiet", "1")
	c := ledger.Claim{Limit: 10, Lease: time.Minute}
	for l, err := range s.DueEventLanes(bg) {
		g.Expect(err).NotTo(HaveOccurred())
		c.Lanes = append(c.Lanes, ledger.ClaimLane{Lane: l, Bounds: []int{len(c.Bounds)}})
		c.Bounds = append(c.Bounds, 3)
	}
	claimed, err := s.ClaimEvents(bg, c)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(c.Bounds).To(Equal([]int{3, 3}), "the claim doesn't modify the caller's slice")
	byCompany := map[string]int{}
	for _, e := range claimed {
		byCompany[e.Company]++
	}
	g.Expect(byCompany).To(Equal(map[string]int{"busy": 3, "quiet": 1}))
}
