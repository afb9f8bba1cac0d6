// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// The attributes that OpenTelemetry's semantic conventions have no name for.
const (
	companyKey    = attribute.Key("rehive.company.id")
	eventKey      = attribute.Key("rehive.event.id")
	eventNameKey  = attribute.Key("rehive.event.name")
	duplicateKey  = attribute.Key("rehive.event.duplicate")
	deliveryKey   = attribute.Key("rehive.delivery.id")
	ruleKey       = attribute.Key("rehive.rule.name")
	channelKey    = attribute.Key("rehive.channel")
	attemptKey    = attribute.Key("rehive.attempt")
	outcomeKey    = attribute.Key("rehive.outcome")
	reasonKey     = attribute.Key("rehive.reason")
	providerKey   = attribute.Key("rehive.provider.name")
	providerKind  = attribute.Key("rehive.provider.type")
	operationKey  = attribute.Key("rehive.operation")
	messagingName = "rehive_extension" // the system of the ledger's queues
)

// The queues of the ledger.
const (
	eventQueue   = "events"
	messageQueue = "messages"
)

// MaxRules is how many rules of one event have a span of their own.
const MaxRules = 50

const (
	// maxText bounds identifiers and names from outside, in bytes.
	maxText = 128
	// maxCode bounds codes, in bytes.
	maxCode = 64
	// otherCode replaces what isn't a code, as the semantic conventions have it.
	otherCode = "_OTHER"
)

// text returns an identifier or a name as the value of an attribute. The whole batch would be
// lost with one that is not UTF-8.
func text(value string) string {
	if len(value) > maxText {
		value = value[:maxText]
	}
	return strings.ToValidUTF8(value, "\uFFFD")
}

// code returns a value that consists of a few letters, digits and the characters _-./, and
// replaces others: some providers' codes come from their answers.
func code(value string) string {
	if len(value) > maxCode {
		return otherCode
	}
	for i := range len(value) {
		switch c := value[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.', c == '/':
		default:
			return otherCode
		}
	}
	return value
}

// Span is a span in progress. The zero Span is not recorded, and its methods do nothing.
type Span struct{ span trace.Span }

// Recorded reports whether the span is recorded.
func (s Span) Recorded() bool { return s.span != nil }

// End ends the span.
func (s Span) End() {
	if s.Recorded() {
		s.span.End()
	}
}

// Messages says how many messages resulted.
func (s Span) Messages(n int) {
	if s.Recorded() {
		s.span.SetAttributes(semconv.MessagingBatchMessageCount(n))
	}
}

// Link adds a link to the trace of another event.
func (s Span) Link(to Event) {
	if s.Recorded() && to.Recorded() {
		s.span.AddLink(trace.LinkFromContext(to.under(context.Background(), rootSpan)))
	}
}

// Outcome says how the work ended and why, both as codes that may be empty. If it failed, the reason is the type
// of the error.
func (s Span) Outcome(outcome, reason string, failed bool) {
	if !s.Recorded() {
		return
	}
	if outcome != "" {
		s.span.SetAttributes(outcomeKey.String(code(outcome)))
	}
	if reason != "" {
		s.span.SetAttributes(reasonKey.String(code(reason)))
	}
	if failed {
		s.fail(reason)
	}
}

// Fail says that the work failed, with a code for the error; "" if it has none.
func (s Span) Fail(reason string) {
	if s.Recorded() {
		s.fail(reason)
	}
}

func (s Span) fail(reason string) {
	if reason = code(reason); reason == "" {
		reason = otherCode
	}
	s.span.SetAttributes(semconv.ErrorTypeKey.String(reason))
	s.span.SetStatus(codes.Error, "")
}

// Current returns the span that a context is in.
func Current(ctx context.Context) Span {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return Span{}
	}
	return Span{span}
}

// start starts a span as the child of the one that the context is in.
func (e Event) start(ctx context.Context, name string, kind trace.SpanKind, attributes []attribute.KeyValue, o ...trace.SpanStartOption) trace.Span {
	attributes = append(attributes, companyKey.String(text(e.company)), eventKey.String(text(e.id)))
	_, span := e.tracer.tracer.Start(ctx, name, append(o, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))...)
	return span
}

