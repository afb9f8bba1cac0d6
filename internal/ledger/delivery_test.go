// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func testCompletedEventLeavesItsDeliveries(t *testing.T, at place) {
	g := NewWithT(t)
	clk := fakeClock()
	s := at.open(t, clk)
	accept(t, s, "shop", "1")
	e := claimOne(t, s)
	raised(s.DeliveriesReady())

	skipped := NewDelivery{RuleName: "shop/b", Channel: ChannelEmail, SkipReason: "ExpressionFalse", SkipMessage: "The expression is false."}
	failed := NewDelivery{RuleName: "shop/c", Channel: ChannelSMS, FailReason: "TemplateError", FailMessage: "The template fails."}
	g.Expect(s.CompleteEvent(bg, e, []NewDelivery{
		email("a", "joe@example.com"),
		email("a", "joe@example.com"), // the same once more
		email("a", "ann@example.com"),
		skipped, failed,
	})).To(Succeed())
	g.Expect(raised(s.DeliveriesReady())).To(BeTrue())

	list, err := s.ListDeliveries(bg, DeliveryFilter{Company: "shop"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list).To(HaveLen(4))
	g.Expect(list[0]).To(Equal(Delivery{
		ID: list[0].ID, Company: "shop", EventID: "1", EventName: "transaction.initiate", EventReceivedAt: clk.Now(),
		RuleName: "a", Channel: ChannelEmail, Recipient: "joe@example.com",
		Content: Content{From: "shop@example.com", Subject: "Paid", Text: "You paid.", HTML: "<p>You paid.</p>"},
		Size:    len("Paid") + len("You paid.") + len("<p>You paid.</p>"),
		State:   DeliveryPending, NextAttemptAt: clk.Now(), CreatedAt: clk.Now(), UpdatedAt: clk.Now(),
	}))
	g.Expect(list[2].State).To(Equal(DeliverySkipped))
	g.Expect(list[2].Reason).To(Equal("ExpressionFalse"))
	g.Expect(list[2].Message).To(Equal("The expression is false."))
	g.Expect(list[3].State).To(Equal(DeliveryFailed))
	g.Expect(list[3].Content).To(BeZero())

	claimed, err := s.ClaimDeliveries(bg, Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(2), "skipped and failed ones aren't sent")

	for _, test := range []struct {
		filter DeliveryFilter
		want   int
	}{
		{DeliveryFilter{State: DeliverySkipped}, 1},
		{DeliveryFilter{Company: "bank"}, 0},
		{DeliveryFilter{EventID: "1", Rule: "a"}, 2},
		{DeliveryFilter{After: list[1].ID}, 2},
		{DeliveryFilter{Limit: 3}, 3},
		{DeliveryFilter{Company: "' OR 1=1 --"}, 0},
	} {
		found, err := s.ListDeliveries(bg, test.filter)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found).To(HaveLen(test.want), "%+v", test.filter)
	}
}

func testNothingToSendWakesNobody(t *testing.T, at place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	accept(t, s, "shop", "1")
	raised(s.DeliveriesReady())
	g.Expect(s.CompleteEvent(bg, claimOne(t, s), []NewDelivery{{RuleName: "a", SkipReason: "NoRecipient"}})).To(Succeed())
	g.Expect(raised(s.DeliveriesReady())).To(BeFalse())
}

// pending stores n deliveries of a company.
func pending(t testing.TB, s *Store, company string, n int) {
	t.Helper()
	pendingOn(t, s, company, "event", ChannelEmail, n)
}

func pendingOn(t testing.TB, s *Store, company, event, channel string, n int) {
	t.Helper()
	accept(t, s, company, event)
	deliveries := make([]NewDelivery, n)
	for i := range deliveries {
		deliveries[i] = email("rule", fmt.Sprintf("user%d@example.com", i))
		deliveries[i].Channel = channel
	}
	claimed, err := s.ClaimEvents(bg, 10, time.Minute)
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claiming: %d, %v", len(claimed), err)
	}
	if err := s.CompleteEvent(bg, claimed[0], deliveries); err != nil {
		t.Fatal(err)
	}
}

