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

func testSuppressions(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	suppress := func(company, user, address string, reason ledger.SuppressionReason, keep time.Duration) {
		t.Helper()
		g.Expect(s.Suppress(bg, ledger.Suppression{Company: company, Channel: ledger.ChannelPush, Recipient: user, Address: address, Reason: reason}, keep)).To(Succeed())
	}
	expect := func(company, user, want string) {
		t.Helper()
		found, err := s.Suppressed(bg, company, ledger.ChannelPush, user)
		g.Expect(err).NotTo(HaveOccurred())
		got := make([]string, 0, len(found))
		for _, f := range found {
			g.Expect([]string{f.Company, f.Channel, f.Recipient}).To(Equal([]string{company, ledger.ChannelPush, user}))
			got = append(got, f.Address+" "+string(f.Reason)+" "+f.Since.UTC().Format("15:04"))
		}
		g.Expect(got).To(ConsistOf(strings.FieldsFunc(want, func(r rune) bool { return r == ',' })))
	}
	now := func() string { return clk.Now().UTC().Format("15:04") }
	began := now()
	suppress("shop", "zoe", "a", "Gone", time.Hour)
	suppress("shop", "zoe", "b", "Gone", 0)
	suppress("shop", "joe", "a", "Gone", time.Hour)
	suppress("bank", "zoe", "a", "Gone", time.Hour)
	expect("shop", "zoe", "a Gone "+began+",b Gone "+began)
	expect("shop", "ann", "")

	clk.Step(30 * time.Minute)
	suppress("shop", "zoe", "a", "Gone", time.Hour)
	expect("shop", "zoe", "a Gone "+now()+",b Gone "+began)
	g.Expect(s.Unsuppress(bg, "shop", ledger.ChannelPush, "zoe", "b", "none")).To(Succeed())
	g.Expect(s.Unsuppress(bg, "shop", ledger.ChannelSMS, "zoe", "a")).To(Succeed())
	renewed := now()
	expect("shop", "zoe", "a Gone "+renewed)

	// They end by themselves.
	clk.Step(31 * time.Minute)
	expect("shop", "joe", "")
	expect("shop", "zoe", "a Gone "+renewed)
	g.Expect(s.DeleteSuppressions(bg)).To(Succeed())
	var rows int
	at.query(t, "SELECT COUNT(*) FROM suppressions", &rows)
	g.Expect(rows).To(Equal(1))

	// Stored suppressions count after the ledger is opened again.
	g.Expect(s.Close()).To(Succeed())
	s = at.open(t, clk)
	expect("shop", "zoe", "a Gone "+renewed)

	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())
	expect("shop", "zoe", "")
	g.Expect(s.Suppress(bg, ledger.Suppression{Company: "shop", Channel: ledger.ChannelPush}, 0)).NotTo(Succeed())
}