// queued returns the attributes of an operation on one of the ledger's queues.
func queued(operation attribute.KeyValue, queue string, more ...attribute.KeyValue) []attribute.KeyValue {
	return append(more, semconv.MessagingSystemKey.String(messagingName), semconv.MessagingDestinationName(queue),
		operation, semconv.MessagingOperationName(operation.Value.AsString()))
}

// Acceptance is a webhook that was received from the platform, by which an event begins.
type Acceptance struct {
	// Begun is when the request arrived, Storing when the event was passed to the ledger;
	// zero if it was not.
	Begun, Storing time.Time
	// Name is the kind of event.
	Name string
	// Route is the path of the endpoint.
	Route string
	// Status is the status of the answer.
	Status int
	// TLS says that the request came over TLS.
	TLS bool
	// Duplicate says that the event had been accepted before.
	Duplicate bool
	// Header is that of the request. A traceparent in it, which others control, becomes a
	// link: it decides neither about the trace nor about sampling.
	Header http.Header
}

// Accepted records a webhook. Call it only if the caller was authenticated.
func (e Event) Accepted(a Acceptance) {
	if !e.Recorded() {
		return
	}
	scheme := "http"
	if a.TLS {
		scheme = "https"
	}
	attributes := []attribute.KeyValue{
		semconv.HTTPRequestMethodPost, semconv.HTTPRoute(a.Route), semconv.URLPath(a.Route), semconv.URLScheme(scheme),
		semconv.HTTPResponseStatusCode(a.Status), eventNameKey.String(text(a.Name)),
	}
	o := []trace.SpanStartOption{trace.WithTimestamp(a.Begun)}
	caller := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(a.Header)))
	if caller.IsValid() {
		o = append(o, trace.WithLinks(trace.Link{SpanContext: caller.WithTraceState(trace.TraceState{})}))
	}
	stored := a.Status == http.StatusOK
	var ctx context.Context
	if stored && !a.Duplicate {
		ctx, o = e.as(context.Background(), rootSpan), append(o, trace.WithNewRoot())
	} else {
		ctx = e.under(context.Background(), rootSpan) // the first webhook, or the one that succeeds
		attributes = append(attributes, duplicateKey.Bool(a.Duplicate))
	}
	span := e.start(ctx, http.MethodPost+" "+a.Route, trace.SpanKindServer, attributes, o...)
	if !a.Storing.IsZero() {
		child := e.start(trace.ContextWithSpan(context.Background(), span), "send "+eventQueue, trace.SpanKindProducer,
			queued(semconv.MessagingOperationTypeSend, eventQueue, semconv.MessagingMessageID(text(e.id))), trace.WithTimestamp(a.Storing))
		if !stored {
			Span{child}.fail(strconv.Itoa(a.Status))
		}
		child.End()
	}
	if a.Status >= http.StatusInternalServerError {
		Span{span}.fail(strconv.Itoa(a.Status))
	}
	span.End()
}

// Process starts the span of an attempt to decide the event. Attempts are counted from 1. An
// event of the operator's own, such as a replay, was not accepted from a webhook, so its trace
// begins with its first attempt.
func (e Event) Process(ctx context.Context, name string, attempt int, own bool) (context.Context, Span) {
	if !e.Recorded() {
		return ctx, Span{}
	}
	parent, o := e.under(ctx, rootSpan), []trace.SpanStartOption(nil)
	if own && attempt == 1 {
		parent, o = e.as(ctx, rootSpan), append(o, trace.WithNewRoot())
	}
	span := e.start(parent, "process "+eventQueue, trace.SpanKindConsumer, queued(semconv.MessagingOperationTypeProcess, eventQueue,
		semconv.MessagingMessageID(text(e.id)), eventNameKey.String(text(name)), attemptKey.Int(attempt)), o...)
	return trace.ContextWithSpan(ctx, span), Span{span}
}

