// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// EventState is where an event stands.
type EventState string

// The states of an event.
const (
	// EventPending: not decided yet.
	EventPending EventState = "pending"
	// EventDone: its deliveries are in the ledger.
	EventDone EventState = "done"
	// EventFailed: it could not be decided, and is not tried again.
	EventFailed EventState = "failed"
	// EventCancelled: its company went before it was decided.
	EventCancelled EventState = "cancelled"
	// EventQuarantined: set aside, because trying it again did harm or would.
	EventQuarantined EventState = "quarantined"
)

// Event is one call of the platform's webhook.
type Event struct {
	// Company is the platform's identifier of the company.
	Company string
	// ID is the platform's identifier of the event, unique in its company.
	ID string
	// Name is the kind of event, such as transaction.initiate.
	Name string
	// Data is the JSON text of the webhook's data, untouched.
	Data []byte
	// ReceivedAt is when the webhook came; kept in milliseconds. Zero means now.
	ReceivedAt time.Time
}

// ClaimedEvent is an event that the caller may work on until its lease ends.
type ClaimedEvent struct {
	Event
	// Key is the event's row in the ledger.
	Key int64
	// Attempts counts the claims of this event, this one included.
	Attempts int
	// Size is the length of the Data in bytes.
	Size int
	// Age is how long ago it was received, whatever became of the clocks meanwhile.
	Age time.Duration
	// LeaseUntil is when another worker may claim it.
	LeaseUntil time.Time

	// Unfinished counts the claims since the last outcome that ended without one: the
	// process died or hung. This one is not included.
	Unfinished int

	// Replay, if it isn't nil when deliveries are stored, withholds those messages that
	// their recipients may have received before.
	Replay *Replay

	lease int64
}

func (e *ClaimedEvent) row() claimedRow {
	return claimedRow{id: e.Key, lane: Lane{Company: e.Company}, attempts: e.Attempts, unfinished: e.Unfinished}
}

// MaxClaimedData is how many bytes of Data a claim brings along. The Data of a larger
// event is nil: read it with [Store.EventData] when there is room for it, so that a
// claim of many events takes little memory.
const MaxClaimedData = 64 << 10

// claimedData is the Data of a claim, and its length.
const claimedData = "CASE WHEN length(data) <= 65536 THEN data END, length(data)"

const (
	insertEvent = `
		INSERT INTO events (company, event_id, name, received_at, next_attempt_at, lease, attempts, updated_at, data)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (company, event_id) DO NOTHING`
	// Two statements, not an UPDATE with RETURNING, which costs half as much again.
	dueEvents = `
		SELECT id, event_id, name, received_at, attempts, unfinished + (lease <> 0), ` + claimedData + ` FROM events
		WHERE state = 'pending' AND company = $1 AND next_attempt_at <= $2
		ORDER BY next_attempt_at, id LIMIT $3 + 0`
	leaseEvent = `
		UPDATE events SET lease = $1, next_attempt_at = $2, attempts = attempts + 1, unfinished = unfinished + (lease <> 0)
		WHERE id = $3 AND state = 'pending'`
	endEvent = `
		UPDATE events SET state = $1, message = $2, updated_at = $3, lease = 0
		WHERE id = $4 AND lease = $5 AND state = 'pending'`
	retryEvent = `
		UPDATE events SET next_attempt_at = $1, message = $2, updated_at = $3, lease = 0, unfinished = 0
		WHERE id = $4 AND lease = $5 AND state = 'pending'`
)

// AcceptEvent stores an event. It is durable (fsynced) when the error is nil. An
// event whose company and ID are in the ledger already is left as it is and
// reported as a duplicate. Concurrent callers share one commit. Errors wrap
// [ErrUnavailable] (answer 503, so that the platform calls again) or, if the company
// uses as much as it may, [ErrCompanyFull], except for an event without company or ID. The Data must not be changed afterwards, even
// after an error.
func (s *Store) AcceptEvent(ctx context.Context, e Event) (duplicate bool, err error) {
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
	stored := &newEvent{
		company: storable(e.Company), id: storable(e.ID), name: storable(e.Name),
		received: received, now: now, due: now, data: e.Data,
	}
	if duplicate, err := s.admitEvent(ctx, stored); duplicate || err != nil {
		return duplicate, err
	}
	stored.ended = func(key int64, err error) {
		if err == nil && key != 0 {
			s.events.raise()
		}
	}
	if h := s.handover.Load(); h != nil && h.Reserve(e.Company, len(e.Data)) {
		s.handOver(h, stored)
	}
	fresh, err := s.db.accept(ctx, stored)
	if err != nil {
		return false, err
	}
	if fresh {
		s.usage.add(stored.company, 1, rowBytes+int64(len(stored.data)))
	}
	return !fresh, nil
}

