// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

func testInbox(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	inApp := func(rule, user string) ledger.NewDelivery {
		return ledger.NewDelivery{RuleName: rule, Channel: ledger.ChannelSystem, Recipient: user, UserID: user, Content: ledger.Content{Text: rule}}
	}
	mail := Email("mail", "zoe@example.com")
	mail.UserID = "zoe"
	skipped := ledger.NewDelivery{RuleName: "skipped", Channel: ledger.ChannelSystem, Recipient: "zoe", UserID: "zoe", SkipReason: "OptedOut"}
	for company, deliveries := range map[string][]ledger.NewDelivery{
		"bank": {inApp("other", "zoe")},
		"shop": {inApp("first", "zoe"), mail, skipped, inApp("other", "joe")},
	} {
		Accept(t, s, company, "1")
		g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), deliveries)).To(Succeed())
	}
	start := clk.Now()
	clk.Step(time.Minute)
	Accept(t, s, "shop", "2")
	g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), []ledger.NewDelivery{inApp("second", "zoe"), inApp("third", "zoe")})).To(Succeed())

	zoe := func(change func(*ledger.InboxFilter)) (texts []string) {
		t.Helper()
		f := ledger.InboxFilter{Company: "shop", UserID: "zoe"}
		if change != nil {
			change(&f)
		}
		found, err := s.Inbox(bg, f)
		g.Expect(err).NotTo(HaveOccurred())
		for _, d := range found {
			texts = append(texts, d.Content.Text)
		}
		if f.Limit == 0 && f.Offset == 0 {
			g.Expect(s.InboxCount(bg, f)).To(Equal(len(found)))
		}
		return texts
	}
	g.Expect(zoe(nil)).To(BeEmpty(), "nothing is delivered yet")
	claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 100, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(6))
	for _, d := range claimed {
		g.Expect(s.MarkSent(bg, d, "")).To(Succeed())
	}

	g.Expect(zoe(nil)).To(Equal([]string{"third", "second", "first"}), "newest first")
	g.Expect(zoe(func(f *ledger.InboxFilter) { f.Limit = 2 })).To(Equal([]string{"third", "second"}))
	g.Expect(zoe(func(f *ledger.InboxFilter) { f.Offset = 1 })).To(Equal([]string{"second", "first"}))
	g.Expect(zoe(func(f *ledger.InboxFilter) { f.CreatedAfter = start })).To(Equal([]string{"third", "second"}))
	g.Expect(zoe(func(f *ledger.InboxFilter) { f.CreatedBefore = clk.Now() })).To(Equal([]string{"first"}))

	all, err := s.Inbox(bg, ledger.InboxFilter{Company: "shop", UserID: "zoe"})
	g.Expect(err).NotTo(HaveOccurred())
	second := all[1]
	g.Expect(zoe(func(f *ledger.InboxFilter) { f.After = second.ID })).To(Equal([]string{"first"}))
	g.Expect(second.UserID).To(Equal("zoe"))
	g.Expect(second.ReceivedAt).To(BeZero())

	clk.Step(time.Minute)
	g.Expect(s.SetReceived(bg, "shop", "zoe", second.ID, true)).To(Succeed())
	got, err := s.InboxMessage(bg, "shop", "zoe", second.ID)
	g.Expect(err).NotTo(HaveOccurred())
	want := second
	want.ReceivedAt = clk.Now()
	g.Expect(got).To(Equal(want))
	yes, no := true, false
	g.Expect(zoe(func(f *ledger.InboxFilter) { f.Received = &yes })).To(Equal([]string{"second"}))
	g.Expect(zoe(func(f *ledger.InboxFilter) { f.Received = &no })).To(Equal([]string{"third", "first"}))
	g.Expect(s.SetReceived(bg, "shop", "zoe", second.ID, false)).To(Succeed())
	g.Expect(zoe(func(f *ledger.InboxFilter) { f.Received = &yes })).To(BeEmpty())

	// Nobody reaches another's message, nor one that isn't in an inbox.
	log, err := s.ListDeliveries(bg, ledger.DeliveryFilter{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(log).To(HaveLen(7))
	for _, d := range log {
		if d.Company == "shop" && d.UserID == "zoe" && d.Channel == ledger.ChannelSystem && d.State == ledger.DeliverySent {
			continue
		}
		_, err := s.InboxMessage(bg, "shop", "zoe", d.ID)
		g.Expect(err).To(MatchError(ledger.ErrNotFound))
		g.Expect(s.SetReceived(bg, "shop", "zoe", d.ID, true)).To(MatchError(ledger.ErrNotFound))
	}
}

func testAllReceived(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	inApp := func(rule, user string) ledger.NewDelivery {
		return ledger.NewDelivery{RuleName: rule, Channel: ledger.ChannelSystem, Recipient: user, UserID: user, Content: ledger.Content{Text: rule}}
	}
	const messages = 450 // several steps
	for company, n := range map[string]int{"shop": messages, "bank": 1} {
		deliveries := []ledger.NewDelivery{inApp("other", "joe"), Email("mail", "zoe@example.com")}
		for i := range n {
			deliveries = append(deliveries, inApp(fmt.Sprint("rule-", i), "zoe"))
		}
		Decided(t, s, company, "1", deliveries...)
	}
	sendAll(t, s)
	no := false
	unread := func(company, user string) int {
		t.Helper()
		n, err := s.InboxCount(bg, ledger.InboxFilter{Company: company, UserID: user, Received: &no})
		g.Expect(err).NotTo(HaveOccurred())
		return n
	}
	newest, err := s.Inbox(bg, ledger.InboxFilter{Company: "shop", UserID: "zoe", Limit: 2})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.SetReceived(bg, "shop", "zoe", newest[1].ID, true)).To(Succeed())
	g.Expect(s.SetAllReceived(bg, "shop", "zoe", newest[1].ID)).To(Equal(messages - 2))
	g.Expect(unread("shop", "zoe")).To(Equal(1), "a message that the user had not seen yet stays unread")
	g.Expect(s.SetAllReceived(bg, "shop", "zoe", newest[0].ID)).To(Equal(1))
	g.Expect(s.SetAllReceived(bg, "shop", "zoe", newest[0].ID)).To(BeZero())
	g.Expect(unread("shop", "joe")).To(Equal(1))
	g.Expect(unread("bank", "zoe")).To(Equal(1))
}

