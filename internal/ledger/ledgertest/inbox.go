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
	for {
		claimed := claimAll(t, s)
		if len(claimed) == 0 {
			break
		}
		for _, d := range claimed {
			g.Expect(s.MarkSent(bg, d, "")).To(Succeed())
		}
	}
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
