// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxUnfinished is how many claims in a row may end without an outcome, because the
	// process died or hung, before the row is quarantined.
	maxUnfinished = 3
	// maxAttempts bounds all claims of a row together. It is a backstop: retries are
	// bounded by age, and an event that waits for its turn at the platform is claimed
	// some 3,000 times in the 24 hours that it may take.
	maxAttempts = 10_000
	// maxSuspects is how many rows whose last claim ended without an outcome are handed
	// out to a process at a time. A row with two such claims is handed out alone.
	maxSuspects = 8
	// suspectWait is about how long a suspect waits until it is looked at again.
	suspectWait = time.Second
)

// Reasons why a claim quarantines a row.
const (
	// ReasonUnfinished: several claims in a row ended without an outcome.
	ReasonUnfinished = "Unfinished"
	// ReasonTooManyAttempts: it was claimed more often than any retry policy allows.
	ReasonTooManyAttempts = "TooManyAttempts"
)

// Quarantined says what was quarantined and why.
type Quarantined struct {
	// Company is the platform's identifier of the company.
	Company string
	// Key is the row's: [ClaimedEvent.Key] of an event, [Delivery.ID] of a delivery.
	Key int64
	// Channel is the delivery's; empty for an event.
	Channel string
	// Reason is one CamelCase word, Message one sentence.
	Reason, Message string
}

// QuarantinedEvent is an event that is not tried again until somebody releases it.
type QuarantinedEvent struct {
	Event
	Quarantined
	// Attempts counts the claims.
	Attempts int
	// At is when it was quarantined.
	At time.Time
}

// OnQuarantine has f called with each event and delivery that this process quarantines,
// after that is stored; nil ends it. f must not block, and must not call the store.
func (s *Store) OnQuarantine(f func(Quarantined)) { s.onQuarantine.Store(&f) }

func (s *Store) reportQuarantined(all []Quarantined) {
	for _, q := range all {
		kind := "delivery"
		if q.Channel == "" {
			kind = "event"
		}
		s.log.Info("Quarantined work; it is not tried again until it is released", "kind", kind, "company", q.Company, "key", q.Key, "reason", q.Reason)
		if f := s.onQuarantine.Load(); f != nil && *f != nil {
			(*f)(q)
		}
	}
}

// claimedRow is what a claim knows of a row whatever its table.
type claimedRow struct {
	id                   int64
	lane                 Lane
	attempts, unfinished int
}

func (r *claimedRow) suspicious() bool { return r.unfinished > 0 || r.attempts > maxAttempts }

// verdict says why a row is quarantined instead of handed out; the reason is empty if
// it is not.
func (r *claimedRow) verdict() (reason, message string) {
	switch {
	case r.unfinished >= maxUnfinished:
		return ReasonUnfinished, fmt.Sprintf("Work on it ended %d times in a row without an outcome: the operator died or hung.", r.unfinished)
	case r.attempts > maxAttempts:
		return ReasonTooManyAttempts, fmt.Sprintf("It was tried %d times.", r.attempts-1)
	}
	return "", ""
}

// suspects are the rows in this process whose last claims ended without an outcome. When
// a process dies, all rows that it held are suspects, though one at most is to blame. So
// they are handed out a few at a time, and alone if that process died too: the one that
// kills a process that has no other suspect is the one to blame, and the others end.
type suspects struct {
	mu    sync.Mutex
	held  map[int64]suspect
	count atomic.Int64 // of held, so that others needn't lock
}

type suspect struct {
	lease, until int64
	alone        bool
}

// inHand returns how many suspects the process holds, and whether one of them is to be
// alone. Those whose leases ended don't count: they hang, and are claimed again.
func (s *suspects) inHand(now int64) (n int, alone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, one := range s.held {
		if one.until <= now {
			delete(s.held, id)
			continue
		}
		alone = alone || one.alone
	}
	s.count.Store(int64(len(s.held)))
	return len(s.held), alone
}

func (s *suspects) add(rows []claimedRow, lease, until int64) {
	if len(rows) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = map[int64]suspect{}
	}
	for i := range rows {
		s.held[rows[i].id] = suspect{lease: lease, until: until, alone: rows[i].unfinished > 1}
	}
	s.count.Store(int64(len(s.held)))
}

// renew prolongs the lease of a row, if it is a suspect.
func (s *suspects) renew(id, lease, until int64) {
	if s.count.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if one, ok := s.held[id]; ok && one.lease == lease {
		one.until = until
		s.held[id] = one
	}
}

// end forgets a row whose outcome was recorded.
func (s *suspects) end(id, lease int64) {
	if s.count.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if one, ok := s.held[id]; ok && one.lease == lease {
		delete(s.held, id)
		s.count.Store(int64(len(s.held)))
	}
}

// screening decides, within one claim, which of the claimed rows are handed out.
type screening struct {
	queue      *queue
	lease, now int64
	held       int
	alone      bool

	admitted    []claimedRow // suspects that are handed out
	waiting     int64
	quarantined []Quarantined
}

