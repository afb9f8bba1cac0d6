// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehive

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/rehive/extension-operator/internal/outbound"
)

const (
	maxMessageRunes   = 256
	maxErrorFields    = 16
	maxFieldMessages  = 8
	minSecretLength   = 8                // a shorter one would blot out innocent words
	defaultRetryAfter = 10 * time.Second // a 429 that doesn't say
	maxRetryAfter     = time.Hour
)

// Error is a call that did not succeed. Its sentence is safe to show and to
// log: bounded, printable, free of the token and the webhook secret.
type Error struct {
	// Op says what was being done, such as "listing webhooks".
	Op string
	// Status is the HTTP status; 0 when there was no answer.
	Status int
	// Message is the platform's own message, or ours when it sent none.
	Message string
	// Data holds the platform's messages per field of a refused request.
	Data map[string][]string
	// RetryAfter is how long the platform asked to wait; 0 when it didn't.
	RetryAfter time.Duration
	// Err is the cause when there was no answer, so that
	// errors.Is(err, context.DeadlineExceeded) works. It is not printed.
	Err error

	// local: decided without a call.
	local bool
	// heldBack: a paced call that was not made.
	heldBack bool
	// garbled: whatever answered did not speak as the platform does. A proxy's
	// HTML page with status 401 says nothing about the token.
	garbled bool
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Status == 0, e.local, e.garbled && e.Status < 300:
		return e.Op + ": " + e.Message
	case e.Message == "":
		return fmt.Sprintf("%s: Rehive answered %d %s", e.Op, e.Status, http.StatusText(e.Status))
	default:
		return fmt.Sprintf("%s: Rehive answered %d: %s", e.Op, e.Status, e.Message)
	}
}

// Unwrap returns the cause, if any.
func (e *Error) Unwrap() error { return e.Err }

func (e *Error) permanent() bool {
	if e.garbled || e.Status < 400 || e.Status > 499 {
		return false
	}
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return true
}

func hasStatus(err error, status int) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == status && !e.garbled
}

// IsUnauthorized says that the platform refused the token itself (401).
func IsUnauthorized(err error) bool { return hasStatus(err, http.StatusUnauthorized) }

// IsForbidden says that the token's user lacks a permission (403).
func IsForbidden(err error) bool { return hasStatus(err, http.StatusForbidden) }

// IsNotFound says that the platform knows no such thing (404).
func IsNotFound(err error) bool { return hasStatus(err, http.StatusNotFound) }

// IsThrottled says that the platform asked to slow down (429).
func IsThrottled(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusTooManyRequests
}

// IsDuplicateWebhook says that a webhook was not created because the company
// has one for the same URL and event. The two sentences are the ones that
// Rehive's own extensions look for.
func IsDuplicateWebhook(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Status != http.StatusBadRequest {
		return false
	}
	text := e.Message
	for _, messages := range e.Data {
		text += "\n" + strings.Join(messages, "\n")
	}
	return strings.Contains(text, "A webhook with the url and event already exists") ||
		strings.Contains(text, "Duplicate key value violates unique constraint")
}

// IsTransient says that the same call may succeed later: throttling, 5xx, time
// limits, cancellation, lost connections and answers that are not the platform's.
func IsTransient(err error) bool {
	var e *Error
	return errors.As(err, &e) && !e.permanent()
}

// IsPermanent says that the platform understood and refused: repeating the call
// unchanged is pointless.
func IsPermanent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.permanent()
}

// RetryAfter is how long the platform asked to wait before another call; 0 when
// err doesn't say.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

func garbled(op string, status int, message string) *Error {
	return &Error{Op: op, Status: status, Message: message, garbled: true}
}

// callError is the error of a call without a complete answer. The answer is nil if there
// is none at all.
func callError(op string, resp *outbound.Response, err error) *Error {
	e := &Error{Op: op, Message: "the connection to Rehive failed", Err: err}
	var failure *outbound.Error
	if !errors.As(err, &failure) {
		return e
	}
	switch failure.Kind {
	case outbound.ResponseTooLarge:
		return garbled(op, resp.Status, fmt.Sprintf("the answer is larger than %d MiB", maxBodyBytes>>20))
	case outbound.RequestTooLarge, outbound.InvalidRequest:
		e.Message = "the request can't be made"
	case outbound.Canceled:
		e.Message = "the call was cancelled"
	case outbound.TimedOut:
		e.Message = "Rehive did not answer in time"
	case outbound.ConnectionRefused:
		e.Message = "Rehive refused the connection"
	case outbound.NotFound:
		e.Message = "the address of Rehive could not be found"
	}
	return e
}

// answerError reads an answer outside 2xx.
func answerError(op string, resp *outbound.Response, now time.Time, secrets ...string) *Error {
	e := &Error{Op: op, Status: resp.Status, RetryAfter: parseRetryAfter(resp.Header.Get("Retry-After"), now)}
	if e.Status == http.StatusTooManyRequests && e.RetryAfter == 0 {
		e.RetryAfter = defaultRetryAfter
	}
	var envelope struct {
		Status  string          `json:"status"`
		Message json.RawMessage `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(resp.Body, &envelope); err != nil || envelope.Status != "error" {
		e.garbled = true
		e.Message = "the answer is not a Rehive error envelope"
		return e
	}
	clean := func(s string) string {
		for _, secret := range secrets {
			if len(secret) >= minSecretLength {
				s = strings.ReplaceAll(s, secret, "[redacted]")
			}
		}
		return sanitize(s, maxMessageRunes)
	}
	var message string
	if json.Unmarshal(envelope.Message, &message) == nil {
		e.Message = clean(message)
	}
	e.Data = fieldMessages(envelope.Data, clean)
	return e
}

// fieldMessages reads {"field": ["message", …]}; whatever has another form is
// left out.
func fieldMessages(raw json.RawMessage, clean func(string) string) map[string][]string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || len(fields) == 0 {
		return nil
	}
	data := make(map[string][]string)
	for name, value := range fields {
		if len(data) == maxErrorFields {
			break
		}
		var messages []string
		if json.Unmarshal(value, &messages) != nil {
			var one string
			if json.Unmarshal(value, &one) != nil {
				continue
			}
			messages = []string{one}
		}
		if len(messages) > maxFieldMessages {
			messages = messages[:maxFieldMessages]
		}
		for i := range messages {
			messages[i] = clean(messages[i])
		}
		data[clean(name)] = messages
	}
	return data
}

// parseRetryAfter parses seconds or an HTTP date. An invalid value is 0, and a large one is
// capped, so that no answer can stop our calls for a day.
func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	var wait time.Duration
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		if seconds >= maxRetryAfter.Seconds() {
			return maxRetryAfter
		}
		if seconds > 0 {
			wait = time.Duration(seconds * float64(time.Second))
		}
	} else if date, err := http.ParseTime(value); err == nil {
		wait = date.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// sanitize makes foreign text fit for a log line or a condition: printable,
// on one line, at most limit characters.
func sanitize(s string, limit int) string {
	var b strings.Builder
	count := 0
	for _, r := range s {
		if count == limit {
			b.WriteString("…")
			break
		}
		if unicode.IsSpace(r) {
			r = ' '
		} else if !unicode.IsPrint(r) {
			continue
		}
		b.WriteRune(r)
		count++
	}
	return strings.TrimSpace(b.String())
}
