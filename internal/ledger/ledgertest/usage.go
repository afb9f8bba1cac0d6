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

// limited opens a ledger in which a company may use little.
func limited(t *testing.T, at Place, limits ledger.Limits) ledger.Store {
	t.Helper()
	return at.openWith(t, ledger.Options{Clock: FakeClock(), Limits: limits, UsageInterval: 10 * time.Millisecond})
}

// A company that has as much pending as it may gets no more in until some of it has
// ended. Others are not concerned, and what was acknowledged still is.
func testPendingIsBounded(t *testing.T, at Place) {
	g := NewWithT(t)
	s := limited(t, at, ledger.Limits{Pending: 5})
	take := func(company, id string) error {
		_, err := s.AcceptEvent(bg, ledger.Event{Company: company, ID: id, Name: "x"})
		return err
	}
	accepted := 0
	for n := 0; accepted < 100; n++ {
		err := take("shop", fmt.Sprint(n))
		if err != nil {
			g.Expect(err).To(MatchError(ledger.ErrCompanyFull))
			break
		}
		accepted++
	}
	g.Expect(accepted).To(And(BeNumerically(">", 0), BeNumerically("<=", 5)), "what comes while it is counted may count twice, but never not at all")
	g.Expect(take("bank", "1")).To(Succeed())
	duplicate, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: "0", Name: "x"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(duplicate).To(BeTrue())

	for n := range 5 { // up to the limit, if something was counted twice
		g.Eventually(func() error { return take("shop", fmt.Sprint(n)) }).Should(Succeed())
	}
	g.Expect(take("shop", "one more")).To(MatchError(ledger.ErrCompanyFull))

	claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	for _, e := range claimed {
		if e.Company == "shop" {
			// Its deliveries are pending now instead.
			g.Expect(s.CompleteEvent(bg, e, []ledger.NewDelivery{Email("rule", "a@example.com")})).To(Succeed())
		}
	}
	deliveries, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	for _, d := range deliveries {
		g.Expect(s.MarkSent(bg, d, "")).To(Succeed())
	}
	g.Eventually(func() error { return take("shop", "new") }).Should(Succeed())
}

// The bytes that a company stores include the contents of its messages, also after a
// restart, and deleting rows frees them.
func testStorageIsBounded(t *testing.T, at Place) {
	g := NewWithT(t)
	s := limited(t, at, ledger.Limits{Bytes: 300 << 10})
	Accept(t, s, "shop", "1")
	d := Email("rule", "a@example.com")
	d.Content.Text = strings.Repeat("x", 300<<10)
	g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), []ledger.NewDelivery{d})).To(Succeed())
	full := func() error {
		_, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: "2", Name: "x"})
		return err
	}
	g.Expect(full()).To(And(MatchError(ledger.ErrCompanyFull), MatchError(ContainSubstring("may store"))))
	Accept(t, s, "bank", "1")
	g.Expect(s.Close()).To(Succeed())

	s = limited(t, at, ledger.Limits{Bytes: 300 << 10})
	attempt := 0
	g.Eventually(func() error { // until it is counted
		attempt++
		_, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: fmt.Sprint("again ", attempt), Name: "x"})
		return err
	}).Should(MatchError(ledger.ErrCompanyFull))
	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())
	g.Eventually(full).Should(Succeed())
	var bytes int64
	g.Eventually(func() int64 {
		at.query(t, "SELECT bytes FROM storage WHERE company = 'shop'", &bytes)
		return bytes
	}).Should(BeEquivalentTo(rowBytes), "of the new event alone")
}
