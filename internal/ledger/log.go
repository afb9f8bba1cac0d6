// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import "time"

// MaxLogCount is where [Log.Log] and [History.Events] stop counting, and the greatest
// offset of a page. To look further back, narrow the time.
const MaxLogCount = 100_000

// LogFilter selects deliveries of one company. Zero fields match everything, except
// Company.
type LogFilter struct {
	Company string
	// Rules, if not nil, are rules by namespace/name; an empty slice matches nothing.
	Rules []string
	// Channels and States, if not empty, are those that match.
	Channels []string
	States   []DeliveryState
	// Sent, if not nil, is whether the delivery was sent.
	Sent *bool
	// Reason matches that reason, NotReasons all others.
	Reason     string
	NotReasons []string
	// Outcomes, if not empty, are those that match; [OutcomeNone] matches messages about
	// which nothing was reported.
	Outcomes []DeliveryOutcome
	// EventID is the platform's identifier of the delivery's event, which the ledger must
	// still have.
	EventID string
	// UserID is the user on Rehive that the delivery is about.
	UserID string
	// Received, if not nil, is whether the user received an in-app message.
	Received *bool
	// Recipient matches the whole recipient, RecipientContains a part of it; both are
	// case-sensitive.
	Recipient, RecipientContains string
	// CreatedAfter and CreatedBefore are exclusive, to the millisecond.
	CreatedAfter, CreatedBefore time.Time
	// OldestFirst reverses the order. After, if not 0, is the ID of a delivery: the page
	// begins with the next one in that order.
	OldestFirst bool
	After       int64
}

// LogPage is a page of the log.
type LogPage struct {
	// Deliveries are newest first unless the filter says otherwise. Each text of a
	// message is cut to 16 KiB.
	Deliveries []Delivery
	// Count is how many deliveries there are on all pages, at most [MaxLogCount].
	Count int
	// More reports whether there are deliveries after these.
	More bool
}

// DeliveryFilter narrows [Log.ListDeliveries]. Zero fields match everything.
type DeliveryFilter struct {
	Company string
	EventID string
	Rule    string // namespace/name
	State   DeliveryState
	// After selects deliveries with a greater ID; use it for paging.
	After int64
	// Limit is the greatest number of deliveries to return: 100 if 0, and 1000 at most.
	Limit int
}

// InboxFilter selects a user's in-app messages. Company and UserID are required; other
// zero fields match everything.
type InboxFilter struct {
	// Company and UserID are the platform's identifiers.
	Company, UserID string
	// CreatedAfter and CreatedBefore are exclusive, to the millisecond.
	CreatedAfter, CreatedBefore time.Time
	// Received, if not nil, is whether the user received the messages.
	Received *bool
	// OldestFirst reverses the order. After, if not 0, is the ID of a message: the list
	// begins with the next one in that order. Offset skips that many messages. Page with
	// either.
	OldestFirst bool
	After       int64
	Offset      int
	// Limit is the greatest number of messages to return: 100 if 0, and 1000 at most.
	Limit int
}

// MaxInboxAfter is how many of a user's messages [Inbox.InboxAfter] considers.
const MaxInboxAfter = 100

// InboxOverlap is how long before another message an in-app message may have been delivered
// that becomes visible after it.
const InboxOverlap = 5 * time.Second

// InboxPlace is the place of an in-app message in the order in which they were delivered.
type InboxPlace struct {
	// At is when it was delivered, to the millisecond.
	At time.Time
	// ID is the message's; it orders messages that were delivered at the same time.
	ID int64
}

// InboxArrival is an in-app message that was delivered.
type InboxArrival struct {
	InboxPlace

	Company, UserID string
}
