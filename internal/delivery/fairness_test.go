// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/postgres"
	"github.com/rehive/extension-operator/internal/ledger/postgres/postgrestest"
)

// byCompany are providers by company.
type byCompany map[string]provider.Provider

func (b byCompany) Route(_ context.Context, company, _ string) (Route, error) {
	return RouteTo(b[company]), nil
}

// onBothDatabases runs a test over a ledger on SQLite and one on PostgreSQL.
func onBothDatabases(t *testing.T, test func(t *testing.T, s ledger.Store)) {
	t.Run("SQLite", func(t *testing.T) { test(t, openLedger(t, nil)) })
	t.Run("PostgreSQL", func(t *testing.T) {
		s, err := postgres.Open(bg, postgres.Config{URL: postgrestest.NewDatabase(t), Password: postgrestest.Password}, ledger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		test(t, s)
	})
}

// floodSize is how much waits for the company that floods: 5,000, or what the
// environment variable FLOOD says.
func floodSize() int {
	if n, err := strconv.Atoi(os.Getenv("FLOOD")); err == nil {
		return n
	}
	return 5000
}

// flood stores n deliveries of a company.
func flood(t *testing.T, s ledger.Store, company string, n int) {
	t.Helper()
	for i := 0; n > 0; i++ {
		decide(t, s, company, fmt.Sprint("flood-", i), min(n, 1000))
		n -= 1000
	}
}

// hanging is a provider that keeps each message until its time is over.
func hanging() (*Guard, func() int) {
	var mu sync.Mutex
	calls := 0
	g := NewGuard(send(func(ctx context.Context, _ provider.Message) (provider.Receipt, error) {
		mu.Lock()
		calls++
		mu.Unlock()
		<-ctx.Done()
		return provider.Receipt{}, provider.Transient("Unreachable", "It hangs.", 0)
	}), GuardConfig{})
	return g, func() int {
		mu.Lock()
		defer mu.Unlock()
		return calls
	}
}

func sentCount(s ledger.Store, company string) func() int {
	return func() int {
		found, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: company, State: ledger.DeliverySent, Limit: 1000})
		if err != nil {
			return -1
		}
		return len(found)
	}
}

// One company floods, and its provider hangs: what another sends leaves, before
// anything of the first has; and what the provider can't take isn't even claimed.
func TestFloodOfAHangingProvider(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, s ledger.Store) {
		g := NewWithT(t)
		flood(t, s, "flood", floodSize())
		stuck, calls := hanging()
		// The calls that hang must outlast the test on a busy machine: others would follow them.
		start(t, Options{Ledger: s, Companies: companies{}, Grace: time.Millisecond, SendTimeout: 15 * time.Minute, Routes: byCompany{
			"flood": stuck,
			"other": send(func(context.Context, provider.Message) (provider.Receipt, error) {
				return provider.Receipt{ID: "1"}, nil
			}),
		}})
		g.Eventually(calls).Should(Equal(DefaultConcurrency))
		for i := range 5 {
			decide(t, s, "other", fmt.Sprint(i), 20)
			g.Eventually(sentCount(s, "other")).Should(Equal(20 * (i + 1)))
		}
		g.Expect(calls()).To(Equal(DefaultConcurrency))
		found, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "flood", Limit: 1000})
		g.Expect(err).NotTo(HaveOccurred())
		claimed := slices.DeleteFunc(found, func(d ledger.Delivery) bool { return d.Attempts == 0 && d.Reason == "" })
		g.Expect(claimed).To(HaveLen(DefaultConcurrency), "what has no slot stays as it is")
	})
}

// More hanging providers than there are hands for leave some to the others.
func TestManyHangingProviders(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, s ledger.Store) {
		g := NewWithT(t)
		all := byCompany{"other": send(func(context.Context, provider.Message) (provider.Receipt, error) {
			return provider.Receipt{ID: "1"}, nil
		})}
		var inHand []func() int
		for i := range 8 {
			company := fmt.Sprint("hangs-", i)
			stuck, calls := hanging()
			all[company] = stuck
			inHand = append(inHand, calls)
			flood(t, s, company, 100)
		}
		start(t, Options{Ledger: s, Grace: time.Millisecond, Routes: all, Concurrency: 32})
		for _, calls := range inHand {
			g.Eventually(calls).Should(BeNumerically(">", 0))
		}
		decide(t, s, "other", "1", 20)
		g.Eventually(sentCount(s, "other")).Should(Equal(20))
	})
}

