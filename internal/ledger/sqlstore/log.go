// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
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
		return err
	}
	setBack(d, s.clock.Ahead())
	s.show(d)
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
	var c conditions
	c.compare("company =", f.Company)
	if f.Rules != nil {
		c.among("rule", f.Rules)
	}
	if len(f.Channels) > 0 {
		c.among("channel", f.Channels)
	}
	switch {
	case len(f.States) == 1 && f.States[0] == ledger.DeliveryFailed:
		// Written out, as in the index of failed deliveries.
		c.add("state = 'failed'")
	case len(f.States) == 1 && f.States[0] == ledger.DeliveryQuarantined:
		c.add("state = 'quarantined'")
	case len(f.States) > 0:
		states := make([]string, len(f.States))
		for i, state := range f.States {
			states[i] = string(state)
		}
		c.among("state", states)
	}
	switch {
	case f.Sent == nil:
	case *f.Sent:
		c.add("state = 'sent'")
	default:
		c.add("state <> 'sent'")
	}
	if f.Reason != "" {
		c.compare("reason =", f.Reason)
	}
	for _, reason := range f.NotReasons {
		c.compare("reason <>", reason)
	}
	if len(f.Outcomes) > 0 {
		outcomes := make([]string, len(f.Outcomes))
		for i, outcome := range f.Outcomes {
			outcomes[i] = string(outcome)
		}
		c.among("outcome", outcomes)
	}
	if f.EventID != "" {
		// Not by the company's index: an event has few of the company's rows.
		c.tests[0] = "company || '' = $1"
		c.add("event IN (SELECT id FROM events WHERE company = $1 AND event_id = " + c.place(f.EventID) + ")")
	}
	if f.UserID != "" {
		c.compare("user_id =", f.UserID)
	}
	switch {
	case f.Received == nil:
	case *f.Received:
		c.add("received_at <> 0")
	default:
		c.add("channel = 'system' AND state = 'sent' AND received_at = 0")
	}
	if f.Recipient != "" {
		c.compare("recipient =", f.Recipient)
	}
	if f.RecipientContains != "" {
		// Not LIKE, which has wildcards, and minds capitals in one database only.
		c.add(s.dialect.Position + "(recipient, " + c.place(f.RecipientContains) + ") > 0")
	}
	if !f.CreatedAfter.IsZero() {
		c.compare("created_at >", s.stored(f.CreatedAfter))
	}
	if !f.CreatedBefore.IsZero() {
		c.compare("created_at <", s.stored(f.CreatedBefore))
	}
	c.after("deliveries.id", f.After, f.OldestFirst)
	return c.where(), c.arguments()
}

// cut shortens a text, in valid UTF-8.
func cut(text string) string {
	if len(text) <= maxLogText {
		return text
	}
	return strings.ToValidUTF8(text[:maxLogText], "") + "…"
}
