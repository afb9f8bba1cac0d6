// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
	"github.com/rehive/extension-operator/internal/ledger/postgres/postgrestest"
)

// bounced is a new ledger that is reached through PgBouncer.
func bounced(t *testing.T, mode string) place {
	t.Helper()
	direct := newPlace(t)
	b, err := postgrestest.Shared(t).Bounce(mode)
	if err != nil {
		postgrestest.Skip(t, err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	address, err := b.URL(direct.url)
	if err != nil {
		t.Fatal(err)
	}
	return place{url: address}
}

// With PgBouncer's own settings: the ledger's come by statements.
func TestSessionPooling(t *testing.T) {
	g := NewWithT(t)
	at := bounced(t, "session")
	for range 2 { // the second gets connections that the first used
		s := at.open(t, nil)
		var done sync.WaitGroup
		for n := range 8 {
			done.Go(func() {
				ledgertest.Accept(t, s, "shop", fmt.Sprint(time.Now().UnixNano(), "-", n))
			})
		}
		done.Wait()
		for name, want := range map[string]string{
			"statement_timeout": "10s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "20s",
			"default_transaction_isolation": "read committed", "synchronous_commit": "on",
		} {
			var got string
			g.Expect(s.d.pool.QueryRowContext(bg, "SELECT current_setting($1)", name).Scan(&got)).To(Succeed())
			g.Expect(got).To(Equal(want), name)
		}
		events, err := s.ClaimEvents(bg, ledger.Claim{Limit: 100, Lease: time.Minute})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(events).To(HaveLen(8))
		for _, e := range events {
			g.Expect(s.CompleteEvent(bg, e, []ledger.NewDelivery{ledgertest.Email("rule", "a@example.com")})).To(Succeed())
		}
		g.Expect(s.Close()).To(Succeed())
	}
}

// The settings of the URL go before the ledger's own, through a pooler too.
func TestSettingsOfTheURL(t *testing.T) {
	g := NewWithT(t)
	at := bounced(t, "session")
	at.url += "&statement_timeout=7000"
	s := at.open(t, nil)
	var got string
	g.Expect(s.d.pool.QueryRowContext(bg, "SELECT current_setting('statement_timeout')").Scan(&got)).To(Succeed())
	g.Expect(got).To(Equal("7s"))
}

func TestOtherPoolingIsRefused(t *testing.T) {
	for _, mode := range []string{"transaction", "statement"} {
		t.Run(mode, func(t *testing.T) {
			g := NewWithT(t)
			at := bounced(t, mode)
			for range 3 { // whatever the pooler has by then
				_, err := at.try()
				g.Expect(err).To(MatchError(errTransactionPooling))
				g.Expect(err).To(MatchError(ContainSubstring("set pool_mode = session")))
			}
		})
	}
}
