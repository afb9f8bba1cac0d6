// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Answer is a successful answer. The zero value is a 200 without data.
type Answer struct {
	// Status is the HTTP status code; 200 if zero.
	Status int
	// Allow and Location become the headers of these names; empty sends none.
	Allow, Location string
	// Replayed reports that an earlier call with the same idempotency key already did the
	// work.
	Replayed bool
	// Stream, if not nil, sends the answer instead; it must be called.
	Stream ServeFunc

	data []byte // JSON; nil for an envelope without data
	etag string // empty for an answer that must not be cached
}

// Cacheable returns the answer with an entity tag, for answers that depend on nothing but the
// URL and the program.
func (a Answer) Cacheable() Answer {
	sum := sha256.Sum256(a.data)
	a.etag = fmt.Sprintf(`"%x"`, sum[:16])
	return a
}

// cacheTime is for how long clients may use a cacheable answer without asking again.
const cacheTime = "private, max-age=300"

// isKnown reports whether the client has the answer already.
func (a Answer) isKnown(r *http.Request) bool {
	for tag := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/"); a.etag != "" && (tag == a.etag || tag == "*") {
			return true
		}
	}
	return false
}

// Data returns the answer's data as JSON, or nil.
func (a Answer) Data() json.RawMessage { return a.data }

// Size returns the size of the answer's data in bytes.
func (a Answer) Size() int { return len(a.data) }

// WriteAnswer writes a successful answer in Rehive's envelope, or a 304 if it is cacheable and
// the client has it.
func WriteAnswer(w http.ResponseWriter, r *http.Request, a Answer) {
	status := a.Status
	if status == 0 {
		status = http.StatusOK
	}
	if a.Replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	h := w.Header()
	if a.Allow != "" {
		h.Set("Allow", a.Allow)
	}
	if a.Location != "" {
		h.Set("Location", a.Location)
	}
	h.Set("Cache-Control", "no-store")
	if a.etag != "" {
		h.Set("Cache-Control", cacheTime)
		h.Set("ETag", a.etag)
	}
	if a.isKnown(r) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if a.data == nil {
		writeBody(w, status, []byte(`{"status":"success"}`))
		return
	}
	const head, tail = `{"status":"success","data":`, `}`
	if len(a.data) > copiedAnswer {
		writeBody(w, status, []byte(head), a.data, []byte(tail))
		return
	}
	body := make([]byte, 0, len(head)+len(a.data)+len(tail))
	body = append(body, head...)
	body = append(body, a.data...)
	writeBody(w, status, append(body, tail...))
}

// copiedAnswer is the size up to which an answer's data is copied, so that it is written at
// once.
const copiedAnswer = 16 << 10

// WriteError writes an error in Rehive's envelope. The envelope never has a member "error",
// because Rehive's client would show it instead of the message.
func WriteError(w http.ResponseWriter, e *Error) {
	body := append(make([]byte, 0, 256), `{"status":"error","message":`...)
	body = AppendString(body, e.Message)
	if len(e.Fields) > 0 {
		body = append(body, `,"data":`...)
		body = appendFieldErrors(body, e.Fields)
	}
	body = append(body, '}')
	h := w.Header()
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	if e.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Token")
	}
	if e.Allow != "" {
		h.Set("Allow", e.Allow)
	}
	h.Set("Cache-Control", "no-store")
	writeBody(w, e.Status, body)
}

// appendFieldErrors appends an object with the messages of each field, merging those of
// repeated fields.
func appendFieldErrors(b []byte, fields []FieldError) []byte {
	var merged []FieldError
	index := make(map[string]int, len(fields)) // in merged, by field
	for _, f := range fields {
		i, ok := index[f.Field]
		if !ok {
			index[f.Field] = len(merged)
			f.Messages = slices.Clone(f.Messages)
			merged = append(merged, f)
			continue
		}
		merged[i].Messages = append(merged[i].Messages, f.Messages...)
	}
	b = append(b, '{')
	for i, f := range merged {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(AppendString(b, f.Field), ':')
		if f.Items == nil {
			b = appendMessages(b, f.Messages)
			continue
		}
		for j, item := range f.Items {
			b = append(b, "{,"[min(j, 1)], '"')
			b = append(strconv.AppendInt(b, int64(item.Index), 10), '"', ':')
			b = appendMessages(b, item.Messages)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func appendMessages(b []byte, messages []string) []byte {
	b = append(b, '[')
	for i, message := range messages {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendString(b, message)
	}
	return append(b, ']')
}

func writeBody(w http.ResponseWriter, status int, parts ...[]byte) {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(size))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	for _, part := range parts {
		_, _ = w.Write(part) // the caller may be gone
	}
}
