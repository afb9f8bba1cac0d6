// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
)

// answer is a successful answer: status is 200 when zero, and an answer
// without data is just {"status":"success"}.
type answer struct {
	status int
	data   any
	// replayed says that an earlier call with the same idempotency key did the work.
	replayed bool
}

// envelope is the form of every answer.
type envelope struct {
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
	Data    any    `json:"data,omitempty"`
}

var bareSuccess = []byte(`{"status":"success"}`)

func writeAnswer(w http.ResponseWriter, a answer) {
	status := a.status
	if status == 0 {
		status = http.StatusOK
	}
	if a.replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	if a.data == nil {
		writeBody(w, status, bareSuccess)
		return
	}
	writeEnvelope(w, status, envelope{Status: "success", Data: a.data})
}

func writeError(w http.ResponseWriter, e *apiError) {
	body := envelope{Status: "error", Message: e.message}
	if len(e.fields) > 0 {
		fields := make(map[string][]string, len(e.fields))
		for _, f := range e.fields {
			fields[f.field] = append(fields[f.field], f.messages...)
		}
		body.Data = fields
	}
	if e.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.retryAfter.Seconds()))))
	}
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Token")
	}
	if e.allow != "" {
		w.Header().Set("Allow", e.allow)
	}
	writeEnvelope(w, e.status, body)
}

func writeEnvelope(w http.ResponseWriter, status int, body envelope) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // it is never HTML, and the messages are read by people
	if err := encoder.Encode(body); err != nil {
		status = http.StatusInternalServerError
		b.Reset()
		b.WriteString(`{"status":"error","message":"A server error occurred."}`)
	}
	writeBody(w, status, bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller that is gone can't be told
}
