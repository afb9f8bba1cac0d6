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

// Quarantined says what was quarantined and why.
type Quarantined struct {
	// Company is the platform's identifier of the company.
	Company string
	// Key is the row: [ClaimedEvent.Key] of an event, [Delivery.ID] of a delivery.
	Key int64
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
