// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rehive/extension-operator/internal/delivery/provider"
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
	outcomeExpired   = "expired"
	outcomeLost      = "lease_lost"
	// outcomeSuppressed: the recipient is suppressed; outcomeUnknown: it may have arrived,
	// and is not sent again.
	outcomeSuppressed = "suppressed"
	outcomeUnknown    = "unknown"
)

var outcomes = []string{outcomeSent, outcomeRetried, outcomePostponed, outcomeFailed, outcomeExhausted, outcomeCancelled, outcomeExpired, outcomeLost, outcomeSuppressed, outcomeUnknown}

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
	// Counters that exist from the start make the first failure an increase.
	for _, channel := range []string{ledger.ChannelEmail, ledger.ChannelSMS, ledger.ChannelPush, ledger.ChannelSystem} {
		m.latency.WithLabelValues(channel)
		for _, outcome := range outcomes {
			m.outcomes.WithLabelValues(channel, outcome)
		}
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

// ProvidersMetrics are those of the providers that messages go through.
type ProvidersMetrics struct {
	open *prometheus.GaugeVec
	held *prometheus.CounterVec
	sent *prometheus.CounterVec
}

// NewProvidersMetrics registers the metrics, unless r is nil.
func NewProvidersMetrics(r prometheus.Registerer) (*ProvidersMetrics, error) {
	labels := []string{"provider", "type"}
	m := &ProvidersMetrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "rehive_extension", Name: "provider_circuit_open",
			Help: "Whether a provider keeps failing and is left alone for a while: 1 or 0. The provider is namespace/name of the DeliveryProvider, or --smtp-address.",
		}, labels),
		held: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "rehive_extension", Name: "provider_held_back_total",
			Help: "Messages that were claimed and then held back from a provider, by reason. Most wait in the ledger instead and don't count.",
		}, append(labels, "reason")),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "rehive_extension", Name: "provider_sent_total",
			Help: "Messages that a provider accepted.",
		}, labels),
	}
	if r == nil {
		return m, nil
	}
	if err := errors.Join(r.Register(m.open), r.Register(m.held), r.Register(m.sent)); err != nil {
		return nil, fmt.Errorf("registering the metrics of providers: %w", err)
	}
	return m, nil
}

// Of returns the metrics of one provider. They are told from the first message on,
// and until Forget.
func (m *ProvidersMetrics) Of(provider, kind string) *ProviderMetrics {
	if m == nil {
		return nil
	}
	labels := prometheus.Labels{"provider": provider, "type": kind}
	return &ProviderMetrics{ProvidersMetrics: m, labels: labels, accepted: m.sent.With(labels)}
}

// ProviderMetrics are those of one provider. A nil one counts nothing.
type ProviderMetrics struct {
	*ProvidersMetrics
	labels   prometheus.Labels
	accepted prometheus.Counter

	mu   sync.Mutex
	gone bool
}

// Forget removes the provider's metrics. Its last messages are no longer counted, because
// another provider may have its name.
func (m *ProviderMetrics) Forget() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = true
	m.open.Delete(m.labels)
	m.held.DeletePartialMatch(m.labels)
	m.sent.Delete(m.labels)
}

func (m *ProviderMetrics) circuit(open bool) {
	if m == nil {
		return
	}
	value := 0.0
	if open {
		value = 1
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.gone {
		m.open.With(m.labels).Set(value)
	}
}

// label returns a label; empty without metrics.
func (m *ProviderMetrics) label(name string) string {
	if m == nil {
		return ""
	}
	return m.labels[name]
}

// count counts a message that was accepted.
func (m *ProviderMetrics) count() {
	if m != nil {
		m.accepted.Inc()
	}
}

// heldBack counts a message that was held back.
func (m *ProviderMetrics) heldBack(err error) {
	var e *provider.Error
	if m == nil || !errors.As(err, &e) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.gone {
		m.held.WithLabelValues(m.labels["provider"], m.labels["type"], e.Reason).Inc()
	}
}
