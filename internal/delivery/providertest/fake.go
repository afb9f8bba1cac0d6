// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package providertest holds fakes of the providers' APIs, faithful at the wire,
// and the conformance suite that every provider passes.
//
// A fake is an http.Handler and can be used manually as well: messages that it accepted
// are at GET /-/messages, and PUT /-/behavior?is=throttle changes how it answers.
package providertest

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"
)

// Behavior is how a fake answers.
type Behavior string

// The behaviors. Refusals repeat the whole request in their answer, as providers
// do with parts of it, so that what leaks into an error is seen.
const (
	// Accept takes what the API would take and refuses what it would refuse.
	Accept Behavior = "accept"
	// Refuse refuses the recipient for good.
	Refuse Behavior = "refuse"
	// Unauthorized refuses the credentials.
	Unauthorized Behavior = "unauthorized"
	// Throttle asks to wait for [ThrottleFor].
	Throttle Behavior = "throttle"
	// Fail is the provider's own failure, a 503.
	Fail Behavior = "fail"
	// Hang never answers.
	Hang Behavior = "hang"
	// Reset closes the connection instead of answering.
	Reset Behavior = "reset"
	// Garbage answers 200 with a page for people.
	Garbage Behavior = "garbage"
	// Slow answers 500 with a body of a byte now and then.
	Slow Behavior = "slow"
	// Huge answers 500 with a body without end.
	Huge Behavior = "huge"
	// Redirect sends the caller elsewhere, to a place of the fake that counts visits.
	Redirect Behavior = "redirect"
	// AcceptAndReset takes the message, answers with the status of success, and
	// closes the connection in the middle of the body.
	AcceptAndReset Behavior = "accept-and-reset"
)

// Behaviors are all of them.
var Behaviors = []Behavior{
	Accept, Refuse, Unauthorized, Throttle, Fail, Hang, Reset, Garbage, Slow, Huge, Redirect, AcceptAndReset,
}

// ThrottleFor is what Throttle asks for.
const ThrottleFor = 7 * time.Second

// Received is a message that a fake accepted. Fields that the API doesn't carry are
// empty.
type Received struct {
	Key, From, To, Subject, Text, HTML string
	// ReplyTo is empty where replies go to From.
	ReplyTo string
	// ContentSID and ContentVariables are those of a message through WhatsApp, Code is that
	// of a verification.
	ContentSID, ContentVariables, Code string
	// Validity is for how many seconds the message may still be delivered; 0 if that was
	// not said.
	Validity int64
	// ListUnsubscribe, ListUnsubscribePost and BIMISelector are headers of an email.
	ListUnsubscribe, ListUnsubscribePost, BIMISelector string
}

// maxReceived bounds what a fake remembers, so that it can run for a long time.
const maxReceived = 100_000

// API is a fake of one provider's API. It is safe for concurrent use.
type API struct {
	dialect dialect

	mu       sync.Mutex
	behavior Behavior
	received []Received
	visits   int
	requests int
	done     chan struct{}
	closed   bool
}

// dialect is what differs between the APIs. Each answers a request to send that
// is whole and well-formed HTTP; ok is false for other requests.
type dialect interface {
	// authorized checks the credentials.
	authorized(r *http.Request) bool
	// send takes a message in or refuses it.
	send(r *http.Request, body []byte, n int) (received []Received, reply answer, ok bool)
	// other answers requests that send nothing.
	other(r *http.Request, body []byte) answer
	// refused, unauthorized and throttled are answers that repeat the request.
	refused(body []byte) answer
	unauthorized(body []byte) answer
	throttled(body []byte) answer
}

// answer is an HTTP answer, whose body is JSON.
type answer struct {
	status int
	header map[string]string
	body   any
}

func newAPI(d dialect) *API {
	return &API{dialect: d, behavior: Accept, done: make(chan struct{})}
}

// Behave sets how requests are answered from now on.
func (a *API) Behave(b Behavior) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.behavior = b
	return true
}

// Received are the messages accepted so far.
func (a *API) Received() []Received {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Received(nil), a.received...)
}

// Visits is how often a redirect was followed.
func (a *API) Visits() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.visits
}

// Requests is how many requests came, visits included.
func (a *API) Requests() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requests
}

// Close ends the answers that hang.
func (a *API) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed {
		a.closed = true
		close(a.done)
	}
}

// maxRequest is more than any of the APIs takes.
const maxRequest = 32 << 20

// ServeHTTP answers as the API would.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		write(w, answer{status: http.StatusRequestEntityTooLarge})
		return
	}
	a.mu.Lock()
	a.requests++
	behavior := a.behavior
	switch r.URL.Path {
	case "/-/messages":
		defer a.mu.Unlock()
		write(w, answer{status: http.StatusOK, body: a.received})
		return
	case "/-/behavior":
		defer a.mu.Unlock()
		if r.Method == http.MethodPut {
			a.behavior = Behavior(r.URL.Query().Get("is"))
		}
		write(w, answer{status: http.StatusOK, body: a.behavior})
		return
	case "/-/elsewhere":
		a.visits++
		a.mu.Unlock()
		write(w, answer{status: http.StatusOK})
		return
	}
	a.mu.Unlock()

	switch behavior {
	case Refuse:
		write(w, a.dialect.refused(body))
	case Unauthorized:
		write(w, a.dialect.unauthorized(body))
	case Throttle:
		throttled := a.dialect.throttled(body)
		throttled.header = map[string]string{"Retry-After": "7"}
		write(w, throttled)
	case Fail:
		write(w, answer{status: http.StatusServiceUnavailable, body: string(body)})
	case Hang:
		a.wait(r, nil)
	case Reset:
		panic(http.ErrAbortHandler)
	case Garbage:
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html><h1>Welcome to the hotel's network</h1></html>")
	case Slow:
		w.WriteHeader(http.StatusInternalServerError)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for a.wait(r, tick.C) {
			if _, err := io.WriteString(w, " "); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
		}
	case Huge:
		w.WriteHeader(http.StatusInternalServerError)
		chunk := make([]byte, 64<<10)
		for a.alive(r) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	case Redirect:
		w.Header().Set("Location", "http://"+r.Host+"/-/elsewhere")
		w.WriteHeader(http.StatusTemporaryRedirect)
	default:
		a.accept(w, r, body, behavior == AcceptAndReset)
	}
}

func (a *API) accept(w http.ResponseWriter, r *http.Request, body []byte, reset bool) {
	if !a.dialect.authorized(r) {
		write(w, a.dialect.unauthorized(body))
		return
	}
	a.mu.Lock()
	received, reply, sending := a.dialect.send(r, body, len(a.received))
	if len(a.received) < maxReceived {
		a.received = append(a.received, received...)
	}
	a.mu.Unlock()
	if !sending {
		write(w, a.dialect.other(r, body))
		return
	}
	if reset {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(reply.status)
		_, _ = io.WriteString(w, "{")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	write(w, reply)
}

// wait waits for next; it is false if the caller or the fake went away.
func (a *API) wait(r *http.Request, next <-chan time.Time) bool {
	select {
	case <-next:
		return true
	case <-r.Context().Done():
	case <-a.done:
	}
	return false
}

func (a *API) alive(r *http.Request) bool {
	select {
	case <-a.done:
		return false
	default:
		return r.Context().Err() == nil
	}
}

func write(w http.ResponseWriter, a answer) {
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	if a.body != nil {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(a.status)
	if a.body != nil {
		_ = json.NewEncoder(w).Encode(a.body)
	}
}
