// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

// Progress is read by ID and time, also where IDs are missing.
func testActivity(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	begin := clk.Now()
	g.Expect(s.LastBefore(bg, begin.Add(time.Hour))).To(BeZero())
	for i := range 12 {
		company := "shop"
		if i%3 == 2 {
			company = "gone"
		}
		Accept(t, s, company, fmt.Sprint(i))
		g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), []ledger.NewDelivery{Email("mail", "zoe@example.com")})).To(Succeed())
		clk.Step(time.Minute)
	}
	g.Expect(s.PendingByCompany(bg)).To(Equal(map[string]int64{"shop": 8, "gone": 4}))
	g.Expect(s.PurgeCompany(bg, "gone")).To(Succeed())
	claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 2, Lease: time.Hour})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(2))
	g.Expect(s.MarkSent(bg, claimed[0], "")).To(Succeed())
	g.Expect(s.FailDelivery(bg, claimed[1], "Refused", "No.")).To(Succeed())
	g.Expect(s.PendingByCompany(bg)).To(Equal(map[string]int64{"shop": 6}))

	all, err := s.ProgressAfter(bg, 0, clk.Now(), 100)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(all).To(HaveLen(8))
	g.Expect(all[0]).To(Equal(ledger.Progress{ID: claimed[0].ID, Company: "shop", RuleName: claimed[0].RuleName, State: ledger.DeliverySent, UpdatedAt: clk.Now()}))
	g.Expect(all[1].State).To(Equal(ledger.DeliveryFailed))
	g.Expect(all[1].Reason).To(Equal("Refused"))
	g.Expect(s.ProgressAfter(bg, all[2].ID, clk.Now(), 2)).To(Equal(all[3:5]))
	// The seventh was created nine minutes after the beginning.
	g.Expect(s.ProgressAfter(bg, 0, begin.Add(9*time.Minute), 100)).To(Equal(all[:6]))
	g.Expect(s.ProgressOf(bg, []int64{all[4].ID, all[0].ID, 1 << 40})).To(Equal([]ledger.Progress{all[0], all[4]}))
	g.Expect(s.ProgressOf(bg, nil)).To(BeEmpty())
	for i, minutes := range []int{0, 1, 3, 4, 6, 7, 9, 10} {
		created := begin.Add(time.Duration(minutes) * time.Minute)
		last, err := s.LastBefore(bg, created)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(s.ProgressAfter(bg, last, clk.Now(), 100)).To(Equal(all[i:]), "before minute %d", minutes)
	}

	_, exceeded, err := s.Spend(bg, "shop", 3, ledger.Quota{Channel: ledger.ChannelSMS, Scope: ledger.ScopeCompany, Limit: 10})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(exceeded).To(BeNil())
	g.Expect(s.SpentByCompany(bg)).To(Equal(map[string]map[string]int64{"shop": {ledger.ChannelSMS: 3}}))
}
