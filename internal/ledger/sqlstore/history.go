// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const eventColumns = "id, company, event_id, name, received_at, state, reason, message, attempts, next_attempt_at, updated_at, length(data), masked"

// Events implements [ledger.History].
func (s *Store) Events(ctx context.Context, f ledger.EventFilter, offset, limit int) (page ledger.EventPage, err error) {
	if f.DataContains != "" && s.cipher != nil {
		return s.eventsContaining(ctx, f, offset, limit)
	}
	where, args := s.whereEvent(f)
	l := listing[ledger.StoredEvent]{
		name: "events", query: "SELECT " + eventColumns + ", NULL FROM events ", table: "events", where: where,
		order: eventOrder + direction(f.OldestFirst), args: args, scan: s.scanEvent,
	}
	page.Events, page.More, page.Count, err = l.page(ctx, s, offset, limit)
	return page, err
}

const (
	// maxSearched is how many encrypted events a search looks at.
	maxSearched = 100_000
	// searchTime is how long a search continues to count once it has its page.
	searchTime = logTime / 2
)

// eventsContaining is Events for a ledger whose data the database can't search. It decrypts one
// event after another within the time of a query of the log.
func (s *Store) eventsContaining(ctx context.Context, f ledger.EventFilter, offset, limit int) (page ledger.EventPage, err error) {
	ctx, leave, err := s.enterLog(ctx)
	if err != nil {
		return page, err
	}
	defer leave()
	text := []byte(f.DataContains)
	f.DataContains = ""
	where, args := s.whereEvent(f)
	limit, begun := min(limit, maxLogPage), time.Now()
	ids, err := s.readIDs(ctx, "SELECT id FROM events "+where+" ORDER BY "+eventOrder+direction(f.OldestFirst)+" LIMIT "+strconv.Itoa(maxSearched), args...)
	if err != nil {
		return page, stopped(ctx, "searching events", err)
	}
	for _, id := range ids {
		if page.More && (page.Count >= ledger.MaxLogCount || time.Since(begun) > searchTime) {
			return page, nil
		}
		found, err := s.readEvents(ctx, eventColumns+", data", "WHERE id = $1", id)
		if err != nil {
			return ledger.EventPage{}, stopped(ctx, "searching events", err)
		}
		if len(found) == 0 || !bytes.Contains(found[0].Data, text) {
			continue
		}
		found[0].Data = nil
		switch page.Count++; {
		case page.Count <= offset:
		case len(page.Events) < limit:
			page.Events = append(page.Events, found[0])
		default:
			page.More = true
		}
	}
	if len(ids) == maxSearched && !page.More {
		return ledger.EventPage{}, stopped(ctx, "searching events", context.DeadlineExceeded)
	}
	return page, nil
}

// StoredEvent implements [ledger.History].
func (s *Store) StoredEvent(ctx context.Context, company, id string) (ledger.StoredEvent, error) {
	found, err := s.readEvents(ctx, eventColumns+", data", "WHERE company = $1 AND event_id = $2", driver.StorableArgs([]any{company, id})...)
	switch {
	case err != nil:
		return ledger.StoredEvent{}, unavailable("reading an event", err)
	case len(found) == 0:
		return ledger.StoredEvent{}, fmt.Errorf("the event: %w", ledger.ErrNotFound)
	}
	return found[0], nil
}

// EventDeliveries implements [ledger.History].
func (s *Store) EventDeliveries(ctx context.Context, company string, key int64, offset, limit int) (found []ledger.Delivery, more bool, err error) {
	ctx, leave, err := s.enterLog(ctx)
	if err != nil {
		return nil, false, err
	}
	defer leave()
	l := listing[ledger.Delivery]{
		name: "an event's deliveries", query: schema.SelectDeliveries, where: deliveriesOfEvent,
		order: deliveriesOrder, args: []any{key, driver.Storable(company)}, scan: s.scanShortened,
	}
	return l.read(ctx, s, offset, limit)
}

// Columns are in expressions where their index must not be used: an event's rows are found
// by the event, and a company's by the company, and then sorted. Otherwise the planner may
// read everybody's rows in their order.
const (
	deliveriesOfEvent = "WHERE event = $1 AND company || '' = $2 AND rule <> ''"
	deliveriesOrder   = "deliveries.id + 0"
	eventOrder        = "id + 0"
)

// whereEvent writes the filter as SQL, which holds no value.
func (s *Store) whereEvent(f ledger.EventFilter) (where string, args []any) {
	var c conditions
	c.compare("company =", f.Company)
	if f.ID != "" {
		c.compare("event_id =", f.ID)
	}
	if f.Name != "" {
		c.compare("name =", f.Name)
	}
	if f.State != "" {
		c.compare("state =", string(f.State))
	}
	if !f.ReceivedAfter.IsZero() {
		c.compare("received_at >", s.stored(f.ReceivedAfter))
	}
	if !f.ReceivedBefore.IsZero() {
		c.compare("received_at <", s.stored(f.ReceivedBefore))
	}
	if f.DataContains != "" {
		c.place([]byte(f.DataContains))
		c.add(fmt.Sprintf(s.dialect.DataContains, len(c.values)))
	}
	c.after("id", f.After, f.OldestFirst)
	return c.where(), c.arguments()
}

// readEvents runs a query for eventColumns and the data.
func (s *Store) readEvents(ctx context.Context, columns, rest string, args ...any) (found []ledger.StoredEvent, err error) {
	rows, err := s.pool.QueryContext(ctx, "SELECT "+columns+" FROM events "+rest, args...) //nolint:gosec // all of it is this file's, but for the arguments
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e ledger.StoredEvent
		if err := s.scanEvent(rows, &e); err != nil {
			return nil, err
		}
		found = append(found, e)
	}
	return found, rows.Err()
}

// scanEvent reads a row of eventColumns and the data.
func (s *Store) scanEvent(rows *sql.Rows, e *ledger.StoredEvent) error {
	var received, next, updated, masked int64
	if err := rows.Scan(&e.Key, &e.Company, &e.ID, &e.Name, &received, &e.State, &e.Reason, &e.Message, &e.Attempts, &next, &updated, &e.Size, &masked, &e.Data); err != nil {
		return err
	}
	e.Masked = masked != 0
	if e.Data != nil {
		data, err := s.openEvent(e.Company, e.ID, e.Data)
		if err != nil {
			return err
		}
		e.Data, e.Size = data, len(data)
	}
	ahead := s.clock.Ahead()
	e.ReceivedAt, e.NextAttemptAt, e.UpdatedAt = schema.Time(received).Add(-ahead), schema.Time(next).Add(-ahead), schema.Time(updated).Add(-ahead)
	return nil
}
