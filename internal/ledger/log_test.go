// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// decided stores the deliveries of an event of their own.
func decided(t testing.TB, s *Store, company, event string, deliveries ...NewDelivery) {
	t.Helper()
	accept(t, s, company, event)
	if err := s.CompleteEvent(bg, claimOne(t, s), deliveries); err != nil {
		t.Fatal(err)
	}
}

func testLog(t *testing.T, at place) {
	g := NewWithT(t)
	clk := fakeClock()
	s := at.open(t, clk)
	start := clk.Now()
	decided(t, s, "shop", "1", email("a", "joe@example.com"), email("b", "J_e@example.com"),
		NewDelivery{RuleName: "b", Channel: ChannelSMS, SkipReason: "ExpressionFalse", SkipMessage: "No."},
		NewDelivery{RuleName: "c", Channel: ChannelSMS, FailReason: "RenderFailed", FailMessage: "It fails."})
	sent := claimAll(t, s)
	g.Expect(s.MarkSent(bg, sent[0], "x")).To(Succeed())
	clk.Step(time.Minute)
	long := email("d", "100%@example.com")
	long.Content.HTML = strings.Repeat("é", maxLogText)
	decided(t, s, "shop", "2", long)
	inApp := []NewDelivery{email("e", "u1"), email("f", "u1")}
	for i := range inApp {
		inApp[i].Channel, inApp[i].UserID = ChannelSystem, "u1"
	}
	decided(t, s, "club", "1", inApp...)
	for _, d := range claimAll(t, s) {
		if d.Company == "club" {
			g.Expect(s.MarkSent(bg, d, "")).To(Succeed())
			if d.RuleName == "e" {
				g.Expect(s.SetReceived(bg, "club", "u1", d.ID, true)).To(Succeed())
			}
		}
	}
	decided(t, s, "bank", "1", email("a", "joe@example.com"))

	yes, no := true, false
	for _, test := range []struct {
		name   string
		filter LogFilter
		want   string // rules with channels, newest first
	}{
		{"all", LogFilter{}, "d/email c/sms b/sms b/email a/email"},
		{"another company", LogFilter{Company: "bank"}, "a/email"},
		{"no company", LogFilter{Company: "x' OR 1=1 --"}, ""},
		{"rule", LogFilter{Rules: []string{"a", "c"}}, "c/sms a/email"},
		{"no rule", LogFilter{Rules: []string{}}, ""},
		{"channel", LogFilter{Channels: []string{ChannelSMS}}, "c/sms b/sms"},
		{"state", LogFilter{States: []DeliveryState{DeliveryFailed}}, "c/sms"},
		{"states", LogFilter{States: []DeliveryState{DeliveryFailed, DeliverySkipped}}, "c/sms b/sms"},
		{"sent", LogFilter{Sent: &yes}, "a/email"},
		{"not sent", LogFilter{Sent: &no}, "d/email c/sms b/sms b/email"},
		{"reason", LogFilter{Reason: "RenderFailed"}, "c/sms"},
		{"no reason", LogFilter{NotReasons: []string{"ExpressionFalse", "RenderFailed"}}, "d/email b/email a/email"},
		{"recipient", LogFilter{Recipient: "joe@example.com"}, "a/email"},
		{"user", LogFilter{Company: "club", UserID: "u1"}, "f/system e/system"},
		{"another user", LogFilter{Company: "club", UserID: "u2"}, ""},
		{"received", LogFilter{Company: "club", Received: &yes}, "e/system"},
		{"not received", LogFilter{Company: "club", Received: &no}, "f/system"},
		{"contains", LogFilter{RecipientContains: "@example"}, "d/email b/email a/email"},
		{"contains is not a pattern", LogFilter{RecipientContains: "_"}, "b/email"},
		{"contains is not a pattern either", LogFilter{RecipientContains: "%@"}, "d/email"},
		{"contains minds the case", LogFilter{RecipientContains: "j"}, "a/email"},
		{"contains anything", LogFilter{RecipientContains: "joe' OR '1'='1"}, ""},
		{"contains what can't be stored", LogFilter{RecipientContains: "\x00"}, ""},
		{"after", LogFilter{CreatedAfter: start}, "d/email"},
		{"after, exclusive", LogFilter{CreatedAfter: start.Add(-time.Millisecond)}, "d/email c/sms b/sms b/email a/email"},
		{"before, exclusive", LogFilter{CreatedBefore: start}, ""},
		{"before", LogFilter{CreatedBefore: start.Add(time.Millisecond), Channels: []string{ChannelEmail}}, "b/email a/email"},
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

	page, err := s.Log(bg, LogFilter{Company: "shop"}, 1, 2)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page.Count).To(Equal(5))
	g.Expect(page.More).To(BeTrue())
	g.Expect([]string{page.Deliveries[0].RuleName, page.Deliveries[1].RuleName}).To(Equal([]string{"c", "b"}))

	page, err = s.Log(bg, LogFilter{Company: "shop", Rules: []string{"d"}}, 0, 1)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page.Deliveries[0].Content.HTML).To(Equal(strings.Repeat("é", maxLogText/2) + "…"))
	whole, err := s.LogEntry(bg, "shop", page.Deliveries[0].ID)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(whole.Content).To(Equal(long.Content))
	_, err = s.LogEntry(bg, "bank", whole.ID)
	g.Expect(err).To(MatchError(ErrNotFound))
}

// claimAll claims all due deliveries.
func claimAll(t testing.TB, s *Store) []ClaimedDelivery {
	t.Helper()
	claimed, err := s.ClaimDeliveries(bg, Claim{Limit: 100, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return claimed
}

// testLogTurns: who waits for a turn in vain is told so, and no work waits.
func testLogTurns(t *testing.T, at place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	for range logQueries {
		s.logQueries <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(bg, 10*time.Millisecond)
	defer cancel()
	_, err := s.Log(ctx, LogFilter{Company: "shop"}, 0, 10)
	g.Expect(err).To(MatchError(ErrUnavailable))
	g.Expect(err).To(MatchError(context.DeadlineExceeded))
	_, _, err = s.ResendAll(ctx, LogFilter{Company: "shop"}, 10)
	g.Expect(err).To(MatchError(ErrUnavailable))
	pending(t, s, "shop", 1)
	claimDelivery(t, s)
	for range logQueries {
		<-s.logQueries
	}
	_, err = s.Log(bg, LogFilter{Company: "shop"}, 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	over, cancel := context.WithTimeout(bg, 0)
	defer cancel()
	_, err = s.logPage(over, "WHERE company = $1", []any{"shop"}, "DESC", 0, 10)
	g.Expect(stopped(over, "x", err)).To(And(MatchError(ErrUnavailable), MatchError(context.DeadlineExceeded)))
	g.Expect(s.Healthy(bg)).To(Succeed())
}

// BenchmarkLog is the first page of the log of a company with 100,000 deliveries,
// and a search through all of them.
func BenchmarkLog(b *testing.B) {
	s := open(b, b.TempDir()+"/ledger.db", nil)
	for event := range 200 {
		deliveries := make([]NewDelivery, 500)
		for i := range deliveries {
			deliveries[i] = email("rule", fmt.Sprintf("user%d-%d@example.com", event, i))
			deliveries[i].Content.HTML = string(benchData)
		}
		decided(b, s, "shop", fmt.Sprint(event), deliveries...)
	}
	for name, f := range map[string]LogFilter{
		"first page": {Company: "shop", NotReasons: []string{"ExpressionFalse", "RuleDisabled"}}, "search": {Company: "shop", RecipientContains: "user1-1@"},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Log(bg, f, 0, 15); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
