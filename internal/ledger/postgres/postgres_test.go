// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
	"github.com/rehive/extension-operator/internal/ledger/postgres/postgrestest"
)

func TestURLWithAPasswordIsRefused(t *testing.T) {
	g := NewWithT(t)
	for _, address := range []string{
		"postgres://joe:hunter2@db/ledger", "postgresql://joe@db/ledger?password=hunter2", "postgres://db/ledger?user=joe&PassWord=hunter2",
		"postgres://db/ledger?sslpassword=hunter2", "mysql://hunter2@db/ledger", "host=db password=hunter2", "postgres://joe:hunter2@[db/ledger",
	} {
		_, err := Open(bg, Config{URL: address}, ledger.Options{})
		g.Expect(err).To(HaveOccurred(), address)
		g.Expect(err.Error()).NotTo(ContainSubstring("hunter2"))
	}
	g.Expect(CheckURL("postgres://joe@db:5432/ledger?sslmode=verify-full")).To(Succeed())
}

func TestWrongPasswordIsNotRepeated(t *testing.T) {
	g := NewWithT(t)
	_, err := Open(bg, Config{URL: newPlace(t).url, Password: "hunter2"}, ledger.Options{})
	g.Expect(err).To(MatchError(ContainSubstring("password authentication failed")))
	g.Expect(err.Error()).NotTo(ContainSubstring("hunter2"))
}

func TestCommitsWaitForTheDisk(t *testing.T) {
	g := NewWithT(t)
	at, server := newPlace(t), postgrestest.Shared(t)
	u, err := url.Parse(at.url)
	g.Expect(err).NotTo(HaveOccurred())
	database := strings.TrimPrefix(u.Path, "/")
	g.Expect(server.Exec("ALTER DATABASE " + database + " SET synchronous_commit = off")).To(Succeed())
	s := at.open(t, nil)
	var mode string
	g.Expect(s.d.pool.QueryRowContext(bg, "SHOW synchronous_commit").Scan(&mode)).To(Succeed())
	g.Expect(mode).To(Equal("on"))

	setFsync := func(value string) {
		g.Expect(server.Exec("ALTER SYSTEM SET fsync = " + value)).To(Succeed())
		g.Expect(server.Exec("SELECT pg_reload_conf()")).To(Succeed())
	}
	setFsync("off")
	defer setFsync("on")
	g.Eventually(func() error {
		s, err := at.try()
		if err == nil {
			err = errors.Join(errors.New("opened"), s.Close())
		}
		return err
	}).Should(MatchError(ContainSubstring("set fsync = on")))
}

func TestReplicasStartAtOnce(t *testing.T) {
	g := NewWithT(t)
	at := newPlace(t)
	opened := make(chan error)
	const replicas = 6
	for range replicas {
		go func() {
			s, err := at.try()
			if err == nil {
				err = s.Close()
			}
			opened <- err
		}()
	}
	for range replicas {
		g.Expect(<-opened).To(Succeed())
	}
	ledgertest.Accept(t, at.open(t, nil), "shop", "1")
}

// Several replicas claim, complete and send the same work: nothing is done twice
// and nothing is left.
func TestReplicasShareTheWork(t *testing.T) {
	g := NewWithT(t)
	at := newPlace(t)
	replicas := make([]*opened, 4)
	for i := range replicas {
		replicas[i] = at.open(t, nil)
	}
	const companies, each = 10, 30
	for c := range companies {
		ledgertest.Fill(t, replicas[c%len(replicas)], fmt.Sprint("company-", c), each)
	}
	var mu sync.Mutex
	decided, sent := map[string]int{}, map[int64]int{}
	var done sync.WaitGroup
	for _, s := range replicas {
		for range 2 {
			done.Go(func() {
				for !t.Failed() {
					events, err := s.ClaimEvents(bg, ledger.Claim{Limit: 7, Lease: time.Hour})
					if err != nil {
						t.Error(err)
						return
					}
					deliveries, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 11, Lease: time.Hour})
					if err != nil {
						t.Error(err)
						return
					}
					for _, e := range events {
						mu.Lock()
						decided[e.Company+e.ID]++
						mu.Unlock()
						if err := s.CompleteEvent(bg, e, []ledger.NewDelivery{ledgertest.Email("a", "joe@example.com"), ledgertest.Email("b", "joe@example.com")}); err != nil {
							t.Error(err)
						}
					}
					for _, d := range deliveries {
						mu.Lock()
						sent[d.ID]++
						mu.Unlock()
						if err := s.MarkSent(bg, d, ""); err != nil {
							t.Error(err)
						}
					}
					mu.Lock()
					all := len(decided) == companies*each && len(sent) == 2*companies*each
					mu.Unlock()
					if all {
						return
					}
				}
			})
		}
	}
	done.Wait()
	for key, n := range decided {
		g.Expect(n).To(Equal(1), key)
	}
	for id, n := range sent {
		g.Expect(n).To(Equal(1), "delivery %d", id)
	}
}

