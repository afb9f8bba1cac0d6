// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
)

const (
	// statsTimeout bounds the count for a scrape, so that a ledger that doesn't answer
	// doesn't hide the other metrics.
	statsTimeout = 2 * time.Second
	// statsAge is how long a count is used: frequent or many scrapers don't make the
	// ledger count often.
	statsAge = 10 * time.Second
)

func ledgerMetric(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("rehive_extension_ledger_"+name, help, nil, nil)
}

var (
	metricUp                    = ledgerMetric("up", "Whether the ledger could be read when it was last counted: 1 or 0.")
	metricPendingEvents         = ledgerMetric("pending_events", "Accepted events whose deliveries are not decided yet.")
	metricPendingDeliveries     = ledgerMetric("pending_deliveries", "Deliveries to be sent, now or at their next attempt.")
	metricQuarantinedEvents     = ledgerMetric("quarantined_events", "Events that were set aside because they did harm; they wait to be released.")
	metricQuarantinedDeliveries = ledgerMetric("quarantined_deliveries", "Deliveries that were set aside because they did harm; they wait to be released.")
	metricEventAge              = ledgerMetric("oldest_event_overdue_seconds", "How long the longest waiting event is due; 0 if none is.")
	metricDeliveryAge           = ledgerMetric("oldest_delivery_overdue_seconds", "How long the longest waiting delivery is due; 0 if none is.")
)

// Collector exports to Prometheus what waits in a ledger. Replicas that share a ledger
// all export the same. A scrape takes at most two seconds and counts no more often than
// every ten.
type Collector struct {
	ledger Monitor
	clock  clock.PassiveClock

	mu      sync.Mutex
	counted time.Time
	last    Stats
	err     error
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns the collector of a ledger. The clock is the machine's if it is nil.
func NewCollector(l Monitor, c clock.PassiveClock) *Collector {
	if c == nil {
		c = clock.RealClock{}
	}
	return &Collector{ledger: l, clock: c}
}

// Describe implements [prometheus.Collector].
func (*Collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{metricUp, metricPendingEvents, metricPendingDeliveries, metricQuarantinedEvents, metricQuarantinedDeliveries, metricEventAge, metricDeliveryAge} {
		descs <- d
	}
}

// Collect implements [prometheus.Collector]. While the ledger can't be read, the only
// metric is up, which is 0.
func (c *Collector) Collect(found chan<- prometheus.Metric) {
	st, err := c.current()
	gauge := func(d *prometheus.Desc, v float64) {
		found <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	if err != nil {
		gauge(metricUp, 0)
		return
	}
	gauge(metricUp, 1)
	gauge(metricPendingEvents, float64(st.PendingEvents))
	gauge(metricPendingDeliveries, float64(st.PendingDeliveries))
	gauge(metricQuarantinedEvents, float64(st.QuarantinedEvents))
	gauge(metricQuarantinedDeliveries, float64(st.QuarantinedDeliveries))
	gauge(metricEventAge, st.EventOverdue.Seconds())
	gauge(metricDeliveryAge, st.DeliveryOverdue.Seconds())
}

// current returns the last count, or a new one if that is too old.
func (c *Collector) current() (Stats, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	age := c.clock.Since(c.counted)
	// A clock that was set back makes the count look as if it came from the future.
	if c.counted.IsZero() || age < 0 || age >= statsAge {
		ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
		defer cancel()
		c.last, c.err = c.ledger.Stats(ctx)
		c.counted, age = c.clock.Now(), 0
	}
	st := c.last
	for _, overdue := range []*time.Duration{&st.EventOverdue, &st.DeliveryOverdue} {
		if *overdue > 0 {
			*overdue += age
		}
	}
	return st, c.err
}
