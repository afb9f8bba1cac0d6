// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"time"
)

// class says what a provider's error means for the delivery.
type class int

const (
	transient class = iota
	permanent
	misconfigured
	unknown
)

// Error is why a provider did not send. Its text is one sentence without
// addresses, secrets and message contents: it is stored and shown.
type Error struct {
	// Reason is one CamelCase word such as RecipientRefused.
	Reason string
	// RetryAfter is how long the provider asked to wait; 0 if it didn't.
	RetryAfter time.Duration

	class   class
	message string
	// deferred says that a transient error is about this recipient or message alone.
	deferred bool
}

// Error returns the sentence.
func (e *Error) Error() string { return e.message }

// Permanent says that sending this message again can't help.
func Permanent(reason, message string) error {
	return &Error{Reason: reason, message: message, class: permanent}
}

// Transient says that sending again later may help, after retryAfter if the
// provider named one.
func Transient(reason, message string, retryAfter time.Duration) error {
	return &Error{Reason: reason, message: message, class: transient, RetryAfter: retryAfter}
}

// Deferred is [Transient] where the provider works and puts off this message alone,
// for its recipient or content: a greylisted address, say. It never opens a circuit.
func Deferred(reason, message string, retryAfter time.Duration) error {
	return &Error{Reason: reason, message: message, class: transient, RetryAfter: retryAfter, deferred: true}
}

// ReasonOutcomeUnknown is of a message that the provider may or may not have taken.
const ReasonOutcomeUnknown = "OutcomeUnknown"

// Unknown says that the provider may or may not have taken the message: it got all of
// it and never answered. Sending again may send it twice.
func Unknown(message string) error {
	return &Error{Reason: ReasonOutcomeUnknown, message: message, class: unknown}
}

// Misconfigured says that nothing can be sent until a person changes something (a
// refused login, say). The message waits and doesn't fail for it.
func Misconfigured(reason, message string) error {
	return &Error{Reason: reason, message: message, class: misconfigured}
}

// IsPermanent tells whether err is classed permanent.
func IsPermanent(err error) bool { return classOf(err) == permanent }

// IsMisconfigured tells whether err is classed as the provider's configuration.
func IsMisconfigured(err error) bool { return classOf(err) == misconfigured }

// IsUnknown tells whether err is classed as an unknown outcome.
func IsUnknown(err error) bool { return classOf(err) == unknown }

// isDeferred tells whether err is about one message at a provider that works.
func isDeferred(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.class == transient && e.deferred
}

func classOf(err error) class {
	var e *Error
	if errors.As(err, &e) {
		return e.class
	}
	return transient
}