func TestDeadReplicasWorkIsTakenOver(t *testing.T) {
	g := NewWithT(t)
	at, clk := newPlace(t), ledgertest.FakeClock()
	dead := at.open(t, clk)
	ledgertest.Accept(t, dead, "shop", "1")
	event := ledgertest.ClaimOne(t, dead)
	g.Expect(dead.CompleteEvent(bg, event, []ledger.NewDelivery{ledgertest.Email("a", "joe@example.com")})).To(Succeed())
	held := ledgertest.ClaimDelivery(t, dead)

	alive, err := Open(bg, at.config(), ledger.Options{Clock: clk, PollInterval: 10 * time.Millisecond})
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(alive.Close()).To(Succeed()) }()
	raised(alive.DeliveriesReady())
	claimed, err := alive.ClaimDeliveries(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(BeEmpty(), "a replica that starts ends no other's lease")
	g.Consistently(func() bool { return raised(alive.DeliveriesReady()) }, "50ms").Should(BeFalse())

	clk.Step(time.Minute)
	g.Eventually(func() bool { return raised(alive.DeliveriesReady()) }).Should(BeTrue(), "it is noticed")
	taken := ledgertest.ClaimDelivery(t, alive)
	g.Expect(taken.ID).To(Equal(held.ID))
	g.Expect(dead.MarkSent(bg, held, "")).To(MatchError(ledger.ErrLeaseLost), "it was only slow, and too late")
	g.Expect(alive.MarkSent(bg, taken, "")).To(Succeed())

	raised(alive.EventsReady())
	ledgertest.Accept(t, dead, "shop", "2")
	g.Eventually(func() bool { return raised(alive.EventsReady()) }).Should(BeTrue(), "what another took in is noticed")
}

// acceptThroughout accepts events until it is told to stop, each until it is
// acknowledged, as the platform does. It returns which ones were.
func acceptThroughout(t *testing.T, s *opened, stop <-chan struct{}) (acknowledged func() []string) {
	t.Helper()
	var mu sync.Mutex
	var ids []string
	var senders sync.WaitGroup
	for sender := range 6 {
		senders.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprint(sender, "-", i)
				ctx, cancel := context.WithTimeout(bg, 5*time.Second)
				_, err := s.AcceptEvent(ctx, ledger.Event{Company: "shop", ID: id, Data: []byte("{}")})
				cancel()
				switch {
				case err == nil:
					mu.Lock()
					ids = append(ids, id)
					mu.Unlock()
				case !errors.Is(err, ledger.ErrUnavailable):
					t.Error(err)
				}
			}
		})
	}
	return func() []string { senders.Wait(); return ids }
}

