// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
)

// A delivery that stands in for another is stored with it, as skipped, and released by the
// transaction that ends the other: nothing can be forgotten or sent twice between the two.
const (
	waiting = "fallback_of <> 0 AND state = 'skipped' AND reason = '" + ledger.ReasonFallbackWaiting + "'"

	markPrimary = `
		UPDATE deliveries SET fallback = 1 WHERE event = $1 AND rule = $2 AND channel = $3 AND recipient = $4 AND copy = 0
		RETURNING id, state, reason`
	linkFallback = `
		UPDATE deliveries SET fallback_of = $1, fallback_after = $2
		WHERE event = $3 AND rule = $4 AND channel = $5 AND recipient = $6 AND copy = 0 AND fallback_of = 0 AND id <> $1`
	releaseFallbacks = `
		UPDATE deliveries SET state = 'pending', reason = '', message = '', next_attempt_at = $1, updated_at = $1
		WHERE fallback_of = $2 AND ` + waiting
	armFallbacks = `
		UPDATE deliveries SET state = 'pending', reason = '` + ledger.ReasonFallbackUnread + `', message = $1, next_attempt_at = $2 + fallback_after, updated_at = $2
		WHERE fallback_of = $3 AND fallback_after > 0 AND ` + waiting
	dismissFallbacks = `
		UPDATE deliveries SET reason = '` + ledger.ReasonFallbackNotNeeded + `', message = $1, updated_at = $2
		WHERE fallback_of = $3 AND ` + waiting + `
		RETURNING id, sensitive`
	cancelFallbacks = cancelDeliveries + "company = $4 AND " + waiting + " LIMIT $5)"
	// unreadPrimary is since when a message that another one stands in for has been sent, how
	// long it may stay unread, and whether its user has read it or its in-app copy. The
	// recipient of an in-app message is its user: by that the unique key finds one row, where
	// an event may have thousands.
	unreadPrimary = `
		SELECT COALESCE(p.updated_at, 0), f.fallback_after, EXISTS (
			SELECT 1 FROM deliveries r
			WHERE r.event = p.event AND r.rule = p.rule AND r.channel = '` + ledger.ChannelSystem + `' AND r.recipient = p.user_id AND r.received_at <> 0)
		FROM deliveries f LEFT JOIN deliveries p ON p.id = f.fallback_of WHERE f.id = $1`
	dismissClaimed = `
		UPDATE deliveries SET state = 'skipped', reason = '` + ledger.ReasonFallbackNotNeeded + `', message = $1, updated_at = $2, lease = 0, attempts = attempts - 1
		WHERE id = $3 AND lease = $4 AND state = 'pending'`
)

const (
	sentInstead = "The message that this one stands in for was sent or read."
	unreadSince = "It is sent unless the message that it stands in for is read in time."
)

// link connects the deliveries of an event that stand in for others with those, which are
// stored before them or with them.
func (s *Store) link(tx driver.Tx, e *ledger.ClaimedEvent, now int64, deliveries []ledger.NewDelivery) (freed int64, err error) {
	for i := range deliveries {
		d := &deliveries[i]
		f := d.Fallback
		if f == nil {
			continue
		}
		id, state, reason, err := primaryOf(tx, e.Key, f)
		if err != nil {
			return freed, err
		}
		if id == 0 {
			continue
		}
		if _, err := tx.Exec(linkFallback, id, f.IfUnread.Milliseconds(), e.Key, d.RuleName, d.Channel, d.Recipient); err != nil {
			return freed, err
		}
		n, err := s.endFallbacks(tx, id, state, reason, now) // if it has ended already
		freed += n
		if err != nil {
			return freed, err
		}
	}
	return freed, nil
}

// primaryOf marks the delivery that another one stands in for, and returns its state.
func primaryOf(tx driver.Tx, event int64, f *ledger.Fallback) (id int64, state ledger.DeliveryState, reason string, err error) {
	err = queryRow(tx, markPrimary, []any{event, f.RuleName, f.Channel, f.Recipient}, &id, &state, &reason)
	return id, state, reason, err
}

