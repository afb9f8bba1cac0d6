// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

// chain returns a push message, an SMS that stands in for it, and an email that stands in for
// that.
func chain(unread time.Duration) []ledger.NewDelivery {
	user := "11111111-2222-4333-8444-555555555555"
	push, sms, email := about("a-push", user, user), about("b-sms", "+27820000001", user), about("c-email", "zoe@example.com", user)
	push.Channel, sms.Channel = ledger.ChannelPush, ledger.ChannelSMS
	sms.Sensitive = true
	sms.Fallback = &ledger.Fallback{RuleName: push.RuleName, Channel: push.Channel, Recipient: push.Recipient, Waits: true, IfUnread: unread}
	email.Fallback = &ledger.Fallback{RuleName: sms.RuleName, Channel: sms.Channel, Recipient: sms.Recipient, Waits: true}
	for _, d := range []*ledger.NewDelivery{&push, &sms, &email} {
		d.ValidFor = time.Hour
	}
	return []ledger.NewDelivery{push, sms, email}
}

// states returns the states and reasons of an event's deliveries by rule.
func states(t testing.TB, s ledger.Store) map[string]string {
	t.Helper()
	list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for i := range list {
		found[list[i].RuleName+"/"+list[i].Channel] = string(list[i].State) + " " + list[i].Reason
	}
	return found
}

func testFallback(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	Decided(t, s, "shop", "1", chain(0)...)
	push := ClaimDelivery(t, s)
	g.Expect(push.Channel).To(Equal(ledger.ChannelPush), "the others wait")
	g.Expect(s.RetryDelivery(bg, push, 0, "Busy", "It is busy.")).To(Succeed())
	push = ClaimDelivery(t, s)
	g.Expect(s.FailDelivery(bg, push, "Refused", "It was refused.")).To(Succeed())
	g.Expect(raised(s.DeliveriesReady())).To(BeTrue())
	sms := ClaimDelivery(t, s)
	g.Expect(sms.Channel).To(Equal(ledger.ChannelSMS))
	g.Expect(sms.FallbackOf).To(Equal(push.ID))
	g.Expect(sms.EventID).To(Equal("1"))
	g.Expect(sms.Content.Text).To(Equal("You paid."))
	g.Expect(sms.ExpiresAt).To(Equal(push.ExpiresAt), "validity counts from the event")
	g.Expect(s.MarkSent(bg, sms, "x")).To(Succeed())
	g.Expect(states(t, s)).To(Equal(map[string]string{"a-push/push": "failed Refused", "b-sms/sms": "sent ", "c-email/email": "skipped FallbackNotNeeded"}))
	g.Expect(entry(t, s, sms.ID).Content.Text).To(Equal(ledger.Mask))
	g.Expect(s.MarkSent(bg, sms, "x")).To(MatchError(ledger.ErrLeaseLost))
	g.Expect(claimAll(t, s)).To(BeEmpty())
	g.Expect(s.Close()).To(Succeed())
	s = at.open(t, clk)
	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())
	g.Expect(at.stored(t, "shop")).To(BeZero())
}

// A message that is sent needs none that stands in for it, and the texts go.
func testFallbackNotNeeded(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, FakeClock())
	Decided(t, s, "shop", "1", chain(0)...)
	g.Expect(s.MarkSent(bg, ClaimDelivery(t, s), "x")).To(Succeed())
	g.Expect(states(t, s)).To(Equal(map[string]string{"a-push/push": "sent ", "b-sms/sms": "skipped FallbackNotNeeded", "c-email/email": "skipped FallbackNotNeeded"}))
	list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop", Rule: "b-sms"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list[0].Content.Text).To(Equal(ledger.Mask))
	// As are those of a company that leaves.
	Decided(t, s, "shop", "2", chain(0)...)
	g.Expect(s.CancelCompany(bg, "shop", ledger.ReasonCompanyDeleted, "It is gone.")).To(Succeed())
	list, err = s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop", EventID: "2"})
	g.Expect(err).NotTo(HaveOccurred())
	for _, d := range list {
		g.Expect(d.State).To(Equal(ledger.DeliveryCancelled), d.RuleName)
	}
	g.Expect(list[1].Content.Text).To(Equal(ledger.Mask))
}

