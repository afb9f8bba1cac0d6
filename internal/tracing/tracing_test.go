// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"go.uber.org/goleak"

	"github.com/rehive/extension-operator/internal/tracing/tracingtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start returns a tracer that exports to a collector.
func start(t *testing.T, url string) *Tracer {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	tracer, err := New(t.Context(), Options{Version: "v1.2.3"})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return tracer
}

func collector(t *testing.T) *tracingtest.Collector {
	c := tracingtest.NewCollector()
	t.Cleanup(c.Close)
	return c
}

func flush(t *testing.T, tracers ...*Tracer) {
	t.Helper()
	for _, tracer := range tracers {
		NewWithT(t).Expect(tracer.Shutdown(t.Context())).To(Succeed())
	}
}

// The parts of the operator join the trace of an event on their own: each has a tracer of its
// own here, as on other replicas and after restarts.
func TestTraceAcrossQueues(t *testing.T) {
	g, c := NewWithT(t), collector(t)
	ctx := t.Context()
	server, dispatcher, worker, receiver := start(t, c.URL), start(t, c.URL), start(t, c.URL), start(t, c.URL)
	begun := time.Now()

	refused := Acceptance{Begun: begun, Storing: begun, Name: "transaction.execute", Route: "/api/webhook/", Status: http.StatusServiceUnavailable}
	server.Event("shop", "e1").Accepted(refused)
	accepted := refused
	accepted.Status, accepted.Header = http.StatusOK, http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
	server.Event("shop", "e1").Accepted(accepted)
	again := accepted
	again.Duplicate = true
	server.Event("shop", "e1").Accepted(again)

	event := dispatcher.Event("shop", "e1")
	_, span := event.Process(ctx, "transaction.execute", 1, false)
	span.Outcome("retried", "503", true)
	span.End()
	deciding, span := event.Process(ctx, "transaction.execute", 2, false)
	evaluating, rule := Rule(deciding, "team", "receipt", "email")
	_, call := Call(evaluating, http.MethodGet, "api.rehive.com", "reading a user")
	call.Answered(http.StatusOK)
	call.End()
	rule.Messages(1)
	rule.End()
	span.Outcome("decided", "", false)
	event.Sent(deciding, time.Now(), 1)
	span.End()

	message := Message{Delivery: 7, Rule: "team/receipt", Channel: "email"}
	for attempt, reason := range []string{"Unavailable", ""} {
		sending, span := worker.Event("shop", "e1").Deliver(ctx, message, attempt+1)
		_, send := Send(sending, "team/mail", "smtp")
		outcome := "sent"
		if reason != "" {
			send.Fail(reason)
			outcome = "retried"
		}
		send.End()
		span.Outcome(outcome, reason, reason != "")
		span.End()
	}
	receiver.Event("shop", "e1").Reported(message, "sendgrid", "bounced")
	server.Event("shop", "e2").Accepted(accepted) // another trace

	id := server.Event("shop", "e1").ID()
	flush(t, server, dispatcher, worker, receiver)
	spans := c.Spans(id)
	g.Expect(c.Spans("")).To(HaveLen(len(spans)+2), "the other event's")
	g.Expect(tracingtest.Tree(spans)).To(Equal(`SERVER POST /api/webhook/
  SERVER POST /api/webhook/ error.type=503
    PRODUCER send events error.type=503
  PRODUCER send events
  SERVER POST /api/webhook/
    PRODUCER send events
  CONSUMER process events rehive.outcome=retried error.type=503
  CONSUMER process events rehive.outcome=decided
    INTERNAL evaluate rule
      CLIENT GET
    PRODUCER send messages
      CONSUMER process messages rehive.outcome=retried error.type=Unavailable
        CLIENT send smtp error.type=Unavailable
      CONSUMER process messages rehive.outcome=sent
        CLIENT send smtp
      CONSUMER process feedback rehive.outcome=bounced
`))
	for _, s := range spans {
		_, failed := s.Attributes["error.type"]
		g.Expect(s.Failed).To(Equal(failed), "the status of %s", s.Name)
		g.Expect(s.Begin).To(BeNumerically(">=", begun.UnixNano()))
		g.Expect(s.End).To(BeNumerically(">=", s.Begin))
		switch s.Name {
		case "process messages":
			g.Expect(s.Attributes).To(And(HaveKeyWithValue("rehive.company.id", "shop"), HaveKeyWithValue("rehive.event.id", "e1"),
				HaveKeyWithValue("rehive.delivery.id", "7"), HaveKeyWithValue("messaging.message.id", "7"), HaveKeyWithValue("rehive.rule.name", "team/receipt"),
				HaveKeyWithValue("rehive.channel", "email"), HaveKeyWithValue("messaging.system", "rehive_extension"),
				HaveKeyWithValue("messaging.destination.name", "messages"), HaveKeyWithValue("messaging.operation.type", "process"),
				HaveKeyWithValue("messaging.operation.name", "process")))
		case "POST /api/webhook/":
			if s.Parent == "" {
				g.Expect(s.Links).To(Equal([]string{"0af7651916cd43dd8448eb211c80319c"}), "the caller's trace is linked, not joined")
			}
		}
	}
	g.Expect(c.Resource()).To(And(HaveKeyWithValue("service.name", "rehive-extension-operator"), HaveKeyWithValue("service.version", "v1.2.3"), HaveKey("service.instance.id")))
	g.Expect(c.Invalid()).To(BeEmpty())
}

