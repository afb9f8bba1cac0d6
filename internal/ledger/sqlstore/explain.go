// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
)

// maxOutcomes is how many outcomes [Store.EventOutcomes] returns at most.
const maxOutcomes = 100

// EventByKey implements [ledger.History].
func (s *Store) EventByKey(ctx context.Context, company string, key int64) (ledger.StoredEvent, error) {
	return s.oneEvent(ctx, eventColumns+", data", company, key)
}

// EventHead implements [ledger.History].
func (s *Store) EventHead(ctx context.Context, company string, key int64) (ledger.StoredEvent, error) {
	return s.oneEvent(ctx, eventColumns+", NULL", company, key)
}

func (s *Store) oneEvent(ctx context.Context, columns, company string, key int64) (ledger.StoredEvent, error) {
	found, err := s.readEvents(ctx, columns, "WHERE id = $1 AND company = $2", driver.StorableArgs([]any{key, company})...)
	switch {
	case err != nil:
		return ledger.StoredEvent{}, unavailable("reading an event", err)
	case len(found) == 0:
		return ledger.StoredEvent{}, fmt.Errorf("event %d: %w", key, ledger.ErrNotFound)
	}
	return found[0], nil
}

const countOutcomes = "SELECT state, reason, COUNT(*) FROM deliveries WHERE event = $1 AND company || '' = $2 AND rule <> '' " +
	"GROUP BY state, reason ORDER BY COUNT(*) DESC, state, reason LIMIT "

// EventOutcomes implements [ledger.History].
func (s *Store) EventOutcomes(ctx context.Context, company string, key int64) (found []ledger.Outcome, err error) {
	ctx, leave, err := s.enterLog(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	rows, err := s.pool.QueryContext(ctx, countOutcomes+strconv.Itoa(maxOutcomes), key, driver.Storable(company))
	if err != nil {
		return nil, stopped(ctx, "counting an event's deliveries", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var o ledger.Outcome
		if err := rows.Scan(&o.State, &o.Reason, &o.Count); err != nil {
			return nil, stopped(ctx, "counting an event's deliveries", err)
		}
		found = append(found, o)
	}
	if err := rows.Err(); err != nil {
		return nil, stopped(ctx, "counting an event's deliveries", err)
	}
	return found, nil
}
