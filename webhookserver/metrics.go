// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	events   *prometheus.CounterVec

	newEvents, duplicateEvents prometheus.Counter
	evictedConnections         prometheus.Counter
	streams                    prometheus.Gauge
}

// newMetrics creates the server's metrics and registers them, unless the registerer is nil.
func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rehive_extension_http_requests_total",
			Help: "Requests answered, by endpoint and HTTP status code.",
		}, []string{"endpoint", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rehive_extension_http_request_duration_seconds",
			Help:    "Time from the end of a request's header to its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"endpoint"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "rehive_extension_http_requests_in_flight",
			Help: "Requests in progress.",
		}, []string{"endpoint"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rehive_extension_webhook_events_total",
			Help: "Webhooks acknowledged, by whether the event was new or a duplicate.",
		}, []string{"result"}),
		evictedConnections: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rehive_extension_http_connections_evicted_total",
			Help: "Connections closed while they waited for their client, because the limit of connections was reached.",
		}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "rehive_extension_http_event_streams",
			Help: "Streams of in-app messages that are open.",
		}),
	}
	m.newEvents, m.duplicateEvents = m.events.WithLabelValues("new"), m.events.WithLabelValues("duplicate")
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.inFlight, m.events, m.evictedConnections, m.streams} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("registering the HTTP server's metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) observe(endpoint string, code int, took time.Duration) {
	m.requests.WithLabelValues(endpoint, strconv.Itoa(code)).Inc()
	m.seconds.WithLabelValues(endpoint).Observe(took.Seconds())
}