// Handover gives new events to who can work on them at once, without a claim: they are
// stored as claimed. Its functions must not block; the ledger can't be written while
// Take and Release are called.
type Handover struct {
	// Lease is how long who takes an event has until another may claim it.
	Lease time.Duration
	// Reserve tells whether a company's event with so many bytes of data will be taken.
	// Then one call of Take or Release follows, unless the ledger is closed before. It
	// should return false while events wait that were there before.
	Reserve func(company string, size int) bool
	// Take gets an event that was stored, as ClaimEvents would have returned it, with
	// its data whatever the size.
	Take func(ClaimedEvent)
	// Release says that the company's event was a duplicate, or could not be stored.
	Release func(company string)
}

// HandOver begins to hand new events over; nil ends it.
func (s *Store) HandOver(h *Handover) { s.handover.Store(h) }

// handOver has an event stored as claimed and taken.
func (s *Store) handOver(h *Handover, e *newEvent) {
	e.lease, e.due = newLease(), e.now+h.Lease.Milliseconds()
	e.ended = func(key int64, err error) {
		if err != nil || key == 0 {
			h.Release(e.company)
			return
		}
		ahead := s.ahead()
		h.Take(ClaimedEvent{
			Event: Event{Company: e.company, ID: e.id, Name: e.name, Data: e.data, ReceivedAt: timeOf(e.received).Add(-ahead)},
			Key:   key, Size: len(e.data), Attempts: e.attempts(), Age: timeOf(e.now).Sub(timeOf(e.received)),
			LeaseUntil: timeOf(e.due).Add(-ahead), lease: e.lease,
		})
	}
}

// EventsReady has a value when events came in since it was last received from.
// It is for one receiver; after a value it claims until nothing comes.
func (s *Store) EventsReady() <-chan struct{} { return s.events }

// ClaimEvents takes up to limit due events, fairly between companies: each
// company in turn, in each company the longest due first. The lease is how long
// the caller has until another may claim them; see [Store.RenewEvent].
func (s *Store) ClaimEvents(ctx context.Context, limit int, lease time.Duration) ([]ClaimedEvent, error) {
	return s.ClaimEventsWithin(ctx, Claim{Limit: limit, Lease: lease})
}

// ClaimEventsWithin is [Store.ClaimEvents] within the bounds of the companies. The
// lane of an event is its company, without a channel.
func (s *Store) ClaimEventsWithin(ctx context.Context, c Claim) ([]ClaimedEvent, error) {
	take := func(w *writer, l Lane, n int, lease, now, until int64) ([]ClaimedEvent, error) {
		found, err := s.dialect.claimEvents(w, l.Company, n, lease, now, until)
		ahead := s.ahead()
		for i := range found {
			e := &found[i]
			e.Age = timeOf(now).Sub(e.ReceivedAt)
			e.ReceivedAt = e.ReceivedAt.Add(-ahead)
			e.LeaseUntil, e.lease = timeOf(until).Add(-ahead), lease
		}
		return found, err
	}
	claimed, err := claim(ctx, s, &eventQueue, &s.eventTurn, &s.suspectEvents, c, take)
	return inTurn(claimed, func(e *ClaimedEvent) string { return e.Company }), err
}

// claimEvents claims up to n due events of a company, the longest due first, where
// nobody else writes.
func claimEvents(w *writer, company string, n int, lease, now, until int64) ([]ClaimedEvent, error) {
	found, err := w.events(company, dueEvents, company, now, n)
	if err != nil {
		return nil, err
	}
	for i := range found {
		if _, err := w.exec(leaseEvent, lease, until, found[i].Key); err != nil {
			return nil, err
		}
		found[i].Attempts++
	}
	return found, nil
}

// events runs a statement that returns events of a company.
func (w *writer) events(company, query string, args ...any) (found []ClaimedEvent, err error) {
	rows, err := w.query(query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		e := ClaimedEvent{Event: Event{Company: company}}
		var received int64
		if err := rows.Scan(&e.Key, &e.ID, &e.Name, &received, &e.Attempts, &e.Unfinished, &e.Data, &e.Size); err != nil {
			return nil, err
		}
		e.ReceivedAt = timeOf(received)
		found = append(found, e)
	}
	return found, rows.Err()
}

