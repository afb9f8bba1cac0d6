// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rehive/extension-operator/internal/ledger"
)

func testCollector(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	Pending(t, s, "shop", 2)
	clk.Step(time.Second)
	Accept(t, s, "bank", "1")
	clk.Step(3 * time.Second)
	c := ledger.NewCollector(s, clk)
	registry := prometheus.NewPedanticRegistry()
	g.Expect(registry.Register(c)).To(Succeed())
	expect := func(want map[string]float64) {
		t.Helper()
		families, err := registry.Gather()
		g.Expect(err).NotTo(HaveOccurred())
		got := map[string]float64{}
		for _, f := range families {
			got[strings.TrimPrefix(f.GetName(), "rehive_extension_ledger_")] = f.GetMetric()[0].GetGauge().GetValue()
		}
		g.Expect(got).To(Equal(want))
	}
	expect(map[string]float64{"oldest_delivery_overdue_seconds": 4, "oldest_event_overdue_seconds": 3, "pending_deliveries": 2, "pending_events": 1, "quarantined_events": 0, "quarantined_deliveries": 0, "up": 1})

	Accept(t, s, "bank", "2")
	clk.Step(statsAge / 2)
	expect(map[string]float64{"oldest_delivery_overdue_seconds": 9, "oldest_event_overdue_seconds": 8, "pending_deliveries": 2, "pending_events": 1, "quarantined_events": 0, "quarantined_deliveries": 0, "up": 1}) // not counted again, but older
	clk.Step(statsAge / 2)
	expect(map[string]float64{"oldest_delivery_overdue_seconds": 14, "oldest_event_overdue_seconds": 13, "pending_deliveries": 2, "pending_events": 2, "quarantined_events": 0, "quarantined_deliveries": 0, "up": 1})

	g.Expect(s.Close()).To(Succeed())
	clk.Step(statsAge)
	expect(map[string]float64{"up": 0})
}