func TestOutagesLoseNothing(t *testing.T) {
	g := NewWithT(t)
	at, server := newPlace(t), postgrestest.Shared(t)
	s := at.open(t, nil)
	stop := make(chan struct{})
	acknowledged := acceptThroughout(t, s, stop)
	count := func() (n int) {
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		_ = s.d.pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM events").Scan(&n)
		return n
	}
	outages := []func() error{
		server.Disconnect,
		func() error { return errors.Join(server.Halt(true), server.Launch()) },
		server.Disconnect,
		func() error { return errors.Join(server.Halt(false), server.Launch()) },
	}
	for _, outage := range slices.Repeat(outages, ledgertest.Longer(1, 15)) {
		before := count()
		g.Eventually(count).Should(BeNumerically(">", before+20), "events flow")
		g.Expect(outage()).To(Succeed())
	}
	g.Eventually(func() error { return s.Healthy(bg) }).Should(Succeed())
	close(stop)
	ids := acknowledged()
	g.Expect(len(ids)).To(BeNumerically(">", 80))
	for _, id := range ids {
		duplicate, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: id})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(duplicate).To(BeTrue(), "event %s was acknowledged and is lost", id)
	}
	t.Logf("%d acknowledged", len(ids))
}

func TestConnectionLostInATransaction(t *testing.T) {
	g := NewWithT(t)
	at := newPlace(t)
	s := at.open(t, nil)
	err := s.d.Write(bg, &driver.Job{Run: func(tx driver.Tx) error {
		err := insertBare(tx, "1")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(postgrestest.Shared(t).Disconnect()).To(Succeed())
		err = insertBare(tx, "2")
		return err
	}})
	g.Expect(err).To(MatchError(ledger.ErrUnavailable))
	g.Expect(s.d.Failing()).To(BeTrue())
	// Each connection of the pool finds out by itself, some only when they are used.
	g.Eventually(func() error { return s.Healthy(bg) }).Should(Succeed())
	st, err := s.Stats(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(st.PendingEvents).To(BeZero(), "all or nothing")
	ledgertest.Accept(t, s, "shop", "1")
}

func TestStoppedPostgresIsUnavailableThenRecovers(t *testing.T) {
	g := NewWithT(t)
	at, server := newPlace(t), postgrestest.Shared(t)
	s := at.open(t, nil)
	ledgertest.Accept(t, s, "shop", "1")
	event := ledgertest.ClaimOne(t, s)
	g.Expect(server.Halt(false)).To(Succeed())
	_, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: "2"})
	g.Expect(err).To(MatchError(ledger.ErrUnavailable))
	_, err = s.ClaimEvents(bg, ledger.Claim{Limit: 1, Lease: time.Minute})
	g.Expect(err).To(MatchError(ledger.ErrUnavailable))
	g.Expect(s.CompleteEvent(bg, event, nil)).To(MatchError(ledger.ErrUnavailable))
	g.Expect(s.Healthy(bg)).To(MatchError(ledger.ErrUnavailable))
	g.Expect(server.Launch()).To(Succeed())
	g.Expect(s.Healthy(bg)).To(Succeed())
	g.Expect(s.CompleteEvent(bg, event, nil)).To(Succeed(), "the lease outlived the outage")
	ledgertest.Accept(t, s, "shop", "2")
}

func TestBlockedPostgresIsUnavailableInTime(t *testing.T) {
	g := NewWithT(t)
	s := newPlace(t).open(t, nil)
	blocker, err := s.d.pool.BeginTx(bg, nil)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = blocker.ExecContext(bg, "LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
	g.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
	defer cancel()
	_, err = s.AcceptEvent(ctx, ledger.Event{Company: "shop", ID: "1"})
	g.Expect(err).To(MatchError(ledger.ErrUnavailable))
	ctx, cancel = context.WithTimeout(bg, 50*time.Millisecond)
	defer cancel()
	g.Expect(s.d.Write(ctx, &driver.Job{Single: true, Run: func(tx driver.Tx) error {
		err := insertBare(tx, "2")
		return err
	}})).To(MatchError(ledger.ErrUnavailable))
	for setting, want := range map[string]string{"statement_timeout": "10s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "20s"} {
		var got string
		g.Expect(s.d.pool.QueryRowContext(bg, "SHOW "+setting).Scan(&got)).To(Succeed())
		g.Expect(got).To(Equal(want), setting)
	}
	g.Expect(blocker.Rollback()).To(Succeed())
	_, err = s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: "3"})
	g.Expect(err).NotTo(HaveOccurred())
}

