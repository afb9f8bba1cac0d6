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
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

// hasMessage is whether there is something to send.
const hasMessage = "content <> 0"

const (
	// resentValidity is when a delivery expires that is sent again. A code or a link does
	// not live longer because of that.
	resentValidity   = "CASE WHEN expires_at = 0 OR expires_at > $4 OR sensitive = 1 THEN expires_at ELSE CAST($4 AS BIGINT) END"
	deliveryToResend = schema.SelectDeliveries + "WHERE deliveries.id = $1 AND company = $2"
	// The reason stays until there is another, except that the outcome was unknown: the
	// person who sends the message again knows that it may arrive twice.
	resendDelivery = `
		UPDATE deliveries SET state = 'pending', attempts = 0, unfinished = 0, lease = 0, next_attempt_at = $1, updated_at = $1,
			reason = CASE WHEN reason = '` + reasonUnknown + `' THEN '' ELSE reason END,
			expires_at = ` + resentValidity + `
		WHERE id = $2 AND company = $3 AND state IN ('failed', 'cancelled', 'skipped', 'quarantined') AND (sensitive = 0 OR state = 'quarantined')`
	// A copy has a number of its own in the unique key, and so its own key at the
	// provider. While one to the same recipient is pending there is no other.
	insertCopy = `
		INSERT INTO deliveries (event, company, event_id, event_name, event_received_at, rule, channel,
			content, recipient, user_id, state, next_attempt_at, created_at, updated_at, expires_at, sensitive, copy)
		SELECT event, company, event_id, event_name, event_received_at, rule, channel,
			content, CAST($1 AS TEXT), CASE WHEN channel IN ('push', 'system') THEN CAST($1 AS TEXT) ELSE user_id END, 'pending', CAST($2 AS BIGINT), CAST($2 AS BIGINT), CAST($2 AS BIGINT),
			` + resentValidity + `, sensitive, 1 + COALESCE((
				SELECT MAX(c.copy) FROM deliveries c
				WHERE c.event = d.event AND c.rule = d.rule AND c.channel = d.channel AND c.recipient = $1), 0)
		FROM deliveries d WHERE id = $3 AND company = $5 AND NOT EXISTS (
			SELECT 1 FROM deliveries c
			WHERE c.event = d.event AND c.rule = d.rule AND c.channel = d.channel AND c.recipient = $1 AND c.state = 'pending')
		ON CONFLICT (event, rule, channel, recipient, copy) DO NOTHING
		RETURNING id`
)

// Resend implements [ledger.Log].
func (s *Store) Resend(ctx context.Context, company string, id int64, recipient string) (pending int64, err error) {
	return write(ctx, s, &driver.Job{Committed: s.deliveries.Raise}, func(tx driver.Tx) (int64, error) {
		found, err := schema.ScanDeliveries(tx.Query(deliveryToResend, id, company)) //nolint:rowserrcheck // the function does
		if err != nil {
			return 0, err
		}
		if len(found) == 0 {
			return 0, fmt.Errorf("delivery %d: %w", id, ledger.ErrNotFound)
		}
		d := &found[0]
		if err := d.Resendable(); err != nil {
			return 0, err
		}
		to := d.Recipient
		if recipient != "" {
			to = driver.Storable(recipient)
		}
		if d.State != ledger.DeliverySent && to == d.Recipient {
			n, err := tx.Exec(resendDelivery, s.now(), id, company, s.resentUntil())
			if err == nil && n == 0 {
				return 0, ledger.ErrPending // another call was faster
			}
			return id, err
		}
		if s.dialect.KeepContent != "" {
			if _, err := tx.Exec(s.dialect.KeepContent, id); err != nil {
				return 0, err
			}
		}
		return copyDelivery(tx, to, s.now(), id, s.resentUntil(), company)
	})
}

func copyDelivery(tx driver.Tx, args ...any) (id int64, err error) {
	if err = queryRow(tx, insertCopy, args, &id); err == nil && id == 0 {
		err = ledger.ErrPending
	}
	return id, err
}

// ResendAll implements [ledger.Log].
func (s *Store) ResendAll(ctx context.Context, f ledger.LogFilter, limit int) (n int, next int64, err error) {
	for {
		ids, err := s.toResend(ctx, f, min(step, limit-n+1))
		if err != nil {
			return n, f.After, err
		}
		more := len(ids) > limit-n
		if more {
			ids = ids[:limit-n]
		}
		switch {
		case len(ids) > 0:
		case more:
			return n, f.After, nil
		default:
			return n, 0, nil
		}
		// Else the caller would not learn how many there were.
		changed, err := write(context.WithoutCancel(ctx), s, &driver.Job{Committed: s.deliveries.Raise}, func(tx driver.Tx) (changed int64, err error) {
			for _, id := range ids {
				one, err := tx.Exec(resendDelivery, s.now(), id, f.Company, s.resentUntil())
				if err != nil {
					return 0, err
				}
				changed += one
			}
			return changed, nil
		})
		if err != nil {
			return n, f.After, err
		}
		n, f.After = n+int(changed), ids[len(ids)-1]
		if more {
			return n, f.After, nil
		}
	}
}

// CountResendable implements [ledger.Log].
func (s *Store) CountResendable(ctx context.Context, f ledger.LogFilter, limit int) (n int, more bool, err error) {
	ids, err := s.toResend(ctx, f, limit+1)
	return min(len(ids), limit), len(ids) > limit, err
}

// toResend returns the IDs of the deliveries to send again that follow the filter's After,
// the oldest first.
func (s *Store) toResend(ctx context.Context, f ledger.LogFilter, limit int) (ids []int64, err error) {
	if len(f.States) == 0 {
		f.States = []ledger.DeliveryState{ledger.DeliveryFailed}
	}
	f.OldestFirst = true
	ctx, leave, err := s.enterLog(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	where, args := s.where(f)
	if f.Reason != ledger.ReasonExpired {
		where += " AND reason <> '" + ledger.ReasonExpired + "'"
	}
	rows, err := s.pool.QueryContext(ctx, "SELECT id FROM deliveries "+where+ //nolint:gosec // where is this package's own text; values are arguments
		" AND "+hasMessage+" AND (sensitive = 0 OR state = 'quarantined') AND state IN ('failed', 'cancelled', 'quarantined') AND reason <> '"+ledger.ReasonReplayed+"' ORDER BY id LIMIT "+strconv.Itoa(limit), args...)
	if err != nil {
		return nil, stopped(ctx, "looking for what to send again", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, stopped(ctx, "looking for what to send again", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, stopped(ctx, "looking for what to send again", err)
	}
	return ids, nil
}
