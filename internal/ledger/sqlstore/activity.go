// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const selectProgress = "SELECT id, company, rule, state, reason, created_at, updated_at FROM deliveries "

// ProgressAfter implements [ledger.Activity].
func (s *Store) ProgressAfter(ctx context.Context, after int64, createdBefore time.Time, limit int) ([]ledger.Progress, error) {
	return s.progress(ctx, s.stored(createdBefore), selectProgress+"WHERE id > $1 ORDER BY id LIMIT $2", after, min(limit, ledger.MaxProgress))
}

// ProgressOf implements [ledger.Activity].
func (s *Store) ProgressOf(ctx context.Context, ids []int64) ([]ledger.Progress, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var c conditions
	places := ""
	for i, id := range ids[:min(len(ids), ledger.MaxProgress)] {
		if i > 0 {
			places += ", "
		}
		places += strconv.FormatInt(id, 10)
	}
	c.add("id IN (" + places + ")")
	return s.progress(ctx, math.MaxInt64, selectProgress+c.where()+" ORDER BY id")
}

// progress returns the rows of a query up to the first one that was created too late.
func (s *Store) progress(ctx context.Context, before int64, query string, args ...any) (found []ledger.Progress, err error) {
	rows, err := s.pool.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, unavailable("reading how far messages have come", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var p ledger.Progress
		var created, updated int64
		if err := rows.Scan(&p.ID, &p.Company, &p.RuleName, &p.State, &p.Reason, &created, &updated); err != nil {
			return nil, unavailable("reading how far messages have come", err)
		}
		if created >= before {
			return found, nil
		}
		p.UpdatedAt = schema.Time(updated).Add(-s.clock.Ahead())
		found = append(found, p)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("reading how far messages have come", err)
	}
	return found, nil
}

// LastBefore implements [ledger.Activity]. It bisects: IDs grow with the time, which no index
// has.
func (s *Store) LastBefore(ctx context.Context, created time.Time) (int64, error) {
	before := s.stored(created)
	var low, high int64 // low is known to be before, or 0; above high there is nothing before
	var none sql.NullInt64
	if err := s.pool.QueryRowContext(ctx, "SELECT MAX(id) FROM deliveries").Scan(&none); err != nil {
		return 0, unavailable("finding messages by their time", err)
	}
	for high = none.Int64; low < high; {
		middle := low + (high-low+1)/2
		var id, at int64
		// The last row up to the middle.
		err := s.pool.QueryRowContext(ctx, "SELECT id, created_at FROM deliveries WHERE id <= $1 AND id > $2 ORDER BY id DESC LIMIT 1", middle, low).Scan(&id, &at)
		switch {
		case errors.Is(err, sql.ErrNoRows): // nothing between low and the middle
			var next int64
			err = s.pool.QueryRowContext(ctx, "SELECT id, created_at FROM deliveries WHERE id > $1 ORDER BY id LIMIT 1", middle).Scan(&next, &at)
			if errors.Is(err, sql.ErrNoRows) || err == nil && (next > high || at >= before) {
				return low, nil
			}
			if err != nil {
				return 0, unavailable("finding messages by their time", err)
			}
			low = next
		case err != nil:
			return 0, unavailable("finding messages by their time", err)
		case at < before:
			low = middle
		default:
			high = id - 1
		}
	}
	return low, nil
}

// PendingByCompany implements [ledger.Activity].
func (s *Store) PendingByCompany(ctx context.Context) (map[string]int64, error) {
	return s.countByCompany(ctx, "SELECT company, COUNT(*) FROM deliveries WHERE state = 'pending' GROUP BY company")
}

// SpentByCompany implements [ledger.Activity].
func (s *Store) SpentByCompany(ctx context.Context) (spent map[string]map[string]int64, err error) {
	rows, err := s.pool.QueryContext(ctx, "SELECT company, channel, n FROM charges WHERE day = $1 AND scope = $2", s.day(), ledger.ScopeCompany)
	if err != nil {
		return nil, unavailable("reading what was charged", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	spent = make(map[string]map[string]int64)
	for rows.Next() {
		var company, channel string
		var n int64
		if err := rows.Scan(&company, &channel, &n); err != nil {
			return nil, unavailable("reading what was charged", err)
		}
		if spent[company] == nil {
			spent[company] = make(map[string]int64)
		}
		spent[company][channel] = n
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("reading what was charged", err)
	}
	return spent, nil
}
