// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// Options say where the ledger is and how it works. Zero fields have defaults.
type Options struct {
	// Path is the SQLite file. Its directory is created if it's missing.
	Path string
	// Clock tells the time; the real one if nil.
	Clock clock.PassiveClock
	// Log takes what an operator should know; nothing is logged if it's zero.
	Log logr.Logger
}

// Store is an open ledger. It is safe for concurrent use.
type Store struct{}

// Open opens the ledger, creates it where there is none, and brings its tables
// up to date. Only one process can have a SQLite ledger open. The caller closes
// it.
func Open(ctx context.Context, o Options) (*Store, error) { return nil, ErrUnavailable }

// Close commits what was already handed in, refuses the rest and closes the
// database. It is safe to call more than once.
func (s *Store) Close() error { return nil }

// Healthy returns nil if the ledger can be read and written, else one clear
// sentence that wraps [ErrUnavailable].
func (s *Store) Healthy(ctx context.Context) error { return ErrUnavailable }

// AcceptEvent stores an event. It is durable (fsynced) when the error is nil. An
// event whose company and ID are in the ledger already is left as it is and
// reported as a duplicate. Concurrent callers share one commit. Errors wrap
// [ErrUnavailable]: answer 503 so that the platform calls again.
func (s *Store) AcceptEvent(ctx context.Context, e Event) (duplicate bool, err error) {
	return false, ErrUnavailable
}

// EventsReady has a value when events came in since it was last received from.
// It is for one receiver; after a value it claims until nothing comes.
func (s *Store) EventsReady() <-chan struct{} { return nil }

// DeliveriesReady is EventsReady for deliveries.
func (s *Store) DeliveriesReady() <-chan struct{} { return nil }

// ClaimEvents takes up to limit due events, fairly between companies: each
// company in turn, in each company the longest due first. The lease is how long
// the caller has until another may claim them; see [Store.RenewEvent].
func (s *Store) ClaimEvents(ctx context.Context, limit int, lease time.Duration) ([]ClaimedEvent, error) {
	return nil, ErrUnavailable
}

// NextEventDue tells when the next pending event is due, which may be past;
// false if none is pending.
func (s *Store) NextEventDue(ctx context.Context) (time.Time, bool, error) {
	return time.Time{}, false, ErrUnavailable
}

// RenewEvent prolongs the lease from now.
func (s *Store) RenewEvent(ctx context.Context, e *ClaimedEvent, lease time.Duration) error {
	return ErrUnavailable
}

// CompleteEvent stores the deliveries and marks the event done, in one
// transaction. A delivery whose event, rule, channel and recipient the ledger
// has already is left out.
func (s *Store) CompleteEvent(ctx context.Context, e ClaimedEvent, deliveries []NewDelivery) error {
	return ErrUnavailable
}

// RetryEvent puts the event back until a time, with one sentence of why. It is
// also how a claim is given back: at the present time.
func (s *Store) RetryEvent(ctx context.Context, e ClaimedEvent, at time.Time, message string) error {
	return ErrUnavailable
}

// FailEvent marks the event failed for good, with one sentence of why.
func (s *Store) FailEvent(ctx context.Context, e ClaimedEvent, message string) error {
	return ErrUnavailable
}

// ReleaseEvent gives an untouched claim back at once; it doesn't count as an
// attempt.
func (s *Store) ReleaseEvent(ctx context.Context, e ClaimedEvent) error { return ErrUnavailable }

// ClaimDeliveries is ClaimEvents for deliveries.
func (s *Store) ClaimDeliveries(ctx context.Context, limit int, lease time.Duration) ([]ClaimedDelivery, error) {
	return nil, ErrUnavailable
}

// NextDeliveryDue is NextEventDue for deliveries.
func (s *Store) NextDeliveryDue(ctx context.Context) (time.Time, bool, error) {
	return time.Time{}, false, ErrUnavailable
}

// RenewDelivery prolongs the lease from now.
func (s *Store) RenewDelivery(ctx context.Context, d *ClaimedDelivery, lease time.Duration) error {
	return ErrUnavailable
}

// MarkSent records that the provider accepted the delivery, and what it calls it.
func (s *Store) MarkSent(ctx context.Context, d ClaimedDelivery, providerID string) error {
	return ErrUnavailable
}

// RetryDelivery puts the delivery back until a time.
func (s *Store) RetryDelivery(ctx context.Context, d ClaimedDelivery, at time.Time, reason, message string) error {
	return ErrUnavailable
}

// FailDelivery marks the delivery failed for good.
func (s *Store) FailDelivery(ctx context.Context, d ClaimedDelivery, reason, message string) error {
	return ErrUnavailable
}

// CancelDelivery marks the delivery cancelled.
func (s *Store) CancelDelivery(ctx context.Context, d ClaimedDelivery, reason, message string) error {
	return ErrUnavailable
}

// ReleaseDelivery gives an untouched claim back at once; it doesn't count as an
// attempt.
func (s *Store) ReleaseDelivery(ctx context.Context, d ClaimedDelivery) error { return ErrUnavailable }

// GetDelivery returns one delivery, or [ErrNotFound].
func (s *Store) GetDelivery(ctx context.Context, id int64) (Delivery, error) {
	return Delivery{}, ErrUnavailable
}

// ListDeliveries returns the deliveries that the filter lets through, by ID.
func (s *Store) ListDeliveries(ctx context.Context, f DeliveryFilter) ([]Delivery, error) {
	return nil, ErrUnavailable
}

// CancelCompany marks the pending events and deliveries of a company cancelled,
// in small steps. Use it when its activation is gone.
func (s *Store) CancelCompany(ctx context.Context, company, reason, message string) error {
	return ErrUnavailable
}

// PurgeCompany deletes every row of a company, in small steps. It can be called
// again after an error.
func (s *Store) PurgeCompany(ctx context.Context, company string) error { return ErrUnavailable }

// DeleteBefore deletes events and deliveries that came before a time and aren't
// pending, up to limit rows, in small steps. It returns how many it deleted. The
// caller keeps them at least as long as the platform may repeat an event.
func (s *Store) DeleteBefore(ctx context.Context, before time.Time, limit int) (int, error) {
	return 0, ErrUnavailable
}

// Stats are counts for metrics.
type Stats struct {
	PendingEvents, PendingDeliveries int64
	// OldestEventDue and OldestDeliveryDue are since when the longest waiting work
	// is due; zero if nothing is overdue.
	OldestEventDue, OldestDeliveryDue time.Time
}

// Stats counts what is pending.
func (s *Store) Stats(ctx context.Context) (Stats, error) { return Stats{}, ErrUnavailable }
