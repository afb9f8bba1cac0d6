// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// NonFieldErrors is the key of messages that don't belong to a single field.
const NonFieldErrors = "non_field_errors"

// RetryAfter is the value of the Retry-After header of a 503.
const RetryAfter = 10 * time.Second

// FieldError holds the messages about one field of a request, or those about items of its
// list.
type FieldError struct {
	Field    string
	Messages []string
	// Items are about items of a list, in their order. There are no Messages then.
	Items []ItemError
}

// ItemError holds the messages about one item of a list.
type ItemError struct {
	Index    int // from 0
	Messages []string
}

// nestedMessage is Rehive's message for errors that are not all about fields themselves.
const nestedMessage = "Invalid request."

// Error is an unsuccessful answer.
type Error struct {
	// Status is the HTTP status code.
	Status int
	// Message is one sentence for the caller. It never holds a secret or a
	// customer's data.
	Message string
	// Fields are the messages per field, in the order in which the fields are
	// declared.
	Fields []FieldError
	// RetryAfter becomes the Retry-After header, in whole seconds rounded up; zero
	// sends none.
	RetryAfter time.Duration
	// Allow becomes the Allow header of a 405.
	Allow string
	// Cause goes to the log only. It must hold neither tokens nor customers' data.
	Cause error
}

// Error returns the message for the caller and the cause.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Message + ": " + e.Cause.Error()
	}
	return e.Message
}

// Unwrap returns the cause, which may be nil.
func (e *Error) Unwrap() error { return e.Cause }

// InvalidFields returns a 400 with messages per field. Its own message consists, as
// on Rehive, of the distinct messages of all fields, separated by spaces; errors about items of
// a list have one message of their own.
func InvalidFields(fields ...FieldError) *Error {
	var distinct []string
	for _, f := range fields {
		if f.Items != nil {
			return &Error{Status: http.StatusBadRequest, Message: nestedMessage, Fields: fields}
		}
		for _, m := range f.Messages {
			if !slices.Contains(distinct, m) {
				distinct = append(distinct, m)
			}
		}
	}
	return &Error{Status: http.StatusBadRequest, Message: strings.Join(distinct, " "), Fields: fields}
}

// InvalidField returns a 400 with the messages of one field. Cause, which may be
// nil, goes to the log.
func InvalidField(cause error, field string, messages ...string) *Error {
	e := InvalidFields(FieldError{Field: field, Messages: messages})
	e.Cause = cause
	return e
}

// BadRequest returns a 400 with a message that doesn't belong to a field.
func BadRequest(message string) *Error {
	return &Error{Status: http.StatusBadRequest, Message: message}
}

// ParseError returns the 400 for a body that is not JSON.
func ParseError(format string, args ...any) *Error {
	return BadRequest("JSON parse error - " + fmt.Sprintf(format, args...))
}

// Forbidden returns a 403.
func Forbidden(message string) *Error {
	return &Error{Status: http.StatusForbidden, Message: message}
}

// NotFound returns the 404 of Django REST Framework.
func NotFound() *Error {
	return &Error{Status: http.StatusNotFound, Message: "Not found."}
}

// InvalidPage returns the 404 for a page that a list does not have.
func InvalidPage() *Error {
	return &Error{Status: http.StatusNotFound, Message: "Invalid page."}
}

// Conflict returns a 409.
func Conflict(message string) *Error {
	return &Error{Status: http.StatusConflict, Message: message}
}

// MethodNotAllowed returns a 405 with the allowed methods, separated by commas.
func MethodNotAllowed(method, allowed string) *Error {
	return &Error{
		Status:  http.StatusMethodNotAllowed,
		Message: fmt.Sprintf("Method %q not allowed.", method),
		Allow:   allowed,
	}
}

// UnsupportedMediaType returns a 415.
func UnsupportedMediaType(contentType string) *Error {
	return &Error{
		Status:  http.StatusUnsupportedMediaType,
		Message: fmt.Sprintf("Unsupported media type %q in request.", contentType),
	}
}

// TooLarge returns the 413 for a body of more than limit bytes.
func TooLarge(limit int64) *Error {
	return &Error{
		Status:  http.StatusRequestEntityTooLarge,
		Message: fmt.Sprintf("The request body is larger than %d bytes.", limit),
	}
}

// Unavailable returns a 503, which means that the same request may succeed later.
func Unavailable(cause error, message string) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Message: message, RetryAfter: RetryAfter, Cause: cause}
}

// Internal returns a 500 that reveals nothing about the cause.
func Internal(cause error) *Error {
	return &Error{Status: http.StatusInternalServerError, Message: "A server error occurred.", Cause: cause}
}
