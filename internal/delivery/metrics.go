// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rehive/extension-operator/internal/ledger"
)

// Outcomes of an attempt, as the metrics name them.
const (
	outcomeSent      = "sent"
	outcomeRetried   = "retried"
	outcomePostponed = "postponed"
	outcomeFailed    = "failed"    // refused for good
	outcomeExhausted = "exhausted" // the last of its attempts failed
	outcomeCancelled = "cancelled"
	outcomeLost      = "lease_lost"
)

// metrics have no label that a customer could fill.
type metrics struct {
	outcomes *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	inFlight prometheus.Gauge
	panics   prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "rehive_extension", Name: "delivery_attempts_total",
			Help: "Attempts to send a delivery, by channel and outcome.",
		}, []string{"channel", "outcome"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "rehive_extension", Name: "delivery_latency_seconds",
			Help:    "Time from the arrival of the event to the acceptance of the message by the provider.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 300, 3600, 86400},
		}, []string{"channel"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "rehive_extension", Name: "delivery_in_flight",
			Help: "Deliveries being sent now.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "rehive_extension", Name: "delivery_panics_total",
			Help: "Panics of providers.",
		}),
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.outcomes, m.latency, m.inFlight, m.panics} {
		errs = append(errs, r.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("registering the metrics of deliveries: %w", err)
	}
	return m, nil
}

func (m *metrics) outcome(d *ledger.Delivery, outcome string) {
	m.outcomes.WithLabelValues(channelLabel(d.Channel), outcome).Inc()
}

func (m *metrics) sent(d *ledger.Delivery, now time.Time) {
	m.latency.WithLabelValues(channelLabel(d.Channel)).Observe(max(0, now.Sub(d.EventReceivedAt).Seconds()))
}

func channelLabel(channel string) string {
	switch channel {
	case ledger.ChannelEmail, ledger.ChannelSMS, ledger.ChannelPush, ledger.ChannelSystem:
		return channel
	}
	return "other"
}
