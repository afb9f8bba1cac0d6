// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Fault is what is wrong with a recipient's address, so that sending to it again is useless
// or unwanted. The ledger's reasons for suppressions have the same values.
type Fault string

// The faults.
const (
	// FaultHardBounce: the address doesn't exist.
	FaultHardBounce Fault = "HardBounce"
	// FaultStop: the recipient asked the provider for no more messages.
	FaultStop Fault = "Stop"
	// FaultSpamComplaint: the recipient reported a message as spam.
	FaultSpamComplaint Fault = "SpamComplaint"
)

// Refused is [Permanent] for a message whose recipient's address has a fault.
func Refused(fault Fault, reason, message string) error {
	return &Error{Reason: reason, message: message, class: permanent, Fault: fault}
}

// Outcome is what happened to a message after the provider had accepted it. The ledger's
// outcomes have the same values.
type Outcome string

// The outcomes.
const (
	OutcomeDelivered  Outcome = "delivered"
	OutcomeOpened     Outcome = "opened"
	OutcomeBlocked    Outcome = "blocked"
	OutcomeBounced    Outcome = "bounced"
	OutcomeComplained Outcome = "complained"
)

// Report is what a provider reports about a message, or about a recipient.
type Report struct {
	// Reference is the one that the message was sent with; empty if the report is about a
	// recipient.
	Reference string
	Outcome   Outcome
	// Detail is one sentence without addresses and texts of the provider; it may be empty.
	Detail string
	// Fault is what is wrong with the recipient's address, if that is known.
	Fault Fault
	// At is when it happened; zero if the provider doesn't say.
	At time.Time
	// OptedIn, if not empty, is a recipient who asked for messages again.
	OptedIn string
}

// Callback is a call of a provider that reports what happened to messages.
type Callback struct {
	// URL is the one that the provider called, as the provider knows it.
	URL    string
	Header http.Header
	Body   []byte
	// Reference is the one in the URL; empty if it has none.
	Reference string
	// Now is the current time.
	Now time.Time
}

// Errors of [Reporter.Reports].
var (
	// ErrNotSigned means that a callback isn't the provider's: its signature is missing,
	// wrong or too old.
	ErrNotSigned = errors.New("the signature is missing, wrong or too old")
	// ErrMalformed means that a callback is signed and can't be read.
	ErrMalformed = errors.New("the report can't be read")
)

// Reporter is a [Provider] that calls the operator to report what happened to messages. The
// signature is verified before anything is parsed.
type Reporter interface {
	Reports(c *Callback) ([]Report, error)
}

// Asker is a [Provider] that can be asked about a message whose outcome is unknown.
type Asker interface {
	// Find reports whether the provider has accepted the message, and if so, with which
	// receipt. An error means that nobody knows.
	Find(ctx context.Context, m Message) (receipt Receipt, found bool, err error)
}