// endFallbacks decides about the deliveries that stand in for one with a state. It returns how
// many bytes less are stored.
func (s *Store) endFallbacks(tx driver.Tx, id int64, state ledger.DeliveryState, reason string, now int64) (freed int64, err error) {
	switch {
	case state == ledger.DeliveryFailed, state == ledger.DeliverySkipped && reason == ledger.ReasonSuppressed:
		_, err := tx.Exec(releaseFallbacks, now, id)
		return 0, err
	case state == ledger.DeliverySent:
		if _, err := tx.Exec(armFallbacks, unreadSince, now, id); err != nil {
			return 0, err
		}
	case state == ledger.DeliveryPending, state == ledger.DeliveryQuarantined,
		state == ledger.DeliverySkipped && reason == ledger.ReasonFallbackWaiting:
		return 0, nil
	}
	return s.dismiss(tx, id, now)
}

// dismiss ends what waits for a delivery, and what waits for that.
func (s *Store) dismiss(tx driver.Tx, id, now int64) (freed int64, err error) {
	ids, sensitive, err := dismissed(tx, id, now)
	if err != nil {
		return 0, err
	}
	for i, id := range ids {
		if sensitive[i] {
			n, err := s.mask(tx, id)
			freed += n
			if err != nil {
				return freed, err
			}
		}
		n, err := s.dismiss(tx, id, now)
		freed += n
		if err != nil {
			return freed, err
		}
	}
	return freed, nil
}

func dismissed(tx driver.Tx, of, now int64) (ids []int64, sensitive []bool, err error) {
	rows, err := tx.Query(dismissFallbacks, sentInstead, now, of)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id, masked int64
		if err := rows.Scan(&id, &masked); err != nil {
			return nil, nil, err
		}
		ids, sensitive = append(ids, id), append(sensitive, masked != 0)
	}
	return ids, sensitive, rows.Err()
}

// stillUnread reports whether a claimed delivery that stands in for an unread one is sent now.
// Otherwise it continues to wait, or is dismissed. It returns how many bytes less are stored.
func (s *Store) stillUnread(tx driver.Tx, c driver.Claim, d *ledger.Delivery) (unread bool, freed int64, err error) {
	sent, after, read, err := readUnread(tx, d.ID)
	if err != nil {
		return false, 0, err
	}
	switch {
	case sent == 0 || read: // it was erased or read
		if _, err := tx.Exec(dismissClaimed, sentInstead, c.Now, d.ID, c.Lease); err != nil {
			return false, 0, err
		}
		if d.Sensitive {
			if freed, err = s.mask(tx, d.ID); err != nil {
				return false, 0, err
			}
		}
		n, err := s.dismiss(tx, d.ID, c.Now)
		return false, freed + n, err
	case sent+after > c.Now: // it was made due too early
		_, err := tx.Exec(deliveryQueue.release, sent+after, d.ID, c.Lease)
		return false, 0, err
	}
	return true, 0, nil
}

func readUnread(tx driver.Tx, id int64) (sent, after int64, read bool, err error) {
	err = queryRow(tx, unreadPrimary, []any{id}, &sent, &after, &read)
	return sent, after, read, err
}

// endLinked ends the claim of a sent delivery that others may stand in for, or says that the
// lease is lost.
func (s *Store) endLinked(ctx context.Context, d *ledger.ClaimedDelivery, now int64, reason string, args ...any) error {
	return s.endClaimAnd(ctx, &s.suspectDeliveries, d.ID, d.Lease, d.Company, s.deliveries.Raise, func(tx driver.Tx) (stored int64, err error) {
		if d.Sensitive {
			if stored, err = s.mask(tx, d.ID); err != nil {
				return 0, err
			}
		}
		freed, err := s.endFallbacks(tx, d.ID, ledger.DeliverySent, reason, now)
		if err != nil {
			return 0, fmt.Errorf("ending what stands in for a delivery: %w", err)
		}
		return -stored - freed, nil
	}, endDelivery, args...)
}
