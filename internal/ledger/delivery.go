// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// DeliveryState is where a delivery stands.
type DeliveryState string

// The states of a delivery.
const (
	// DeliveryPending: to be sent, now or at its next attempt.
	DeliveryPending DeliveryState = "pending"
	// DeliverySent: the provider accepted it.
	DeliverySent DeliveryState = "sent"
	// DeliveryFailed: refused for good, or its attempts are exhausted.
	DeliveryFailed DeliveryState = "failed"
	// DeliverySkipped: it was decided not to send; the reason says why.
	DeliverySkipped DeliveryState = "skipped"
	// DeliveryCancelled: its company went before it was sent.
	DeliveryCancelled DeliveryState = "cancelled"
	// DeliveryQuarantined: set aside, because trying it again did harm or would.
	DeliveryQuarantined DeliveryState = "quarantined"
)

// Channels of a delivery, as the platform's notifications name them.
const (
	ChannelEmail  = "email"
	ChannelSMS    = "sms"
	ChannelPush   = "push"
	ChannelSystem = "system"
)

// Reasons that the ledger itself gives. Others are the callers'.
const (
	// ReasonCompanyInactive: the company was deactivated.
	ReasonCompanyInactive = "CompanyInactive"
	// ReasonCompanyDeleted: the company's activation was deleted.
	ReasonCompanyDeleted = "CompanyDeleted"
)

// Content is what a delivery says, rendered.
type Content struct {
	From, Subject, Text, HTML string
}

// NewDelivery is a decision about one rule and one recipient of an event.
type NewDelivery struct {
	// RuleName is the namespace/name of the NotificationRule. It makes the delivery
	// unique, not the UID: a rule that was replaced or restored is the same rule.
	RuleName string
	// Channel is one of the Channel constants.
	Channel string
	// Recipient is one address in the channel's own form. It is empty in a
	// skipped delivery that found none.
	Recipient string
	// UserID is the user on Rehive that the message is about; empty if that isn't
	// known. In an in-app message it is the recipient.
	UserID string
	// Content is what to say; zero in a skipped delivery.
	Content Content
	// SkipReason, if it isn't empty, stores the delivery as skipped: one CamelCase
	// word such as ExpressionFalse or NoRecipient.
	SkipReason string
	// SkipMessage says in one sentence, without customer data, why it is skipped.
	SkipMessage string
	// FailReason and FailMessage store the delivery as failed in the same way: the
	// rule fired, but its message could not be made (a template that fails on this
	// event, an address that is none).
	FailReason, FailMessage string
}

// Delivery is a row of the log.
type Delivery struct {
	ID int64
	// Company, EventID, EventName and EventReceivedAt are the event's.
	Company, EventID, EventName string
	EventReceivedAt             time.Time
	RuleName                    string // namespace/name
	// Copy is 0 for a delivery as it was decided; others were sent again by a person,
	// see [Store.Resend].
	Copy               int
	Channel, Recipient string
	// UserID is the user on Rehive that it is about; empty if that isn't known.
	UserID  string
	Content Content
	// Size is the length of the Content's subject, text and HTML in bytes.
	Size  int
	State DeliveryState
	// Reason is one CamelCase word, Message one sentence; of the last attempt, or
	// of the decision not to send.
	Reason, Message string
	// Attempts counts the claims.
	Attempts int
	// Unfinished counts the claims since the last outcome that ended without one: the
	// process died or hung. A claim in progress is not included.
	Unfinished int
	// NextAttemptAt is when a pending delivery may be claimed; while it is
	// claimed, when the lease ends.
	NextAttemptAt time.Time
	// ProviderID is what the provider calls the message.
	ProviderID string
	// ReceivedAt is when the user said that an in-app message was received; zero if
	// that isn't said.
	ReceivedAt           time.Time
	CreatedAt, UpdatedAt time.Time
}

// ClaimedDelivery is a delivery that the caller may send until its lease ends.
type ClaimedDelivery struct {
	Delivery
	// Age is how long ago it was decided, whatever became of the clocks meanwhile.
	Age time.Duration
	// LeaseUntil is when another worker may claim it.
	LeaseUntil time.Time

	lease int64
	time  leaseTime
}

func (d *ClaimedDelivery) row() claimedRow {
	return claimedRow{id: d.ID, lane: Lane{Company: d.Company, Channel: d.Channel}, attempts: d.Attempts, unfinished: d.Unfinished}
}

// DeliveryFilter narrows [Store.ListDeliveries]. Zero fields don't narrow.
type DeliveryFilter struct {
	Company string
	EventID string
	Rule    string // namespace/name
	State   DeliveryState
	// After lists only deliveries whose ID is greater; pages are made with it.
	After int64
	// Limit is the greatest number of deliveries to return; 0 means 100, more
	// than 1000 is 1000.
	Limit int
}