// Sent records that the event's messages were stored in the ledger, as a child of the span that
// the context is in. The spans of the messages are its children.
func (e Event) Sent(ctx context.Context, begun time.Time, messages int) {
	if !e.Recorded() {
		return
	}
	e.start(e.as(ctx, sentSpan), "send "+messageQueue, trace.SpanKindProducer, queued(semconv.MessagingOperationTypeSend, messageQueue,
		semconv.MessagingBatchMessageCount(messages)), trace.WithTimestamp(begun)).End()
}

// Message identifies a message of an event.
type Message struct {
	// Delivery is the message's number in the ledger.
	Delivery int64
	// Rule is the rule's namespace/name.
	Rule, Channel string
}

// attributes returns the attributes of an operation on the message.
func (m Message) attributes(more ...attribute.KeyValue) []attribute.KeyValue {
	id := strconv.FormatInt(m.Delivery, 10)
	return queued(semconv.MessagingOperationTypeProcess, messageQueue,
		append(more, semconv.MessagingMessageID(id), deliveryKey.String(id), ruleKey.String(text(m.Rule)), channelKey.String(code(m.Channel)))...)
}

// Deliver starts the span of an attempt to send a message. Attempts are counted from 1.
func (e Event) Deliver(ctx context.Context, m Message, attempt int) (context.Context, Span) {
	if !e.Recorded() {
		return ctx, Span{}
	}
	span := e.start(e.under(ctx, sentSpan), "process "+messageQueue, trace.SpanKindConsumer, m.attributes(attemptKey.Int(attempt)))
	return trace.ContextWithSpan(ctx, span), Span{span}
}

// Reported records what a provider of a type reported about a message after it had accepted it.
func (e Event) Reported(m Message, providerType, outcome string) {
	if !e.Recorded() {
		return
	}
	e.start(e.under(context.Background(), sentSpan), "process feedback", trace.SpanKindConsumer,
		m.attributes(providerKind.String(code(providerType)), outcomeKey.String(code(outcome)))).End()
}

// Rule starts the span of the evaluation of a rule, with the rendering of its messages, if the
// context is in a span. The rule is the one with the given namespace and name.
func Rule(ctx context.Context, namespace, name, channel string) (context.Context, Span) {
	parent := Current(ctx)
	if !parent.Recorded() {
		return ctx, Span{}
	}
	ctx, span := parent.child(ctx, "evaluate rule", trace.SpanKindInternal, ruleKey.String(text(namespace+"/"+name)), channelKey.String(code(channel)))
	return ctx, span
}

// Send starts the span of passing a message to a provider, if the context is in a span.
func Send(ctx context.Context, provider, providerType string) (context.Context, Span) {
	parent := Current(ctx)
	if !parent.Recorded() {
		return ctx, Span{}
	}
	return parent.child(ctx, "send "+code(providerType), trace.SpanKindClient, providerKey.String(text(provider)), providerKind.String(code(providerType)))
}

// Call starts the span of an HTTP request to a host, if the context is in a span. Operation, which may
// be empty, says what the request is for and must be a constant.
func Call(ctx context.Context, method, host, operation string) (context.Context, Span) {
	parent := Current(ctx)
	if !parent.Recorded() {
		return ctx, Span{}
	}
	ctx, span := parent.child(ctx, code(method), trace.SpanKindClient, semconv.HTTPRequestMethodKey.String(code(method)), semconv.ServerAddress(text(host)))
	if operation != "" {
		span.span.SetAttributes(operationKey.String(text(operation)))
	}
	return ctx, span
}

// Answered says with which status an HTTP request was answered.
func (s Span) Answered(status int) {
	if !s.Recorded() {
		return
	}
	s.span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	if status >= http.StatusBadRequest {
		s.fail(strconv.Itoa(status))
	}
}

func (s Span) child(ctx context.Context, name string, kind trace.SpanKind, attributes ...attribute.KeyValue) (context.Context, Span) {
	ctx, span := s.span.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
	return ctx, Span{span}
}