// Messages that expire hand over as well, and those that stand in for them have expired too.
func testFallbackOfExpired(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	deliveries := chain(0)
	deliveries[0].ValidFor = 10 * time.Minute
	Decided(t, s, "shop", "1", deliveries...)
	clk.Step(11 * time.Minute)
	g.Expect(s.ExpireDeliveries(bg)).To(Equal(1))
	sms := ClaimDelivery(t, s)
	g.Expect(sms.Channel).To(Equal(ledger.ChannelSMS))
	g.Expect(sms.Validity).To(Equal(49 * time.Minute))
	g.Expect(s.SkipDelivery(bg, sms, ledger.ReasonSuppressed, "The number is suppressed.")).To(Succeed())
	email := ClaimDelivery(t, s)
	g.Expect(email.Channel).To(Equal(ledger.ChannelEmail))
	g.Expect(email.FallbackOf).To(Equal(sms.ID))
	g.Expect(s.ReleaseDelivery(bg, email)).To(Succeed())
	clk.Step(time.Hour)
	g.Expect(s.ExpireDeliveries(bg)).To(Equal(1))
	g.Expect(states(t, s)).To(Equal(map[string]string{"a-push/push": "failed Expired", "b-sms/sms": "skipped Suppressed", "c-email/email": "failed Expired"}))
}

// A message that nobody reads is followed by another, after its time and not before, also if
// everything that waits is woken or the ledger is opened again.
func testFallbackOfUnread(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	unread := func(id string) ledger.Delivery {
		deliveries := chain(5 * time.Minute)
		read := about("a-push", deliveries[0].Recipient, deliveries[0].UserID)
		read.Channel = ledger.ChannelSystem
		Decided(t, s, "shop", id, append(deliveries, read)...)
		for _, d := range claimAll(t, s) {
			g.Expect(s.MarkSent(bg, d, "x")).To(Succeed())
		}
		list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop", EventID: id, State: ledger.DeliverySent})
		g.Expect(err).NotTo(HaveOccurred())
		for i := range list {
			if list[i].Channel == ledger.ChannelSystem {
				return list[i]
			}
		}
		t.Fatal("there is no in-app copy")
		return ledger.Delivery{}
	}
	unread("1")
	raised(s.DeliveriesReady())
	g.Expect(s.WakeDeliveries(bg, ledger.Lane{Company: "shop", Channel: ledger.ChannelSMS})).To(Succeed())
	g.Expect(raised(s.DeliveriesReady())).To(BeFalse(), "there is nothing to try again")
	g.Expect(claimAll(t, s)).To(BeEmpty(), "it is not time yet")
	g.Expect(s.Close()).To(Succeed())
	s = at.open(t, clk)
	clk.Step(4 * time.Minute)
	g.Expect(claimAll(t, s)).To(BeEmpty())
	clk.Step(time.Minute)
	sms := ClaimDelivery(t, s)
	g.Expect(sms.Channel).To(Equal(ledger.ChannelSMS))
	g.Expect(s.MarkSent(bg, sms, "x")).To(Succeed())
	g.Expect(states(t, s)["c-email/email"]).To(Equal("skipped FallbackNotNeeded"))

	read := unread("2")
	g.Expect(s.SetReceived(bg, "shop", read.UserID, read.ID, true)).To(Succeed())
	clk.Step(5 * time.Minute)
	g.Expect(claimAll(t, s)).To(BeEmpty(), "it was read")
	list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop", EventID: "2", Rule: "b-sms"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list[0].State).To(Equal(ledger.DeliverySkipped))
	g.Expect(list[0].Reason).To(Equal(ledger.ReasonFallbackNotNeeded))
	g.Expect(list[0].Content.Text).To(Equal(ledger.Mask))
}

// An event that is decided again changes nothing, and one that is stored in steps may have sent
// a message before the one that stands in for it is stored.
func testFallbackAgain(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, FakeClock())
	all := chain(0)
	Accept(t, s, "shop", "1")
	e := ClaimOne(t, s)
	g.Expect(s.AddDeliveries(bg, &e, all[:1])).To(Succeed())
	g.Expect(s.FailDelivery(bg, ClaimDelivery(t, s), "Refused", "It was refused.")).To(Succeed())
	g.Expect(s.CompleteEvent(bg, e, all)).To(Succeed())
	sms := ClaimDelivery(t, s)
	g.Expect(sms.Channel).To(Equal(ledger.ChannelSMS))
	g.Expect(s.MarkSent(bg, sms, "x")).To(Succeed())

	Accept(t, s, "shop", "2")
	e = ClaimOne(t, s)
	g.Expect(s.AddDeliveries(bg, &e, all)).To(Succeed())
	g.Expect(s.FailDelivery(bg, ClaimDelivery(t, s), "Refused", "It was refused.")).To(Succeed())
	g.Expect(s.MarkSent(bg, ClaimDelivery(t, s), "x")).To(Succeed())
	g.Expect(s.CompleteEvent(bg, e, all)).To(Succeed())
	g.Expect(claimAll(t, s)).To(BeEmpty())
	list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list).To(HaveLen(6))
}

