// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tracingtest has an OpenTelemetry collector for tests.
package tracingtest

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is a span that a Collector received. Identifiers are hexadecimal digits.
type Span struct {
	Trace, ID, Parent string // the parent is empty for a root span
	Name              string
	Kind              string // such as SERVER
	Attributes        map[string]any
	Failed            bool
	Links             []string // the traces
	Begin, End        uint64   // in nanoseconds
}

// Collector is an OpenTelemetry collector that keeps what it receives. It is safe for
// concurrent use.
type Collector struct {
	*httptest.Server

	mu       sync.Mutex
	bytes    []byte
	spans    []Span
	resource map[string]any
	invalid  []string
}

// NewCollector starts a collector. Close it.
func NewCollector() *Collector {
	c := &Collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(c.receive))
	return c
}

func (c *Collector) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collectorpb.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		c.invalid = append(c.invalid, r.Method+" "+r.URL.Path)
		http.Error(w, "invalid", http.StatusBadRequest)
		return
	}
	c.bytes = append(c.bytes, body...)
	for _, of := range request.ResourceSpans {
		c.resource = attributes(of.Resource.Attributes)
		for _, in := range of.ScopeSpans {
			for _, s := range in.Spans {
				c.spans = append(c.spans, read(s))
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func read(s *tracepb.Span) Span {
	span := Span{
		Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId),
		Name: s.Name, Kind: strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_"), Attributes: attributes(s.Attributes),
		Failed: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR, Begin: s.StartTimeUnixNano, End: s.EndTimeUnixNano,
	}
	for _, link := range s.Links {
		span.Links = append(span.Links, hex.EncodeToString(link.TraceId))
	}
	return span
}

func attributes(all []*commonpb.KeyValue) map[string]any {
	values := make(map[string]any, len(all))
	for _, a := range all {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			values[a.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			values[a.Key] = v.IntValue
		case *commonpb.AnyValue_BoolValue:
			values[a.Key] = v.BoolValue
		default:
			values[a.Key] = a.Value.String()
		}
	}
	return values
}

// Spans returns the spans of a trace, or all if it is empty, by their beginnings.
func (c *Collector) Spans(trace string) []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []Span
	for i := range c.spans {
		if trace == "" || c.spans[i].Trace == trace {
			found = append(found, c.spans[i])
		}
	}
	slices.SortStableFunc(found, func(a, b Span) int {
		if a.Begin < b.Begin {
			return -1
		}
		return 1
	})
	return found
}

// Bytes returns all that was received, as it was encoded.
func (c *Collector) Bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.bytes)
}

// Resource returns the attributes of the last process that sent spans.
func (c *Collector) Resource() map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resource
}

// Invalid returns the requests that were not understood.
func (c *Collector) Invalid() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.invalid)
}

// Tree writes spans below each other, with their kinds, outcomes and errors. It leaves out
// those whose parents are missing.
func Tree(spans []Span) string {
	var text strings.Builder
	var write func(parent string, depth int)
	write = func(parent string, depth int) {
		for _, s := range spans {
			if s.Parent != parent {
				continue
			}
			fmt.Fprintf(&text, "%s%s %s", strings.Repeat("  ", depth), s.Kind, s.Name)
			for _, key := range []string{"rehive.outcome", "error.type"} {
				if v, ok := s.Attributes[key]; ok {
					fmt.Fprintf(&text, " %s=%v", key, v)
				}
			}
			text.WriteString("\n")
			write(s.ID, depth+1)
		}
	}
	write("", 0)
	return text.String()
}
