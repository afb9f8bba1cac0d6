// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tracing records what happens to an event as an OpenTelemetry trace, from the webhook
// to the providers, and exports it over OTLP.
//
// An event crosses a durable queue twice: webhook, ledger, dispatcher, ledger, delivery worker,
// any of them on another replica, days later and after restarts. The ledger stores no trace
// context. Instead, the identifiers of the trace and of the spans that have children beyond a
// queue are derived from those of the company and the event, so that each part can join the
// trace by itself, and all replicas agree on whether an event is sampled.
//
// The methods take identifiers, names and codes, never texts or recipients, so that no
// customer data gets into a trace.
package tracing

import (
	"context"
	"crypto/sha256"
	"strconv"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Tracer creates the traces of events. A nil Tracer creates none. It is safe for concurrent
// use.
type Tracer struct {
	provider *sdktrace.TracerProvider
	exporter *exporter
	tracer   trace.Tracer
	sampler  sdktrace.Sampler
}

// Event is the trace of one event. The zero Event is not recorded, and its methods do nothing.
type Event struct {
	tracer      *Tracer
	company, id string
	trace       trace.TraceID
}

// Event returns the trace of the event with a platform's identifier, which is unique within its
// company. It is not recorded if tracing is off or the event is not sampled.
func (t *Tracer) Event(company, id string) Event {
	if t == nil {
		return Event{}
	}
	e := Event{tracer: t, company: company, id: id}
	sum := e.derive("trace")
	copy(e.trace[:], sum[:])
	if t.sampler.ShouldSample(sdktrace.SamplingParameters{ParentContext: context.Background(), TraceID: e.trace}).Decision != sdktrace.RecordAndSample {
		return Event{}
	}
	return e
}

// Recorded reports whether the event's spans are recorded.
func (e Event) Recorded() bool { return e.tracer != nil }

// ID returns the trace's identifier as hexadecimal digits, for the log; empty if the event is
// not recorded.
func (e Event) ID() string {
	if !e.Recorded() {
		return ""
	}
	return e.trace.String()
}

// derive returns a hash of a purpose and the event's identifiers. Each is preceded by its
// length, so that no two events have the same input.
func (e Event) derive(purpose string) [sha256.Size]byte {
	var buffer [512]byte
	input := buffer[:0]
	for _, part := range [...]string{purpose, e.company, e.id} {
		input = strconv.AppendInt(input, int64(len(part)), 10)
		input = append(input, ':')
		input = append(input, part...)
		input = append(input, ',')
	}
	return sha256.Sum256(input)
}

// The spans whose children are created beyond a queue.
const (
	rootSpan = "event"    // the acceptance of the event
	sentSpan = "messages" // the storing of its messages
)

// spanID returns the identifier of one of these spans.
func (e Event) spanID(of string) (id trace.SpanID) {
	sum := e.derive(of)
	copy(id[:], sum[:])
	return id
}

// under returns a context in which new spans are children of one of these spans.
func (e Event) under(ctx context.Context, of string) context.Context {
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: e.trace, SpanID: e.spanID(of), TraceFlags: trace.FlagsSampled, Remote: true,
	}))
}

// chosen is the key of the identifiers of the next span in a context.
type chosen struct{}

// as returns a context for starting the span with the given identifier. Children must not be
// started in it.
func (e Event) as(ctx context.Context, of string) context.Context {
	return context.WithValue(ctx, chosen{}, trace.NewSpanContext(trace.SpanContextConfig{TraceID: e.trace, SpanID: e.spanID(of)}))
}

// identifiers generates identifiers of spans: those that were chosen, and random ones.
type identifiers struct{ random func() trace.SpanID }

// NewIDs implements [sdktrace.IDGenerator]. Every root span has chosen identifiers.
func (i identifiers) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	c, _ := ctx.Value(chosen{}).(trace.SpanContext)
	return c.TraceID(), c.SpanID()
}

// NewSpanID implements [sdktrace.IDGenerator].
func (i identifiers) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if c, ok := ctx.Value(chosen{}).(trace.SpanContext); ok {
		return c.SpanID()
	}
	return i.random()
}
