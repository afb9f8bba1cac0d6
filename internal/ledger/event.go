// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import "time"

// EventState is where an event stands.
type EventState string

// The states of an event.
const (
	// EventPending: not decided yet.
	EventPending EventState = "pending"
	// EventDone: its deliveries are in the ledger.
	EventDone EventState = "done"
	// EventFailed: it could not be decided, and is not tried again.
	EventFailed EventState = "failed"
	// EventCancelled: its company went before it was decided.
	EventCancelled EventState = "cancelled"
)

// Event is one call of the platform's webhook.
type Event struct {
	// Company is the platform's identifier of the company.
	Company string
	// ID is the platform's identifier of the event, unique in its company.
	ID string
	// Name is the kind of event, such as transaction.initiate.
	Name string
	// Data is the JSON text of the webhook's data, untouched.
	Data []byte
	// ReceivedAt is when the webhook came; kept in milliseconds. Zero means now.
	ReceivedAt time.Time
}

// ClaimedEvent is an event that the caller may work on until its lease ends.
type ClaimedEvent struct {
	Event
	// Key is the event's row in the ledger.
	Key int64
	// Attempts counts the claims of this event, this one included.
	Attempts int
	// LeaseUntil is when another worker may claim it.
	LeaseUntil time.Time

	lease int64
}