// testSuppressedRecipients tests suppressions of recipients themselves.
func testSuppressedRecipients(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	suppress := func(company, channel, address string, reason ledger.SuppressionReason, keep time.Duration) {
		t.Helper()
		g.Expect(s.Suppress(bg, ledger.Suppression{Company: company, Channel: channel, Address: address, Reason: reason, Note: "by " + string(reason)}, keep)).To(Succeed())
	}
	among := func(company, channel string, recipients ...string) map[string]ledger.SuppressionReason {
		t.Helper()
		found, err := s.SuppressedAmong(bg, company, channel, recipients...)
		g.Expect(err).NotTo(HaveOccurred())
		return found
	}
	suppress("shop", ledger.ChannelEmail, "Zoë@Example.com", ledger.SuppressedStop, 0)
	suppress("shop", ledger.ChannelSMS, "+27820000001", ledger.SuppressedManual, 0)
	suppress("shop", ledger.ChannelPush, "token", ledger.SuppressedHardBounce, 0)
	suppress("bank", ledger.ChannelEmail, "joe@example.com", ledger.SuppressedStop, 0)

	// In any form of the address, and in this company and channel only.
	g.Expect(among("shop", ledger.ChannelEmail, "ZOE\u0308@EXAMPLE.COM", "joe@example.com", "+27820000001")).To(Equal(
		map[string]ledger.SuppressionReason{"ZOE\u0308@EXAMPLE.COM": ledger.SuppressedStop}))
	g.Expect(among("bank", ledger.ChannelEmail, "zoë@example.com")).To(BeEmpty())
	g.Expect(among("shop", ledger.ChannelSMS, "+27820000001", "+27820000002")).To(Equal(map[string]ledger.SuppressionReason{"+27820000001": ledger.SuppressedManual}))
	g.Expect(s.Suppressed(bg, "shop", ledger.ChannelPush, "token")).To(BeEmpty(), "it is a recipient, not an address of one")

	// An address can be suppressed for several reasons, each of which ends by itself.
	suppress("shop", ledger.ChannelEmail, "zoë@example.com", ledger.SuppressedHardBounce, time.Hour)
	g.Expect(among("shop", ledger.ChannelEmail, "zoë@example.com")["zoë@example.com"]).To(Equal(ledger.SuppressedHardBounce))
	clk.Step(time.Hour)
	g.Expect(among("shop", ledger.ChannelEmail, "zoë@example.com")["zoë@example.com"]).To(Equal(ledger.SuppressedStop))
	suppress("shop", ledger.ChannelEmail, "zoë@example.com", ledger.SuppressedHardBounce, time.Hour)
	g.Expect(s.EndSuppressions(bg, "shop", ledger.ChannelEmail, "ZOË@example.com", ledger.SuppressedHardBounce, ledger.SuppressedManual)).To(Equal(1))
	g.Expect(s.EndSuppressions(bg, "shop", ledger.ChannelEmail, "joe@example.com", ledger.SuppressedStop)).To(BeZero(), "another company's")
	// One that doesn't end isn't shortened.
	suppress("shop", ledger.ChannelEmail, "zoë@example.com", ledger.SuppressedStop, time.Minute)
	clk.Step(time.Hour)
	g.Expect(among("shop", ledger.ChannelEmail, "zoë@example.com")).To(HaveLen(1))

	page, err := s.ListSuppressions(bg, ledger.SuppressionFilter{Company: "shop"}, 0, 2)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page.Count).To(Equal(3))
	g.Expect(page.More).To(BeTrue())
	g.Expect(page.Suppressions[0].Address).To(Equal("token"))
	g.Expect(page.Suppressions[0].Note).To(Equal("by HardBounce"))
	g.Expect(page.Suppressions[0].Source).To(Equal(ledger.SourceProvider))
	for want, f := range map[string]ledger.SuppressionFilter{
		"zoë@example.com": {Channel: ledger.ChannelEmail}, "+27820000001": {Reason: ledger.SuppressedManual}, "token": {Address: "TOKEN"},
	} {
		f.Company = "shop"
		page, err := s.ListSuppressions(bg, f, 0, 10)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(page.Suppressions).To(HaveLen(1))
		g.Expect(page.Suppressions[0].Address).To(Equal(want))
	}
	id := page.Suppressions[0].ID
	_, err = s.Suppression(bg, "bank", id)
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
	g.Expect(s.DeleteSuppression(bg, "bank", id)).To(MatchError(ledger.ErrNotFound))
	g.Expect(s.DeleteSuppression(bg, "shop", id)).To(Succeed())
	_, err = s.Suppression(bg, "shop", id)
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
}

