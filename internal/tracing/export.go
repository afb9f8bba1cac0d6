// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/time/rate"
)

const (
	// logEvery is how often failing exports are logged at most.
	logEvery = time.Minute
	// maxReason bounds the logged reason, in bytes.
	maxReason = 256
	// maxAnswer bounds how much of a collector's answer is read, in bytes.
	maxAnswer = 64 << 10
)

// exporter exports spans, counts them and logs failures once a minute.
type exporter struct {
	*otlptrace.Exporter
	client *http.Client
	log    logr.Logger
	logged rate.Sometimes
	spans  *prometheus.CounterVec // by result
	// waiting is how many spans are in the queue or being exported.
	waiting atomic.Int64
}

func newSpansMetric() *prometheus.CounterVec {
	spans := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "rehive_extension",
		Name:      "trace_spans_total",
		Help:      "Spans of traces, by result: exported, failed (the collector did not accept them) or dropped (the queue was full).",
	}, []string{"result"})
	for _, result := range []string{resultExported, resultFailed, resultDropped} {
		spans.WithLabelValues(result)
	}
	return spans
}

// The results of spans.
const (
	resultExported = "exported"
	resultFailed   = "failed"
	resultDropped  = "dropped"
)

// ExportSpans implements [sdktrace.SpanExporter].
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	defer e.waiting.Add(-int64(len(spans)))
	result := resultExported
	if err := e.Exporter.ExportSpans(ctx, spans); err != nil {
		result = resultFailed
		e.failed(err)
	}
	e.spans.WithLabelValues(result).Add(float64(len(spans)))
	return nil // it is logged here
}

// failed logs that spans were not exported.
func (e *exporter) failed(err error) {
	e.logged.Do(func() {
		e.log.Info("Exporting traces failed; the metric rehive_extension_trace_spans_total counts the lost spans", "reason", reasonOf(err))
	})
}

// reasonOf is an error in one bounded line.
func reasonOf(err error) string {
	reason := strings.Join(strings.Fields(err.Error()), " ")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	return reason
}

// queue passes spans on to the batches of a processor, up to a number of them. Others are
// dropped and counted.
type queue struct {
	sdktrace.SpanProcessor
	exporter *exporter
	size     int64
}

// OnEnd implements [sdktrace.SpanProcessor]. It doesn't block.
func (q *queue) OnEnd(span sdktrace.ReadOnlySpan) {
	if q.exporter.waiting.Add(1) > q.size {
		q.exporter.waiting.Add(-1)
		q.exporter.spans.WithLabelValues(resultDropped).Inc()
		return
	}
	q.SpanProcessor.OnEnd(span)
}

// newHTTPClient returns a client for a collector. It follows no redirect, which could pass on
// the credentials in the headers, and is bounded in what it reads.
func newHTTPClient(timeout time.Duration, config *tls.Config) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: bounded{&http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    timeout,
			ForceAttemptHTTP2:      true,
			MaxConnsPerHost:        2,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: maxAnswer,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded limits the bodies of answers. Those of errors, which end up in the log, are replaced
// with the status: a collector may repeat what it received, headers included.
type bounded struct{ *http.Transport }

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body := io.LimitReader(resp.Body, maxAnswer)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		body = strings.NewReader(strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode))
	}
	resp.Body = answer{body, resp.Body}
	return resp, nil
}

type answer struct {
	io.Reader
	io.Closer
}

// Shutdown exports what is queued until ctx is done, then gives up on the rest. It can be
// called on a nil Tracer.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	err := t.provider.Shutdown(ctx)
	// Interrupts an export in progress.
	stopped, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	err = errors.Join(err, t.exporter.Shutdown(stopped))
	t.exporter.client.CloseIdleConnections()
	return err
}
