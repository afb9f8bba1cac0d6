// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"slices"
)

var (
	// ErrUnavailable says that the ledger could not store or return something for now:
	// the disk is full or read-only, the ledger is closed or overloaded, or the caller's
	// time ran out. Assume that nothing was stored, and try again later.
	ErrUnavailable = errors.New("the ledger is unavailable")

	// ErrLeaseLost says that the lease ended and the work has another owner, or was
	// completed, cancelled or purged. The caller drops its result.
	ErrLeaseLost = errors.New("the lease on this work was lost")

	// ErrCompanyFull says that a company has reached its limit for pending work or for
	// storage. Try again later.
	ErrCompanyFull = errors.New("the company uses as much of the ledger as it may")

	// ErrSuppressionsFull says that a company has reached its limit of suppressions on a
	// channel.
	ErrSuppressionsFull = errors.New("the company has as many suppressions on the channel as it may")

	// ErrEventTooLarge says that an event leads to more deliveries, or more text, than is
	// allowed. Trying again gives the same result.
	ErrEventTooLarge = errors.New("the event makes too many messages")

	// ErrNotFound says that there is no such row.
	ErrNotFound = errors.New("not found in the ledger")

	// ErrPending says that a delivery is still to be sent, or is already being sent
	// again.
	ErrPending = errors.New("the delivery is still to be sent")

	// ErrMasked says that the texts of a sensitive delivery, or the data of its event, were
	// masked, so that it can't be sent or decided again.
	ErrMasked = errors.New("the message was masked because it is sensitive")

	// ErrNoMessage says that a delivery has nothing to send: the decision was not to
	// send, or its message could not be rendered.
	ErrNoMessage = errors.New("the delivery has no message")
)

var answers = []error{
	ErrLeaseLost, ErrCompanyFull, ErrSuppressionsFull, ErrEventTooLarge, ErrNotFound, ErrPending, ErrMasked, ErrNoMessage,
}

// IsAnswer reports whether an error is the ledger's answer to a request, which says nothing
// about whether its database works.
func IsAnswer(err error) bool {
	return slices.ContainsFunc(answers, func(answer error) bool { return errors.Is(err, answer) })
}