// outcome is the state a new delivery is stored in, with its reason.
func (d *NewDelivery) outcome() (state DeliveryState, reason, message string) {
	switch {
	case d.FailReason != "":
		return DeliveryFailed, d.FailReason, d.FailMessage
	case d.SkipReason != "":
		return DeliverySkipped, d.SkipReason, d.SkipMessage
	}
	return DeliveryPending, "", ""
}

const (
	deliveryColumns = deliveryHead + "unfinished" + deliveryTail
	deliveryHead    = "deliveries.id, company, event_id, event_name, event_received_at, rule, copy, channel, recipient, user_id," +
		" state, reason, message, attempts, "
	deliveryTail = deliveryDates + "COALESCE(sender, ''), COALESCE(subject, ''), COALESCE(text, ''), COALESCE(html, ''), " + contentSize
	// claimedTail leaves out what is large, see [Store.ClaimDeliveries].
	claimedTail = deliveryDates + "COALESCE(sender, '')," +
		" CASE WHEN octet_length(subject) <= 32768 THEN subject ELSE '' END," +
		" CASE WHEN octet_length(text) <= 32768 THEN text ELSE '' END," +
		" CASE WHEN octet_length(html) <= 32768 THEN html ELSE '' END, " + contentSize
	deliveryDates  = ", next_attempt_at, provider_id, received_at, created_at, updated_at, "
	contentSize    = "COALESCE(octet_length(subject), 0) + COALESCE(octet_length(text), 0) + COALESCE(octet_length(html), 0)"
	withContents   = " LEFT JOIN contents ON contents.id = content "
	readDeliveries = "SELECT " + deliveryColumns + " FROM deliveries" + withContents
	// Two statements, not an UPDATE with RETURNING: that copies the contents once
	// more and took half as long again.
	//
	// SQLite parses a statement again at each run that compares a column with a bare
	// parameter where an index is for rows with one value of the column, as that of the
	// inbox is for one channel: the parameter might be that value. So the channel is a
	// text joined to nothing.
	dueDeliveries = "SELECT " + deliveryHead + "unfinished + (lease <> 0)" + claimedTail + " FROM deliveries" + withContents + `
		WHERE state = 'pending' AND company = $1 AND channel = $2 || '' AND next_attempt_at <= $3
		ORDER BY next_attempt_at, deliveries.id LIMIT $4 + 0`
	leaseDelivery = `
		UPDATE deliveries SET lease = $1, next_attempt_at = $2, attempts = attempts + 1, unfinished = unfinished + (lease <> 0)
		WHERE id = $3 AND state = 'pending'`
	endDelivery = `
		UPDATE deliveries SET state = $1, reason = $2, message = $3, provider_id = $4, updated_at = $5, lease = 0
		WHERE id = $6 AND lease = $7 AND state = 'pending'`
	retryDelivery = `
		UPDATE deliveries SET next_attempt_at = $1, reason = $2, message = $3, updated_at = $4, lease = 0, unfinished = 0
		WHERE id = $5 AND lease = $6 AND state = 'pending'`
	postponeDelivery = `
		UPDATE deliveries SET next_attempt_at = $1, reason = $2, message = $3, updated_at = $4, lease = 0, unfinished = 0, attempts = attempts - 1
		WHERE id = $5 AND lease = $6 AND state = 'pending'`
)

// setBack makes the ledger's times the callers'.
func (d *Delivery) setBack(ahead time.Duration) {
	for _, t := range []*time.Time{&d.EventReceivedAt, &d.NextAttemptAt, &d.ReceivedAt, &d.CreatedAt, &d.UpdatedAt} {
		if !t.IsZero() {
			*t = t.Add(-ahead)
		}
	}
}

// scanDelivery reads a row of deliveryColumns, with the ledger's times.
func scanDelivery(rows *sql.Rows, d *Delivery) error {
	var received, next, seen, created, updated int64
	err := rows.Scan(&d.ID, &d.Company, &d.EventID, &d.EventName, &received, &d.RuleName, &d.Copy, &d.Channel, &d.Recipient, &d.UserID,
		&d.State, &d.Reason, &d.Message, &d.Attempts, &d.Unfinished, &next, &d.ProviderID, &seen, &created, &updated,
		&d.Content.From, &d.Content.Subject, &d.Content.Text, &d.Content.HTML, &d.Size)
	if err != nil {
		return err
	}
	d.EventReceivedAt, d.NextAttemptAt = timeOf(received), timeOf(next)
	d.CreatedAt, d.UpdatedAt = timeOf(created), timeOf(updated)
	if seen != 0 {
		d.ReceivedAt = timeOf(seen)
	}
	return nil
}

