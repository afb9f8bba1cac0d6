// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const (
	endDelivery = `
		UPDATE deliveries SET state = $1, reason = $2, message = $3, provider_id = $4, updated_at = $5, lease = 0
		WHERE id = $6 AND lease = $7 AND state = 'pending'`
	// endUnlinked is endDelivery unless other deliveries may stand in for it.
	endUnlinked   = endDelivery + " AND fallback = 0"
	retryDelivery = `
		UPDATE deliveries SET next_attempt_at = $1, reason = $2, message = $3, updated_at = $4, lease = 0, unfinished = 0
		WHERE id = $5 AND lease = $6 AND state = 'pending'`
	postponeDelivery = `
		UPDATE deliveries SET next_attempt_at = $1, reason = $2, message = $3, updated_at = $4, lease = 0, unfinished = 0, attempts = attempts - 1
		WHERE id = $5 AND lease = $6 AND state = 'pending'`
)

// setBack converts times by the ledger's clock to the callers'.
func setBack(d *ledger.Delivery, ahead time.Duration) {
	for _, t := range []*time.Time{&d.EventReceivedAt, &d.NextAttemptAt, &d.ReceivedAt, &d.CreatedAt, &d.UpdatedAt, &d.ExpiresAt, &d.OutcomeAt} {
		if !t.IsZero() {
			*t = t.Add(-ahead)
		}
	}
}

// DeliveriesReady implements [ledger.DeliveryQueue].
func (s *Store) DeliveriesReady() <-chan struct{} { return s.deliveries }

// ClaimDeliveries implements [ledger.DeliveryQueue].
func (s *Store) ClaimDeliveries(ctx context.Context, c ledger.Claim) ([]ledger.ClaimedDelivery, error) {
	begun := s.machine.Now()
	var damaged quarantinedRows
	var freed freedRows
	take := func(tx driver.Tx, lane driver.Claim) (claimed []ledger.ClaimedDelivery, n int, err error) {
		found, err := tx.ClaimDeliveries(lane)
		if err != nil {
			return nil, 0, err
		}
		ahead := s.clock.Ahead()
		lease := ledger.Lease{ID: lane.Lease, Until: schema.Time(lane.Until).Add(-ahead), Begun: begun, Length: c.Lease}
		claimed = make([]ledger.ClaimedDelivery, 0, len(found))
		for i := range found {
			if found[i].Sealed != nil {
				if opened, err := s.openClaimedDelivery(tx, lane, &found[i], damaged.add); err != nil {
					return nil, 0, err
				} else if !opened {
					continue
				}
			}
			if found[i].Reason == ledger.ReasonFallbackUnread {
				unread, bytes, err := s.stillUnread(tx, lane, &found[i])
				if err != nil {
					return nil, 0, err
				}
				if !unread {
					freed.add(&found[i], bytes)
					continue
				}
			}
			age := schema.Time(lane.Now).Sub(found[i].CreatedAt)
			validity := found[i].ExpiresAt.Sub(schema.Time(lane.Now))
			setBack(&found[i], ahead)
			claimed = append(claimed, ledger.ClaimedDelivery{Delivery: found[i], Age: age, Validity: validity, Lease: lease})
		}
		return claimed, len(found), nil
	}
	claimed, err := claim(ctx, s, &deliveryQueue, &s.deliveryTurn, &s.suspectDeliveries, c, take, deliveryRow)
	if err == nil {
		s.reportQuarantined(damaged.all())
		for _, row := range freed {
			s.usage.add(row.company, 0, -row.bytes)
		}
	}
	return interleaved(claimed, func(d *ledger.ClaimedDelivery) string { return d.Company }), err
}

// freedRows are deliveries that a claim ended, and how many bytes less are stored because of
// that. Its transaction may run again.
type freedRows map[int64]freedRow

type freedRow struct {
	company string
	bytes   int64
}

