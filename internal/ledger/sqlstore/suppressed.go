// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
)

const (
	// suppressedReload is how often the lanes with suppressions are read again, to forget
	// those whose suppressions have ended.
	suppressedReload = 10 * time.Minute
	// lateRows is how many rows before the last known one are read again: transactions of
	// other replicas may commit in another order than that of their IDs.
	lateRows = 1000

	lastSuppression = "SELECT COALESCE(MAX(id), 0) FROM suppressions"
	newSuppressions = "SELECT DISTINCT company, channel FROM suppressions WHERE id > $1"
	// suppressedLanes jumps along the index from one lane to the next, so that its cost
	// grows with the lanes and not with the suppressions.
	suppressedLanes = `
		WITH RECURSIVE lanes (company, channel) AS (
			SELECT q.company, q.channel FROM suppressions q WHERE q.id = (SELECT n.id FROM suppressions n ORDER BY n.company, n.channel LIMIT 1)
			UNION ALL
			SELECT q.company, q.channel FROM lanes JOIN suppressions q ON q.id = COALESCE((
				SELECT n.id FROM suppressions n WHERE n.company = lanes.company AND n.channel > lanes.channel
				ORDER BY n.channel LIMIT 1), (
				SELECT n.id FROM suppressions n WHERE n.company > lanes.company
				ORDER BY n.company, n.channel LIMIT 1))
		) SELECT company, channel FROM lanes`
)

// suppressed knows which lanes may have suppressions, so that messages of the others cost no
// query. It may name lanes that have none any more.
type suppressed struct {
	mu    sync.RWMutex
	known bool // else every lane may have some
	lanes map[ledger.Lane]bool
	// added are the lanes that were added since a reload began; nil while there is none.
	added map[ledger.Lane]bool
}

// any reports whether a lane may have suppressions.
func (s *suppressed) any(l ledger.Lane) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return !s.known || s.lanes[l]
}

// add says that a lane has a suppression, which is committed: a reload that began before
// may not have seen it, and one that begins afterwards will.
func (s *suppressed) add(l ledger.Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lanes == nil {
		s.lanes = map[ledger.Lane]bool{}
	}
	s.lanes[l] = true
	if s.added != nil {
		s.added[l] = true
	}
}

// reload replaces what is known by what read returns. A suppression may be stored
// meanwhile, after it was read.
func (s *suppressed) reload(read func() (map[ledger.Lane]bool, error)) error {
	s.mu.Lock()
	s.added = map[ledger.Lane]bool{}
	s.mu.Unlock()
	lanes, err := read()
	s.mu.Lock()
	defer s.mu.Unlock()
	added := s.added
	s.added = nil
	if err != nil {
		return err
	}
	maps.Copy(lanes, added)
	s.lanes, s.known = lanes, true
	return nil
}

// trackSuppressed keeps s.suppressed up to date until ctx is done. Only other processes add
// suppressions without adding their lanes.
func (s *Store) trackSuppressed(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	last, reloaded := int64(0), time.Time{}
	for {
		if time.Since(reloaded) > suppressedReload {
			// Read first, so that nothing is missed in between.
			newest, err := s.lastSuppression(ctx)
			if err == nil {
				err = s.suppressed.reload(func() (map[ledger.Lane]bool, error) { return s.readLanes(ctx, suppressedLanes) })
			}
			if err == nil { // else every lane may have suppressions until it succeeds
				last, reloaded = newest, time.Now()
			}
		} else if s.driver.Shared() {
			if newest, err := s.lastSuppression(ctx); err == nil && newest > last {
				lanes, err := s.readLanes(ctx, newSuppressions, last-lateRows)
				for l := range lanes {
					s.suppressed.add(l)
				}
				if err == nil {
					last = newest
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *Store) lastSuppression(ctx context.Context) (id int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	err = s.pool.QueryRowContext(ctx, lastSuppression).Scan(&id)
	return id, err
}

func (s *Store) readLanes(ctx context.Context, query string, args ...any) (lanes map[ledger.Lane]bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	rows, err := s.pool.QueryContext(ctx, query, driver.StorableArgs(args)...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	lanes = map[ledger.Lane]bool{}
	for rows.Next() {
		var l ledger.Lane
		if err := rows.Scan(&l.Company, &l.Channel); err != nil {
			return nil, err
		}
		lanes[l] = true
	}
	return lanes, rows.Err()
}
