// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

// lastEventID is the header with which a client of an event stream resumes it.
const lastEventID = "Last-Event-ID"

// ServeFunc begins a stream and sends events until ctx ends or the stream fails. It is called
// once for each stream that was opened.
type ServeFunc func(context.Context, *Stream) error

// Events declares an operation that answers with server-sent events, whose IDs are integers
// from 1.
type Events struct {
	// Path begins after /api/.
	Path string
	// For is the set of users that may call it.
	For Audience
	// Description describes the events in the OpenAPI document.
	Description string
	// Open prepares a stream that continues after the event with an ID, 0 for a new one.
	// An error is answered instead of the stream.
	Open func(ctx context.Context, r *Request, after int64) (ServeFunc, error)
}

// Operation derives the operation.
func (e *Events) Operation() Operation {
	return Operation{
		Method: http.MethodGet, Path: e.Path, For: e.For, Status: http.StatusOK, action: "Retrieve", streams: true, description: e.Description,
		response: func(openapi3.Schemas) *openapi3.SchemaRef { return openapi3.NewStringSchema().NewRef() },
		handle: func(ctx context.Context, r *Request) (Answer, error) {
			after := int64(0)
			if text := r.HTTP.Header.Get(lastEventID); text != "" {
				var ok bool
				if after, ok = parseNumber(text); !ok {
					return Answer{}, BadRequest("The header " + lastEventID + " must be the id of an event of this stream.")
				}
			}
			serve, err := e.Open(ctx, r, after)
			return Answer{Stream: serve}, err
		},
	}
}

// Stream sends server-sent events to one client. It is for one goroutine.
type Stream struct {
	// Retry is how long the client waits before it opens another stream after this one.
	Retry time.Duration
	// Timeout is how long the client may take to read what is sent.
	Timeout time.Duration
	// Check returns nil if the client may still receive events. If idle is set, there is no
	// event to send, and the check should be cheap.
	Check func(ctx context.Context, idle bool) error

	w       http.ResponseWriter
	control *http.ResponseController
}

// NewStream returns a stream that answers a request.
func NewStream(w http.ResponseWriter) *Stream {
	return &Stream{w: w, control: http.NewResponseController(w)}
}

// Begin sends the header.
func (s *Stream) Begin() error {
	// The deadlines of the server are for requests that are answered at once.
	if err := s.control.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("removing the deadline of a stream's request: %w", err)
	}
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would collect events
	s.w.WriteHeader(http.StatusOK)
	return s.write(append(strconv.AppendInt([]byte("retry: "), s.Retry.Milliseconds(), 10), "\n\n"...))
}

// Admit returns nil if the client may receive an event. It must be called shortly before
// [Stream.Send], and before the event is read.
func (s *Stream) Admit(ctx context.Context) error { return s.Check(ctx, false) }

// Send sends an event whose data is JSON in one line, as [Serializer.Append] writes it.
func (s *Stream) Send(name string, id int64, data []byte) error {
	b := make([]byte, 0, len(data)+64)
	b = append(append(b, "event: "...), name...)
	b = strconv.AppendInt(append(b, "\nid: "...), id, 10)
	b = append(append(b, "\ndata: "...), data...)
	return s.write(append(b, "\n\n"...))
}

// KeepAlive sends a comment, so that proxies don't take the connection for a dead one, and a
// client that has gone is noticed. An error means that the stream is to be ended.
func (s *Stream) KeepAlive(ctx context.Context) error {
	if err := s.Check(ctx, true); err != nil {
		return err
	}
	return s.write([]byte(":\n\n"))
}

// End prepares the end of the answer, which the server writes: the deadline of the last event
// has often passed, and without an end the client takes the stream for broken.
func (s *Stream) End() { _ = s.control.SetWriteDeadline(time.Now().Add(s.Timeout)) }

func (s *Stream) write(b []byte) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(s.Timeout)); err != nil {
		return fmt.Errorf("sending an event: %w", err)
	}
	if _, err := s.w.Write(b); err != nil {
		return fmt.Errorf("sending an event: %w", err)
	}
	if err := s.control.Flush(); err != nil {
		return fmt.Errorf("sending an event: %w", err)
	}
	return nil
}
