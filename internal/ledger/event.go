// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import "time"

// EventState is the state of an event.
type EventState string

// The states of an event.
const (
	// EventPending: not decided yet.
	EventPending EventState = "pending"
	// EventDone: its deliveries are in the ledger.
	EventDone EventState = "done"
	// EventFailed: it could not be decided, and is not tried again.
	EventFailed EventState = "failed"
	// EventCancelled: its company left before it was decided.
	EventCancelled EventState = "cancelled"
	// EventQuarantined: set aside, because another attempt did harm or would.
	EventQuarantined EventState = "quarantined"
)

// Event is one call of the platform's webhook.
type Event struct {
	// Company is the platform's identifier of the company.
	Company string
	// ID is the platform's identifier of the event, unique within its company.
	ID string
	// Name is the kind of event, such as transaction.initiate.
	Name string
	// Data is the JSON text of the webhook's data, unmodified.
	Data []byte
	// ReceivedAt is when the webhook arrived, stored to the millisecond. Zero means now.
	ReceivedAt time.Time
}

// ClaimedEvent is an event that the caller may work on until its lease ends.
type ClaimedEvent struct {
	Event
	// Key is the event's row in the ledger.
	Key int64
	// Attempts counts the claims of this event, including this one.
	Attempts int
	// Size is the length of the Data in bytes; of an event that is encrypted and without its
	// Data, a little more.
	Size int
	// Age is how long ago the event was received, however the clocks were set since.
	Age time.Duration
	// Lease is the caller's right to the event.
	Lease Lease
	// Unfinished counts the claims since the last outcome that ended without one because
	// the process died or hung. It does not include this claim.
	Unfinished int
	// Sensitive, if set when the event ends, has its data masked, because a rule of the
	// event is sensitive.
	Sensitive bool
	// Replay, if not nil when deliveries are stored, withholds those messages that their
	// recipients may have received before.
	Replay *Replay
}

const (
	// MaxDigestItems is how many events a digest can list. Further messages are only counted.
	MaxDigestItems = 100
	// MaxDigestBytes is how many bytes of data the events of a digest can have together.
	MaxDigestBytes = 256 << 10
)

// Collected is what a digest collected, see [Digest].
type Collected struct {
	// Count is how many messages were collected.
	Count int64
	// Events are the first of their events with their Data, within the limits of a digest.
	// Those that are too large, were masked or deleted are left out.
	Events []Event
}

// MaxClaimedData is the size in bytes of the largest Data that a claim returns. The Data
// of a larger event is nil: read it with [EventQueue.EventData] when there is room for
// it, so that a claim of many events takes little memory.
const MaxClaimedData = 64 << 10

const (
	// MaxEventDeliveries is how many deliveries one event may make, including skipped
	// ones.
	MaxEventDeliveries = 20_000
	// MaxEventBytes is how many bytes of text the deliveries of one event may hold.
	// Content that deliveries of one rule and channel share counts once.
	MaxEventBytes = 32 << 20
)

// Handover passes new events to a worker at once, without a claim: they are stored as
// already claimed. Its functions must not block; the ledger can't be written to while
// Take and Release run.
type Handover struct {
	// Lease is how long the worker has until another may claim the event.
	Lease time.Duration
	// Reserve reports whether the worker will take an event of a company with so many
	// bytes of data. If so, one call of Take or Release follows, unless the ledger is
	// closed first. It should return false while older events are waiting.
	Reserve func(company string, size int) bool
	// Take receives an event that was stored, as ClaimEvents would have returned it but
	// with its Data whatever the size.
	Take func(ClaimedEvent)
	// Release says that the company's event was a duplicate, or could not be stored.
	Release func(company string)
}

// StoredEvent is an event and its current state.
type StoredEvent struct {
	Event
	// Key is the event's row in the ledger. Later events have greater keys.
	Key   int64
	State EventState
	// Reason is one CamelCase word, set only for a quarantined event. Message is one
	// sentence: why the event failed, or will be tried again.
	Reason, Message string
	// Attempts counts the claims.
	Attempts int
	// NextAttemptAt is when a pending event may be claimed; while it is claimed, when
	// the lease ends.
	NextAttemptAt time.Time
	// UpdatedAt is when the state or the message last changed.
	UpdatedAt time.Time
	// Size is the length of the Data in bytes; of an event that is encrypted and without its
	// Data, a little more.
	Size int
	// Masked reports whether the Data was masked.
	Masked bool
}

// EventFilter selects events of one company. Zero fields match everything, except
// Company.
type EventFilter struct {
	Company string
	// ID and Name match the whole value.
	ID, Name string
	State    EventState
	// DataContains is a part of the Data's text; it is case-sensitive.
	DataContains string
	// ReceivedAfter and ReceivedBefore are exclusive, to the millisecond.
	ReceivedAfter, ReceivedBefore time.Time
	// OldestFirst reverses the order. After, if not 0, is the key of an event: the page
	// begins with the next one in that order.
	OldestFirst bool
	After       int64
}

// EventPage is a page of events.
type EventPage struct {
	// Events are without Data, and newest first unless the filter says otherwise.
	Events []StoredEvent
	// Count is how many events there are on all pages, at most [MaxLogCount].
	Count int
	// More reports whether there are events after these.
	More bool
}
