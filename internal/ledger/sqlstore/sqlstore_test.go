// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"go.uber.org/goleak"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
	"github.com/rehive/extension-operator/internal/ledger/postgres"
	"github.com/rehive/extension-operator/internal/ledger/postgres/postgrestest"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
	"github.com/rehive/extension-operator/internal/ledger/sqlstore"
)

var bg = context.Background()

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := postgrestest.StopShared(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}))
}

// openSQLite opens a new ledger and its driver.
func openSQLite(t testing.TB) (*sqlstore.Store, driver.Driver) {
	t.Helper()
	d, err := sqlite.OpenDriver(bg, filepath.Join(t.TempDir(), "ledger.db"), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := sqlstore.New(d, ledger.Options{})
	closeAfter(t, s)
	return s, d
}

func openPostgres(t testing.TB) *sqlstore.Store {
	t.Helper()
	s, err := postgres.Open(bg, postgres.Config{URL: postgrestest.NewDatabase(t), Password: postgrestest.Password}, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, s)
	return s
}

func closeAfter(t testing.TB, s *sqlstore.Store) {
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// planOf returns how SQLite executes a query.
func planOf(t *testing.T, db *sql.DB, query string, args ...any) (plan []string) {
	t.Helper()
	g := NewWithT(t)
	rows, err := db.QueryContext(bg, "EXPLAIN QUERY PLAN "+query, args...)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(rows.Close()).To(Succeed()) }()
	for rows.Next() {
		var id, parent, unused int
		var step string
		g.Expect(rows.Scan(&id, &parent, &unused, &step)).To(Succeed())
		plan = append(plan, step)
	}
	g.Expect(rows.Err()).NotTo(HaveOccurred())
	return plan
}

// A full scan or a sort would make the statement as slow as the longest queue.
func TestStatementsUseTheIndexes(t *testing.T) {
	s, d := openSQLite(t)
	for name, query := range s.Statements() {
		t.Run(name, func(t *testing.T) {
			plan := planOf(t, d.Pool(), query, "a", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
			for _, step := range plan {
				scansTable := strings.HasPrefix(step, "SCAN ") && !strings.Contains(step, "USING COVERING INDEX") &&
					!strings.HasPrefix(step, "SCAN waiting") && !strings.HasPrefix(step, "SCAN oldest") && step != "SCAN newest" && !strings.Contains(step, "CONSTANT ROW")
				if scansTable || strings.Contains(step, "TEMP B-TREE") {
					t.Error(strings.Join(plan, "\n"))
				}
			}
		})
	}
}

// An event may have thousands of in-app messages, and each message that stands in for an unread
// one looks for the one of its user.
func TestUnreadMessageIsFoundByItsUser(t *testing.T) {
	s, d := openSQLite(t)
	plan := strings.Join(planOf(t, d.Pool(), s.Statements()["unread"], 1), "\n")
	NewWithT(t).Expect(plan).To(ContainSubstring("(event=? AND rule=? AND channel=? AND recipient=?)"))
}

// The statements use the indexes of PostgreSQL too, where it depends on the number of rows.
func TestStatementsUseTheIndexesOfPostgres(t *testing.T) {
	g := NewWithT(t)
	to := postgres.Config{URL: postgrestest.NewDatabase(t), Password: postgrestest.Password}
	db, err := postgres.Prepare(bg, to)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(db.Close()).To(Succeed()) }()
	s, _ := openSQLite(t) // its statements are the same, except for the log's
	for _, q := range []string{
		`INSERT INTO events (company, event_id, name, received_at, next_attempt_at, updated_at, data, state)
		SELECT 'company-' || i % 20, i::text, 'x', 1, 1, 1, '', CASE WHEN i % 10 = 0 THEN 'pending' ELSE 'done' END FROM generate_series(1, 20000) AS i`,
		`INSERT INTO deliveries (event, company, event_id, event_name, event_received_at, rule, channel, recipient, content, state, next_attempt_at, created_at, updated_at)
		SELECT i, 'company-' || i % 20, i::text, 'x', 1, 'a', 'email', 'a', i, CASE WHEN i % 10 = 0 THEN 'pending' ELSE 'sent' END, 1, 1, 1 FROM generate_series(1, 20000) AS i`,
		"INSERT INTO throttles (company, rule, channel, recipient, ends_at, n) SELECT 'company-' || i % 20, 'a', 'email', i::text, 1, 1 FROM generate_series(1, 20000) AS i",
		"INSERT INTO contents (id, sender, subject, text, html) SELECT id, '', '', repeat('x', 100), '' FROM deliveries",
		"ANALYZE",
	} {
		_, err := db.ExecContext(bg, q)
		g.Expect(err).NotTo(HaveOccurred())
	}
	statements := s.Statements()
	for name, args := range map[string][]any{
		"lanes of events":     {"", "", 2, 10},
		"lanes of deliveries": {"", "", 2, 10},
		"next delivery":       nil,
		"end":                 {"sent", "", "", "", 1, 1, 1},
		"list":                {1, "company-3"},
		"inbox":               {"company-3", "zoe", 1},
		"retention":           {1, 1, 500},
		"collect":             {"company-3", "a", "email", "3", 1, "3", "3,", 100},
		"collected":           {1, "company-1", 100},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			rows, err := db.QueryContext(bg, "EXPLAIN "+statements[name], args...)
			g.Expect(err).NotTo(HaveOccurred())
			defer func() { g.Expect(rows.Close()).To(Succeed()) }()
			var plan strings.Builder
			for rows.Next() {
				var line string
				g.Expect(rows.Scan(&line)).To(Succeed())
				plan.WriteString(line + "\n")
			}
			g.Expect(rows.Err()).NotTo(HaveOccurred())
			g.Expect(plan.String()).NotTo(ContainSubstring("Seq Scan"))
			g.Expect(plan.String()).To(ContainSubstring("Index"))
		})
	}
}

