// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package move

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"go.uber.org/goleak"
	"k8s.io/utils/clock"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
	"github.com/rehive/extension-operator/internal/ledger/postgres"
	"github.com/rehive/extension-operator/internal/ledger/postgres/postgrestest"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
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

// target is an empty database.
func target(t testing.TB) postgres.Config {
	t.Helper()
	return postgres.Config{URL: postgrestest.NewDatabase(t), Password: postgrestest.Password}
}

func ledgerPath(t testing.TB) string { return filepath.Join(t.TempDir(), "state", "ledger.db") }

func open(t testing.TB, path string, c clock.PassiveClock) ledger.Store {
	t.Helper()
	s, err := sqlite.Open(bg, path, ledger.Options{Clock: c})
	return opened(t, s, err)
}

func openTarget(t testing.TB, to postgres.Config, c clock.PassiveClock) ledger.Store {
	t.Helper()
	s, err := postgres.Open(bg, to, ledger.Options{Clock: c})
	return opened(t, s, err)
}

func opened(t testing.TB, s ledger.Store, err error) ledger.Store {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// everything lists the deliveries and claims the events that are left.
func everything(t *testing.T, s ledger.Store) (log []ledger.Delivery, left map[string]string) {
	t.Helper()
	for after := int64(0); ; {
		page, err := s.ListDeliveries(bg, ledger.DeliveryFilter{After: after, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		log, after = append(log, page...), page[len(page)-1].ID
	}
	left = map[string]string{}
	for {
		events, err := s.ClaimEvents(bg, ledger.Claim{Limit: 500, Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			return log, left
		}
		for _, e := range events {
			left[e.Company+" "+e.ID] = string(e.Data)
		}
	}
}

func TestMove(t *testing.T) {
	g := NewWithT(t)
	clk, path, at := ledgertest.FakeClock(), ledgerPath(t), target(t)
	s := open(t, path, clk)
	ledgertest.Accept(t, s, "app", "1")
	g.Expect(s.CompleteEvent(bg, ledgertest.ClaimOne(t, s), []ledger.NewDelivery{{RuleName: "app", Channel: ledger.ChannelSystem, Recipient: "zoe", UserID: "zoe"}})).To(Succeed())
	inApp := ledgertest.ClaimDelivery(t, s)
	g.Expect(s.MarkSent(bg, inApp, "")).To(Succeed())
	g.Expect(s.SetReceived(bg, "app", "zoe", inApp.ID, true)).To(Succeed())
	for rule, enabled := range map[string]bool{"app": false, "other": true} {
		g.Expect(s.SetPreference(bg, ledger.Preference{Company: "app", UserID: "zoe", Rule: ledger.Rule{Name: rule}, Enabled: enabled})).To(Succeed())
	}
	chosen, err := s.Preferences(bg, "app", "zoe")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(chosen).To(HaveLen(2))
	// The digest of a period that is not over.
	for _, id := range []string{"1", "2"} {
		ledgertest.Accept(t, s, "digests", id)
		g.Expect(s.CompleteEvent(bg, ledgertest.ClaimOne(t, s), []ledger.NewDelivery{{
			RuleName: "a", Channel: ledger.ChannelEmail, Recipient: "a@example.com", Content: ledger.Content{Text: "Hi"},
			Throttle: &ledger.Throttle{Key: "a@example.com", Messages: 1, Period: time.Hour, Digest: &ledger.Digest{Name: "digest", Data: []byte("{}")}},
		}})).To(Succeed())
	}
	g.Expect(s.MarkSent(bg, ledgertest.ClaimDelivery(t, s), "")).To(Succeed())
	ledgertest.Pending(t, s, "shop", 20)
	claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 3, Lease: time.Hour})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.MarkSent(bg, claimed[0], "provider's")).To(Succeed())
	g.Expect(s.FailDelivery(bg, claimed[1], "Refused", "It was refused.")).To(Succeed())
	ledgertest.Pending(t, s, "purged", 2)
	g.Expect(s.PurgeCompany(bg, "purged")).To(Succeed())
	ledgertest.Fill(t, s, "bank", batchRows+30)
	ledgertest.Accept(t, s, "b\x00nk", "1")

	_, err = ToPostgres(bg, path, at, ledger.Options{Clock: clk})
	g.Expect(err).To(MatchError(ContainSubstring("another process has the ledger open")))
	g.Expect(s.Close()).To(Succeed())
	// The expected log, read after a restart: leases end with their process.
	s = open(t, path, clk)
	log, err := s.ListDeliveries(bg, ledger.DeliveryFilter{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(log).To(HaveLen(23))
	g.Expect(log[0].ReceivedAt).To(Equal(clk.Now()))
	g.Expect(s.Close()).To(Succeed())

	moved, err := ToPostgres(bg, path, at, ledger.Options{Clock: clk})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(moved).To(Equal(Result{Events: 1 + 3 + 1 + batchRows + 30 + 1, Deliveries: 23}))
	g.Expect(path).NotTo(BeAnExistingFile())
	moved, err = ToPostgres(bg, path, at, ledger.Options{Clock: clk})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(moved.Before).To(BeTrue(), "again")

	g.Expect(os.Rename(path+".moved", path)).To(Succeed())
	_, err = ToPostgres(bg, path, at, ledger.Options{Clock: clk})
	g.Expect(err).To(MatchError(ContainSubstring("was moved to this database before")))

	db, err := postgres.Prepare(bg, at)
	g.Expect(err).NotTo(HaveOccurred())
	var stored int64
	g.Expect(db.QueryRowContext(bg, "SELECT bytes FROM storage WHERE company = 'bank'").Scan(&stored)).To(Succeed())
	g.Expect(stored).To(BeNumerically(">", 1024*batchRows), "the company's limit counts what was moved")
	g.Expect(db.Close()).To(Succeed())

	p := openTarget(t, at, clk)
	gotLog, left := everything(t, p)
	g.Expect(gotLog).To(Equal(log))
	g.Expect(p.Preferences(bg, "app", "zoe")).To(ConsistOf(chosen))
	g.Expect(left).To(HaveLen(batchRows + 30 + 1))
	g.Expect(left).To(HaveKeyWithValue("bank fill-7", `{"id":"fill-7"}`))
	g.Expect(left).To(HaveKey("b\uFFFDnk 1"))
	duplicate, err := p.AcceptEvent(bg, ledger.Event{Company: "shop", ID: "event"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(duplicate).To(BeTrue(), "what was done answers repeats")
	sendable, err := p.ClaimDeliveries(bg, ledger.Claim{Limit: 100, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(sendable).To(HaveLen(18))
	// New rows don't take the IDs of old ones.
	ledgertest.Pending(t, p, "purged", 1)
	young, err := p.ListDeliveries(bg, ledger.DeliveryFilter{Company: "purged"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(young[0].ID).To(BeNumerically(">", 25))
	for clk.Step(time.Hour); ; {
		digests, err := p.ClaimEvents(bg, ledger.Claim{Limit: 500, Lease: time.Minute})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(digests).NotTo(BeEmpty())
		i := slices.IndexFunc(digests, func(e ledger.ClaimedEvent) bool { return e.Name == "digest" })
		if i < 0 {
			continue
		}
		collected, err := p.Collected(bg, digests[i])
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(collected.Count).To(Equal(int64(1)))
		g.Expect(string(collected.Events[0].Data)).To(Equal(`{"id":"2"}`))
		break
	}
}

// interrupted moves the first batch of a ledger's events.
func interrupted(g Gomega, path string, to postgres.Config, clk clock.PassiveClock) {
	source, err := sqlite.OpenDriver(bg, path, ledger.Options{Clock: clk})
	g.Expect(err).NotTo(HaveOccurred())
	db, err := postgres.Prepare(bg, to)
	g.Expect(err).NotTo(HaveOccurred())
	tables, err := readTables(bg, db)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(begin(bg, source.Pool(), db, tables, 1)).To(Succeed())
	events := tables[slices.IndexFunc(tables, func(t table) bool { return t.name == "events" })]
	read, write, _ := events.statements(0)
	batch, _, _, err := readBatch(bg, source.Pool(), read, 0, events.columns)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = db.ExecContext(bg, write, batch...)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(db.Close()).To(Succeed())
	g.Expect(source.Close()).To(Succeed())
}

func TestInterruptedMoveContinues(t *testing.T) {
	g := NewWithT(t)
	clk, path, at := ledgertest.FakeClock(), ledgerPath(t), target(t)
	s := open(t, path, clk)
	ledgertest.Fill(t, s, "bank", 2*batchRows+30)
	g.Expect(s.Close()).To(Succeed())
	interrupted(g, path, at, clk)

	_, err := postgres.Open(bg, at, ledger.Options{Clock: clk})
	g.Expect(err).To(MatchError(ContainSubstring("run `manager migrate-ledger` again")))
	moved, err := ToPostgres(bg, path, at, ledger.Options{Clock: clk})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(moved.Events).To(BeEquivalentTo(2*batchRows + 30))
	_, left := everything(t, openTarget(t, at, clk))
	g.Expect(left).To(HaveLen(2*batchRows + 30))
}

// A manager that continued with the SQLite ledger after an interrupted move may have sent
// what the target holds as pending.
func TestMoveRefusesRowsThatChangedSince(t *testing.T) {
	g := NewWithT(t)
	clk, path, at := ledgertest.FakeClock(), ledgerPath(t), target(t)
	s := open(t, path, clk)
	ledgertest.Accept(t, s, "shop", "1")
	g.Expect(s.Close()).To(Succeed())
	interrupted(g, path, at, clk)
	s = open(t, path, clk)
	g.Expect(s.CompleteEvent(bg, ledgertest.ClaimOne(t, s), nil)).To(Succeed())
	g.Expect(s.Close()).To(Succeed())
	_, err := ToPostgres(bg, path, at, ledger.Options{Clock: clk})
	g.Expect(err).To(MatchError(ContainSubstring("missing or different")))
	g.Expect(path).To(BeAnExistingFile())
}

// The tables to move are read from the target; SQLite must not have more.
func TestMoveKnowsAllTables(t *testing.T) {
	g := NewWithT(t)
	source, err := sqlite.OpenDriver(bg, ledgerPath(t), ledger.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(source.Close()).To(Succeed()) }()
	db, err := postgres.Prepare(bg, target(t))
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(db.Close()).To(Succeed()) }()
	tables, err := readTables(bg, db)
	g.Expect(err).NotTo(HaveOccurred())
	names := make([]string, len(tables))
	for i, moved := range tables {
		names[i] = moved.name
		g.Expect(moved.columns[0].name).To(Equal("id"))
		for _, c := range moved.columns {
			g.Expect(c.kind).To(BeElementOf("bigint", "text", "bytea"), "%s.%s: readBatch reads no other types", moved.name, c.name)
		}
	}
	rows, err := source.Pool().QueryContext(bg, "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%' AND name NOT LIKE 'goose%'")
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(rows.Close()).To(Succeed()) }()
	var found []string
	for rows.Next() {
		var name string
		g.Expect(rows.Scan(&name)).To(Succeed())
		found = append(found, name)
	}
	g.Expect(rows.Err()).NotTo(HaveOccurred())
	g.Expect(names).To(ConsistOf(found))
	g.Expect(names).To(ContainElements("events", "deliveries", "contents", "storage"))
}

func TestMoveRefusesAForeignTarget(t *testing.T) {
	g := NewWithT(t)
	clk, path, at := ledgertest.FakeClock(), ledgerPath(t), target(t)
	s := open(t, path, clk)
	ledgertest.Fill(t, s, "bank", 3)
	g.Expect(s.Close()).To(Succeed())
	p := openTarget(t, at, clk)
	ledgertest.Accept(t, p, "shop", "1")
	_, err := ToPostgres(bg, path, at, ledger.Options{Clock: clk})
	g.Expect(err).To(MatchError(ContainSubstring("not empty")))
	g.Expect(path).To(BeAnExistingFile())

	// A move of another ledger stopped half-way.
	db, err := postgres.Prepare(bg, at)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(db.Close()).To(Succeed()) }()
	_, err = db.ExecContext(bg, "INSERT INTO move (id, started_at, finished) VALUES (1, 1, FALSE)")
	g.Expect(err).NotTo(HaveOccurred())
	_, err = ToPostgres(bg, path, at, ledger.Options{Clock: clk})
	g.Expect(err).To(MatchError(ContainSubstring("missing or different")))
	g.Expect(path).To(BeAnExistingFile())

	_, err = ToPostgres(bg, path+"1", at, ledger.Options{Clock: clk})
	g.Expect(err).To(MatchError(ContainSubstring("there is no ledger")))
}

func TestMovedTimesAreThoseOnTheWall(t *testing.T) {
	g := NewWithT(t)
	clk := ledgertest.NewMachineClock()
	path := ledgerPath(t)
	s := open(t, path, clk)
	clk.Set(-48 * time.Hour)
	ledgertest.Accept(t, s, "shop", "1")
	g.Expect(s.CompleteEvent(bg, ledgertest.ClaimOne(t, s), []ledger.NewDelivery{ledgertest.Email("a", "joe@example.com")})).To(Succeed())
	g.Expect(s.Close()).To(Succeed())
	to := target(t)
	_, err := ToPostgres(bg, path, to, ledger.Options{Clock: clk})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(ledgertest.ClaimDelivery(t, openTarget(t, to, clk)).CreatedAt).To(Equal(clk.Now()))
}