// DeliveriesReady has a value when there are new deliveries to send since it was
// last received from. It is for one receiver; after a value it claims until
// nothing comes.
func (s *Store) DeliveriesReady() <-chan struct{} { return s.deliveries }

// Complete tells whether a claim brought all of the Content.
func (d *Delivery) Complete() bool {
	return d.Size == len(d.Content.Subject)+len(d.Content.Text)+len(d.Content.HTML)
}

// ClaimDeliveries takes due deliveries, fairly between companies and within the
// bounds of their lanes: each lane in turn, in each lane the longest due first.
// A subject, text or HTML of more than 32 KiB is left out, so that a claim of many
// takes little memory: where a delivery isn't Complete, read it with
// [Store.GetDelivery] when there is room for it.
func (s *Store) ClaimDeliveries(ctx context.Context, c Claim) ([]ClaimedDelivery, error) {
	leased := leaseTime{begun: s.machine.Now(), last: c.Lease}
	take := func(w *writer, l Lane, n int, lease, now, until int64) ([]ClaimedDelivery, error) {
		found, err := s.dialect.claimDeliveries(w, l, n, lease, now, until)
		if err != nil {
			return nil, err
		}
		ahead := s.ahead()
		claimed := make([]ClaimedDelivery, len(found))
		for i := range found {
			age := timeOf(now).Sub(found[i].CreatedAt)
			found[i].setBack(ahead)
			claimed[i] = ClaimedDelivery{Delivery: found[i], Age: age, LeaseUntil: timeOf(until).Add(-ahead), lease: lease, time: leased}
		}
		return claimed, nil
	}
	claimed, err := claim(ctx, s, &deliveryQueue, &s.deliveryTurn, &s.suspectDeliveries, c, take)
	return inTurn(claimed, func(d *ClaimedDelivery) string { return d.Company }), err
}

// claimDeliveries claims up to n due deliveries of a lane, the longest due first,
// where nobody else writes.
func claimDeliveries(w *writer, l Lane, n int, lease, now, until int64) ([]Delivery, error) {
	found, err := w.deliveries(dueDeliveries, l.Company, l.Channel, now, n)
	if err != nil {
		return nil, err
	}
	for i := range found {
		d := &found[i]
		if _, err := w.exec(leaseDelivery, lease, until, d.ID); err != nil {
			return nil, err
		}
		d.Attempts++
		d.NextAttemptAt = timeOf(until)
	}
	return found, nil
}

// deliveries runs a statement that returns deliveryColumns.
func (w *writer) deliveries(query string, args ...any) (found []Delivery, err error) {
	rows, err := w.query(query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var d Delivery
		if err := scanDelivery(rows, &d); err != nil {
			return nil, err
		}
		found = append(found, d)
	}
	return found, rows.Err()
}

// NextDeliveryDue is [Store.NextEventDue] for the deliveries of the lanes that open is
// true for; of all if it is nil.
func (s *Store) NextDeliveryDue(ctx context.Context, open func(Lane) bool) (time.Duration, bool, error) {
	if open == nil {
		return s.wait(ctx, deliveryQueue)
	}
	first := int64(math.MaxInt64)
	list := func(after Lane, limit int) (found []dueLane, err error) {
		err = s.db.read(&job{ctx: ctx, run: func(w *writer) (err error) {
			found, err = w.lanes(deliveryQueue, after, math.MaxInt64, limit)
			return err
		}})
		return found, err
	}
	err := eachLane(list, Lane{}, 100, func(l Lane, due int64) bool {
		if due < first && open(l) {
			first = due
		}
		return true
	})
	if err != nil {
		return 0, false, unavailable("looking for the next due work", err)
	}
	if first == math.MaxInt64 {
		return 0, false, nil
	}
	return timeOf(first).Sub(s.clock.Now()), true, nil
}

// RenewDelivery prolongs the lease from now.
func (s *Store) RenewDelivery(ctx context.Context, d *ClaimedDelivery, lease time.Duration) error {
	leased, until := leaseTime{begun: s.machine.Now(), last: lease}, s.now()+lease.Milliseconds()
	if err := s.leased(ctx, true, nil, deliveryQueue.renew, until, d.ID, d.lease); err != nil {
		return err
	}
	s.suspectDeliveries.renew(d.ID, d.lease, until)
	d.LeaseUntil, d.time = timeOf(until).Add(-s.ahead()), leased
	return nil
}

// LeaseLeft tells, without asking the database, how long the delivery is the
// caller's yet. It is too little rather than too much: after the machine's clock
// was set forward the lease is longer; [Store.RenewDelivery] finds out.
func (s *Store) LeaseLeft(d ClaimedDelivery) time.Duration { return d.time.left(s.machine) }

