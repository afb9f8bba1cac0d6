// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const (
	// maxLogPage is how many rows a page has at most.
	maxLogPage = 250
	// maxLogText is how many bytes of each text of a message a page shows.
	maxLogText = 16 << 10
	// logTime is how long a query of the log may take.
	logTime = 3 * time.Second
	// longQuery is when a query is followed by a pause of logPause before the next:
	// SQLite's log of changes can't begin anew while somebody reads what was before.
	longQuery = 50 * time.Millisecond
	logPause  = 50 * time.Millisecond
)

// Log implements [ledger.Log].
func (s *Store) Log(ctx context.Context, f ledger.LogFilter, offset, limit int) (page ledger.LogPage, err error) {
	ctx, leave, err := s.enterLog(ctx)
	if err != nil {
		return ledger.LogPage{}, err
	}
	defer leave()
	offset, limit = min(offset, ledger.MaxLogCount), min(limit, maxLogPage)
	where, args := s.where(f)
	order := "DESC"
	if f.OldestFirst {
		order = "ASC"
	}
	if page, err = s.logPage(ctx, where, args, order, offset, limit); err != nil {
		return ledger.LogPage{}, stopped(ctx, "reading the log", err)
	}
	if page.Count = offset + len(page.Deliveries); !page.More && (offset == 0 || len(page.Deliveries) > 0) {
		return page, nil // the last page: no need to count
	}
	count := "SELECT COUNT(*) FROM (SELECT 1 FROM deliveries " + where + " LIMIT " + strconv.Itoa(ledger.MaxLogCount) + ") AS counted"
	if err := s.pool.QueryRowContext(ctx, count, args...).Scan(&page.Count); err != nil {
		return ledger.LogPage{}, stopped(ctx, "counting deliveries", err)
	}
	return page, nil
}

func (s *Store) logPage(ctx context.Context, where string, args []any, order string, offset, limit int) (page ledger.LogPage, err error) {
	rows, err := s.pool.QueryContext(ctx, schema.SelectDeliveries+where+
		" ORDER BY deliveries.id "+order+" LIMIT "+strconv.Itoa(limit+1)+" OFFSET "+strconv.Itoa(offset), args...)
	if err != nil {
		return ledger.LogPage{}, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if len(page.Deliveries) == limit {
			page.More = true
			break
		}
		var d ledger.Delivery
		if err := schema.ScanDelivery(rows, &d); err != nil {
			return ledger.LogPage{}, err
		}
		setBack(&d, s.clock.Ahead())
		d.Content.Text, d.Content.HTML = cut(d.Content.Text), cut(d.Content.HTML)
		page.Deliveries = append(page.Deliveries, d)
	}
	return page, rows.Err()
}

// LogEntry implements [ledger.Log].
func (s *Store) LogEntry(ctx context.Context, company string, id int64) (ledger.Delivery, error) {
	found, err := s.selectDeliveries(ctx, "WHERE deliveries.id = $1 AND company = $2", id, company)
	if err != nil {
		return ledger.Delivery{}, err
	}
	if len(found) == 0 {
		return ledger.Delivery{}, fmt.Errorf("delivery %d: %w", id, ledger.ErrNotFound)
	}
	return found[0], nil
}

// enterLog waits for the turn of a query of the log, and bounds its time.
func (s *Store) enterLog(ctx context.Context) (_ context.Context, leave func(), err error) {
	select {
	case s.logQueries <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("%w: others look at the log: %w", ledger.ErrUnavailable, ctx.Err())
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, logTime)
	return ctx, func() {
		cancel()
		if time.Since(start) < longQuery {
			<-s.logQueries
			return
		}
		time.AfterFunc(logPause, func() { <-s.logQueries })
	}, nil
}

// stopped wraps an error of a query, or says that its time was over, which the
// database calls an interruption.
func stopped(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return unavailable(doing, err)
}

// where writes the filter as SQL, which holds no value but those of this package.
func (s *Store) where(f ledger.LogFilter) (where string, args []any) {
	tests := []string{"company = $1"}
	args = []any{f.Company}
	place := func(value any) string {
		args = append(args, value)
		return "$" + strconv.Itoa(len(args))
	}
	among := func(column string, values []string) {
		if len(values) == 0 {
			tests = append(tests, "1 = 0")
			return
		}
		places := make([]string, len(values))
		for i, value := range values {
			places[i] = place(value)
		}
		tests = append(tests, column+" IN ("+strings.Join(places, ", ")+")")
	}
	if f.Rules != nil {
		among("rule", f.Rules)
	}
	if len(f.Channels) > 0 {
		among("channel", f.Channels)
	}
	switch {
	case len(f.States) == 1 && f.States[0] == ledger.DeliveryFailed:
		// Written out, as in the index of failed deliveries.
		tests = append(tests, "state = 'failed'")
	case len(f.States) == 1 && f.States[0] == ledger.DeliveryQuarantined:
		tests = append(tests, "state = 'quarantined'")
	case len(f.States) > 0:
		states := make([]string, len(f.States))
		for i, state := range f.States {
			states[i] = string(state)
		}
		among("state", states)
	}
	switch {
	case f.Sent == nil:
	case *f.Sent:
		tests = append(tests, "state = 'sent'")
	default:
		tests = append(tests, "state <> 'sent'")
	}
	if f.Reason != "" {
		tests = append(tests, "reason = "+place(f.Reason))
	}
	for _, reason := range f.NotReasons {
		tests = append(tests, "reason <> "+place(reason))
	}
	if f.EventID != "" {
		// Not by the company's index: an event has few of the company's rows.
		tests[0] = "company || '' = $1"
		tests = append(tests, "event IN (SELECT id FROM events WHERE company = $1 AND event_id = "+place(f.EventID)+")")
	}
	if f.UserID != "" {
		tests = append(tests, "user_id = "+place(f.UserID))
	}
	switch {
	case f.Received == nil:
	case *f.Received:
		tests = append(tests, "received_at <> 0")
	default:
		tests = append(tests, "channel = 'system' AND state = 'sent' AND received_at = 0")
	}
	if f.Recipient != "" {
		tests = append(tests, "recipient = "+place(f.Recipient))
	}
	if f.RecipientContains != "" {
		// Not LIKE, which has wildcards, and minds capitals in one database only.
		tests = append(tests, s.dialect.Position+"(recipient, "+place(f.RecipientContains)+") > 0")
	}
	if !f.CreatedAfter.IsZero() {
		tests = append(tests, "created_at > "+place(s.stored(f.CreatedAfter)))
	}
	if !f.CreatedBefore.IsZero() {
		tests = append(tests, "created_at < "+place(s.stored(f.CreatedBefore)))
	}
	switch {
	case f.Beyond == 0:
	case f.OldestFirst:
		tests = append(tests, "deliveries.id > "+place(f.Beyond))
	default:
		tests = append(tests, "deliveries.id < "+place(f.Beyond))
	}
	return "WHERE " + strings.Join(tests, " AND "), driver.StorableArgs(args)
}

// cut shortens a text, in valid UTF-8.
func cut(text string) string {
	if len(text) <= maxLogText {
		return text
	}
	return strings.ToValidUTF8(text[:maxLogText], "") + "…"
}