func testOutcomes(t *testing.T, at place) {
	g := NewWithT(t)
	clk := fakeClock()
	s := at.open(t, clk)
	pending(t, s, "shop", 1)

	d := claimDelivery(t, s)
	g.Expect(s.RetryDelivery(bg, d, time.Minute, "Throttled", "The server is busy.")).To(Succeed())
	row, err := s.GetDelivery(bg, d.ID)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(row.State).To(Equal(DeliveryPending))
	g.Expect(row.Reason).To(Equal("Throttled"))
	g.Expect(s.MarkSent(bg, d, "x")).To(MatchError(ErrLeaseLost), "it was given back")

	clk.Step(time.Minute)
	d = claimDelivery(t, s)
	g.Expect(d.Attempts).To(Equal(2))
	g.Expect(s.PostponeDelivery(bg, d, 0, "Busy", "The provider is busy.")).To(Succeed())
	d = claimDelivery(t, s)
	g.Expect(d.Attempts).To(Equal(2), "it wasn't tried")
	g.Expect(s.MarkSent(bg, d, "id-1")).To(Succeed())
	row, err = s.GetDelivery(bg, d.ID)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(row.State).To(Equal(DeliverySent))
	g.Expect(row.ProviderID).To(Equal("id-1"))
	g.Expect(row.Reason).To(BeEmpty())
	g.Expect(s.FailDelivery(bg, d, "Late", "Too late.")).To(MatchError(ErrLeaseLost), "sent is sent")

	_, err = s.GetDelivery(bg, d.ID+1)
	g.Expect(err).To(MatchError(ErrNotFound))
}

func testDeliveryLeaseExpires(t *testing.T, at place) {
	g := NewWithT(t)
	clk := fakeClock()
	s := at.open(t, clk)
	pending(t, s, "shop", 1)
	first := claimDelivery(t, s)
	clk.Step(time.Minute)
	second := claimDelivery(t, s)
	g.Expect(s.MarkSent(bg, first, "")).To(MatchError(ErrLeaseLost))
	g.Expect(s.RenewDelivery(bg, &first, time.Hour)).To(MatchError(ErrLeaseLost))
	g.Expect(s.RenewDelivery(bg, &second, time.Hour)).To(Succeed())
	g.Expect(s.ReleaseDelivery(bg, second)).To(Succeed())
	g.Expect(claimDelivery(t, s).Attempts).To(Equal(2))
}

// claimCount claims and says how many it got, by lane.
func claimCount(t *testing.T, s *Store, c Claim) map[Lane]int {
	t.Helper()
	c.Lease = time.Minute
	claimed, err := s.ClaimDeliveries(bg, c)
	if err != nil {
		t.Fatal(err)
	}
	n := map[Lane]int{}
	for _, d := range claimed {
		n[Lane{d.Company, d.Channel}]++
	}
	return n
}

// bounds are those of the lanes of companies and, with a dash before, of channels.
func bounds(left map[string]int) func(Lane) []*Bound {
	all := map[string]*Bound{}
	for name, n := range left {
		all[name] = &Bound{n}
	}
	return func(l Lane) (found []*Bound) {
		for _, name := range []string{l.Company, "-" + l.Channel} {
			if all[name] != nil {
				found = append(found, all[name])
			}
		}
		return found
	}
}

func testClaimLeavesRoomForOtherCompanies(t *testing.T, at place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	for _, company := range []string{"alpha", "bravo", "charlie"} {
		pending(t, s, company, 10)
	}
	mail := func(company string) Lane { return Lane{company, ChannelEmail} }
	g.Expect(claimCount(t, s, Claim{Limit: 12, Bounds: bounds(map[string]int{"alpha": 0, "bravo": 1, "charlie": 5})})).
		To(Equal(map[Lane]int{mail("bravo"): 1, mail("charlie"): 5}))
	g.Expect(claimCount(t, s, Claim{Limit: 1, Bounds: bounds(map[string]int{"alpha": 0, "bravo": -1, "charlie": 1})})).
		To(Equal(map[Lane]int{mail("charlie"): 1}))
	g.Expect(claimCount(t, s, Claim{Limit: 100})).
		To(Equal(map[Lane]int{mail("alpha"): 10, mail("bravo"): 9, mail("charlie"): 4}))
}

// What is too little for all that want it is divided between them, in turn.
func testClaimDividesABound(t *testing.T, at place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	for _, company := range []string{"alpha", "bravo", "charlie"} {
		pending(t, s, company, 40)
		pendingOn(t, s, company, "texts", ChannelSMS, 40)
	}
	one := func(channel string, alpha, bravo, charlie int) map[Lane]int {
		n := map[Lane]int{}
		for company, want := range map[string]int{"alpha": alpha, "bravo": bravo, "charlie": charlie} {
			if want > 0 {
				n[Lane{company, channel}] = want
			}
		}
		return n
	}
	mail := map[string]int{"-" + ChannelSMS: 0, "-" + ChannelEmail: 12}
	g.Expect(claimCount(t, s, Claim{Limit: 100, Bounds: bounds(mail)})).To(Equal(one(ChannelEmail, 4, 4, 4)))
	mail["bravo"] = 1
	g.Expect(claimCount(t, s, Claim{Limit: 100, Bounds: bounds(mail)})).To(Equal(one(ChannelEmail, 6, 1, 5)))
	text := map[string]int{"-" + ChannelEmail: 0, "-" + ChannelSMS: 1}
	served := map[string]int{}
	for range 9 {
		for l := range claimCount(t, s, Claim{Limit: 100, Bounds: bounds(text)}) {
			served[l.Company]++
		}
	}
	g.Expect(served).To(Equal(map[string]int{"alpha": 3, "bravo": 3, "charlie": 3}))
	// Two channels give a company no more than one.
	pending(t, s, "delta", 40)
	n := claimCount(t, s, Claim{Limit: 16})
	g.Expect(n).To(Equal(map[Lane]int{
		{"alpha", ChannelEmail}: 2, {"alpha", ChannelSMS}: 2, {"bravo", ChannelEmail}: 2, {"bravo", ChannelSMS}: 2,
		{"charlie", ChannelEmail}: 2, {"charlie", ChannelSMS}: 2, {"delta", ChannelEmail}: 4,
	}))
}