// admits tells whether a row is handed out. One that is not goes back to wait, or is
// quarantined.
func (c *screening) admits(w *writer, r claimedRow) (bool, error) {
	if !r.suspicious() {
		return true, nil
	}
	if reason, message := r.verdict(); reason != "" {
		if _, err := w.exec(c.queue.quarantine, reason, message, c.now, r.id, c.lease, 1); err != nil {
			return false, err
		}
		c.quarantined = append(c.quarantined, Quarantined{Company: r.lane.Company, Channel: r.lane.Channel, Key: r.id, Reason: reason, Message: message})
		return false, nil
	}
	alone := r.unfinished > 1
	if !c.alone && (c.held == 0 || !alone && c.held < maxSuspects) {
		c.held, c.alone = c.held+1, alone
		c.admitted = append(c.admitted, r)
		return true, nil
	}
	c.waiting++
	wait := suspectWait.Milliseconds() * (1 + c.waiting/maxSuspects)
	if alone {
		wait += suspectWait.Milliseconds() // behind those that are less suspicious
	}
	_, err := w.exec(c.queue.release, c.now+wait, r.id, c.lease)
	return false, err
}

// QuarantineEvent sets an event aside that can't be decided and would do harm if it were
// tried again, with one CamelCase word and one sentence of why. It stays until
// [Store.ReleaseQuarantinedEvents] or the end of the retention.
func (s *Store) QuarantineEvent(ctx context.Context, e ClaimedEvent, reason, message string) error {
	return s.quarantine(ctx, &eventQueue, &s.suspectEvents, e.row(), e.lease, reason, message)
}

// QuarantineDelivery is [Store.QuarantineEvent] for a delivery, which
// [Store.Resend] and [Store.ResendAll] release.
func (s *Store) QuarantineDelivery(ctx context.Context, d ClaimedDelivery, reason, message string) error {
	return s.quarantine(ctx, &deliveryQueue, &s.suspectDeliveries, d.row(), d.lease, reason, message)
}

func (s *Store) quarantine(ctx context.Context, q *queue, held *suspects, r claimedRow, lease int64, reason, message string) error {
	defer held.end(r.id, lease)
	err := s.leased(ctx, false, nil, q.quarantine, reason, message, s.now(), r.id, lease, 0)
	if err == nil {
		s.reportQuarantined([]Quarantined{{Company: r.lane.Company, Channel: r.lane.Channel, Key: r.id, Reason: reason, Message: message}})
	}
	return err
}

// QuarantinedEvents returns quarantined events of a company, or of all if it is empty,
// by key: at most limit (1,000 if more) with a key above after. They come without Data.
func (s *Store) QuarantinedEvents(ctx context.Context, company string, after int64, limit int) (found []QuarantinedEvent, err error) {
	where, args := "", []any{after}
	if company != "" {
		where, args = " AND company = $2", append(args, storable(company))
	}
	rows, err := s.reader.QueryContext(ctx, "SELECT id, company, event_id, name, received_at, reason, message, attempts, updated_at FROM events "+ //nolint:gosec // where is one of two texts above; values are arguments
		"WHERE state = 'quarantined' AND id > $1"+where+" ORDER BY id LIMIT "+strconv.Itoa(min(max(limit, 0), 1000)), args...)
	if err != nil {
		return nil, unavailable("reading quarantined events", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	ahead := s.ahead()
	for rows.Next() {
		var e QuarantinedEvent
		var received, at int64
		if err := rows.Scan(&e.Key, &e.Event.Company, &e.ID, &e.Name, &received, &e.Reason, &e.Message, &e.Attempts, &at); err != nil {
			return nil, unavailable("reading quarantined events", err)
		}
		e.Quarantined.Company = e.Event.Company
		e.ReceivedAt, e.At = timeOf(received).Add(-ahead), timeOf(at).Add(-ahead)
		found = append(found, e)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("reading quarantined events", err)
	}
	return found, nil
}

const releaseQuarantinedEvent = `
	UPDATE events SET state = 'pending', reason = '', attempts = 0, unfinished = 0, lease = 0, next_attempt_at = $1, updated_at = $1
	WHERE id = $2 AND company = $3 AND state = 'quarantined'`

// ReleaseQuarantinedEvent makes a quarantined event of a company due at once, with all
// its attempts. It tells whether there was one: a second call changes nothing.
func (s *Store) ReleaseQuarantinedEvent(ctx context.Context, company string, key int64) (released bool, err error) {
	err = s.write(ctx, &job{one: true, committed: s.events.raise, run: func(w *writer) error {
		n, err := w.exec(releaseQuarantinedEvent, s.now(), key, company)
		released = n > 0
		return err
	}})
	if err != nil {
		return false, fmt.Errorf("releasing a quarantined event: %w", err)
	}
	return released, nil
}

// ReleaseQuarantinedEvents is [Store.ReleaseQuarantinedEvent] for all of a company, in
// small steps. It returns how many there were, also before an error.
func (s *Store) ReleaseQuarantinedEvents(ctx context.Context, company string) (n int, err error) {
	for {
		some, err := s.QuarantinedEvents(ctx, company, 0, step)
		if err != nil || len(some) == 0 {
			return n, err
		}
		var released int
		err = s.write(ctx, &job{committed: s.events.raise, run: func(w *writer) error {
			released = 0
			for i := range some {
				one, err := w.exec(releaseQuarantinedEvent, s.now(), some[i].Key, company)
				if err != nil {
					return err
				}
				released += int(one)
			}
			return nil
		}})
		if err != nil {
			return n, fmt.Errorf("releasing quarantined events: %w", err)
		}
		if n += released; released == 0 {
			return n, nil // others release them
		}
	}
}
