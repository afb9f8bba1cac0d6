// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

// finish accepts and completes n events.
func finish(t *testing.T, s ledger.Store, company string, n int) {
	t.Helper()
	Fill(t, s, company, n)
	for n > 0 {
		events, err := s.ClaimEvents(bg, ledger.Claim{Limit: 500, Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		for _, e := range events {
			go func() { done <- s.CompleteEvent(bg, e, nil) }()
		}
		for range events {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		n -= len(events)
	}
}

func testCleanerDeletesWhatIsOld(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	finish(t, s, "shop", cleanLimit+10) // more than is deleted without a pause
	Pending(t, s, "bank", 1)
	clk.Step(time.Hour)
	finish(t, s, "young", 1)
	known := func(company, id string) bool {
		duplicate, err := s.AcceptEvent(bg, ledger.Event{Company: company, ID: id})
		g.Expect(err).NotTo(HaveOccurred())
		return duplicate
	}

	cleaner, err := ledger.NewCleaner(s, ledger.MinRetention, clk, logr.Discard())
	g.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(bg)
	stopped := make(chan error)
	go func() { stopped <- cleaner.Start(ctx) }()

	g.Eventually(clk.HasWaiters).Should(BeTrue())
	g.Expect(known("shop", "fill-0")).To(BeTrue(), "nothing is old enough")
	clk.Step(ledger.MinRetention - time.Hour - time.Millisecond)
	g.Eventually(clk.HasWaiters).Should(BeTrue())
	g.Expect(known("shop", "fill-0")).To(BeTrue(), "it is a millisecond short")

	clk.Step(time.Hour)
	g.Eventually(clk.HasWaiters).Should(BeTrue(), "the pause")
	g.Expect(known("shop", "fill-0")).To(BeFalse(), "it is deleted, so it is new again")
	last := fmt.Sprint("fill-", cleanLimit+9)
	var left int
	count := func() int {
		at.query(t, "SELECT COUNT(*) FROM events WHERE company = 'shop' AND state = 'done'", &left)
		return left
	}
	g.Expect(count()).To(Equal(10), "the rest waits for the pause to end")
	clk.Step(cleanPause)
	g.Eventually(count).Should(BeZero())
	g.Expect(known("shop", last)).To(BeFalse())
	g.Expect(known("young", "fill-0")).To(BeTrue())
	st, err := s.Stats(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(st.PendingDeliveries).To(BeEquivalentTo(1), "what is still to be done is kept however old")

	cancel()
	g.Eventually(stopped).Should(Receive(BeNil()))
	g.Expect(cleaner.NeedLeaderElection()).To(BeTrue())
}