// testLongInbox reads a page of which the texts would take a hundred megabytes.
func testLongInbox(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	long := strings.Repeat("é", 300<<10)
	var deliveries []ledger.NewDelivery
	for i := range 12 {
		deliveries = append(deliveries, ledger.NewDelivery{
			RuleName: fmt.Sprint("rule-", i), Channel: ledger.ChannelSystem, Recipient: "zoe", UserID: "zoe", Content: ledger.Content{Text: long, HTML: long},
		})
	}
	Decided(t, s, "shop", "1", deliveries...)
	for _, d := range claimAll(t, s) {
		g.Expect(s.MarkSent(bg, d, "")).To(Succeed())
	}
	found, err := s.Inbox(bg, ledger.InboxFilter{Company: "shop", UserID: "zoe"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found).To(HaveLen(len(deliveries)))
	for i, d := range found {
		want := strings.Repeat("é", maxLogText/2) + "…"
		if i == 0 {
			want = long
		}
		g.Expect(d.Content.Text == want && d.Content.HTML == want).To(BeTrue(), "message %d has texts of %d and %d bytes", i, len(d.Content.Text), len(d.Content.HTML))
	}
	whole, err := s.InboxMessage(bg, "shop", "zoe", found[11].ID)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(whole.Content.Text).To(HaveLen(len(long)))
}

// testInboxArrivals checks that in-app messages are found in the order in which they were
// delivered, which is not that of their IDs.
func testInboxArrivals(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	inApp := func(rule, user string) ledger.NewDelivery {
		return ledger.NewDelivery{RuleName: rule, Channel: ledger.ChannelSystem, Recipient: user, UserID: user, Content: ledger.Content{Text: rule}}
	}
	start := clk.Now()
	Decided(t, s, "shop", "1", inApp("late", "zoe"), inApp("first", "zoe"), Email("mail", "zoe@example.com"), inApp("other", "joe"))
	Decided(t, s, "bank", "1", inApp("same-id", "zoe"))
	ids := map[string]int64{}
	byRule := map[string]ledger.ClaimedDelivery{}
	for _, d := range claimAll(t, s) {
		ids[d.Company+" "+d.RuleName], byRule[d.Company+" "+d.RuleName] = d.ID, d
	}
	deliver := func(names ...string) {
		t.Helper()
		clk.Step(ledger.InboxOverlap + time.Second)
		for _, name := range names {
			d := byRule[name]
			g.Expect(s.RenewDelivery(bg, &d, time.Minute)).To(Succeed())
			g.Expect(s.MarkSent(bg, d, "")).To(Succeed())
		}
	}
	arrived := func(after ledger.InboxPlace, limit int) (names []string, last ledger.InboxPlace) {
		t.Helper()
		found, err := s.InboxArrivals(bg, after, limit)
		g.Expect(err).NotTo(HaveOccurred())
		for _, a := range found {
			for name, id := range ids {
				if id == a.ID {
					g.Expect(name).To(HavePrefix(a.Company + " "))
					g.Expect(a.UserID).To(Equal(byRule[name].UserID))
					names = append(names, name)
				}
			}
			last = a.InboxPlace
		}
		return names, last
	}
	after := func(name string) (names []string) {
		t.Helper()
		found, err := s.InboxAfter(bg, "shop", "zoe", ids[name])
		g.Expect(err).NotTo(HaveOccurred())
		for _, id := range found {
			for name, known := range ids {
				if id == known {
					names = append(names, name)
				}
			}
		}
		return names
	}
	g.Expect(after("none")).To(BeEmpty())
	deliver("shop mail", "shop first", "shop other")
	deliver("bank same-id")
	deliver("shop late")
	all, _ := arrived(ledger.InboxPlace{At: start}, 100)
	g.Expect(all).To(Equal([]string{"shop first", "shop other", "bank same-id", "shop late"}))
	two, place := arrived(ledger.InboxPlace{At: start}, 2)
	g.Expect(two).To(Equal([]string{"shop first", "shop other"}))
	rest, place := arrived(place, 100)
	g.Expect(rest).To(Equal([]string{"bank same-id", "shop late"}))
	none, _ := arrived(place, 100)
	g.Expect(none).To(BeEmpty())

	// A message that was delivered later is found although its ID is less.
	g.Expect(after("shop first")).To(Equal([]string{"shop late"}))
	g.Expect(after("shop late")).To(BeEmpty())
	g.Expect(after("none")).To(Equal([]string{"shop first", "shop late"}), "after the beginning")
	g.Expect(after("shop mail")).To(BeEmpty(), "a message that is not in the inbox, after all that are")
	g.Expect(s.SetReceived(bg, "shop", "zoe", ids["shop first"], true)).To(Succeed())
	g.Expect(after("shop late")).To(BeEmpty(), "reading a message doesn't deliver it again")

	// One that was delivered shortly before is included: it may have become visible afterwards.
	Decided(t, s, "shop", "2", inApp("soon", "zoe"))
	soon := claimAll(t, s)[0]
	ids["shop soon"] = soon.ID
	clk.Step(ledger.InboxOverlap / 2)
	g.Expect(s.MarkSent(bg, soon, "")).To(Succeed())
	g.Expect(after("shop soon")).To(Equal([]string{"shop late"}))

	// Only the newest messages are considered.
	var many []ledger.NewDelivery
	for i := range ledger.MaxInboxAfter {
		many = append(many, inApp(fmt.Sprint("rule-", i), "zoe"))
	}
	Decided(t, s, "shop", "3", many...)
	sendAll(t, s)
	g.Expect(s.InboxAfter(bg, "shop", "zoe", ids["shop first"])).To(HaveLen(ledger.MaxInboxAfter))
}
