// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// soakRate is the steady load of the soak, in events a second.
const soakRate = 100

// soak holds a steady load and looks at the manager every twelfth of the time.
func (b *bench) soak(ctx context.Context) error {
	// Each look adds a row; the table is the point of it, so it is one of 13 rows.
	const looks = 12
	length := b.options.soak
	if err := b.scene(ctx); err != nil {
		return err
	}
	t := &table{name: "soak", title: fmt.Sprintf("%s at %d events/s", length, soakRate), what: "after", columns: []string{
		"manager MiB", "heap MiB", "goroutines", "open files", "ledger MiB", "log MiB", "events waiting", "messages/s",
	}}
	start := time.Now()
	failed := make(chan error, 1)
	go func() {
		failed <- run(ctx, b.address(), 64, atRate(soakRate, start, start.Add(length)), b.next, func(int, int64, time.Time, time.Time) {})
	}()
	count, at := b.mail.Count(), start
	for i := range looks + 1 {
		select {
		case <-time.After(time.Until(start.Add(length * time.Duration(i) / looks))):
		case err := <-failed:
			if err != nil || i < looks {
				return errors.Join(errors.New("the load ended early"), err)
			}
			failed <- nil
		}
		samples, err := b.look(ctx)
		if err != nil {
			return err
		}
		var rate sample
		if i > 0 {
			rate = sample{float64(b.mail.Count()-count) / time.Since(at).Seconds()}
		}
		count, at = b.mail.Count(), time.Now()
		t.add(time.Since(start).Round(time.Second).String(), append(samples, rate)...)
	}
	if err := <-failed; err != nil {
		return err
	}
	return b.finish(t)
}

// look reads what must stay bounded.
func (b *bench) look(ctx context.Context) ([]sample, error) {
	pid := b.set.Manager.PID()
	resident, err := residentBytes(pid)
	if err != nil {
		return nil, err
	}
	files, err := openFiles(pid)
	if err != nil {
		return nil, fmt.Errorf("counting the manager's open files: %w", err)
	}
	var fromMetrics [3]float64
	for i, name := range []string{"go_memstats_heap_inuse_bytes", "go_goroutines", "rehive_extension_ledger_pending_events"} {
		if fromMetrics[i], err = metric(ctx, b.set.Manager.MetricsURL, name); err != nil {
			return nil, err
		}
	}
	const mib = 1 << 20
	var sizes [2]float64
	for i, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(filepath.Clean(b.set.Manager.Ledger() + suffix))
		if err != nil {
			return nil, fmt.Errorf("looking at the ledger: %w", err)
		}
		sizes[i] = float64(info.Size()) / mib
	}
	return []sample{{float64(resident) / mib}, {fromMetrics[0] / mib}, {fromMetrics[1]}, {float64(files)}, {sizes[0]}, {sizes[1]}, {fromMetrics[2]}}, nil
}
