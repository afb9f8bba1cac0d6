// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// maxOutcomes is how many outcomes [Store.EventOutcomes] returns at most.
const maxOutcomes = 100

// EventByKey returns an event of a company by its key, with its Data, or [ErrNotFound].
func (s *Store) EventByKey(ctx context.Context, company string, key int64) (StoredEvent, error) {
	return s.oneEvent(ctx, eventColumns+", data", company, key)
}

// EventHead is [Store.EventByKey] without the Data.
func (s *Store) EventHead(ctx context.Context, company string, key int64) (StoredEvent, error) {
	return s.oneEvent(ctx, eventColumns+", NULL", company, key)
}

func (s *Store) oneEvent(ctx context.Context, columns, company string, key int64) (StoredEvent, error) {
	found, err := s.readEvents(ctx, columns, "WHERE id = $1 AND company = $2", storableArgs([]any{key, company})...)
	switch {
	case err != nil:
		return StoredEvent{}, unavailable("reading an event", err)
	case len(found) == 0:
		return StoredEvent{}, fmt.Errorf("event %d: %w", key, ErrNotFound)
	}
	return found[0], nil
}

// Outcome is how many deliveries of an event ended, or wait, for the same reason.
type Outcome struct {
	State  DeliveryState
	Reason string
	Count  int
}

const countOutcomes = "SELECT state, reason, COUNT(*) FROM deliveries WHERE event = $1 AND company || '' = $2 " +
	"GROUP BY state, reason ORDER BY COUNT(*) DESC, state, reason LIMIT "

// EventOutcomes counts the deliveries of an event of a company by state and reason, the
// most frequent first. It takes turns with [Store.Log], and has the same time limit.
func (s *Store) EventOutcomes(ctx context.Context, company string, key int64) (found []Outcome, err error) {
	ctx, leave, err := s.enterLog(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	rows, err := s.reader.QueryContext(ctx, countOutcomes+strconv.Itoa(maxOutcomes), key, storable(company))
	if err != nil {
		return nil, stopped(ctx, "counting an event's deliveries", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var o Outcome
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
