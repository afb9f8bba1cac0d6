// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

func testLog(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	start := clk.Now()
	Decided(t, s, "shop", "1", Email("a", "joe@example.com"), Email("b", "J_e@example.com"),
		ledger.NewDelivery{RuleName: "b", Channel: ledger.ChannelSMS, SkipReason: "ExpressionFalse", SkipMessage: "No."},
		ledger.NewDelivery{RuleName: "c", Channel: ledger.ChannelSMS, FailReason: "RenderFailed", FailMessage: "It fails."})
	sent := claimAll(t, s)
	g.Expect(s.MarkSent(bg, sent[0], "x")).To(Succeed())
	clk.Step(time.Minute)
	long := Email("d", "100%@example.com")
	long.Content.HTML = strings.Repeat("é", maxLogText)
	Decided(t, s, "shop", "2", long)
	inApp := []ledger.NewDelivery{Email("e", "u1"), Email("f", "u1")}
	for i := range inApp {
		inApp[i].Channel, inApp[i].UserID = ledger.ChannelSystem, "u1"
	}
	Decided(t, s, "club", "1", inApp...)
	for _, d := range claimAll(t, s) {
		if d.Company == "club" {
			g.Expect(s.MarkSent(bg, d, "")).To(Succeed())
			if d.RuleName == "e" {
				g.Expect(s.SetReceived(bg, "club", "u1", d.ID, true)).To(Succeed())
			}
		}
	}
	Decided(t, s, "bank", "1", Email("a", "joe@example.com"))

	yes, no := true, false
	for _, test := range []struct {
		name   string
		filter ledger.LogFilter
		want   string // rules with channels, newest first
	}{
		{"all", ledger.LogFilter{}, "d/email c/sms b/sms b/email a/email"},
		{"another company", ledger.LogFilter{Company: "bank"}, "a/email"},
		{"no company", ledger.LogFilter{Company: "x' OR 1=1 --"}, ""},
		{"rule", ledger.LogFilter{Rules: []string{"a", "c"}}, "c/sms a/email"},
		{"no rule", ledger.LogFilter{Rules: []string{}}, ""},
		{"channel", ledger.LogFilter{Channels: []string{ledger.ChannelSMS}}, "c/sms b/sms"},
		{"state", ledger.LogFilter{States: []ledger.DeliveryState{ledger.DeliveryFailed}}, "c/sms"},
		{"states", ledger.LogFilter{States: []ledger.DeliveryState{ledger.DeliveryFailed, ledger.DeliverySkipped}}, "c/sms b/sms"},
		{"sent", ledger.LogFilter{Sent: &yes}, "a/email"},
		{"not sent", ledger.LogFilter{Sent: &no}, "d/email c/sms b/sms b/email"},
		{"reason", ledger.LogFilter{Reason: "RenderFailed"}, "c/sms"},
		{"no reason", ledger.LogFilter{NotReasons: []string{"ExpressionFalse", "RenderFailed"}}, "d/email b/email a/email"},
		{"recipient", ledger.LogFilter{Recipient: "joe@example.com"}, "a/email"},
		{"user", ledger.LogFilter{Company: "club", UserID: "u1"}, "f/system e/system"},
		{"another user", ledger.LogFilter{Company: "club", UserID: "u2"}, ""},
		{"received", ledger.LogFilter{Company: "club", Received: &yes}, "e/system"},
		{"not received", ledger.LogFilter{Company: "club", Received: &no}, "f/system"},
		{"contains", ledger.LogFilter{RecipientContains: "@example"}, "d/email b/email a/email"},
		{"contains is not a pattern", ledger.LogFilter{RecipientContains: "_"}, "b/email"},
		{"contains is not a pattern either", ledger.LogFilter{RecipientContains: "%@"}, "d/email"},
		{"contains minds the case", ledger.LogFilter{RecipientContains: "j"}, "a/email"},
		{"contains anything", ledger.LogFilter{RecipientContains: "joe' OR '1'='1"}, ""},
		{"contains what can't be stored", ledger.LogFilter{RecipientContains: "\x00"}, ""},
		{"after", ledger.LogFilter{CreatedAfter: start}, "d/email"},
		{"after, exclusive", ledger.LogFilter{CreatedAfter: start.Add(-time.Millisecond)}, "d/email c/sms b/sms b/email a/email"},
		{"before, exclusive", ledger.LogFilter{CreatedBefore: start}, ""},
		{"before", ledger.LogFilter{CreatedBefore: start.Add(time.Millisecond), Channels: []string{ledger.ChannelEmail}}, "b/email a/email"},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := NewWithT(t)
			if test.filter.Company == "" {
				test.filter.Company = "shop"
			}
			page, err := s.Log(bg, test.filter, 0, 10)
			g.Expect(err).NotTo(HaveOccurred())
			var got []string
			for _, d := range page.Deliveries {
				got = append(got, d.RuleName+"/"+d.Channel)
			}
			g.Expect(strings.Join(got, " ")).To(Equal(test.want))
			g.Expect(page.Count).To(Equal(len(got)))
			g.Expect(page.More).To(BeFalse())
		})
	}

	page, err := s.Log(bg, ledger.LogFilter{Company: "shop"}, 1, 2)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page.Count).To(Equal(5))
	g.Expect(page.More).To(BeTrue())
	g.Expect([]string{page.Deliveries[0].RuleName, page.Deliveries[1].RuleName}).To(Equal([]string{"c", "b"}))

	page, err = s.Log(bg, ledger.LogFilter{Company: "shop", Rules: []string{"d"}}, 0, 1)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page.Deliveries[0].Content.HTML).To(Equal(strings.Repeat("é", maxLogText/2) + "…"))
	whole, err := s.LogEntry(bg, "shop", page.Deliveries[0].ID)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(whole.Content).To(Equal(long.Content))
	_, err = s.LogEntry(bg, "bank", whole.ID)
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
}

// claimAll claims due deliveries, up to a hundred.
func claimAll(t testing.TB, s ledger.Store) []ledger.ClaimedDelivery {
	t.Helper()
	claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 100, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return claimed
}

// endAll ends all pending deliveries. A claim may return fewer than are due, and one that was
// stored just now may be due a moment later: the server's clock is read again and again.
func endAll(t testing.TB, s ledger.Store, end func(ledger.ClaimedDelivery) error) {
	t.Helper()
	NewWithT(t).Eventually(func() (int64, error) {
		var ends sync.WaitGroup
		for _, d := range claimAll(t, s) {
			ends.Go(func() {
				if err := end(d); err != nil {
					t.Error(err)
				}
			})
		}
		ends.Wait()
		stats, err := s.Stats(bg)
		return stats.PendingDeliveries, err
	}).WithTimeout(3 * time.Minute).Should(BeZero())
}

// sendAll records that all pending deliveries were sent.
func sendAll(t testing.TB, s ledger.Store) {
	t.Helper()
	endAll(t, s, func(d ledger.ClaimedDelivery) error { return s.MarkSent(bg, d, "") })
}
