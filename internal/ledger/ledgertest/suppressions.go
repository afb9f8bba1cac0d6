// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
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
	suppress := func(company, user, address, reason string, keep time.Duration) {
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
			got = append(got, f.Address+" "+f.Reason+" "+f.Since.UTC().Format("15:04"))
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
	suppress("shop", "zoe", "a", "Bounced", time.Hour)
	expect("shop", "zoe", "a Bounced "+now()+",b Gone "+began)
	g.Expect(s.Unsuppress(bg, "shop", ledger.ChannelPush, "zoe", "b", "none")).To(Succeed())
	g.Expect(s.Unsuppress(bg, "shop", ledger.ChannelSMS, "zoe", "a")).To(Succeed())
	renewed := now()
	expect("shop", "zoe", "a Bounced "+renewed)

	// They end by themselves.
	clk.Step(31 * time.Minute)
	expect("shop", "joe", "")
	expect("shop", "zoe", "a Bounced "+renewed)
	g.Expect(s.DeleteSuppressions(bg)).To(Succeed())
	var rows int
	at.query(t, "SELECT COUNT(*) FROM suppressions", &rows)
	g.Expect(rows).To(Equal(1))

	// Stored suppressions count after the ledger is opened again.
	g.Expect(s.Close()).To(Succeed())
	s = at.open(t, clk)
	expect("shop", "zoe", "a Bounced "+renewed)

	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())
	expect("shop", "zoe", "")
	g.Expect(s.Suppress(bg, ledger.Suppression{Company: "shop", Channel: ledger.ChannelPush}, 0)).NotTo(Succeed())
}