// testSuppressionsAreBounded tests that a company without room can still renew.
func testSuppressionsAreBounded(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	first := ledger.Suppression{Company: "shop", Channel: ledger.ChannelEmail, Address: "a0@example.com", Reason: ledger.SuppressedHardBounce}
	g.Expect(s.Suppress(bg, first, time.Hour)).To(Succeed())
	at.exec(t, fmt.Sprintf(`INSERT INTO suppressions (company, channel, recipient, address, reason, since_at, expires_at)
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT 'shop', 'email', '', 'a' || i || '@example.com', 'Stop', 1, 0 FROM n`, ledger.MaxSuppressions-1))
	next := first
	next.Address = "one-too-many@example.com"
	full := s.Suppress(bg, next, time.Hour)
	g.Expect(full).To(MatchError(ledger.ErrSuppressionsFull))
	g.Expect(full).NotTo(MatchError(ledger.ErrUnavailable), "it works")
	clk.Step(30 * time.Minute)
	g.Expect(s.Suppress(bg, first, time.Hour)).To(Succeed())
	clk.Step(40 * time.Minute)
	g.Expect(s.SuppressedAmong(bg, "shop", ledger.ChannelEmail, "a0@example.com")).To(HaveLen(1), "it was renewed")
	next.Channel = ledger.ChannelSMS
	g.Expect(s.Suppress(bg, next, time.Hour)).To(Succeed(), "another channel has room")
}

// testErasedSuppressions tests that a wish outlives the erasure of who had it, without the
// address.
func testErasedSuppressions(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, FakeClock())
	for address, reason := range map[string]ledger.SuppressionReason{
		"Zoe@example.com": ledger.SuppressedSpamComplaint, "zoe.old@example.com": ledger.SuppressedHardBounce, "ann@example.com": ledger.SuppressedStop,
	} {
		g.Expect(s.Suppress(bg, ledger.Suppression{Company: "shop", Channel: ledger.ChannelEmail, Address: address, Reason: reason, Note: "zoe"}, 0)).To(Succeed())
	}
	subject := ledger.Subject{Company: "shop", UserID: erasedUser, Addresses: []string{"zoe@example.com", "zoe.old@example.com"}}
	for range 2 {
		_, err := s.EraseUser(bg, subject, ledger.ErasedByAdmin, 0)
		g.Expect(err).NotTo(HaveOccurred())
		var n int
		at.query(t, "SELECT COUNT(*) FROM suppressions WHERE address LIKE '%zoe%' OR address LIKE '%old%' OR recipient LIKE '%zoe%'", &n)
		g.Expect(n).To(BeZero())
		found, err := s.SuppressedAmong(bg, "shop", ledger.ChannelEmail, "ZOE@example.com", "zoe.old@example.com", "ann@example.com")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found).To(Equal(map[string]ledger.SuppressionReason{"ZOE@example.com": ledger.SuppressedSpamComplaint, "ann@example.com": ledger.SuppressedStop}))
	}
	page, err := s.ListSuppressions(bg, ledger.SuppressionFilter{Company: "shop", Address: "zoe@example.com"}, 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page.Suppressions).To(HaveLen(1))
	g.Expect(page.Suppressions[0].Hidden()).To(BeTrue())
	g.Expect(page.Suppressions[0].Note).To(BeEmpty())
	// A new account with the address that complains again makes no second row.
	g.Expect(s.Suppress(bg, ledger.Suppression{Company: "shop", Channel: ledger.ChannelEmail, Address: "zoe@example.com", Reason: ledger.SuppressedSpamComplaint}, 0)).To(Succeed())
	_, err = s.EraseUser(bg, subject, ledger.ErasedByAdmin, 0)
	g.Expect(err).NotTo(HaveOccurred())
	var rows int
	at.query(t, "SELECT COUNT(*) FROM suppressions", &rows)
	g.Expect(rows).To(Equal(2))
	g.Expect(s.EndSuppressions(bg, "shop", ledger.ChannelEmail, "zoe@example.com", ledger.SuppressedSpamComplaint)).To(Equal(1))
}

// testKeys tests that a key lives as long as the ledger.
func testKeys(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, FakeClock())
	one, err := s.Key(bg, "one")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(one).To(HaveLen(32))
	two, err := s.Key(bg, "two")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(two).NotTo(Equal(one))
	g.Expect(s.Close()).To(Succeed())
	s = at.open(t, FakeClock())
	g.Expect(s.Key(bg, "one")).To(Equal(one))
}
