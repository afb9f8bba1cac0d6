// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const (
	// maxSuspects is how many rows whose last claim ended without an outcome are handed
	// out to a process at a time. A row with two such claims is handed out alone.
	maxSuspects = 8
	// suspectWait is about how long a suspect waits until it is looked at again.
	suspectWait = time.Second
)

// OnQuarantine implements [ledger.Quarantine].
func (s *Store) OnQuarantine(f func(ledger.Quarantined)) { s.onQuarantine.Store(&f) }

func (s *Store) reportQuarantined(all []ledger.Quarantined) {
	for _, q := range all {
		kind := "delivery"
		if q.Channel == "" {
			kind = "event"
			s.usage.add(q.Company, 0, rowBytes) // its entry in the log
		}
		s.log.Info("Quarantined work; it is not tried again until it is released", "kind", kind, "company", q.Company, "eventID", q.EventID, "key", q.Key, "reason", q.Reason)
		if f := s.onQuarantine.Load(); f != nil && *f != nil {
			(*f)(q)
		}
	}
}

// quarantinedRows are those that a claim quarantined. Its transaction may run again.
type quarantinedRows map[int64]ledger.Quarantined

func (q *quarantinedRows) add(row ledger.Quarantined) {
	if *q == nil {
		*q = quarantinedRows{}
	}
	(*q)[row.Key] = row
}

func (q quarantinedRows) all() []ledger.Quarantined { return slices.Collect(maps.Values(q)) }

// claimedRow is what a claim knows of a row whatever its table.
type claimedRow struct {
	id                   int64
	lane                 ledger.Lane
	eventID              string // the platform's
	attempts, unfinished int
}

func (r *claimedRow) suspicious() bool { return r.unfinished > 0 || r.attempts > ledger.MaxAttempts }