func (f *freedRows) add(d *ledger.Delivery, bytes int64) {
	if bytes == 0 {
		return
	}
	if *f == nil {
		*f = freedRows{}
	}
	(*f)[d.ID] = freedRow{d.Company, bytes}
}

func deliveryRow(d *ledger.ClaimedDelivery) claimedRow {
	return claimedRow{id: d.ID, lane: ledger.Lane{Company: d.Company, Channel: d.Channel}, eventID: d.EventID, attempts: d.Attempts, unfinished: d.Unfinished}
}

// NextDeliveryDue implements [ledger.DeliveryQueue].
func (s *Store) NextDeliveryDue(ctx context.Context, open func(ledger.Lane) bool) (time.Duration, bool, error) {
	if open == nil {
		return s.untilDue(ctx, deliveryQueue)
	}
	first := int64(math.MaxInt64)
	list := func(after ledger.Lane, limit int) ([]dueLane, error) {
		return s.lanes(ctx, deliveryQueue, after, math.MaxInt64, limit)
	}
	err := eachLane(list, ledger.Lane{}, 100, func(l ledger.Lane, due int64) bool {
		if due < first && open(l) {
			first = due
		}
		return true
	})
	if err != nil {
		return 0, false, unavailable("looking for the next due work", err)
	}
	if first == math.MaxInt64 {
		return 0, false, nil
	}
	return schema.Time(first).Sub(s.clock.Now()), true, nil
}

// RenewDelivery implements [ledger.DeliveryQueue].
func (s *Store) RenewDelivery(ctx context.Context, d *ledger.ClaimedDelivery, lease time.Duration) error {
	return s.renew(ctx, deliveryQueue, &s.suspectDeliveries, d.ID, &d.Lease, lease)
}

// LeaseLeft implements [ledger.DeliveryQueue].
func (s *Store) LeaseLeft(l ledger.Lease) time.Duration { return l.Left(s.machine) }

// MarkSent implements [ledger.DeliveryQueue].
func (s *Store) MarkSent(ctx context.Context, d ledger.ClaimedDelivery, providerID string) error {
	return s.endDelivery(ctx, d, ledger.DeliverySent, "", "", providerID)
}

// MarkSentUnusually implements [ledger.DeliveryQueue].
func (s *Store) MarkSentUnusually(ctx context.Context, d ledger.ClaimedDelivery, providerID, reason, message string) error {
	return s.endDelivery(ctx, d, ledger.DeliverySent, reason, message, providerID)
}

// RetryDelivery implements [ledger.DeliveryQueue].
func (s *Store) RetryDelivery(ctx context.Context, d ledger.ClaimedDelivery, wait time.Duration, reason, message string) error {
	return s.delay(ctx, d, retryDelivery, wait, reason, message)
}

// PostponeDelivery implements [ledger.DeliveryQueue].
func (s *Store) PostponeDelivery(ctx context.Context, d ledger.ClaimedDelivery, wait time.Duration, reason, message string) error {
	return s.delay(ctx, d, postponeDelivery, wait, reason, message)
}

func (s *Store) delay(ctx context.Context, d ledger.ClaimedDelivery, query string, wait time.Duration, reason, message string) error {
	now := s.now()
	return s.endAttempt(ctx, &d, now, attempt{ledger.DeliveryPending, reason, message}, s.deliveries.Raise,
		query, now+wait.Milliseconds(), reason, message, now, d.ID, d.Lease.ID)
}

// FailDelivery implements [ledger.DeliveryQueue].
func (s *Store) FailDelivery(ctx context.Context, d ledger.ClaimedDelivery, reason, message string) error {
	return s.endDelivery(ctx, d, ledger.DeliveryFailed, reason, message, "")
}

// SkipDelivery implements [ledger.DeliveryQueue].
func (s *Store) SkipDelivery(ctx context.Context, d ledger.ClaimedDelivery, reason, message string) error {
	return s.endDelivery(ctx, d, ledger.DeliverySkipped, reason, message, "")
}

