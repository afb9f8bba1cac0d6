// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// neighbour sends a burst of one company as fast as it is acknowledged, and measures the
// latency of another company's messages until the burst has been processed.
func (b *bench) neighbour(ctx context.Context) error {
	const rate = 10
	burst, length := int64(100_000), 45*time.Second
	if b.short {
		burst, length = 20_000, 10*time.Second
	}
	if err := b.scene(ctx); err != nil {
		return err
	}
	noisy, quiet := b.companies[0], b.companies[1]
	var acknowledged time.Duration
	failed := make(chan error, 1)
	start := time.Now()
	go func() {
		_, err := b.load(ctx, 64, times(burst), b.only(noisy))
		acknowledged = time.Since(start)
		failed <- err
	}()
	took, err := b.pacedMessages(ctx, rate, length, b.only(quiet))
	if err := errors.Join(err, <-failed); err != nil {
		return err
	}
	waiting, err := b.metric(ctx, "rehive_extension_ledger_pending_events")
	if err != nil {
		return err
	}
	t := &table{name: "neighbour", title: fmt.Sprintf("Another company's messages during one company's burst of %d events", burst), what: "the other company", columns: []string{
		"p50 ms", "p99 ms", "longest ms", "messages",
	}}
	t.add(fmt.Sprintf("%d events/s", rate), sample{took.quantile(.5)}, sample{took.quantile(.99)}, sample{took.quantile(1)}, sample{float64(len(took))})
	t.note("the burst was acknowledged in %s; after %s, %.0f of its events were still waiting", acknowledged.Round(100*time.Millisecond), length, waiting)
	b.report(fmt.Sprintf("another company's p99 during a burst of %s events", grouped(float64(burst))), sample{took.quantile(.99)}, " ms", atMost(2000))
	return b.finish(t)
}