// verdict says why a row is quarantined instead of handed out; the reason is empty if
// it is not.
func (r *claimedRow) verdict() (reason, message string) {
	switch {
	case r.unfinished >= ledger.MaxUnfinished:
		return ledger.ReasonUnfinished, fmt.Sprintf("Work on it ended %d times in a row without an outcome: the operator died or hung.", r.unfinished)
	case r.attempts > ledger.MaxAttempts:
		return ledger.ReasonTooManyAttempts, fmt.Sprintf("It was tried %d times.", r.attempts-1)
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
	quarantined []ledger.Quarantined
}

// The entry of a quarantined event in the log. It has no rule, since none was evaluated
// for certain, and the channel of what the operator shows only in its own API.
const (
	logQuarantinedEvent = `
		INSERT INTO deliveries (event, company, event_id, event_name, event_received_at, rule, channel, recipient,
			state, reason, message, attempts, next_attempt_at, created_at, updated_at)
		SELECT id, company, event_id, name, received_at, '', '` + ledger.ChannelSystem + `', '',
			'quarantined', reason, message, attempts, updated_at, updated_at, updated_at
		FROM events WHERE id = $1 AND state = 'quarantined'
		ON CONFLICT (event, rule, channel, recipient, copy) DO NOTHING`
	unlogQuarantinedEvent = "DELETE FROM deliveries WHERE event = $1 AND rule = '' AND channel = '" + ledger.ChannelSystem + "' AND state = 'quarantined'"
)

// admits reports whether a row is handed out. Otherwise it is returned to the queue or
// quarantined.
func (c *screening) admits(tx driver.Tx, r claimedRow) (bool, error) {
	if !r.suspicious() {
		return true, nil
	}
	if reason, message := r.verdict(); reason != "" {
		if _, err := tx.Exec(c.queue.quarantine, reason, message, c.now, r.id, c.lease, 1); err != nil {
			return false, err
		}
		if c.queue.logQuarantined != "" {
			if _, err := tx.Exec(c.queue.logQuarantined, r.id); err != nil {
				return false, err
			}
		}
		c.quarantined = append(c.quarantined, ledger.Quarantined{Company: r.lane.Company, Channel: r.lane.Channel, Key: r.id, EventID: r.eventID, Reason: reason, Message: message})
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
	_, err := tx.Exec(c.queue.release, c.now+wait, r.id, c.lease)
	return false, err
}

// QuarantineEvent implements [ledger.EventQueue].
func (s *Store) QuarantineEvent(ctx context.Context, e ledger.ClaimedEvent, reason, message string) error {
	return s.quarantine(ctx, &eventQueue, &s.suspectEvents, eventRow(&e), e.Lease.ID, reason, message)
}

// QuarantineDelivery implements [ledger.DeliveryQueue].
func (s *Store) QuarantineDelivery(ctx context.Context, d ledger.ClaimedDelivery, reason, message string) error {
	return s.quarantine(ctx, &deliveryQueue, &s.suspectDeliveries, deliveryRow(&d), d.Lease.ID, reason, message)
}

func (s *Store) quarantine(ctx context.Context, q *queue, held *suspects, r claimedRow, lease int64, reason, message string) error {
	defer held.end(r.id, lease)
	err := s.driver.Write(ctx, &driver.Job{Single: q.logQuarantined == "", Run: func(tx driver.Tx) error {
		n, err := tx.Exec(q.quarantine, reason, message, s.now(), r.id, lease, 0)
		switch {
		case err != nil:
			return err
		case n == 0:
			return ledger.ErrLeaseLost
		case q.logQuarantined != "":
			_, err = tx.Exec(q.logQuarantined, r.id)
		}
		return err
	}})
	if err == nil {
		s.reportQuarantined([]ledger.Quarantined{{Company: r.lane.Company, Channel: r.lane.Channel, Key: r.id, EventID: r.eventID, Reason: reason, Message: message}})
	}
	return err
}

// QuarantinedEvents implements [ledger.Quarantine].
func (s *Store) QuarantinedEvents(ctx context.Context, company string, after int64, limit int) (found []ledger.QuarantinedEvent, err error) {
	where, args := "", []any{after}
	if company != "" {
		where, args = " AND company = $2", append(args, driver.Storable(company))
	}
	rows, err := s.pool.QueryContext(ctx, "SELECT id, company, event_id, name, received_at, reason, message, attempts, updated_at FROM events "+ //nolint:gosec // where is one of two texts above; values are arguments
		"WHERE state = 'quarantined' AND id > $1"+where+" ORDER BY id LIMIT "+strconv.Itoa(min(max(limit, 0), 1000)), args...)
	if err != nil {
		return nil, unavailable("reading quarantined events", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	ahead := s.clock.Ahead()
	for rows.Next() {
		var e ledger.QuarantinedEvent
		var received, at int64
		if err := rows.Scan(&e.Key, &e.Event.Company, &e.ID, &e.Name, &received, &e.Reason, &e.Message, &e.Attempts, &at); err != nil {
			return nil, unavailable("reading quarantined events", err)
		}
		e.Quarantined.Company, e.EventID = e.Event.Company, e.ID
		e.ReceivedAt, e.At = schema.Time(received).Add(-ahead), schema.Time(at).Add(-ahead)
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

// ReleaseQuarantinedEvent implements [ledger.Quarantine].
func (s *Store) ReleaseQuarantinedEvent(ctx context.Context, company string, key int64) (bool, error) {
	released, err := write(ctx, s, &driver.Job{Committed: s.events.Raise}, func(tx driver.Tx) (bool, error) {
		n, err := s.release(tx, company, key)
		return n > 0, err
	})
	if err != nil {
		return false, fmt.Errorf("releasing a quarantined event: %w", err)
	}
	return released, nil
}

// release makes a quarantined event due and takes it out of the log. It returns how many
// there were.
func (s *Store) release(tx driver.Tx, company string, key int64) (int64, error) {
	n, err := tx.Exec(releaseQuarantinedEvent, s.now(), key, company)
	if err == nil && n > 0 {
		_, err = tx.Exec(unlogQuarantinedEvent, key)
	}
	return n, err
}

// ReleaseQuarantinedEvents implements [ledger.Quarantine].
func (s *Store) ReleaseQuarantinedEvents(ctx context.Context, company string) (n int, err error) {
	for {
		some, err := s.QuarantinedEvents(ctx, company, 0, step)
		if err != nil || len(some) == 0 {
			return n, err
		}
		released, err := write(ctx, s, &driver.Job{Committed: s.events.Raise}, func(tx driver.Tx) (released int, err error) {
			for i := range some {
				one, err := s.release(tx, company, some[i].Key)
				if err != nil {
					return 0, err
				}
				released += int(one)
			}
			return released, nil
		})
		if err != nil {
			return n, fmt.Errorf("releasing quarantined events: %w", err)
		}
		if n += released; released == 0 {
			return n, nil // others release them
		}
	}
}
