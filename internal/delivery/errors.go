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

// Misconfigured says that nothing can be sent until a person mends the provider
// (a refused login, say). The message waits and is not failed for it.
func Misconfigured(reason, message string) error {
	return &Error{Reason: reason, message: message, class: misconfigured}
}

// IsPermanent tells whether err is classed permanent.
func IsPermanent(err error) bool { return classOf(err) == permanent }

// IsMisconfigured tells whether err is classed as the provider's configuration.
func IsMisconfigured(err error) bool { return classOf(err) == misconfigured }

func classOf(err error) class {
	var e *Error
	if errors.As(err, &e) {
		return e.class
	}
	return transient
}