// A claim finds the lanes that have room, however many have none, and says when to
// look again for those.
func testClaimPassesLanesWithoutRoom(t *testing.T, at place) {
	g := NewWithT(t)
	clk := fakeClock()
	s := at.open(t, clk)
	for i := range 50 {
		pending(t, s, fmt.Sprintf("company-%02d", i), 1)
	}
	free := Lane{"company-31", ChannelEmail}
	var asked []Lane
	full := &Bound{}
	only := func(l Lane) []*Bound {
		asked = append(asked, l)
		if l == free {
			return nil
		}
		return []*Bound{full}
	}
	for range 2 {
		asked = nil
		n := claimCount(t, s, Claim{Limit: 2, Bounds: only})
		g.Expect(n).To(Equal(map[Lane]int{free: 1}))
		g.Expect(asked).To(HaveLen(50), "each is asked once")
		due, ok, err := s.NextDeliveryDue(bg, func(l Lane) bool { return l == free })
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(ok).To(BeTrue())
		g.Expect(due).To(Equal(time.Minute), "when its lease ends")
		due, _, err = s.NextDeliveryDue(bg, nil)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(due).To(BeNumerically("<=", 0), "the others are due")
		_, ok, err = s.NextDeliveryDue(bg, func(Lane) bool { return false })
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(ok).To(BeFalse())
		clk.Step(time.Minute)
	}
}

func testWakeDeliveries(t *testing.T, at place) {
	g := NewWithT(t)
	clk := fakeClock()
	s := at.open(t, clk)
	const n = step + 3
	pending(t, s, "alpha", n)
	pending(t, s, "bravo", 2)
	pendingOn(t, s, "alpha", "texts", ChannelSMS, 2)
	claimed, err := s.ClaimDeliveries(bg, Claim{Limit: 2 * n, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(n + 4))
	held := 0
	var postponing sync.WaitGroup
	for _, d := range claimed {
		if d.Company == "alpha" && d.Channel == ChannelEmail && held == 0 {
			held++ // somebody is at it
			continue
		}
		postponing.Go(func() {
			if err := s.PostponeDelivery(bg, d, time.Hour, "LoginRefused", "The server refuses the login."); err != nil {
				t.Error(err)
			}
		})
	}
	postponing.Wait()
	raised(s.DeliveriesReady())
	g.Expect(s.WakeDeliveries(bg, Lane{"alpha", ChannelEmail})).To(Succeed())
	g.Expect(raised(s.DeliveriesReady())).To(BeTrue())
	g.Expect(claimCount(t, s, Claim{Limit: 2 * n})).To(Equal(map[Lane]int{{"alpha", ChannelEmail}: n - 1}))
	g.Expect(s.WakeDeliveries(bg, Lane{"charlie", ChannelEmail})).To(Succeed())
	g.Expect(raised(s.DeliveriesReady())).To(BeFalse(), "there was nothing to wake")
}

// A claim leaves out what is large.
func testClaimedContent(t *testing.T, at place) {
	g := NewWithT(t)
	s := at.open(t, fakeClock())
	small, large := email("a", "small@example.com"), email("a", "large@example.com")
	small.Content = Content{From: "a@example.com", Subject: "S", Text: strings.Repeat("x", 32<<10), HTML: "<p>"}
	large.Content = Content{From: "a@example.com", Subject: "S", Text: "T", HTML: strings.Repeat("é", 16<<10) + "x"}
	accept(t, s, "shop", "1")
	g.Expect(s.CompleteEvent(bg, claimOne(t, s), []NewDelivery{small, large})).To(Succeed())
	claimed, err := s.ClaimDeliveries(bg, Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(2))
	for _, d := range claimed {
		want := small.Content
		if d.Recipient == large.Recipient {
			want = large.Content
			g.Expect(d.Content.HTML).To(BeEmpty())
		}
		g.Expect(d.Complete()).To(Equal(d.Recipient == small.Recipient))
		g.Expect(d.Size).To(Equal(len(want.Subject) + len(want.Text) + len(want.HTML)))
		whole, err := s.GetDelivery(bg, d.ID)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(whole.Content).To(Equal(want))
		g.Expect(whole.Complete()).To(BeTrue())
	}
}
