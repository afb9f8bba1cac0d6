// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

// inInbox is the test of the index deliveries_inbox.
const inInbox = "channel = 'system' AND state = 'sent' AND company = $1 AND user_id = $2"

func (s *Store) whereInbox(f ledger.InboxFilter) (where string, args []any) {
	c := conditions{tests: []string{inInbox}, values: []any{f.Company, f.UserID}}
	if !f.CreatedAfter.IsZero() {
		c.compare("created_at >", s.stored(f.CreatedAfter))
	}
	if !f.CreatedBefore.IsZero() {
		c.compare("created_at <", s.stored(f.CreatedBefore))
	}
	switch {
	case f.Received == nil:
	case *f.Received:
		c.add("received_at <> 0")
	default:
		c.add("received_at = 0")
	}
	c.after("deliveries.id", f.After, f.OldestFirst)
	return c.where(), c.values
}

// maxInboxText is how much text a page of in-app messages has in full, in bytes. In-app messages
// have a few hundred bytes, but nothing prevents a megabyte.
const maxInboxText = 1 << 20

// Inbox implements [ledger.Inbox].
func (s *Store) Inbox(ctx context.Context, f ledger.InboxFilter) (found []ledger.Delivery, err error) {
	where, args := s.whereInbox(f)
	limit := 100
	if f.Limit > 0 {
		limit = min(f.Limit, 1000)
	}
	order := "DESC"
	if f.OldestFirst {
		order = "ASC"
	}
	rows, err := s.pool.QueryContext(ctx, schema.SelectDeliveries+where+" ORDER BY deliveries.id "+order+
		" LIMIT "+strconv.Itoa(limit)+" OFFSET "+strconv.Itoa(max(f.Offset, 0)), driver.StorableArgs(args)...)
	if err != nil {
		return nil, unavailable("reading in-app messages", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	text := 0
	for rows.Next() {
		var d ledger.Delivery
		if err := schema.ScanDelivery(rows, &d); err != nil {
			return nil, unavailable("reading in-app messages", err)
		}
		setBack(&d, s.clock.Ahead())
		s.show(&d)
		if text += len(d.Content.Text) + len(d.Content.HTML); text > maxInboxText && len(found) > 0 {
			d.Content.Text, d.Content.HTML = cut(d.Content.Text), cut(d.Content.HTML)
		}
		found = append(found, d)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("reading in-app messages", err)
	}
	return found, nil
}

// InboxCount implements [ledger.Inbox].
func (s *Store) InboxCount(ctx context.Context, f ledger.InboxFilter) (n int, err error) {
	where, args := s.whereInbox(f)
	if err := s.pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM deliveries "+where, driver.StorableArgs(args)...).Scan(&n); err != nil {
		return 0, unavailable("counting in-app messages", err)
	}
	return n, nil
}

// InboxMessage implements [ledger.Inbox].
func (s *Store) InboxMessage(ctx context.Context, company, user string, id int64) (ledger.Delivery, error) {
	found, err := s.selectDeliveries(ctx, "WHERE "+inInbox+" AND deliveries.id = $3", company, user, id)
	if err != nil {
		return ledger.Delivery{}, err
	}
	if len(found) == 0 {
		return ledger.Delivery{}, fmt.Errorf("in-app message %d: %w", id, ledger.ErrNotFound)
	}
	return found[0], nil
}

// SetReceived implements [ledger.Inbox].
func (s *Store) SetReceived(ctx context.Context, company, user string, id int64, received bool) error {
	at := int64(0)
	if received {
		at = s.now()
	}
	return s.driver.Write(ctx, &driver.Job{Single: true, Run: func(tx driver.Tx) error {
		n, err := tx.Exec("UPDATE deliveries SET received_at = $3 WHERE "+inInbox+" AND id = $4", company, user, at, id)
		if err == nil && n == 0 {
			return fmt.Errorf("in-app message %d: %w", id, ledger.ErrNotFound)
		}
		return err
	}})
}

// receivedStep is how many messages one statement marks as received.
const receivedStep = 200

// SetAllReceived implements [ledger.Inbox].
func (s *Store) SetAllReceived(ctx context.Context, company, user string, upTo int64) (total int, err error) {
	for {
		n, err := write(ctx, s, &driver.Job{Single: true}, func(tx driver.Tx) (int64, error) {
			return tx.Exec("UPDATE deliveries SET received_at = $3 WHERE id IN (SELECT id FROM deliveries WHERE "+inInbox+
				" AND received_at = 0 AND id <= $4 ORDER BY id LIMIT $5)", company, user, s.now(), upTo, receivedStep)
		})
		total += int(n)
		if err != nil || n < receivedStep {
			return total, err
		}
	}
}

// arrivals reads the index deliveries_arrived.
const arrivals = "SELECT id, updated_at, company, user_id FROM deliveries WHERE channel = 'system' AND state = 'sent'" +
	" AND (updated_at, id) > (CAST($1 AS BIGINT), CAST($2 AS BIGINT)) ORDER BY updated_at, id LIMIT "

// InboxArrivals implements [ledger.Inbox].
func (s *Store) InboxArrivals(ctx context.Context, after ledger.InboxPlace, limit int) (found []ledger.InboxArrival, err error) {
	const doing = "looking for new in-app messages"
	rows, err := s.pool.QueryContext(ctx, arrivals+strconv.Itoa(limit), s.stored(after.At), after.ID)
	if err != nil {
		return nil, unavailable(doing, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var a ledger.InboxArrival
		var at int64
		if err := rows.Scan(&a.ID, &at, &a.Company, &a.UserID); err != nil {
			return nil, unavailable(doing, err)
		}
		a.At = schema.Time(at).Add(-s.clock.Ahead())
		found = append(found, a)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable(doing, err)
	}
	return found, nil
}

// newestInInbox reads a message and the newest others of a user.
var newestInInbox = "SELECT id, updated_at FROM deliveries WHERE " + inInbox + " AND id = $3 UNION ALL SELECT id, updated_at FROM" + //nolint:gosec // constants
	" (SELECT id, updated_at FROM deliveries WHERE " + inInbox + " AND id <> $3 ORDER BY id DESC LIMIT " + strconv.Itoa(ledger.MaxInboxAfter) + ") AS newest"

// InboxAfter implements [ledger.Inbox].
func (s *Store) InboxAfter(ctx context.Context, company, user string, id int64) (ids []int64, err error) {
	const doing = "looking for a user's new in-app messages"
	rows, err := s.pool.QueryContext(ctx, newestInInbox, driver.StorableArgs([]any{company, user, id})...)
	if err != nil {
		return nil, unavailable(doing, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	type message struct{ id, at int64 }
	var newest []message
	seen := int64(0) // when the message with the ID was delivered
	for rows.Next() {
		var m message
		if err := rows.Scan(&m.id, &m.at); err != nil {
			return nil, unavailable(doing, err)
		}
		if m.id == id {
			seen = m.at
			continue
		}
		newest = append(newest, m)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable(doing, err)
	}
	slices.SortFunc(newest, func(a, b message) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) })
	for _, m := range newest {
		if seen != 0 && m.at >= seen-ledger.InboxOverlap.Milliseconds() || seen == 0 && m.id > id {
			ids = append(ids, m.id)
		}
	}
	return ids, nil
}