// The identifier of a trace is documented, so that it can be computed from an event's.
func TestTraceIDIsDocumented(t *testing.T) {
	tracer := start(t, "http://127.0.0.1:1")
	defer flush(t, tracer)
	g := NewWithT(t)
	// printf '5:trace,4:shop,2:e1,' | sha256sum | cut -c1-32
	g.Expect(tracer.Event("shop", "e1").ID()).To(Equal("a600dc39e178fd268b0270ba2785856b"))
	// No two events share a trace because their identifiers look the same in a row.
	g.Expect(tracer.Event("shop", "e1").ID()).NotTo(Equal(tracer.Event("shope", "1").ID()))
	g.Expect(tracer.Event("a,1:b", "c").ID()).NotTo(Equal(tracer.Event("a", "b,1:c").ID()))
}

// The operator's own events have no webhook: their first attempt is the root.
func TestOwnEventBeginsItsTrace(t *testing.T) {
	g, c := NewWithT(t), collector(t)
	tracer := start(t, c.URL)
	event := tracer.Event("shop", "replay:1:x")
	for attempt := 1; attempt <= 2; attempt++ {
		_, span := event.Process(t.Context(), "rehive.replay", attempt, true)
		span.Link(tracer.Event("shop", "e1"))
		span.End()
	}
	original := tracer.Event("shop", "e1").ID()
	flush(t, tracer)
	spans := c.Spans(event.ID())
	g.Expect(tracingtest.Tree(spans)).To(Equal("CONSUMER process events\n  CONSUMER process events\n"))
	g.Expect(spans[0].Links).To(Equal([]string{original}))
}

// All replicas sample the same events, whatever the caller's traceparent says.
func TestSampling(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
	one, other := start(t, "http://127.0.0.1:1"), start(t, "http://127.0.0.1:1")
	defer flush(t, one, other)
	sampled := 0
	for i := range 4000 {
		id := fmt.Sprint(i)
		if one.Event("shop", id).Recorded() {
			sampled++
		}
		g.Expect(one.Event("shop", id).Recorded()).To(Equal(other.Event("shop", id).Recorded()))
	}
	g.Expect(sampled).To(BeNumerically("~", 1000, 150))
}

// Events that are not sampled allocate nothing, and neither do any while tracing is off.
func TestOffCostsNothing(t *testing.T) {
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	never := start(t, "http://127.0.0.1:1")
	defer flush(t, never)
	for name, tracer := range map[string]*Tracer{"off": nil, "not sampled": never} {
		if n := testing.AllocsPerRun(100, func() { unrecorded(t.Context(), tracer) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// unrecorded makes every call of the hot path.
func unrecorded(ctx context.Context, tracer *Tracer) {
	e := tracer.Event("bf8c6a2a-6bb5-4a52-b6ae-1b2fbcba7a25", "0af7651916cd43dd8448eb211c80319c")
	if e.Recorded() {
		panic("it is recorded")
	}
	ctx, span := e.Process(ctx, "transaction.execute", 1, false)
	evaluating, rule := Rule(ctx, "team", "receipt", "email")
	_, call := Call(evaluating, http.MethodGet, "api.rehive.com", "reading a user")
	call.Answered(http.StatusOK)
	call.End()
	rule.Messages(1)
	rule.End()
	span.Outcome("decided", "", false)
	e.Sent(ctx, time.Time{}, 1)
	span.End()
	ctx, span = e.Deliver(ctx, Message{Delivery: 1, Rule: "team/receipt", Channel: "email"}, 1)
	_, send := Send(ctx, "team/mail", "smtp")
	send.Fail("X")
	send.End()
	Current(ctx).Outcome("sent", "", false)
	span.End()
	e.Reported(Message{}, "sendgrid", "bounced")
}

// BenchmarkOff is what tracing costs an event with one message while it is off.
func BenchmarkOff(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		unrecorded(b.Context(), nil)
	}
}

// Identifiers from outside that aren't UTF-8 or are huge would otherwise lose the whole batch,
// and codes from outside could hold anything.
func TestHostileValues(t *testing.T) {
	g, c := NewWithT(t), collector(t)
	tracer := start(t, c.URL)
	hostile := "\xff" + strings.Repeat("\x00💸", 1<<20)
	e := tracer.Event(hostile, hostile)
	e.Accepted(Acceptance{Name: hostile, Route: "/api/webhook/", Status: http.StatusOK, Storing: time.Now(), Header: http.Header{
		"Traceparent": {hostile, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "Tracestate": {strings.Repeat("a=b,", 1<<20)},
	}})
	ctx, span := e.Deliver(t.Context(), Message{Rule: hostile, Channel: hostile}, 1)
	_, call := Call(ctx, hostile, hostile, hostile)
	call.End()
	span.Outcome("zoe@example.com", "+27 82 000 1111", true)
	span.End()
	flush(t, tracer)
	spans := c.Spans("")
	g.Expect(spans).To(HaveLen(4))
	g.Expect(len(c.Bytes())).To(BeNumerically("<", 8<<10))
	g.Expect(string(c.Bytes())).NotTo(Or(ContainSubstring("zoe@"), ContainSubstring("+27 82 000")))
}