// MarkSent records that the provider accepted the delivery, and what it calls it.
func (s *Store) MarkSent(ctx context.Context, d ClaimedDelivery, providerID string) error {
	return s.endDelivery(ctx, d, DeliverySent, "", "", providerID)
}

// RetryDelivery puts the delivery back for a time, with why: one CamelCase word and
// one sentence.
func (s *Store) RetryDelivery(ctx context.Context, d ClaimedDelivery, wait time.Duration, reason, message string) error {
	now := s.now()
	return s.endClaim(ctx, d, false, s.deliveries.raise, retryDelivery, now+wait.Milliseconds(), reason, message, now, d.ID, d.lease)
}

// PostponeDelivery is RetryDelivery for a delivery that wasn't tried: it doesn't
// count as an attempt.
func (s *Store) PostponeDelivery(ctx context.Context, d ClaimedDelivery, wait time.Duration, reason, message string) error {
	now := s.now()
	return s.endClaim(ctx, d, false, s.deliveries.raise, postponeDelivery, now+wait.Milliseconds(), reason, message, now, d.ID, d.lease)
}

// FailDelivery marks the delivery failed for good.
func (s *Store) FailDelivery(ctx context.Context, d ClaimedDelivery, reason, message string) error {
	return s.endDelivery(ctx, d, DeliveryFailed, reason, message, "")
}

// CancelDelivery marks the delivery cancelled.
func (s *Store) CancelDelivery(ctx context.Context, d ClaimedDelivery, reason, message string) error {
	return s.endDelivery(ctx, d, DeliveryCancelled, reason, message, "")
}

func (s *Store) endDelivery(ctx context.Context, d ClaimedDelivery, state DeliveryState, reason, message, providerID string) error {
	return s.endClaim(ctx, d, false, nil, endDelivery, state, reason, message, providerID, s.now(), d.ID, d.lease)
}

// ReleaseDelivery gives an untouched claim back at once; it doesn't count as an
// attempt.
func (s *Store) ReleaseDelivery(ctx context.Context, d ClaimedDelivery) error {
	return s.endClaim(ctx, d, true, s.deliveries.raise, deliveryQueue.release, s.now(), d.ID, d.lease)
}

// endClaim runs a statement that ends a claim.
func (s *Store) endClaim(ctx context.Context, d ClaimedDelivery, loose bool, committed func(), query string, args ...any) error {
	err := s.leased(ctx, loose, committed, query, args...)
	if err == nil || errors.Is(err, ErrLeaseLost) {
		s.suspectDeliveries.end(d.ID, d.lease)
	}
	return err
}

// GetDelivery returns one delivery, or [ErrNotFound].
func (s *Store) GetDelivery(ctx context.Context, id int64) (Delivery, error) {
	found, err := s.selectDeliveries(ctx, "WHERE deliveries.id = $1", id)
	if err != nil {
		return Delivery{}, err
	}
	if len(found) == 0 {
		return Delivery{}, fmt.Errorf("delivery %d: %w", id, ErrNotFound)
	}
	return found[0], nil
}

// ListDeliveries returns the deliveries that the filter lets through, by ID.
func (s *Store) ListDeliveries(ctx context.Context, f DeliveryFilter) ([]Delivery, error) {
	var where []string
	var args []any
	narrow := func(test string, arg any) {
		args = append(args, arg)
		where = append(where, test+" $"+strconv.Itoa(len(args)))
	}
	narrow("deliveries.id >", f.After)
	if f.Company != "" {
		narrow("company =", f.Company)
	}
	if f.EventID != "" {
		narrow("event_id =", f.EventID)
	}
	if f.Rule != "" {
		narrow("rule =", f.Rule)
	}
	if f.State != "" {
		narrow("state =", f.State)
	}
	limit := 100
	if f.Limit > 0 {
		limit = min(f.Limit, 1000)
	}
	return s.selectDeliveries(ctx, "WHERE "+strings.Join(where, " AND ")+" ORDER BY deliveries.id LIMIT "+strconv.Itoa(limit), args...)
}

// selectDeliveries reads deliveries; where holds no values, only their numbers.
func (s *Store) selectDeliveries(ctx context.Context, where string, args ...any) (found []Delivery, err error) {
	rows, err := s.reader.QueryContext(ctx, readDeliveries+where, storableArgs(args)...)
	if err != nil {
		return nil, unavailable("reading deliveries", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	ahead := s.ahead()
	for rows.Next() {
		var d Delivery
		if err := scanDelivery(rows, &d); err != nil {
			return nil, unavailable("reading deliveries", err)
		}
		d.setBack(ahead)
		found = append(found, d)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("reading deliveries", err)
	}
	return found, nil
}
