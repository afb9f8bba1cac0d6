// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// InboxFilter narrows [Store.Inbox] to a user's in-app messages. Zero fields but
// the first two don't narrow.
type InboxFilter struct {
	// Company and UserID are the platform's identifiers of whose inbox it is.
	Company, UserID string
	// CreatedAfter and CreatedBefore are exclusive, to the millisecond.
	CreatedAfter, CreatedBefore time.Time
	// Received, if it isn't nil, is whether the user received the messages.
	Received *bool
	// OldestFirst turns the order round. Beyond, if it isn't 0, is the ID of a message:
	// the list begins with the next one in that order. Offset leaves out as many at the
	// beginning. Pages are made with either.
	OldestFirst bool
	Beyond      int64
	Offset      int
	// Limit is the greatest number of messages to return; 0 means 100, more than
	// 1000 is 1000.
	Limit int
}

// inInbox is the test of the index deliveries_inbox.
const inInbox = "WHERE channel = 'system' AND state = 'sent' AND company = $1 AND user_id = $2"

func (f *InboxFilter) where(stored func(time.Time) int64) (where string, args []any) {
	where, args = inInbox, []any{f.Company, f.UserID}
	narrow := func(test string, arg any) {
		args = append(args, arg)
		where += " AND " + test + " $" + strconv.Itoa(len(args))
	}
	if !f.CreatedAfter.IsZero() {
		narrow("created_at >", stored(f.CreatedAfter))
	}
	if !f.CreatedBefore.IsZero() {
		narrow("created_at <", stored(f.CreatedBefore))
	}
	switch {
	case f.Received == nil:
	case *f.Received:
		where += " AND received_at <> 0"
	default:
		where += " AND received_at = 0"
	}
	switch {
	case f.Beyond == 0:
	case f.OldestFirst:
		narrow("deliveries.id >", f.Beyond)
	default:
		narrow("deliveries.id <", f.Beyond)
	}
	return where, args
}

// Inbox returns the in-app messages of a user that were delivered, newest first unless the filter
// says otherwise.
func (s *Store) Inbox(ctx context.Context, f InboxFilter) ([]Delivery, error) {
	where, args := f.where(s.stored)
	limit := 100
	if f.Limit > 0 {
		limit = min(f.Limit, 1000)
	}
	order := "DESC"
	if f.OldestFirst {
		order = "ASC"
	}
	return s.selectDeliveries(ctx, where+" ORDER BY deliveries.id "+order+" LIMIT "+strconv.Itoa(limit)+" OFFSET "+strconv.Itoa(max(f.Offset, 0)), args...)
}

// InboxCount returns how many messages the filter lets through, whatever its
// Offset and Limit.
func (s *Store) InboxCount(ctx context.Context, f InboxFilter) (n int, err error) {
	where, args := f.where(s.stored)
	if err := s.reader.QueryRowContext(ctx, "SELECT COUNT(*) FROM deliveries "+where, storableArgs(args)...).Scan(&n); err != nil {
		return 0, unavailable("counting in-app messages", err)
	}
	return n, nil
}

// InboxMessage returns one in-app message of a user, or [ErrNotFound].
func (s *Store) InboxMessage(ctx context.Context, company, user string, id int64) (Delivery, error) {
	found, err := s.selectDeliveries(ctx, inInbox+" AND deliveries.id = $3", company, user, id)
	if err != nil {
		return Delivery{}, err
	}
	if len(found) == 0 {
		return Delivery{}, fmt.Errorf("in-app message %d: %w", id, ErrNotFound)
	}
	return found[0], nil
}

// SetReceived records whether the user received an in-app message; [ErrNotFound]
// if the user has none of this ID. How long the message is kept still counts from
// its delivery.
func (s *Store) SetReceived(ctx context.Context, company, user string, id int64, received bool) error {
	at := int64(0)
	if received {
		at = s.now()
	}
	return s.write(ctx, &job{one: true, run: func(w *writer) error {
		n, err := w.exec("UPDATE deliveries SET received_at = $3 "+inInbox+" AND id = $4", company, user, at, id)
		if err == nil && n == 0 {
			return fmt.Errorf("in-app message %d: %w", id, ErrNotFound)
		}
		return err
	}})
}