// CancelDelivery implements [ledger.DeliveryQueue].
func (s *Store) CancelDelivery(ctx context.Context, d ledger.ClaimedDelivery, reason, message string) error {
	return s.endDelivery(ctx, d, ledger.DeliveryCancelled, reason, message, "")
}

func (s *Store) endDelivery(ctx context.Context, d ledger.ClaimedDelivery, state ledger.DeliveryState, reason, message, providerID string) error {
	now := s.now()
	if state == ledger.DeliverySent {
		args := []any{state, reason, message, providerID, now, d.ID, d.Lease.ID}
		var err error
		if d.Sensitive {
			err = s.endSensitive(ctx, &d, endUnlinked, args...)
		} else { // its own row says all of it
			err = s.endClaim(ctx, &s.suspectDeliveries, d.ID, d.Lease, false, nil, endUnlinked, args...)
		}
		if !errors.Is(err, ledger.ErrLeaseLost) {
			return err
		}
		// Others may stand in for it, or the lease is lost indeed.
		return s.endLinked(ctx, &d, now, reason, args...)
	}
	return s.endAttempt(ctx, &d, now, attempt{state, reason, message}, s.deliveries.Raise, endDelivery, state, reason, message, providerID, now, d.ID, d.Lease.ID)
}

// ReleaseDelivery implements [ledger.DeliveryQueue].
func (s *Store) ReleaseDelivery(ctx context.Context, d ledger.ClaimedDelivery) error {
	return s.endClaim(ctx, &s.suspectDeliveries, d.ID, d.Lease, true, s.deliveries.Raise, deliveryQueue.release, s.now(), d.ID, d.Lease.ID)
}

// GetDelivery implements [ledger.DeliveryQueue].
func (s *Store) GetDelivery(ctx context.Context, id int64) (ledger.Delivery, error) {
	found, err := s.readDeliveries(ctx, "WHERE deliveries.id = $1", id)
	if err != nil {
		return ledger.Delivery{}, err
	}
	if len(found) == 0 {
		return ledger.Delivery{}, fmt.Errorf("delivery %d: %w", id, ledger.ErrNotFound)
	}
	if err := s.openDelivery(&found[0]); err != nil {
		return ledger.Delivery{}, unavailable("reading a delivery", err)
	}
	return found[0], nil
}

// ListDeliveries implements [ledger.Log].
func (s *Store) ListDeliveries(ctx context.Context, f ledger.DeliveryFilter) ([]ledger.Delivery, error) {
	var c conditions
	c.compare("deliveries.id >", f.After)
	if f.Company != "" {
		c.compare("company =", f.Company)
	}
	if f.EventID != "" {
		c.compare("event_id =", f.EventID)
	}
	if f.Rule != "" {
		c.compare("rule =", f.Rule)
	}
	if f.State != "" {
		c.compare("state =", f.State)
	}
	limit := 100
	if f.Limit > 0 {
		limit = min(f.Limit, 1000)
	}
	return s.selectDeliveries(ctx, c.where()+" ORDER BY deliveries.id LIMIT "+strconv.Itoa(limit), c.values...)
}

// selectDeliveries reads deliveries for a person; where contains placeholders only, no values.
func (s *Store) selectDeliveries(ctx context.Context, where string, args ...any) ([]ledger.Delivery, error) {
	found, err := s.readDeliveries(ctx, where, args...)
	for i := range found {
		s.show(&found[i])
	}
	return found, err
}

// readDeliveries reads deliveries whose content may be encrypted.
func (s *Store) readDeliveries(ctx context.Context, where string, args ...any) ([]ledger.Delivery, error) {
	found, err := schema.ScanDeliveries(s.pool.QueryContext(ctx, schema.SelectDeliveries+where, driver.StorableArgs(args)...)) //nolint:rowserrcheck // the function does
	if err != nil {
		return nil, unavailable("reading deliveries", err)
	}
	ahead := s.clock.Ahead()
	for i := range found {
		setBack(&found[i], ahead)
	}
	return found, nil
}
