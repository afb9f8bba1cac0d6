// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// nonFieldErrors is the key of messages that belong to no single field.
const nonFieldErrors = "non_field_errors"

// fieldError is what is wrong with one field of a request.
type fieldError struct {
	field    string
	messages []string
}

// apiError is an answer other than success. Message and fields are for the
// caller; cause is for the log only, and must hold neither tokens nor data.
type apiError struct {
	status     int
	message    string
	fields     []fieldError // in the order in which the fields are declared
	retryAfter time.Duration
	allow      string // the Allow header of a 405
	cause      error
}

// Error says what the caller was told and why.
func (e *apiError) Error() string {
	if e.cause != nil {
		return e.message + ": " + e.cause.Error()
	}
	return e.message
}

// Unwrap returns the cause, if any.
func (e *apiError) Unwrap() error { return e.cause }

// invalidFields answers 400 with messages per field. The message is, as on
// Rehive, every distinct message of the fields, parted by a space.
func invalidFields(fields ...fieldError) *apiError {
	var distinct []string
	for _, f := range fields {
		for _, m := range f.messages {
			if !slices.Contains(distinct, m) {
				distinct = append(distinct, m)
			}
		}
	}
	return &apiError{status: http.StatusBadRequest, message: strings.Join(distinct, " "), fields: fields}
}

// invalidField answers 400 with what is wrong with one field. Cause, which may
// be nil, goes to the log.
func invalidField(cause error, field string, messages ...string) *apiError {
	e := invalidFields(fieldError{field: field, messages: messages})
	e.cause = cause
	return e
}

func parseError(format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, message: "JSON parse error - " + fmt.Sprintf(format, args...)}
}

func notFound() *apiError {
	return &apiError{status: http.StatusNotFound, message: "Not found."}
}

func methodNotAllowed(method string, allowed []string) *apiError {
	return &apiError{
		status:  http.StatusMethodNotAllowed,
		message: fmt.Sprintf("Method %q not allowed.", method),
		allow:   strings.Join(allowed, ", "),
	}
}

func unsupportedMediaType(contentType string) *apiError {
	return &apiError{
		status:  http.StatusUnsupportedMediaType,
		message: fmt.Sprintf("Unsupported media type %q in request.", contentType),
	}
}

func tooLarge(limit int64) *apiError {
	return &apiError{
		status:  http.StatusRequestEntityTooLarge,
		message: fmt.Sprintf("The request body is larger than %d bytes.", limit),
	}
}

// unavailable answers 503: the same request may succeed later.
func unavailable(cause error, message string) *apiError {
	return &apiError{status: http.StatusServiceUnavailable, message: message, retryAfter: retryAfter, cause: cause}
}

// internal answers 500 without a word about the cause.
func internal(cause error) *apiError {
	return &apiError{status: http.StatusInternalServerError, message: "A server error occurred.", cause: cause}
}
