// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

func testQuotas(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	quotas := func(company, country, recipient int64) []ledger.Quota {
		return []ledger.Quota{
			{Channel: ledger.ChannelSMS, Scope: ledger.ScopeCompany, Limit: company},
			{Channel: ledger.ChannelSMS, Scope: ledger.ScopeCountry, Key: "ZA", Limit: country},
			{Channel: ledger.ChannelSMS, Scope: ledger.ScopeRecipient, Key: "+27820000001", Limit: recipient},
		}
	}
	spend := func(company, want string, q []ledger.Quota) ledger.Charge {
		t.Helper()
		c, exceeded, err := s.Spend(bg, company, 1, q...)
		g.Expect(err).NotTo(HaveOccurred())
		got := ""
		if exceeded != nil {
			got = exceeded.Scope
		}
		g.Expect(got).To(Equal(want))
		return c
	}
	spent := func(company string, want int64) {
		t.Helper()
		got, err := s.Spent(bg, company)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(got[ledger.ChannelSMS]).To(Equal(want))
	}
	spend("shop", "", quotas(3, 3, 2))
	second := spend("shop", "", quotas(3, 3, 2))
	spend("shop", "recipient", quotas(3, 3, 2))
	spent("shop", 2) // what is refused is charged to nothing
	spend("shop", "country", quotas(3, 2, 9))
	spend("shop", "company", quotas(2, 9, 9))
	spend("shop", "company", quotas(0, 9, 9))
	spend("bank", "", quotas(1, 1, 1))
	spent("bank", 1)

	g.Expect(s.GiveBack(bg, second)).To(Succeed())
	spent("shop", 1)
	spend("shop", "", quotas(2, 2, 2))
	spend("shop", "company", quotas(2, 2, 2))

	// Counting starts again the next day, and old counts are deleted in the end.
	clk.Step(24 * time.Hour)
	spent("shop", 0)
	spend("shop", "", quotas(1, 1, 1))
	clk.Step(24 * time.Hour)
	g.Expect(s.DeleteCharges(bg)).To(Succeed())
	var rows int
	at.query(t, "SELECT COUNT(*) FROM charges", &rows)
	g.Expect(rows).To(Equal(3), "yesterday's")
	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())
	at.query(t, "SELECT COUNT(*) FROM charges", &rows)
	g.Expect(rows).To(BeZero())
}

// testQuotasAreExact has many charge one quota at once, through two stores where the
// database is for many.
func testQuotasAreExact(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	stores := []ledger.Store{at.open(t, clk)}
	if at.Shared {
		stores = append(stores, at.open(t, clk))
	}
	const limit, tries = 40, 100
	var taken, failed atomic.Int64
	var group sync.WaitGroup
	for i := range tries {
		group.Go(func() {
			_, exceeded, err := stores[i%len(stores)].Spend(bg, "shop", 1,
				ledger.Quota{Channel: ledger.ChannelSMS, Scope: ledger.ScopeCompany, Limit: limit}, ledger.Quota{Channel: ledger.ChannelSMS, Scope: ledger.ScopeCountry, Key: "ZA", Limit: tries})
			switch {
			case err != nil:
				failed.Add(1)
				t.Error(err)
			case exceeded == nil:
				taken.Add(1)
			}
		})
	}
	group.Wait()
	g.Expect(taken.Load()).To(BeEquivalentTo(limit))
	g.Expect(stores[0].Spent(bg, "shop")).To(HaveKeyWithValue(ledger.ChannelSMS, BeEquivalentTo(limit)))
}
