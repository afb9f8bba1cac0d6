// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const (
	// maxAttemptRows is how many rows the attempts of one delivery take. After that, the
	// last row is overwritten.
	maxAttemptRows = 50
	// attemptBytes is about what such a row takes; the migrations use the same number.
	attemptBytes = 512
)

const (
	repeatAttempt = `
		UPDATE attempts SET last_at = $1, times = times + 1
		WHERE id = (SELECT MAX(id) FROM attempts WHERE delivery = $2) AND state = $3 AND reason = $4 AND message = $5`
	insertAttempt = `
		INSERT INTO attempts (delivery, first_at, last_at, times, state, reason, message)
		SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), CAST($2 AS BIGINT), 1, CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT)
		WHERE (SELECT COUNT(*) FROM attempts WHERE delivery = $1) < $6`
	overwriteAttempt = `
		UPDATE attempts SET last_at = $1, times = times + 1, state = $2, reason = $3, message = $4
		WHERE id = (SELECT MAX(id) FROM attempts WHERE delivery = $5)`
)

// attempt is the outcome of an attempt other than success.
type attempt struct {
	state           ledger.DeliveryState
	reason, message string
}

// endAttempt runs a statement that ends the claim of a delivery, and adds the attempt to
// those of the delivery.
func (s *Store) endAttempt(ctx context.Context, d *ledger.ClaimedDelivery, now int64, a attempt, committed func(), query string, args ...any) error {
	return s.endClaimAnd(ctx, &s.suspectDeliveries, d.ID, d.Lease, d.Company, committed, func(tx driver.Tx) (stored int64, err error) {
		added, err := addAttempt(tx, d, now, a)
		stored = attemptBytes * number(added)
		if err != nil || a.state == ledger.DeliveryPending {
			return stored, err
		}
		freed, err := s.endFallbacks(tx, d.ID, a.state, a.reason, now)
		stored -= freed
		if err != nil || !d.Sensitive {
			return stored, err
		}
		freed, err = s.mask(tx, d.ID)
		return stored - freed, err
	}, query, args...)
}

// addAttempt reports whether it added a row.
func addAttempt(tx driver.Tx, d *ledger.ClaimedDelivery, now int64, a attempt) (added bool, err error) {
	if d.Reason == a.reason && d.Message == a.message { // else the last attempt was another one
		n, err := tx.Exec(repeatAttempt, now, d.ID, a.state, a.reason, a.message)
		if err != nil || n > 0 {
			return false, err
		}
	}
	n, err := tx.Exec(insertAttempt, d.ID, now, a.state, a.reason, a.message, maxAttemptRows)
	if err != nil || n > 0 {
		return n > 0, err
	}
	_, err = tx.Exec(overwriteAttempt, now, a.state, a.reason, a.message, d.ID)
	return false, err
}

// Attempts implements [ledger.History].
func (s *Store) Attempts(ctx context.Context, deliveries []int64) (found map[int64][]ledger.Attempt, err error) {
	if len(deliveries) == 0 {
		return nil, nil
	}
	deliveries = deliveries[:min(len(deliveries), maxLogPage)]
	args, places := make([]any, len(deliveries)), make([]string, len(deliveries))
	for i, id := range deliveries {
		args[i], places[i] = id, "$"+strconv.Itoa(i+1)
	}
	rows, err := s.pool.QueryContext(ctx, "SELECT delivery, first_at, last_at, times, state, reason, message FROM attempts WHERE delivery IN ("+ //nolint:gosec // the places of arguments
		strings.Join(places, ", ")+") ORDER BY id + 0", args...)
	if err != nil {
		return nil, unavailable("reading attempts", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	found = make(map[int64][]ledger.Attempt)
	ahead := s.clock.Ahead()
	for rows.Next() {
		var a ledger.Attempt
		var delivery, first, last int64
		if err := rows.Scan(&delivery, &first, &last, &a.Times, &a.State, &a.Reason, &a.Message); err != nil {
			return nil, unavailable("reading attempts", err)
		}
		a.First, a.Last = schema.Time(first).Add(-ahead), schema.Time(last).Add(-ahead)
		found[delivery] = append(found[delivery], a)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("reading attempts", err)
	}
	return found, nil
}