// One company's events are found without reading those of others.
func TestHistoryUsesTheIndexes(t *testing.T) {
	s, d := openSQLite(t)
	from, before := ledger.ReplayIDs(1)
	for name, query := range s.HistoryStatements() {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			plan := planOf(t, d.Pool(), query, "a", "1", from, before, "r", "email", "joe@example.com")
			g.Expect(plan[0]).To(HavePrefix("SEARCH "), strings.Join(plan, "\n"))
			if strings.HasSuffix(name, "of one") || name == "outcomes" || name == "earlier" {
				g.Expect(plan[0]).To(ContainSubstring("event=?"), strings.Join(plan, "\n"))
			}
		})
	}
}

// A query that waits in vain for its turn is refused, and no work waits with it.
func TestLogTurns(t *testing.T) {
	onSQLite, _ := openSQLite(t)
	for name, s := range map[string]*sqlstore.Store{"SQLite": onSQLite, "PostgreSQL": openPostgres(t)} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			release := s.HoldLog()
			ctx, cancel := context.WithTimeout(bg, 10*time.Millisecond)
			defer cancel()
			_, err := s.Log(ctx, ledger.LogFilter{Company: "shop"}, 0, 10)
			g.Expect(err).To(And(MatchError(ledger.ErrUnavailable), MatchError(context.DeadlineExceeded)))
			_, _, err = s.ResendAll(ctx, ledger.LogFilter{Company: "shop"}, 10)
			g.Expect(err).To(MatchError(ledger.ErrUnavailable))
			_, _, err = s.CountResendable(ctx, ledger.LogFilter{Company: "shop"}, 10)
			g.Expect(err).To(MatchError(ledger.ErrUnavailable))
			ledgertest.Pending(t, s, "shop", 1)
			ledgertest.ClaimDelivery(t, s)
			release()
			_, err = s.Log(bg, ledger.LogFilter{Company: "shop"}, 0, 10)
			g.Expect(err).NotTo(HaveOccurred())
			over, cancel := context.WithTimeout(bg, 0)
			defer cancel()
			for range 20 { // which of its turn and the end of its time comes first is by chance
				_, err = s.Log(over, ledger.LogFilter{Company: "shop"}, 0, 10)
				g.Expect(err).To(And(MatchError(ledger.ErrUnavailable), MatchError(context.DeadlineExceeded)))
			}
			g.Expect(s.Healthy(bg)).To(Succeed())
		})
	}
}

// BenchmarkLog is the first page of the log of a company with 100,000 deliveries, and a
// search through all of them.
func BenchmarkLog(b *testing.B) {
	s, _ := openSQLite(b)
	for event := range 200 {
		deliveries := make([]ledger.NewDelivery, 500)
		for i := range deliveries {
			deliveries[i] = ledgertest.Email("rule", fmt.Sprintf("user%d-%d@example.com", event, i))
			deliveries[i].Content.HTML = string(ledgertest.Data)
		}
		ledgertest.Decided(b, s, "shop", fmt.Sprint(event), deliveries...)
	}
	for name, f := range map[string]ledger.LogFilter{
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

// BenchmarkClaimInAFlood claims and releases beside 100,000 pending events of one company
// and a few of 50 others.
func BenchmarkClaimInAFlood(b *testing.B) {
	s, d := openSQLite(b)
	err := d.Write(bg, &driver.Job{Run: func(tx driver.Tx) error {
		for i := range 100_150 {
			company := "flood"
			if i >= 100_000 {
				company = fmt.Sprint("company-", i%50)
			}
			e := driver.Event{Company: company, ID: fmt.Sprint(i), Name: "x", Received: 1, Now: 1, Due: 1, Data: ledgertest.Data}
			if _, err := tx.Exec(driver.InsertEvent, e.Args()...); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: 64, Lease: time.Minute})
		if err != nil || len(claimed) != 64 {
			b.Fatal(len(claimed), err)
		}
		b.StopTimer()
		done := make(chan error)
		for _, e := range claimed {
			go func() { done <- s.ReleaseEvent(bg, e) }()
		}
		for range claimed {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
	}
}