// EventData returns the Data of an event that was claimed. Errors wrap [ErrNotFound] or
// [ErrUnavailable].
func (s *Store) EventData(ctx context.Context, e ClaimedEvent) ([]byte, error) {
	var data []byte
	switch err := s.reader.QueryRowContext(ctx, "SELECT data FROM events WHERE id = $1", e.Key).Scan(&data); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, fmt.Errorf("event %d: %w", e.Key, ErrNotFound)
	case err != nil:
		return nil, unavailable("reading an event's data", err)
	}
	return data, nil
}

// NextEventDue tells how long it is until the next pending event is due, which is
// negative if it is overdue; false if none is pending. A claimed event is due when
// its lease ends.
func (s *Store) NextEventDue(ctx context.Context) (time.Duration, bool, error) {
	return s.wait(ctx, eventQueue)
}

// RenewEvent prolongs the lease from now.
func (s *Store) RenewEvent(ctx context.Context, e *ClaimedEvent, lease time.Duration) error {
	until := s.now() + lease.Milliseconds()
	if err := s.leased(ctx, true, nil, eventQueue.renew, until, e.Key, e.lease); err != nil {
		return err
	}
	s.suspectEvents.renew(e.Key, e.lease, until)
	e.LeaseUntil = timeOf(until).Add(-s.ahead())
	return nil
}

// CompleteEvent stores the deliveries and marks the event done. A delivery whose
// event, rule, channel and recipient the ledger has already is left out, so an event
// may be decided again. A large event takes several transactions, of which the last
// marks it done, so that others get their turn in between; if the process dies on the
// way, the event is decided again and the rest is added. What no event may bring is
// refused with [ErrEventTooLarge], and nothing of it is stored.
func (s *Store) CompleteEvent(ctx context.Context, e ClaimedEvent, deliveries []NewDelivery) error {
	wake := false
	for i := range deliveries {
		state, _, _ := deliveries[i].outcome()
		wake = wake || state == DeliveryPending
	}
	// If a power cut undoes a decision to send nothing, it is made again.
	end := endEvent
	if !wake {
		end = s.dialect.endLoosely
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
	if last.bulky() {
		leave, err := s.enterBulk(ctx)
		if err != nil {
			return err
		}
		defer leave()
	}
	j := &job{one: len(deliveries) == 0, loose: !wake, patient: !wake, bytes: last.bytes, run: func(w *writer) error {
		now := s.now()
		n, err := w.exec(end, EventDone, "", now, e.Key, e.lease)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrLeaseLost
		}
		return s.insert(w, &e, now, last)
	}}
	if wake {
		j.committed = s.deliveries.raise
	}
	err = s.write(ctx, j)
	if err == nil {
		s.suspectEvents.end(e.Key, e.lease)
		last.count(&s.usage, e.Company)
	}
	return err
}

// RetryEvent puts the event back for a time, with one sentence of why.
func (s *Store) RetryEvent(ctx context.Context, e ClaimedEvent, wait time.Duration, message string) error {
	now := s.now()
	return s.endEvent(ctx, e, false, s.events.raise, retryEvent, now+wait.Milliseconds(), message, now, e.Key, e.lease)
}

// FailEvent marks the event failed for good, with one sentence of why.
func (s *Store) FailEvent(ctx context.Context, e ClaimedEvent, message string) error {
	return s.endEvent(ctx, e, false, nil, endEvent, EventFailed, message, s.now(), e.Key, e.lease)
}

// ReleaseEvent gives an untouched claim back at once; it doesn't count as an
// attempt.
func (s *Store) ReleaseEvent(ctx context.Context, e ClaimedEvent) error {
	return s.endEvent(ctx, e, true, s.events.raise, eventQueue.release, s.now(), e.Key, e.lease)
}

// endEvent runs a statement that ends a claim.
func (s *Store) endEvent(ctx context.Context, e ClaimedEvent, loose bool, committed func(), query string, args ...any) error {
	err := s.leased(ctx, loose, committed, query, args...)
	if err == nil || errors.Is(err, ErrLeaseLost) {
		s.suspectEvents.end(e.Key, e.lease)
	}
	return err
}
