// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sqlstore implements the ledger in SQL, on any database that has a driver. Its
// statements run on all of them; what differs is the driver's, see [driver.Driver].
package sqlstore

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

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/seal"
)

const (
	// pollInterval is how long work that another process added or released may wait to
	// be noticed, and pollTimeout bounds the search for it.
	pollInterval = time.Second
	pollTimeout  = 10 * time.Second
)

// Store is an open ledger. It implements [ledger.Store].
type Store struct {
	driver  driver.Driver
	dialect driver.Dialect
	pool    *sql.DB
	clock   driver.Clock
	// machine is this machine's clock.
	machine clock.PassiveClock
	log     logr.Logger

	events     driver.Signal
	deliveries driver.Signal
	handover   atomic.Pointer[ledger.Handover]
	// eventTurn and deliveryTurn are whose turn it is in claims.
	eventTurn, deliveryTurn turn
	// logQueries has a place for each query of the log that may run at once, and bulk one
	// for the one large write.
	logQueries chan struct{}
	bulk       chan struct{}

	// suspectEvents and suspectDeliveries are the rows that this process holds and whose
	// last claim ended without an outcome.
	suspectEvents, suspectDeliveries suspects
	onQuarantine                     atomic.Pointer[func(ledger.Quarantined)]
	usage                            usage
	suppressed                       suppressed
	keys                             keys
	// digestKey is the key of [Store.digest]; empty if there is none.
	digestKey []byte
	// cipher encrypts; nil if nothing is encrypted.
	cipher *seal.Keyring
	// undecryptable logs why a row can't be decrypted, not too often.
	undecryptable func(error)
	// opened is when the ledger was opened, by its clock.
	opened int64
	// reencryption belongs to the caller of Reencrypt.
	reencryption reencryption
	// erasing are the places of interrupted erasures.
	erasing erasingPlaces
	// unscrubbed is whether something was masked or erased since the last scrub.
	unscrubbed atomic.Bool

	stop     context.CancelFunc
	stopped  sync.WaitGroup
	close    sync.Once
	closeErr error
}

var _ ledger.Store = (*Store)(nil)

// Open returns the ledger on an open database, which it closes after an error. Closing the
// ledger closes the database. A ledger whose rows are encrypted with a key that is missing is
// refused.
func Open(ctx context.Context, d driver.Driver, o ledger.Options) (*Store, error) {
	if err := registerKey(ctx, d, o.Keys); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return New(d, o), nil
}

// New is Open without keys.
func New(d driver.Driver, o ledger.Options) *Store {
	s := &Store{
		driver: d, dialect: d.Dialect(), pool: d.Pool(), clock: d.Clock(), machine: o.Clock, log: o.Log,
		events: driver.NewSignal(), deliveries: driver.NewSignal(),
		logQueries: make(chan struct{}, driver.LogQueries), bulk: make(chan struct{}, 1),
		usage: newUsage(o.Limits), digestKey: o.DigestKey, cipher: o.Keys,
	}
	if s.machine == nil {
		s.machine = clock.RealClock{}
	}
	if s.log.IsZero() {
		s.log = logr.Discard()
	}
	s.undecryptable = driver.RateLimited(s.log, "A row of the ledger can't be decrypted; it is left as it is")
	s.opened = s.now()
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	if s.cipher != nil {
		s.stopped.Go(func() { s.keepKey(ctx) })
	}
	s.stopped.Go(func() { s.trackUsage(ctx, cmp.Or(o.UsageInterval, usageInterval)) })
	s.stopped.Go(func() { s.trackSuppressed(ctx, cmp.Or(o.PollInterval, pollInterval)) })
	if d.Shared() {
		s.stopped.Go(func() { s.poll(ctx, cmp.Or(o.PollInterval, pollInterval)) })
	}
	// The previous process may have left work.
	s.unscrubbed.Store(true)
	s.events.Raise()
	s.deliveries.Raise()
	return s
}

// Close implements [ledger.Store].
func (s *Store) Close() error {
	s.close.Do(func() {
		s.stop()
		s.stopped.Wait()
		s.flushUsage(context.Background())
		s.closeErr = s.driver.Close()
	})
	return s.closeErr
}

// Healthy implements [ledger.Store].
func (s *Store) Healthy(ctx context.Context) error {
	var one int
	if err := s.pool.QueryRowContext(ctx, "SELECT 1 FROM probe WHERE id = 1 UNION ALL SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("%w: reading: %w", ledger.ErrUnavailable, err)
	}
	if !s.driver.Failing() {
		return nil
	}
	// The last write failed. There may be no other, because nothing is sent to a process
	// that isn't ready, so try one.
	return s.driver.Write(ctx, &driver.Job{Single: true, Run: func(tx driver.Tx) error {
		_, err := tx.Exec("INSERT INTO probe (id, written_at) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET written_at = excluded.written_at", s.now())
		return err
	}})
}

// query runs a read-only function that has a result.
func query[T any](ctx context.Context, s *Store, run func(driver.Tx) (T, error)) (T, error) {
	return resultOf(run, func(run func(driver.Tx) error) error { return s.driver.Query(ctx, run) })
}

// queryRow reads the only row of a query into values, which stay as they are if it has none.
func queryRow(tx driver.Tx, statement string, args []any, into ...any) (err error) {
	rows, err := tx.Query(statement, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if rows.Next() {
		err = rows.Scan(into...)
	}
	return errors.Join(err, rows.Err())
}

// write runs a job that has a result.
func write[T any](ctx context.Context, s *Store, j *driver.Job, run func(driver.Tx) (T, error)) (T, error) {
	return resultOf(run, func(run func(driver.Tx) error) error {
		j.Run = run
		return s.driver.Write(ctx, j)
	})
}

// resultOf has a function run and returns its result. After an error the function may still
// be running, so its result is not touched then.
func resultOf[T any](run func(driver.Tx) (T, error), start func(run func(driver.Tx) error) error) (T, error) {
	var result T
	err := start(func(tx driver.Tx) (err error) {
		result, err = run(tx)
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return result, nil
}

// poll looks for due work of other processes that share the ledger, until ctx is done:
// they may have died, or accepted more than they can handle.
func (s *Store) poll(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, q := range []struct {
			queue
			driver.Signal
		}{{eventQueue, s.events}, {deliveryQueue, s.deliveries}} {
			bounded, cancel := context.WithTimeout(ctx, pollTimeout)
			// An error will show where the work is claimed.
			if at, ok, err := s.due(bounded, q.queue); err == nil && ok && !at.After(s.clock.Now()) {
				q.Raise()
			}
			cancel()
		}
	}
}

// now is the time by the ledger's clock, as it is stored.
func (s *Store) now() int64 { return s.clock.Now().UnixMilli() }

// stored is a caller's time as it is stored.
func (s *Store) stored(t time.Time) int64 { return t.Add(s.clock.Ahead()).UnixMilli() }

// unavailable wraps an error of reading.
func unavailable(doing string, err error) error {
	if errors.Is(err, ledger.ErrUnavailable) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%w: %s: %w", ledger.ErrUnavailable, doing, err)
}
