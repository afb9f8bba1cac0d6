// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const eventColumns = "id, company, event_id, name, received_at, state, reason, message, attempts, next_attempt_at, updated_at, length(data)"

// Events implements [ledger.History].
func (s *Store) Events(ctx context.Context, f ledger.EventFilter, offset, limit int) (page ledger.EventPage, err error) {
	ctx, leave, err := s.enterLog(ctx)
	if err != nil {
		return ledger.EventPage{}, err
	}
	defer leave()
	offset, limit = min(offset, ledger.MaxLogCount), min(limit, maxLogPage)
	where, args := s.whereEvent(f)
	page.Events, err = s.readEvents(ctx, eventColumns+", NULL", where+eventOrder(f)+" LIMIT "+strconv.Itoa(limit+1)+" OFFSET "+strconv.Itoa(offset), args...)
	if err != nil {
		return ledger.EventPage{}, stopped(ctx, "reading events", err)
	}
	if len(page.Events) > limit {
		page.Events, page.More = page.Events[:limit], true
	}
	if page.Count = offset + len(page.Events); !page.More && (offset == 0 || len(page.Events) > 0) {
		return page, nil // the last page: no need to count
	}
	count := "SELECT COUNT(*) FROM (SELECT 1 FROM events " + where + " LIMIT " + strconv.Itoa(ledger.MaxLogCount) + ") AS counted"
	if err := s.pool.QueryRowContext(ctx, count, args...).Scan(&page.Count); err != nil {
		return ledger.EventPage{}, stopped(ctx, "counting events", err)
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

func eventOrder(f ledger.EventFilter) string {
	if f.OldestFirst {
		return " ORDER BY id + 0 ASC"
	}
	return " ORDER BY id + 0 DESC"
}

// whereEvent writes the filter as SQL, which holds no value.
func (s *Store) whereEvent(f ledger.EventFilter) (where string, args []any) {
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
		tests = append(tests, fmt.Sprintf(s.dialect.DataContains, len(args)))
	}
	switch {
	case f.Beyond == 0:
	case f.OldestFirst:
		test("id >", f.Beyond)
	default:
		test("id <", f.Beyond)
	}
	return "WHERE " + strings.Join(tests, " AND "), driver.StorableArgs(args)
}

// readEvents runs a query for eventColumns and the data.
func (s *Store) readEvents(ctx context.Context, columns, rest string, args ...any) (found []ledger.StoredEvent, err error) {
	rows, err := s.pool.QueryContext(ctx, "SELECT "+columns+" FROM events "+rest, args...) //nolint:gosec // all of it is this file's, but for the arguments
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	ahead := s.clock.Ahead()
	for rows.Next() {
		var e ledger.StoredEvent
		var received, next, updated int64
		if err := rows.Scan(&e.Key, &e.Company, &e.ID, &e.Name, &received, &e.State, &e.Reason, &e.Message, &e.Attempts, &next, &updated, &e.Size, &e.Data); err != nil {
			return nil, err
		}
		e.ReceivedAt, e.NextAttemptAt, e.UpdatedAt = schema.Time(received).Add(-ahead), schema.Time(next).Add(-ahead), schema.Time(updated).Add(-ahead)
		found = append(found, e)
	}
	return found, rows.Err()
}
