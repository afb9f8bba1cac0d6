// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const (
	// maxLogPage is the greatest number of rows of a page.
	maxLogPage = 250
	// maxLogText is how many bytes of each text of a message a page includes.
	maxLogText = 16 << 10
	// logTime is how long a query of the log may take.
	logTime = 3 * time.Second
	// longQuery is the duration from which a query is followed by a pause of logPause:
	// SQLite's write-ahead log can't restart while somebody reads an older state.
	longQuery = 50 * time.Millisecond
	logPause  = 50 * time.Millisecond
)

// Log implements [ledger.Log].
func (s *Store) Log(ctx context.Context, f ledger.LogFilter, offset, limit int) (page ledger.LogPage, err error) {
	where, args := s.where(f)
	l := listing[ledger.Delivery]{
		name: "deliveries", query: schema.SelectDeliveries, table: "deliveries", where: where,
		order: "deliveries.id" + direction(f.OldestFirst), args: args, scan: s.scanShortened,
	}
	page.Deliveries, page.More, page.Count, err = l.page(ctx, s, offset, limit)
	return page, err
}

// scanShortened reads a delivery with its texts cut.
func (s *Store) scanShortened(rows *sql.Rows, d *ledger.Delivery) error {
	if err := schema.ScanDelivery(rows, d); err != nil {
		return err //nolint:wrapcheck // the caller does
	}
	setBack(d, s.clock.Ahead())
	d.Content.Text, d.Content.HTML = cut(d.Content.Text), cut(d.Content.HTML)
	return nil
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