func TestTransactionThatGaveWayIsRepeated(t *testing.T) {
	g := NewWithT(t)
	s := newPlace(t).open(t, nil)
	runs := 0
	g.Expect(s.d.Write(bg, &driver.Job{Run: func(tx driver.Tx) error {
		if err := insertBare(tx, "1"); err != nil {
			return err
		}
		if runs++; runs < 3 {
			return &pgconn.PgError{Code: "40P01"}
		}
		return nil
	}})).To(Succeed())
	g.Expect(runs).To(Equal(3))
	runs = 0
	err := s.d.Write(bg, &driver.Job{Run: func(driver.Tx) error { runs++; return &pgconn.PgError{Code: "40001"} }})
	g.Expect(err).To(MatchError(ledger.ErrUnavailable))
	g.Expect(runs).To(Equal(maxAttempts))
}

func TestEventThatCannotBeStoredLeavesItsNeighboursAlone(t *testing.T) {
	g := NewWithT(t)
	s := newPlace(t).open(t, nil)
	d := s.d
	var batch []*acceptance
	for i := range 5 {
		id := fmt.Sprint(i)
		if i == 2 {
			var b strings.Builder
			for n := range 5000 {
				fmt.Fprintf(&b, "%x.", n*n*2654435761%1000003)
			}
			id = b.String()
		}
		batch = append(batch, &acceptance{ctx: bg, Event: &driver.Event{Company: "shop", ID: id, Data: []byte{}}})
	}
	d.accepter.store(batch)
	for _, a := range batch {
		if len(a.ID) > 1 {
			g.Expect(a.err).To(HaveOccurred())
			g.Expect(a.err).NotTo(MatchError(ledger.ErrUnavailable), "it would never be otherwise")
			continue
		}
		g.Expect(a.err).NotTo(HaveOccurred())
		g.Expect(a.key).NotTo(BeZero())
	}
}

// A scan of a whole table would make every claim as slow as the longest queue.
func TestClaimsUseTheIndexes(t *testing.T) {
	g := NewWithT(t)
	s := newPlace(t).open(t, nil)
	for _, q := range []string{
		`INSERT INTO events (company, event_id, name, received_at, next_attempt_at, updated_at, data, state)
		SELECT 'company-' || i % 20, i::text, 'x', 1, 1, 1, '', CASE WHEN i % 10 = 0 THEN 'pending' ELSE 'done' END FROM generate_series(1, 20000) AS i`,
		`INSERT INTO deliveries (event, company, event_id, event_name, event_received_at, rule, channel, recipient, content, state, next_attempt_at, created_at, updated_at)
		SELECT i, 'company-' || i % 20, i::text, 'x', 1, 'a', 'email', 'a', i, CASE WHEN i % 10 = 0 THEN 'pending' ELSE 'sent' END, 1, 1, 1 FROM generate_series(1, 20000) AS i`,
		"INSERT INTO contents (id, sender, subject, text, html) SELECT id, '', '', repeat('x', 100), '' FROM deliveries",
		"ANALYZE",
	} {
		_, err := s.d.pool.ExecContext(bg, q)
		g.Expect(err).NotTo(HaveOccurred())
	}
	for name, test := range map[string]struct {
		query string
		args  []any
	}{
		"claim events":     {claimEvents, []any{1, 2, "company-0", 3, 10}},
		"claim deliveries": {claimDeliveries, []any{1, 2, "company-0", "email", 3, 10}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			rows, err := s.d.pool.QueryContext(bg, "EXPLAIN "+test.query, test.args...)
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

func TestOfANewerOperatorIsRefused(t *testing.T) {
	g := NewWithT(t)
	at := newPlace(t)
	s := at.open(t, nil)
	_, err := s.d.pool.ExecContext(bg, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)")
	g.Expect(err).NotTo(HaveOccurred())
	_, err = at.try()
	g.Expect(err).To(MatchError(ContainSubstring("run the newer operator")))
}
