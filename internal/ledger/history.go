// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// StoredEvent is an event and what became of it.
type StoredEvent struct {
	Event
	// Key is the event's row in the ledger. Later events have larger ones.
	Key   int64
	State EventState
	// Reason is one CamelCase word, of a quarantined event only. Message is one
	// sentence: why it failed, or is tried again.
	Reason, Message string
	// Attempts counts the claims.
	Attempts int
	// NextAttemptAt is when a pending event may be claimed; while it is claimed, when
	// the lease ends.
	NextAttemptAt time.Time
	// UpdatedAt is when the state or the message last changed.
	UpdatedAt time.Time
	// Size is the length of the Data in bytes.
	Size int
}

// EventFilter says which events of a company are meant. Zero fields don't narrow, but
// for the company.
type EventFilter struct {
	Company string
	// ID and Name are the event's, whole.
	ID, Name string
	// State is where it stands.
	State EventState
	// DataContains is a part of the Data's text, in the same case.
	DataContains string
	// ReceivedAfter and ReceivedBefore are exclusive, to the millisecond.
	ReceivedAfter, ReceivedBefore time.Time
	// OldestFirst turns the order round. Beyond, if it isn't 0, is the key of an event:
	// the list begins with the next one in that order.
	OldestFirst bool
	Beyond      int64
}

// EventPage is a part of the events.
type EventPage struct {
	// Events are the newest first unless the filter says otherwise. They come without
	// Data.
	Events []StoredEvent
	// Count is how many events there are on all pages, MaxLogCount if there are more.
	Count int
	// More says whether there are events beyond these.
	More bool
}

const eventColumns = "id, company, event_id, name, received_at, state, reason, message, attempts, next_attempt_at, updated_at, length(data)"

// Events returns the events of a company that match the filter: at most limit (250 if
// more) after offset. It takes its turn with [Store.Log], within the same time.
func (s *Store) Events(ctx context.Context, f EventFilter, offset, limit int) (page EventPage, err error) {
	ctx, leave, err := s.enterLog(ctx)
	if err != nil {
		return EventPage{}, err
	}
	defer leave()
	offset, limit = min(offset, MaxLogCount), min(limit, maxLogPage)
	where, args := s.whereEvent(f)
	page.Events, err = s.readEvents(ctx, eventColumns+", NULL", where+eventOrder(f)+" LIMIT "+strconv.Itoa(limit+1)+" OFFSET "+strconv.Itoa(offset), args...)
	if err != nil {
		return EventPage{}, stopped(ctx, "reading events", err)
	}
	if len(page.Events) > limit {
		page.Events, page.More = page.Events[:limit], true
	}
	if page.Count = offset + len(page.Events); !page.More && (offset == 0 || len(page.Events) > 0) {
		return page, nil // the last page: no need to count
	}
	count := "SELECT COUNT(*) FROM (SELECT 1 FROM events " + where + " LIMIT " + strconv.Itoa(MaxLogCount) + ") AS counted"
	if err := s.reader.QueryRowContext(ctx, count, args...).Scan(&page.Count); err != nil {
		return EventPage{}, stopped(ctx, "counting events", err)
	}
	return page, nil
}

// StoredEvent returns an event of a company by the platform's ID, with its Data, or
// [ErrNotFound].
func (s *Store) StoredEvent(ctx context.Context, company, id string) (StoredEvent, error) {
	found, err := s.readEvents(ctx, eventColumns+", data", "WHERE company = $1 AND event_id = $2", storableArgs([]any{company, id})...)
	switch {
	case err != nil:
		return StoredEvent{}, unavailable("reading an event", err)
	case len(found) == 0:
		return StoredEvent{}, fmt.Errorf("the event: %w", ErrNotFound)
	}
	return found[0], nil
}

// EventDeliveries returns the deliveries of an event of a company by its key, in the
// order in which they were stored: at most limit (250 if more) after offset, with their
// texts cut as in [Store.Log], and whether there are more.
func (s *Store) EventDeliveries(ctx context.Context, company string, key int64, offset, limit int) (found []Delivery, more bool, err error) {
	ctx, leave, err := s.enterLog(ctx)
	if err != nil {
		return nil, false, err
	}
	defer leave()
	limit = min(limit, maxLogPage)
	found, err = s.selectDeliveries(ctx, deliveriesOfEvent+" LIMIT "+strconv.Itoa(limit+1)+" OFFSET "+strconv.Itoa(offset), key, company)
	if err != nil {
		return nil, false, stopped(ctx, "reading an event's deliveries", err)
	}
	if more = len(found) > limit; more {
		found = found[:limit]
	}
	for i := range found {
		content := &found[i].Content
		content.Text, content.HTML = cut(content.Text), cut(content.HTML)
	}
	return found, more, nil
}

// Columns stand in expressions where their index is not to be used: an event's rows are
// found by the event, and a company's by the company, and then sorted. Otherwise the
// planner may read everybody's in their order.
const deliveriesOfEvent = "WHERE event = $1 AND company || '' = $2 ORDER BY deliveries.id + 0"

func eventOrder(f EventFilter) string {
	if f.OldestFirst {
		return " ORDER BY id + 0 ASC"
	}
	return " ORDER BY id + 0 DESC"
}

// whereEvent writes the filter as SQL, which holds no value.
func (s *Store) whereEvent(f EventFilter) (where string, args []any) {
	tests := []string{}
	test := func(sql string, value any) {
		args = append(args, value)
		tests = append(tests, sql+" $"+strconv.Itoa(len(args)))
	}
	test("company =", f.Company)
	if f.ID != "" {
		test("event_id =", f.ID)
	}
	if f.Name != "" {
		test("name =", f.Name)
	}
	if f.State != "" {
		test("state =", string(f.State))
	}
	if !f.ReceivedAfter.IsZero() {
		test("received_at >", s.stored(f.ReceivedAfter))
	}
	if !f.ReceivedBefore.IsZero() {
		test("received_at <", s.stored(f.ReceivedBefore))
	}
	if f.DataContains != "" {
		args = append(args, []byte(f.DataContains))
		tests = append(tests, fmt.Sprintf(s.dialect.dataContains, len(args)))
	}
	switch {
	case f.Beyond == 0:
	case f.OldestFirst:
		test("id >", f.Beyond)
	default:
		test("id <", f.Beyond)
	}
	return "WHERE " + strings.Join(tests, " AND "), storableArgs(args)
}

// readEvents runs a query for eventColumns and the data.
func (s *Store) readEvents(ctx context.Context, columns, rest string, args ...any) (found []StoredEvent, err error) {
	rows, err := s.reader.QueryContext(ctx, "SELECT "+columns+" FROM events "+rest, args...) //nolint:gosec // all of it is this file's, but for the arguments
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	ahead := s.ahead()
	for rows.Next() {
		var e StoredEvent
		var received, next, updated int64
		if err := rows.Scan(&e.Key, &e.Company, &e.ID, &e.Name, &received, &e.State, &e.Reason, &e.Message, &e.Attempts, &next, &updated, &e.Size, &e.Data); err != nil {
			return nil, err
		}
		e.ReceivedAt, e.NextAttemptAt, e.UpdatedAt = timeOf(received).Add(-ahead), timeOf(next).Add(-ahead), timeOf(updated).Add(-ahead)
		found = append(found, e)
	}
	return found, rows.Err()
}
