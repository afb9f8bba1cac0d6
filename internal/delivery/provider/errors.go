// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"errors"
	"time"
)

// class is what an error means for the message.
type class int

const (
	transient class = iota
	deferred
	heldBack
	permanent
	misconfigured
	unknown
)

// Reasons that other code tells apart. Most reasons are known to their driver only.
const (
	// ReasonOutcomeUnknown is the reason of every error made by [Unknown].
	ReasonOutcomeUnknown = "OutcomeUnknown"
	// ReasonThrottled is the reason of a message that the provider asked to send later,
	// because it gets too many.
	ReasonThrottled = "Throttled"
	// ReasonDevicesUnavailable is the reason of a push message whose recipient's devices
	// could not be read from the platform. It says nothing about the push service.
	ReasonDevicesUnavailable = "DevicesUnavailable"
)

// Error is why a provider did not send a message. Its text is a single sentence without
// addresses, secrets and message contents: it is stored and shown to admins.
type Error struct {
	// Reason is one CamelCase word such as RecipientRefused.
	Reason string
	// RetryAfter is how long the provider asked to wait; 0 if it didn't.
	RetryAfter time.Duration
	// Fault is what is wrong with the recipient's address; empty if nothing is known to be.
	Fault Fault

	class   class
	message string
}

// Error returns the sentence.
func (e *Error) Error() string { return e.message }

// Permanent is the error of a message that will never be accepted: sending it again
// can't help.
func Permanent(reason, message string) error {
	return &Error{Reason: reason, message: message, class: permanent}
}

// Transient is the error of a message that may be accepted later, after retryAfter if the
// provider asked for a wait. It counts as a failure of the provider.
func Transient(reason, message string, retryAfter time.Duration) error {
	return &Error{Reason: reason, message: message, class: transient, RetryAfter: retryAfter}
}

// Deferred is [Transient] for a provider that works and defers this message alone, for its
// recipient or its content: a greylisted address, say. It never opens a circuit breaker.
func Deferred(reason, message string, retryAfter time.Duration) error {
	return &Error{Reason: reason, message: message, class: deferred, RetryAfter: retryAfter}
}

// HeldBack is the error of a message that the operator itself kept from the provider, at a
// rate limit for instance. It was no attempt to send it.
func HeldBack(reason, message string, retryAfter time.Duration) error {
	return &Error{Reason: reason, message: message, class: heldBack, RetryAfter: retryAfter}
}

// Misconfigured is the error of a provider that can't send anything until a person changes
// something, such as a password. The message waits and doesn't fail because of it.
func Misconfigured(reason, message string) error {
	return &Error{Reason: reason, message: message, class: misconfigured}
}

// Unknown is the error of a message that the provider may or may not have accepted: it got
// the whole message and never answered. Sending it again may send it twice.
func Unknown(message string) error {
	return &Error{Reason: ReasonOutcomeUnknown, message: message, class: unknown}
}

// IsPermanent reports whether err was made by [Permanent].
func IsPermanent(err error) bool { return classOf(err) == permanent }

// IsDeferred reports whether err was made by [Deferred].
func IsDeferred(err error) bool { return classOf(err) == deferred }

// IsHeldBack reports whether err was made by [HeldBack].
func IsHeldBack(err error) bool { return classOf(err) == heldBack }

// IsMisconfigured reports whether err was made by [Misconfigured].
func IsMisconfigured(err error) bool { return classOf(err) == misconfigured }

// IsUnknown reports whether err was made by [Unknown].
func IsUnknown(err error) bool { return classOf(err) == unknown }

func classOf(err error) class {
	var e *Error
	if errors.As(err, &e) {
		return e.class
	}
	return transient
}