// Companies that share a provider share its slots, however much one of them has.
func TestSharedProvider(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, s ledger.Store) {
		g := NewWithT(t)
		const many, few = 2000, 20
		flood(t, s, "flood", many)
		var mu sync.Mutex
		var order []string
		begun, shared := make(chan struct{}), make(chan struct{})
		guard := NewGuard(send(func(_ context.Context, m provider.Message) (provider.Receipt, error) {
			mu.Lock()
			order = append(order, m.Subject)
			if len(order) == 1 {
				close(begun)
			}
			mu.Unlock()
			<-shared
			return provider.Receipt{ID: "1"}, nil
		}), GuardConfig{Concurrency: 4})
		start(t, Options{Ledger: s, Grace: time.Millisecond, Routes: byCompany{"flood": guard, "other": guard}})
		<-begun
		decideSaying(t, s, "other", "1", few, "other")
		close(shared)
		g.Eventually(sentCount(s, "other")).Should(Equal(few))
		mu.Lock()
		defer mu.Unlock()
		last := 0
		for i, subject := range order {
			if subject == "other" {
				last = i
			}
		}
		g.Expect(last).To(BeNumerically("<", many/4), "of %d that were sent", len(order))
	})
}

// A backlog stays due while the breaker is open, and goes when the provider works
// again; a channel beside it is not touched.
func TestBacklogOfABrokenProvider(t *testing.T) {
	g := NewWithT(t)
	s := openLedger(t, nil)
	flood(t, s, "shop", 500)
	const openFor = 100 * time.Millisecond
	var mu sync.Mutex
	works, calls := false, 0
	guard := NewGuard(send(func(context.Context, provider.Message) (provider.Receipt, error) {
		mu.Lock()
		defer mu.Unlock()
		calls++
		if !works {
			return provider.Receipt{}, provider.Transient("Unavailable", "It is down.", 0)
		}
		return provider.Receipt{ID: "1"}, nil
	}), GuardConfig{OpenFor: openFor})
	began := time.Now()
	start(t, Options{Ledger: s, Routes: byCompany{"shop": guard, "other": Inbox{}}, Retry: retries{}})
	g.Eventually(func() int {
		n, _ := guard.guard.Room(0)
		return n
	}).Should(BeNumerically("<=", 1), "it opens")
	decide(t, s, "other", "1", 20)
	g.Eventually(sentCount(s, "other")).Should(Equal(20))
	mu.Lock()
	works = true
	failed := calls
	mu.Unlock()
	g.Expect(failed).To(BeNumerically("<", 2*DefaultConcurrency+int(time.Since(began)/openFor)), "once it is open, one tries it each time")
	// Those that failed are retried in an hour.
	g.Eventually(sentCount(s, "shop")).Should(BeNumerically(">=", 500-failed-DefaultConcurrency))
}

// Messages that the rate doesn't allow yet stay due, and others are not delayed.
func TestBacklogOfALimitedProvider(t *testing.T) {
	g := NewWithT(t)
	s := openLedger(t, nil)
	decide(t, s, "shop", "1", 60)
	guard := NewGuard(send(func(context.Context, provider.Message) (provider.Receipt, error) {
		return provider.Receipt{ID: "1"}, nil
	}), GuardConfig{PerSecond: 50, Burst: 10})
	start(t, Options{Ledger: s, Routes: byCompany{"shop": guard}})
	g.Eventually(sentCount(s, "shop")).Should(Equal(60))
	found, err := s.ListDeliveries(bg, ledger.DeliveryFilter{})
	g.Expect(err).NotTo(HaveOccurred())
	for _, d := range found {
		g.Expect(d.Attempts).To(Equal(1), d.Reason)
	}
}
