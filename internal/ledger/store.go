// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// Options say where the ledger is and how it works. Zero fields have defaults.
type Options struct {
	// Path is the SQLite file. Its directory is created if it's missing.
	Path string
	// URL is the PostgreSQL database instead, as postgres://user@host/database. It
	// holds no password.
	URL string
	// Password is that of the URL's user; empty if none is needed.
	Password string
	// Connections is how many connections to PostgreSQL are open at most; 16 if 0.
	Connections int
	// Clock tells the time; the real one if nil.
	Clock clock.PassiveClock
	// Log takes what an operator should know; nothing is logged if it's zero.
	Log logr.Logger

	// Limits are what one company may use.
	Limits Limits

	// Set by tests.
	watchEvery time.Duration
	usageEvery time.Duration
	sqlite     sqliteSettings
}

// Store is an open ledger. It is safe for concurrent use.
type Store struct {
	// clock is the ledger's; machine is this machine's, and wall the one that its
	// callers' times are by.
	clock, machine, wall clock.PassiveClock

	dialect dialect
	db      database
	reader  *sql.DB

	events     wake
	deliveries wake
	handover   atomic.Pointer[Handover]
	// eventTurn and deliveryTurn are whose turn it is in claims.
	eventTurn, deliveryTurn turn
	// logQueries are the turns of queries of the log.
	logQueries chan struct{}
	// bulk is the turn of large writes.
	bulk chan struct{}

	// suspectEvents and suspectDeliveries are what this process holds of the rows whose
	// last claim ended without an outcome.
	suspectEvents, suspectDeliveries suspects
	onQuarantine                     atomic.Pointer[func(Quarantined)]
	log                              logr.Logger
	usage                            usage
	stopUsage                        func()

	close    sync.Once
	closeErr error
}

// Open opens the ledger, creates it where there is none, and brings its tables
// up to date. Only one process can have a SQLite ledger open; one on PostgreSQL is
// for many. The caller closes it.
func Open(ctx context.Context, o Options) (*Store, error) {
	if (o.Path == "") == (o.URL == "") {
		return nil, errors.New("the ledger needs either a path or a URL")
	}
	if o.Log.IsZero() {
		o.Log = logr.Discard()
	}
	s := &Store{machine: o.Clock, log: o.Log, events: newWake(), deliveries: newWake(), logQueries: make(chan struct{}, logQueries), bulk: make(chan struct{}, 1)}
	if s.machine == nil {
		s.machine = clock.RealClock{}
	}
	if o.Path != "" {
		d, err := openSQLiteFile(ctx, o, s.machine)
		if err != nil {
			return nil, err
		}
		s.dialect, s.db, s.reader = sqliteDialect, d, d.reader
		s.clock, s.wall = d.clock, s.machine
	} else {
		d, err := openPostgres(ctx, o)
		if err != nil {
			return nil, err
		}
		s.dialect, s.db, s.reader = postgresDialect, d, d.pool
		s.clock, s.wall = d.clock, d.clock
		if o.Clock != nil {
			s.clock, s.wall = o.Clock, o.Clock
		}
	}
	if d, ok := s.db.(*postgresDatabase); ok {
		d.watch(s, cmp.Or(o.watchEvery, watchEvery))
	}
	s.usage = usage{limits: o.Limits, pending: map[string]int64{}, bytes: map[string]int64{}, added: map[string]int64{}, begun: map[string]int64{}}
	s.watchUsage(cmp.Or(o.usageEvery, usageEvery))
	// What the process before left undone.
	s.events.raise()
	s.deliveries.raise()
	return s, nil
}

// Close commits what was already handed in, refuses the rest and closes the
// database. It is safe to call more than once.
func (s *Store) Close() error {
	s.close.Do(func() {
		s.stopUsage()
		s.closeErr = s.db.close()
	})
	return s.closeErr
}

// Healthy returns nil if the ledger can be read and written, else one clear
// sentence that wraps [ErrUnavailable].
func (s *Store) Healthy(ctx context.Context) error {
	var one int
	if err := s.reader.QueryRowContext(ctx, "SELECT 1 FROM probe WHERE id = 1 UNION ALL SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("%w: reading: %w", ErrUnavailable, err)
	}
	if !s.db.failing() {
		return nil
	}
	// The last write failed. Perhaps none comes any more because nothing is sent
	// to a process that isn't ready, so find out.
	return s.write(ctx, &job{one: true, run: func(w *writer) error {
		_, err := w.exec("INSERT INTO probe (id, written_at) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET written_at = excluded.written_at", s.now())
		return err
	}})
}

// write runs a job.
func (s *Store) write(ctx context.Context, j *job) error {
	j.ctx = ctx
	return s.db.run(j)
}

// now is the time by the ledger's clock, as it is stored.
func (s *Store) now() int64 { return s.clock.Now().UnixMilli() }

// timeOf is a stored time, by the ledger's clock.
func timeOf(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// ahead is how far the ledger's clock is ahead of the one that callers go by.
func (s *Store) ahead() time.Duration {
	if c, ok := s.clock.(*steadyClock); ok {
		return c.ahead()
	}
	return 0
}

// stored is a caller's time as it is stored.
func (s *Store) stored(t time.Time) int64 { return t.Add(s.ahead()).UnixMilli() }

// unavailable wraps an error of reading.
func unavailable(doing string, err error) error {
	if errors.Is(err, ErrUnavailable) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, doing, err)
}

// wake tells one receiver that there is something to do. Raising it again
// before it was received changes nothing.
type wake chan struct{}

func newWake() wake { return make(wake, 1) }

func (s wake) raise() {
	select {
	case s <- struct{}{}:
	default:
	}
}
