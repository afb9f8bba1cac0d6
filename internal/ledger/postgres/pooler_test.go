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

// The settings of the URL go before the ledger's own, through a pooler too, in whichever
// way they are written.
func TestSettingsOfTheURL(t *testing.T) {
	base := bounced(t, "session")
	for added, want := range map[string][3]string{ // statement_timeout, lock_timeout, work_mem
		"&statement_timeout=7000":                                       {"7s", "5s", "4MB"},
		"&STATEMENT_TIMEOUT=7000&Lock_Timeout=3s":                       {"7s", "3s", "4MB"},
		"&options=-c%20statement_timeout%3D7000":                        {"7s", "5s", "4MB"},
		"&options=-cstatement_timeout%3D7000%20-c%20work_mem%3D8MB":     {"7s", "5s", "8MB"},
		"&options=--statement-timeout%3D7000%20--work_mem%3D8MB":        {"7s", "5s", "8MB"},
		"&options=-c%20Statement_Timeout%3D9000&statement_timeout=7s":   {"7s", "5s", "4MB"},
		"&options=-c%20search_path%3Dpublic,%5C%20pg_temp":              {"10s", "5s", "4MB"},
		"&synchronous_commit=off":                                       {"10s", "5s", "4MB"},
		"&options=-c%20synchronous_commit%3Doff":                        {"10s", "5s", "4MB"},
		"&options=":                                                     {"10s", "5s", "4MB"},
		"&application_name=x&TimeZone=Africa/Johannesburg&jit=off":      {"10s", "5s", "4MB"},
		"&search_path=public&extra_float_digits=2&work_mem=8MB":         {"10s", "5s", "8MB"},
		"&default_query_exec_mode=simple_protocol&client_encoding=UTF8": {"10s", "5s", "4MB"},
	} {
		t.Run(added, func(t *testing.T) {
			g := NewWithT(t)
			at := base
			at.url += added
			s := at.open(t, nil)
			var got [3]string
			g.Expect(s.d.pool.QueryRowContext(bg, "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('work_mem')").Scan(&got[0], &got[1], &got[2])).To(Succeed())
			g.Expect(got).To(Equal(want))
			var durable string
			g.Expect(s.d.pool.QueryRowContext(bg, "SELECT current_setting('synchronous_commit')").Scan(&durable)).To(Succeed())
			g.Expect(durable).To(Equal("on"))
			g.Expect(s.Close()).To(Succeed())
		})
	}
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
