// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import "time"

// Reasons for which a claim quarantines a row.
const (
	// ReasonUnfinished: several claims in a row ended without an outcome.
	ReasonUnfinished = "Unfinished"
	// ReasonTooManyAttempts: it was claimed more often than any retry policy allows.
	ReasonTooManyAttempts = "TooManyAttempts"
)

const (
	// MaxUnfinished is how many claims in a row may end without an outcome, because the
	// process died or hung, before the row is quarantined.
	MaxUnfinished = 3
	// MaxAttempts bounds all claims of a row together. It is a backstop: retries are
	// bounded by age, and an event that waits for its turn at the platform is claimed
	// some 3,000 times in the 24 hours that it may take.
	MaxAttempts = 10_000
)

// Quarantined says what was quarantined and why.
type Quarantined struct {
	// Company is the platform's identifier of the company.
	Company string
	// Key is the row: [ClaimedEvent.Key] of an event, [Delivery.ID] of a delivery.
	Key int64
	// EventID is the platform's identifier of the event, or of the delivery's event.
	EventID string
	// Channel is the delivery's; empty for an event.
	Channel string
	// Reason is one CamelCase word, Message one sentence.
	Reason, Message string
}

// QuarantinedEvent is an event that is not tried again until somebody releases it.
type QuarantinedEvent struct {
	Event
	Quarantined
	// Attempts counts the claims.
	Attempts int
	// At is when it was quarantined.
	At time.Time
}