// A message that turns out to have been sent needs none that stands in for it either, or one
// after the time in which it may be read.
func testFallbackOfSettled(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	settled := func(id string, unread time.Duration) map[string]string {
		Decided(t, s, "shop", id, chain(unread)...)
		push := ClaimDelivery(t, s)
		g.Expect(s.RetryDelivery(bg, push, time.Hour, "OutcomeUnknown", "It may have arrived.")).To(Succeed())
		raised(s.DeliveriesReady())
		changed, err := s.RecordFeedback(bg, []ledger.Feedback{{Delivery: push.ID, Company: "shop", Outcome: ledger.OutcomeDelivered, At: clk.Now()}})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(changed).To(Equal([]bool{true}))
		g.Expect(raised(s.DeliveriesReady())).To(BeTrue())
		return states(t, s)
	}
	g.Expect(settled("1", 0)).To(Equal(map[string]string{"a-push/push": "sent ", "b-sms/sms": "skipped FallbackNotNeeded", "c-email/email": "skipped FallbackNotNeeded"}))
	list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop", Rule: "b-sms"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list[0].Content.Text).To(Equal(ledger.Mask))
	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())

	g.Expect(settled("2", 5*time.Minute)).To(HaveKeyWithValue("b-sms/sms", "pending FallbackUnread"))
	g.Expect(claimAll(t, s)).To(BeEmpty())
	clk.Step(5 * time.Minute)
	g.Expect(ClaimDelivery(t, s).Channel).To(Equal(ledger.ChannelSMS))
}

// The texts of a message that isn't needed because another one was read are taken off what
// the company stores.
func testFallbackOfReadIsFree(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	deliveries := chain(5 * time.Minute)
	deliveries[1].Content.Text = strings.Repeat("x", 10_000)
	read := about("a-push", deliveries[0].Recipient, deliveries[0].UserID)
	read.Channel = ledger.ChannelSystem
	Decided(t, s, "shop", "1", append(deliveries, read)...)
	for _, d := range claimAll(t, s) {
		g.Expect(s.MarkSent(bg, d, "x")).To(Succeed())
	}
	inbox, err := s.Inbox(bg, ledger.InboxFilter{Company: "shop", UserID: read.UserID})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(inbox).To(HaveLen(1))
	g.Expect(s.SetReceived(bg, "shop", read.UserID, inbox[0].ID, true)).To(Succeed())
	clk.Step(5 * time.Minute)
	g.Expect(claimAll(t, s)).To(BeEmpty(), "it was read")
	g.Expect(s.Close()).To(Succeed())
	s = at.open(t, clk)
	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())
	g.Expect(at.stored(t, "shop")).To(BeZero())
}

// A claim returns some of the messages that aren't to be sent after all, and ends: thousands
// of them in one transaction would delay everybody.
func testClaimEndsAfterManyUnread(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	const n = 3 * maxReturned
	deliveries := make([]ledger.NewDelivery, 0, 3*n)
	for i := range n {
		user := fmt.Sprintf("11111111-2222-4333-8444-%012d", i)
		inApp, sms := about("a", user, user), about("b", fmt.Sprintf("+2782%07d", i), user)
		inApp.Channel, sms.Channel = ledger.ChannelSystem, ledger.ChannelSMS
		sms.Fallback = &ledger.Fallback{RuleName: inApp.RuleName, Channel: inApp.Channel, Recipient: inApp.Recipient, Waits: true, IfUnread: time.Minute}
		deliveries = append(deliveries, inApp, sms)
	}
	Decided(t, s, "shop", "1", deliveries...)
	sent, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: n, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(sent).To(HaveLen(n))
	var marking sync.WaitGroup
	for _, d := range sent {
		marking.Go(func() {
			if err := errors.Join(s.MarkSent(bg, d, "x"), s.SetReceived(bg, "shop", d.UserID, d.ID, true)); err != nil {
				t.Error(err)
			}
		})
	}
	marking.Wait()
	clk.Step(time.Minute)
	Decided(t, s, "bank", "1", Email("a", "joe@example.com"))
	claimed := claimAll(t, s)
	g.Expect(claimed).To(HaveLen(1), "the other company's")
	left := func() int {
		list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop", State: ledger.DeliveryPending, Limit: 1000})
		g.Expect(err).NotTo(HaveOccurred())
		return len(list)
	}
	g.Expect(left()).To(BeNumerically("~", n-maxReturned, 100))
	for range 3 {
		_, due, err := s.NextDeliveryDue(bg, nil)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(due).To(BeTrue(), "who claims asks again")
		g.Expect(claimAll(t, s)).To(BeEmpty())
	}
	g.Expect(left()).To(BeZero())
}
