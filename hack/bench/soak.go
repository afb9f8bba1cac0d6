// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
)

// soakRate is the steady load of the soak, in events per second.
const soakRate = 50

// soak runs a steady load while an equal amount of data expires, and samples the manager
// twelve times. The minimum retention is a week, longer than any soak; so the ledger starts
// with the data of the same load a week ago, which expires during the soak.
func (b *bench) soak(ctx context.Context) error {
	// Each sample adds a row to the table.
	const looks = 12
	length := b.options.soak
	if err := b.scene(ctx); err != nil {
		return err
	}
	if err := b.set.Manager.Stop(); err != nil {
		return err
	}
	started := time.Now()
	// A tenth more, for the time that writing takes.
	if err := b.writePast(ctx, started.Add(-ledger.MinRetention), length+length/10, soakRate); err != nil {
		return err
	}
	fmt.Printf("  A ledger of a week ago is written after %s.\n", time.Since(started).Round(time.Second))
	if err := b.set.Manager.Start(ctx); err != nil {
		return err
	}

	t := &table{name: "soak", title: fmt.Sprintf("%s at %d events/s, while as many from a week ago expire", length, soakRate), what: "after", columns: []string{
		"manager MiB", "heap MiB", "goroutines", "open files", "ledger MiB", "log MiB", "events kept", "events waiting", "messages/s", "webhook p99 ms",
	}}
	first, begin := b.numbers.Load(), b.mail.Count()
	for start, i := time.Now(), 0; i <= looks; i++ {
		var rate, p99 sample
		if i > 0 {
			count, from := b.mail.Count(), time.Now()
			until := start.Add(length * time.Duration(i) / looks)
			took, err := b.load(ctx, 64, atRate(soakRate, until.Add(-length/looks), until), b.next)
			if err != nil {
				return err
			}
			rate, p99 = sample{float64(b.mail.Count()-count) / time.Since(from).Seconds()}, sample{took.quantile(.99)}
		}
		samples, err := b.observe(ctx)
		if err != nil {
			return err
		}
		t.add(time.Since(start).Round(time.Second).String(), append(samples, rate, p99)...)
		if err := t.save(b.out, b.machine); err != nil { // keep the results of an aborted run
			return err
		}
	}
	events := int(b.numbers.Load() - first)
	missing := func() int { return events*matchingRules - (b.mail.Count() - begin) }
	if err := b.drained(ctx, missing); err != nil {
		return err
	}
	if n := -missing(); n > 0 {
		return fmt.Errorf("%d messages arrived twice", n)
	}
	t.note("each of the %d acknowledged events led to exactly %d messages", events, matchingRules)
	t.note("finished events and messages are kept for %s; the ledger started with %s of the same load from that long ago", ledger.MinRetention, (length + length/10).Round(time.Second))
	return b.finish(t)
}

// observe reads the values that must stay bounded.
func (b *bench) observe(ctx context.Context) ([]sample, error) {
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
		if fromMetrics[i], err = b.metric(ctx, name); err != nil {
			return nil, err
		}
	}
	path := b.set.Manager.Ledger()
	var sizes [2]float64
	for i, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			return nil, fmt.Errorf("reading the size of the ledger: %w", err)
		}
		sizes[i] = mib(info.Size())
	}
	kept, err := countEvents(ctx, path)
	if err != nil {
		return nil, err
	}
	return []sample{{mib(resident)}, {mib(int64(fromMetrics[0]))}, {fromMetrics[1]}, {float64(files)}, {sizes[0]}, {sizes[1]}, {kept}, {fromMetrics[2]}}, nil
}

// countEvents counts the events in a ledger while the manager has it open.
func countEvents(ctx context.Context, path string) (count float64, err error) {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)", "query_only(1)"}}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return 0, fmt.Errorf("opening the ledger to count its events: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM events").Scan(&count); err != nil {
		return 0, fmt.Errorf("counting the ledger's events: %w", err)
	}
	return count, nil
}
