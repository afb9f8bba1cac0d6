// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
	"github.com/rehive/extension-operator/internal/ledger/seal"
)

const retryEvent = `
	UPDATE events SET next_attempt_at = $1, message = $2, updated_at = $3, lease = 0, unfinished = 0
	WHERE id = $4 AND lease = $5 AND state = 'pending'`

// AcceptEvent implements [ledger.Intake].
func (s *Store) AcceptEvent(ctx context.Context, e ledger.Event) (duplicate bool, err error) {
	if e.Company == "" || e.ID == "" {
		return false, errors.New("an event needs a company and an ID")
	}
	now := s.now()
	received := now
	if !e.ReceivedAt.IsZero() {
		received = s.stored(e.ReceivedAt)
	}
	if e.Data == nil {
		e.Data = []byte{}
	}
	stored := &driver.Event{
		Company: driver.Storable(e.Company), ID: driver.Storable(e.ID), Name: driver.Storable(e.Name),
		Received: received, Now: now, Due: now, Data: e.Data,
	}
	if duplicate, err := s.admitEvent(ctx, stored); duplicate || err != nil {
		return duplicate, err
	}
	stored.Data = s.sealEvent(stored.Company, stored.ID, e.Data)
	stored.Ended = func(key int64, err error) {
		if err == nil && key != 0 {
			s.events.Raise()
		}
	}
	if h := s.handover.Load(); h != nil && h.Reserve(e.Company, len(e.Data)) {
		s.handOver(h, stored, e.Data)
	}
	fresh, err := s.driver.Accept(ctx, stored)
	if err != nil {
		return false, err
	}
	if fresh {
		s.usage.add(stored.Company, 1, rowBytes+int64(len(stored.Data)))
	}
	return !fresh, nil
}

// HandOver implements [ledger.EventQueue].
func (s *Store) HandOver(h *ledger.Handover) { s.handover.Store(h) }

// handOver has an event stored as claimed, and then taken.
func (s *Store) handOver(h *ledger.Handover, e *driver.Event, data []byte) {
	e.Lease, e.Due = newLease(), e.Now+h.Lease.Milliseconds()
	begun := s.machine.Now()
	e.Ended = func(key int64, err error) {
		if err != nil || key == 0 {
			h.Release(e.Company)
			return
		}
		ahead := s.clock.Ahead()
		h.Take(ledger.ClaimedEvent{
			Event: ledger.Event{Company: e.Company, ID: e.ID, Name: e.Name, Data: data, ReceivedAt: schema.Time(e.Received).Add(-ahead)},
			Key:   key, Size: len(data), Attempts: e.Attempts(), Age: schema.Time(e.Now).Sub(schema.Time(e.Received)),
			Lease: ledger.Lease{ID: e.Lease, Until: schema.Time(e.Due).Add(-ahead), Begun: begun, Length: h.Lease},
		})
	}
}

// EventsReady implements [ledger.EventQueue].
func (s *Store) EventsReady() <-chan struct{} { return s.events }

// ClaimEvents implements [ledger.EventQueue].
func (s *Store) ClaimEvents(ctx context.Context, c ledger.Claim) ([]ledger.ClaimedEvent, error) {
	begun := s.machine.Now()
	var damaged quarantinedRows
	take := func(tx driver.Tx, lane driver.Claim) (claimed []ledger.ClaimedEvent, n int, err error) {
		found, err := tx.ClaimEvents(lane)
		ahead := s.clock.Ahead()
		claimed = found[:0]
		for i := range found {
			e := &found[i]
			e.Company = lane.Lane.Company
			if seal.Sealed(e.Data) {
				if opened, err := s.openClaimed(tx, lane, e, damaged.add); err != nil {
					return nil, 0, err
				} else if !opened {
					continue
				}
			}
			e.Age = schema.Time(lane.Now).Sub(e.ReceivedAt)
			e.ReceivedAt = e.ReceivedAt.Add(-ahead)
			e.Lease = ledger.Lease{ID: lane.Lease, Until: schema.Time(lane.Until).Add(-ahead), Begun: begun, Length: c.Lease}
			claimed = append(claimed, *e)
		}
		return claimed, len(found), err
	}
	claimed, err := claim(ctx, s, &eventQueue, &s.eventTurn, &s.suspectEvents, c, take, eventRow)
	if err == nil {
		s.reportQuarantined(damaged.all())
	}
	return interleaved(claimed, func(e *ledger.ClaimedEvent) string { return e.Company }), err
}

func eventRow(e *ledger.ClaimedEvent) claimedRow {
	return claimedRow{id: e.Key, lane: ledger.Lane{Company: e.Company}, eventID: e.ID, attempts: e.Attempts, unfinished: e.Unfinished}
}

