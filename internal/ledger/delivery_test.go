// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
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

	skipped := NewDelivery{RuleUID: "b", RuleName: "shop/b", Channel: ChannelEmail, SkipReason: "ExpressionFalse", SkipMessage: "The expression is false."}
	failed := NewDelivery{RuleUID: "c", RuleName: "shop/c", Channel: ChannelSMS, FailReason: "TemplateError", FailMessage: "The template fails."}
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
		RuleUID: "a", RuleName: "shop/a", Channel: ChannelEmail, Recipient: "joe@example.com",
		Content: Content{From: "shop@example.com", Subject: "Paid", Text: "You paid.", HTML: "<p>You paid.</p>"},
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
		{DeliveryFilter{EventID: "1", RuleUID: "a"}, 2},
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
	g.Expect(s.CompleteEvent(bg, claimOne(t, s), []NewDelivery{{RuleUID: "a", SkipReason: "NoRecipient"}})).To(Succeed())
	g.Expect(raised(s.DeliveriesReady())).To(BeFalse())
}

// pending stores n deliveries of a company.
func pending(t testing.TB, s *Store, company string, n int) {
	t.Helper()
	accept(t, s, company, "event")
	deliveries := make([]NewDelivery, n)
	for i := range deliveries {
		deliveries[i] = email("rule", fmt.Sprintf("user%d@example.com", i))
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

func testClaimLeavesRoomForOtherCompanies(t *testing.T, at place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	for _, company := range []string{"alpha", "bravo", "charlie"} {
		pending(t, s, company, 10)
	}
	count := func(c Claim) map[string]int {
		claimed, err := s.ClaimDeliveries(bg, c)
		g.Expect(err).NotTo(HaveOccurred())
		n := map[string]int{}
		for _, d := range claimed {
			n[d.Company]++
		}
		return n
	}
	g.Expect(count(Claim{Limit: 12, Lease: time.Minute, MaxPerCompany: 5, Held: map[string]int{"alpha": 5, "bravo": 4}})).
		To(Equal(map[string]int{"bravo": 1, "charlie": 5}))
	g.Expect(count(Claim{Limit: 1, Lease: time.Minute, MaxPerCompany: 5, Held: map[string]int{"alpha": 5, "bravo": 5}})).
		To(Equal(map[string]int{"charlie": 1}))
	g.Expect(count(Claim{Limit: 100, Lease: time.Minute})).
		To(Equal(map[string]int{"alpha": 10, "bravo": 9, "charlie": 4}))
}
