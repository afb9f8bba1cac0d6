// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import "errors"

var (
	// ErrUnavailable says that the store could not take or give what was asked
	// for now: disk full, read-only, closed, overloaded or the caller's time ran
	// out. Nothing is known to be durable. Trying again later is right.
	ErrUnavailable = errors.New("the ledger is unavailable")

	// ErrLeaseLost says that the claim's lease ended and the work is another
	// worker's, done, cancelled or purged. The caller drops what it did.
	ErrLeaseLost = errors.New("the lease on this work was lost")

	// ErrCompanyFull says that a company has as much pending, or stores as much, as one
	// company may. Trying again later is right.
	ErrCompanyFull = errors.New("the company uses as much of the ledger as it may")

	// ErrEventTooLarge says that an event brings more deliveries, or more text, than one
	// event may. Trying again brings the same.
	ErrEventTooLarge = errors.New("the event makes too many messages")

	// ErrNotFound says that there is no such row.
	ErrNotFound = errors.New("not found in the ledger")
)