// EventData implements [ledger.EventQueue].
func (s *Store) EventData(ctx context.Context, e ledger.ClaimedEvent) ([]byte, error) {
	var company, id string
	var data []byte
	switch err := s.pool.QueryRowContext(ctx, "SELECT company, event_id, data FROM events WHERE id = $1", e.Key).Scan(&company, &id, &data); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, fmt.Errorf("event %d: %w", e.Key, ledger.ErrNotFound)
	case err != nil:
		return nil, unavailable("reading an event's data", err)
	}
	opened, err := s.openEvent(company, id, data)
	if err != nil {
		return nil, unavailable("decrypting an event's data", err)
	}
	return opened, nil
}

// NextEventDue implements [ledger.EventQueue].
func (s *Store) NextEventDue(ctx context.Context) (time.Duration, bool, error) {
	return s.untilDue(ctx, eventQueue)
}

// RenewEvent implements [ledger.EventQueue].
func (s *Store) RenewEvent(ctx context.Context, e *ledger.ClaimedEvent, lease time.Duration) error {
	return s.renew(ctx, eventQueue, &s.suspectEvents, e.Key, &e.Lease, lease)
}

// CompleteEvent implements [ledger.EventQueue].
func (s *Store) CompleteEvent(ctx context.Context, e ledger.ClaimedEvent, deliveries []ledger.NewDelivery) error {
	wake := false
	for i := range deliveries {
		state, _, _ := deliveries[i].Outcome()
		wake = wake || state == ledger.DeliveryPending
	}
	// A decision to send nothing that a power cut undoes is made again.
	end := driver.EndEvent
	if !wake {
		end = s.dialect.EndEventRelaxed
	}
	steps, err := stepsOf(deliveries)
	if err != nil {
		return err
	}
	for len(steps) > 1 {
		if err := s.completeStep(ctx, &e, &steps[0]); err != nil {
			return err
		}
		steps = steps[1:]
	}
	last := &completion{}
	if len(steps) > 0 {
		last = &steps[0]
	}
	if err := s.encode(ctx, &e, last); err != nil {
		return err
	}
	if last.bulky() {
		leave, err := s.enterBulk(ctx)
		if err != nil {
			return err
		}
		defer leave()
	}
	stored := int64(0)
	j := &driver.Job{Single: len(deliveries) == 0 && !e.Sensitive, Relaxed: !wake, Background: !wake, Bytes: last.bytes, Run: func(tx driver.Tx) error {
		now := s.now()
		n, err := tx.Exec(end, ledger.EventDone, "", now, e.Key, e.Lease.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			return ledger.ErrLeaseLost
		}
		if stored, err = s.insert(tx, &e, now, last); err != nil || !e.Sensitive {
			return err
		}
		freed, err := s.maskEvents(tx, &e)
		stored -= freed
		return err
	}}
	if wake {
		j.Committed = s.deliveries.Raise
	}
	err = s.driver.Write(ctx, j)
	if err == nil {
		s.suspectEvents.end(e.Key, e.Lease.ID)
		last.count(&s.usage, e.Company, stored)
	}
	return err
}

// RetryEvent implements [ledger.EventQueue].
func (s *Store) RetryEvent(ctx context.Context, e ledger.ClaimedEvent, wait time.Duration, message string) error {
	now := s.now()
	return s.endEvent(ctx, e, false, s.events.Raise, retryEvent, now+wait.Milliseconds(), message, now, e.Key, e.Lease.ID)
}

// FailEvent implements [ledger.EventQueue].
func (s *Store) FailEvent(ctx context.Context, e ledger.ClaimedEvent, message string) error {
	if e.Sensitive {
		return s.endEventMasked(ctx, &e, driver.EndEvent, ledger.EventFailed, message, s.now(), e.Key, e.Lease.ID)
	}
	return s.endEvent(ctx, e, false, nil, driver.EndEvent, ledger.EventFailed, message, s.now(), e.Key, e.Lease.ID)
}

// ReleaseEvent implements [ledger.EventQueue].
func (s *Store) ReleaseEvent(ctx context.Context, e ledger.ClaimedEvent) error {
	return s.endEvent(ctx, e, true, s.events.Raise, eventQueue.release, s.now(), e.Key, e.Lease.ID)
}

// endEvent runs a statement that ends a claim.
func (s *Store) endEvent(ctx context.Context, e ledger.ClaimedEvent, relaxed bool, committed func(), query string, args ...any) error {
	return s.endClaim(ctx, &s.suspectEvents, e.Key, e.Lease, relaxed, committed, query, args...)
}
