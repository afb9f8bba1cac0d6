// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const (
	// expired are deliveries of a lane that have expired and that nobody is sending.
	expired = schema.SelectDeliveries + `
		WHERE state = 'pending' AND company = $1 AND channel = $2 || '' AND expires_at <> 0 AND expires_at <= $3 AND ` + unclaimed + ` LIMIT `
	// unclaimed is whether nobody holds a pending row, with $3 for the time: a lease that
	// ended is nobody's.
	unclaimed      = "(lease = 0 OR next_attempt_at <= $3)"
	expireDelivery = `
		UPDATE deliveries SET state = 'failed', reason = $1, message = $2, updated_at = $3, lease = 0
		WHERE id = $4 AND state = 'pending' AND ` + unclaimed
	// expireStep is how many deliveries a transaction ends.
	expireStep = 100
)

// expiry is when a message of an event expires, in milliseconds; 0 if it never does.
func expiry(received int64, validFor time.Duration) int64 {
	if validFor <= 0 {
		return 0
	}
	return received + validFor.Milliseconds()
}

// resentUntil is how long a message is valid at least that is sent again now.
func (s *Store) resentUntil() int64 { return s.now() + ledger.ResendValidity.Milliseconds() }

// number is a boolean as both databases store it.
func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// ExpireDeliveries implements [ledger.Retention]. The index of pending deliveries leads to
// them; an index of their own would make every message more expensive.
func (s *Store) ExpireDeliveries(ctx context.Context) (total int, err error) {
	list := func(after ledger.Lane, limit int) ([]dueLane, error) {
		return s.lanes(ctx, deliveryQueue, after, 1<<62, limit)
	}
	var lanes []ledger.Lane
	err = eachLane(list, ledger.Lane{}, lanePage, func(l ledger.Lane, _ int64) bool {
		lanes = append(lanes, l)
		return true
	})
	if err != nil {
		return 0, unavailable("looking for expired deliveries", err)
	}
	for _, l := range lanes {
		for more := true; more; {
			var n int
			if n, more, err = s.expireSome(ctx, l); err != nil {
				return total, err
			}
			total += n
		}
	}
	return total, nil
}

func (s *Store) expireSome(ctx context.Context, l ledger.Lane) (n int, more bool, err error) {
	found, err := schema.ScanDeliveries(s.pool.QueryContext(ctx, expired+strconv.Itoa(expireStep), l.Company, l.Channel, s.now())) //nolint:rowserrcheck // the function does
	if err != nil {
		return 0, false, unavailable("looking for expired deliveries", err)
	}
	if len(found) == 0 {
		return 0, false, nil
	}
	stored := int64(0)
	n, err = write(ctx, s, &driver.Job{}, func(tx driver.Tx) (n int, err error) {
		stored = 0
		now := s.now()
		for i := range found {
			d := &ledger.ClaimedDelivery{Delivery: found[i]}
			message := d.ExpiredMessage()
			changed, err := tx.Exec(expireDelivery, ledger.ReasonExpired, message, now, d.ID)
			if err != nil {
				return 0, err
			}
			if changed == 0 {
				continue // it was claimed meanwhile
			}
			n++
			fresh, err := addAttempt(tx, d, now, attempt{ledger.DeliveryFailed, ledger.ReasonExpired, message})
			freed := int64(0)
			if err == nil && d.Sensitive {
				freed, err = s.mask(tx, d.ID)
			}
			if err == nil {
				_, err = s.endFallbacks(tx, d.ID, ledger.DeliveryFailed, ledger.ReasonExpired, now)
			}
			if err != nil {
				return 0, err
			}
			stored += number(fresh)*attemptBytes - freed
		}
		return n, nil
	})
	if err != nil {
		return 0, false, fmt.Errorf("ending expired deliveries: %w", err)
	}
	s.usage.add(l.Company, 0, stored)
	if n > 0 {
		s.deliveries.Raise()
	}
	return n, len(found) == expireStep && n > 0, nil
}
