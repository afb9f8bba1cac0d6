// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rehive/extension-operator/internal/check"
)

// Values of the label result.
const (
	resultAdmitted  = "admitted"
	resultWarned    = "warned"
	resultRefused   = "refused"
	resultUnchecked = "unchecked"
)

// Metrics are those of the webhook and its certificate.
type Metrics struct {
	reviews *prometheus.CounterVec
	ready   prometheus.Gauge
	expiry  prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		reviews: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "rehive_extension", Name: "admission_reviews_total",
			Help: "Objects that the API server sent for review, by kind and result: admitted, warned, refused or unchecked.",
		}, []string{"kind", "result"}),
		ready: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "rehive_extension", Name: "admission_ready",
			Help: "Whether the admission webhook has a certificate and the API server is configured to trust it: 1 or 0.",
		}),
		expiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "rehive_extension", Name: "admission_certificate_expiry_timestamp_seconds",
			Help: "When the certificate of the admission webhook expires, in seconds since 1970; 0 without a certificate.",
		}),
	}
	for _, c := range []prometheus.Collector{m.reviews, m.ready, m.expiry} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("registering the metrics of the admission webhook: %w", err)
		}
	}
	return m, nil
}

// reviewed counts a review. All kinds that are not the operator's share one label value.
func (m *Metrics) reviewed(kind, result string) {
	if !check.IsKind(kind) {
		kind = "other"
	}
	m.reviews.WithLabelValues(kind, result).Inc()
}
