// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

// A claim takes a SELECT and an UPDATE for each row. One UPDATE with RETURNING took half
// as long again: it copies the data and the contents once more.
//
// SQLite parses a statement again whenever a LIMIT that is a bare parameter changes,
// which took a third of the time of all claims; so the limits are sums. It does the same
// at each run that compares a column with a bare parameter if there is a partial index
// for one value of the column, as the inbox's is for one channel: the parameter might be
// that value. So the channel is a concatenation with nothing.
var (
	dueEvents = "SELECT " + schema.ClaimedEventColumns("unfinished + (lease <> 0)") + ` FROM events
		WHERE state = 'pending' AND company = $1 AND next_attempt_at <= $2
		ORDER BY next_attempt_at, id LIMIT $3 + 0`
	dueDeliveries = "SELECT " + schema.ClaimedDeliveryColumns("unfinished + (lease <> 0)") + " FROM deliveries" + schema.WithContents + `
		WHERE state = 'pending' AND company = $1 AND channel = $2 || '' AND next_attempt_at <= $3
		ORDER BY next_attempt_at, deliveries.id LIMIT $4 + 0`
)

const (
	leaseEvent = `
		UPDATE events SET lease = $1, next_attempt_at = $2, attempts = attempts + 1, unfinished = unfinished + (lease <> 0)
		WHERE id = $3 AND state = 'pending'`
	leaseDelivery = `
		UPDATE deliveries SET lease = $1, next_attempt_at = $2, attempts = attempts + 1, unfinished = unfinished + (lease <> 0)
		WHERE id = $3 AND state = 'pending'`
)

// ClaimEvents implements [driver.Tx]. Nobody else writes meanwhile.
func (w *writer) ClaimEvents(c driver.Claim) ([]ledger.ClaimedEvent, error) {
	found, err := schema.ScanClaimedEvents(w.Query(dueEvents, c.Lane.Company, c.Now, c.Limit)) //nolint:rowserrcheck // the function does
	if err != nil {
		return nil, err
	}
	for i := range found {
		if _, err := w.Exec(leaseEvent, c.Lease, c.Until, found[i].Key); err != nil {
			return nil, err
		}
		found[i].Attempts++
	}
	return found, nil
}

// ClaimDeliveries implements [driver.Tx]. Nobody else writes meanwhile.
func (w *writer) ClaimDeliveries(c driver.Claim) ([]ledger.Delivery, error) {
	found, err := schema.ScanDeliveries(w.Query(dueDeliveries, c.Lane.Company, c.Lane.Channel, c.Now, c.Limit)) //nolint:rowserrcheck // the function does
	if err != nil {
		return nil, err
	}
	for i := range found {
		d := &found[i]
		if _, err := w.Exec(leaseDelivery, c.Lease, c.Until, d.ID); err != nil {
			return nil, err
		}
		d.Attempts++
		d.NextAttemptAt = schema.Time(c.Until)
	}
	return found, nil
}
