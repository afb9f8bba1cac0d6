// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
)

const (
	// rowBytes is about what a row takes in addition to its content; the migrations use
	// the same number.
	rowBytes = 1024
	// usageInterval is how often each company's usage is written and counted again.
	usageInterval = 5 * time.Second
	// usageShare limits the time spent counting to one part in so many.
	usageShare = 50
	// usageTimeout bounds one round.
	usageTimeout = 10 * time.Second
)

// usage is an estimate of what each company uses. Between two counts in the database it is
// kept in memory, so that accepting an event takes no further statement: a company can
// exceed its limits by what it does in some seconds. Rows that end meanwhile still count.
type usage struct {
	limits ledger.Limits

	flushing sync.Mutex // held while what was added is written

	mu      sync.Mutex
	pending map[string]int64
	bytes   map[string]int64
	// added counts bytes that are not written to the table storage yet.
	added map[string]int64
	// begun is what became pending since the current count started, which may lack it.
	begun map[string]int64
	// changed reports whether there may be something to write or to count.
	changed bool
}

func newUsage(limits ledger.Limits) usage {
	return usage{limits: limits, pending: map[string]int64{}, bytes: map[string]int64{}, added: map[string]int64{}, begun: map[string]int64{}}
}

// admit returns an error if a company uses as much as it may.
func (u *usage) admit(company string) error {
	if u.limits == (ledger.Limits{}) {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if n := u.pending[company]; u.limits.Pending > 0 && n >= u.limits.Pending {
		u.changed = true
		return fmt.Errorf("%w: about %d of its events and messages are pending, and %d may be", ledger.ErrCompanyFull, n, u.limits.Pending)
	}
	if n := u.bytes[company]; u.limits.Bytes > 0 && n >= u.limits.Bytes {
		u.changed = true
		return fmt.Errorf("%w: it stores about %d MiB, and may store %d MiB", ledger.ErrCompanyFull, n>>20, u.limits.Bytes>>20)
	}
	return nil
}

// crowded reports whether half of what may be pending of a company is. Digests, which are
// pending until the end of their period, must not take the room of its events.
func (u *usage) crowded(company string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.limits.Pending > 0 && u.pending[company] >= u.limits.Pending/2
}

// add counts new rows.
func (u *usage) add(company string, pending, bytes int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.changed = true
	u.pending[company] += pending
	u.begun[company] += pending
	u.bytes[company] += bytes
	u.added[company] += bytes
}

// take returns what is to be written, and whether there is anything to write or count.
func (u *usage) take() (added map[string]int64, changed bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	added, changed = u.added, u.changed
	u.added, u.begun, u.changed = map[string]int64{}, map[string]int64{}, false
	return added, changed
}

// giveBack keeps what could not be written for the next time.
func (u *usage) giveBack(added map[string]int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for company, bytes := range added {
		u.added[company] += bytes
	}
	u.changed = true
}

// recount has what companies use counted again soon.
func (u *usage) recount() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.changed = true
}

// set replaces the estimate by what was counted in the database.
func (u *usage) set(pending, bytes map[string]int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for company, n := range u.added { // during the count
		bytes[company] += n
	}
	for company, n := range u.begun {
		pending[company] += n
	}
	u.pending, u.bytes = pending, bytes
}

// admitEvent returns an error if a company is full. An event that the ledger has already
// takes nothing more: the platform only learns that it was acknowledged.
func (s *Store) admitEvent(ctx context.Context, e *driver.Event) (duplicate bool, err error) {
	full := s.usage.admit(e.Company)
	if full == nil {
		return false, nil
	}
	var there bool
	err = s.pool.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM events WHERE company = $1 AND event_id = $2)", e.Company, e.ID).Scan(&there)
	if err != nil {
		return false, unavailable("looking for an event", err)
	}
	if there {
		return true, nil
	}
	return false, full
}

// trackUsage writes and counts what companies use, until ctx is done.
func (s *Store) trackUsage(ctx context.Context, every time.Duration) {
	for first := true; ; first = false {
		begin := time.Now()
		if changed := s.flushUsage(ctx); changed || first {
			_ = s.countUsage(ctx) // if it fails, the last count and the additions since apply
		}
		timer := time.NewTimer(max(every, usageShare*time.Since(begin)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// flushUsage writes what was added since the last time.
func (s *Store) flushUsage(ctx context.Context) (changed bool) {
	s.usage.flushing.Lock()
	defer s.usage.flushing.Unlock()
	added, changed := s.usage.take()
	if len(added) == 0 {
		return changed
	}
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	err := s.driver.Write(ctx, &driver.Job{Relaxed: true, Background: true, Run: func(tx driver.Tx) error {
		for company, bytes := range added {
			if _, err := tx.Exec(`
				INSERT INTO storage (company, bytes) VALUES ($1, $2)
				ON CONFLICT (company) DO UPDATE SET bytes = storage.bytes + excluded.bytes`, company, bytes); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		s.usage.giveBack(added)
	}
	return changed
}

// countUsage reads what companies use.
func (s *Store) countUsage(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	counts := make([]map[string]int64, 0, 3)
	for _, query := range []string{
		"SELECT company, COUNT(*) FROM events WHERE state = 'pending' GROUP BY company",
		"SELECT company, COUNT(*) FROM deliveries WHERE state = 'pending' GROUP BY company",
		"SELECT company, bytes FROM storage",
	} {
		count, err := s.countByCompany(ctx, query)
		if err != nil {
			return err
		}
		counts = append(counts, count)
	}
	pending, bytes := counts[0], counts[2]
	for company, n := range counts[1] {
		pending[company] += n
	}
	s.usage.set(pending, maps.Clone(bytes))
	return nil
}

func (s *Store) countByCompany(ctx context.Context, query string) (counts map[string]int64, err error) {
	rows, err := s.pool.QueryContext(ctx, query)
	if err != nil {
		return nil, unavailable("counting what companies use", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	counts = map[string]int64{}
	for rows.Next() {
		var company string
		var n int64
		if err := rows.Scan(&company, &n); err != nil {
			return nil, unavailable("counting what companies use", err)
		}
		counts[company] = n
	}
	return counts, rows.Err()
}
