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

const (
	// MaxLogCount is where [Store.Log] stops counting, and the greatest offset of a
	// page: whoever looks further back narrows the time.
	MaxLogCount = 100_000
	// maxLogPage is how many rows a page has at most.
	maxLogPage = 250
	// maxLogText is how many bytes of each text of a message a page shows.
	maxLogText = 16 << 10
	// logQueries is how many queries of the log run at once. A person's question can
	// read every row of a company, and must leave connections to the work.
	logQueries = 2
)

// LogFilter says which deliveries of a company are meant. Zero fields don't
// narrow, but for the company.
type LogFilter struct {
	Company string
	// RuleUIDs, if it isn't nil, are the rules; none if it is empty.
	RuleUIDs []string
	// Channels and States, if they aren't empty, are those that are let through.
	Channels []string
	States   []DeliveryState
	// Sent, if it isn't nil, is whether the delivery was sent.
	Sent *bool
	// Reason is the one and NotReason another than the delivery's.
	Reason, NotReason string
	// UserID is the user on Rehive that the delivery is about.
	UserID string
	// Received, if it isn't nil, is whether the user received an in-app message.
	Received *bool
	// Recipient is the whole recipient, RecipientContains a part of it, in the same
	// case.
	Recipient, RecipientContains string
	// CreatedAfter and CreatedBefore are exclusive, to the millisecond.
	CreatedAfter, CreatedBefore time.Time
}

// LogPage is a part of the log.
type LogPage struct {
	// Deliveries are the newest first. Texts of messages are cut to 16 KiB each.
	Deliveries []Delivery
	// Count is how many deliveries there are on all pages, MaxLogCount if there are
	// more.
	Count int
	// More is whether there are deliveries behind these.
	More bool
}

// Log returns the deliveries that the filter lets through, the newest first: at
// most limit (250 if more) after offset, which is at most [MaxLogCount]. Only a few
// queries run at once; others wait for their turn or the end of ctx.
func (s *Store) Log(ctx context.Context, f LogFilter, offset, limit int) (page LogPage, err error) {
	leave, err := s.enterLog(ctx)
	if err != nil {
		return LogPage{}, err
	}
	defer leave()
	limit = min(limit, maxLogPage)
	where, args := f.where(s.stored)
	count := "SELECT COUNT(*) FROM (SELECT 1 FROM deliveries " + where + " LIMIT " + strconv.Itoa(MaxLogCount) + ") AS counted"
	if err := s.reader.QueryRowContext(ctx, count, storableArgs(args)...).Scan(&page.Count); err != nil {
		return LogPage{}, unavailable("counting deliveries", err)
	}
	where += " ORDER BY id DESC LIMIT " + strconv.Itoa(limit+1) + " OFFSET " + strconv.Itoa(min(offset, MaxLogCount))
	rows, err := s.reader.QueryContext(ctx, readDeliveries+where, storableArgs(args)...)
	if err != nil {
		return LogPage{}, unavailable("reading the log", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if len(page.Deliveries) == limit {
			page.More = true
			break
		}
		var d Delivery
		if err := scanDelivery(rows, &d); err != nil {
			return LogPage{}, unavailable("reading the log", err)
		}
		d.setBack(s.ahead())
		d.Content.Text, d.Content.HTML = cut(d.Content.Text), cut(d.Content.HTML)
		page.Deliveries = append(page.Deliveries, d)
	}
	if err := rows.Err(); err != nil {
		return LogPage{}, unavailable("reading the log", err)
	}
	return page, nil
}

// LogEntry returns one delivery of a company, whole, or [ErrNotFound].
func (s *Store) LogEntry(ctx context.Context, company string, id int64) (Delivery, error) {
	found, err := s.selectDeliveries(ctx, "WHERE id = $1 AND company = $2", id, company)
	if err != nil {
		return Delivery{}, err
	}
	if len(found) == 0 {
		return Delivery{}, fmt.Errorf("delivery %d: %w", id, ErrNotFound)
	}
	return found[0], nil
}

// enterLog waits for the turn of a query of the log.
func (s *Store) enterLog(ctx context.Context) (leave func(), err error) {
	select {
	case s.logQueries <- struct{}{}:
		return func() { <-s.logQueries }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: too many look at the log: %w", ErrUnavailable, ctx.Err())
	}
}

// where writes the filter as SQL, which holds no value but those of this package.
func (f *LogFilter) where(stored func(time.Time) int64) (where string, args []any) {
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
	if f.RuleUIDs != nil {
		among("rule_uid", f.RuleUIDs)
	}
	if len(f.Channels) > 0 {
		among("channel", f.Channels)
	}
	switch {
	case len(f.States) == 1 && f.States[0] == DeliveryFailed:
		// Written out, as in the index of failed deliveries.
		tests = append(tests, "state = 'failed'")
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
	if f.NotReason != "" {
		tests = append(tests, "reason <> "+place(f.NotReason))
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
		// Not LIKE: it has wildcards, and the databases differ about capitals.
		tests = append(tests, "replace(recipient, "+place(f.RecipientContains)+", '') <> recipient")
	}
	if !f.CreatedAfter.IsZero() {
		tests = append(tests, "created_at > "+place(stored(f.CreatedAfter)))
	}
	if !f.CreatedBefore.IsZero() {
		tests = append(tests, "created_at < "+place(stored(f.CreatedBefore)))
	}
	return "WHERE " + strings.Join(tests, " AND "), args
}

// cut shortens a text, in valid UTF-8.
func cut(text string) string {
	if len(text) <= maxLogText {
		return text
	}
	return strings.ToValidUTF8(text[:maxLogText], "") + "…"
}
