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
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the ledger's driver, for the bare writer

	"github.com/rehive/extension-operator/internal/ledger"
)

// eventSize is the size of an event's data in bytes.
const eventSize = 2 << 10

// plainData is an event's data of eventSize.
func plainData() string {
	const begin, end = `{"note":"`, `"}`
	return begin + strings.Repeat("x", eventSize-len(begin)-len(end)) + end
}

// ingest measures how webhooks are acknowledged, beside what the database does
// with the same rows when nothing else is in its way.
func (b *bench) ingest(ctx context.Context) error {
	rounds, length, bareLength := 3, 3*time.Second, 1500*time.Millisecond
	if b.short {
		rounds, length, bareLength = 1, 2*time.Second, time.Second
	}
	// The events have no rule. They are decided all the same, one at a time here:
	// this is about taking them in, and the part message about the whole.
	if err := b.scene(ctx); err != nil {
		return err
	}
	senders := make([]*webhook, len(b.companies))
	for i, company := range b.companies {
		senders[i] = &webhook{company: company.company, secret: company.secret, event: plainEvent, data: plainData()}
	}
	next := func(time.Time) (*webhook, int64) {
		number := b.numbers.Add(1)
		return senders[number%int64(len(senders))], number
	}

	result := &table{name: "ingest", title: "Webhooks acknowledged, 2 KiB each, SQLite with full sync", what: "connections", columns: []string{
		"events/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU µs/event", "allocations/event", "bare writer rows/s", "% of bare",
	}}
	var at256 float64
	var single, bareSingle sample
	for _, connections := range []int{1, 4, 16, 64, 256, 1024} {
		var rates, p50, p99, p999, cpu, allocations, bare, share sample
		for i := range rounds {
			limit, err := b.bareWriter(ctx, min(connections, 256), bareLength)
			if err != nil {
				return err
			}
			wait := func() error { return nil }
			if i == 0 {
				wait = b.profileFor(ctx, fmt.Sprintf("ingest-%d", connections), length)
			}
			r, err := b.acknowledge(ctx, connections, length, flatOut(time.Now().Add(length)), next)
			if err := errors.Join(err, wait()); err != nil {
				return fmt.Errorf("with %d connections: %w", connections, err)
			}
			rates, bare, share = append(rates, r.rate), append(bare, limit), append(share, 100*r.rate/limit)
			p50, p99, p999 = append(p50, r.times.quantile(.5)), append(p99, r.times.quantile(.99)), append(p999, r.times.quantile(.999))
			cpu, allocations = append(cpu, r.cpu), append(allocations, r.allocations)
			if connections == 1 {
				single, bareSingle = append(single, 1e6/r.rate), append(bareSingle, 1e6/limit)
			}
		}
		result.add(fmt.Sprint(connections), rates, p50, p99, p999, cpu, allocations, bare, share)
		if connections == 256 {
			at256 = rates.median()
		}
	}
	result.note("the bare writer inserts the same rows into the same tables, as many in a transaction as there are connections, at most 256, with nothing else going on")
	result.note("one connection: %s µs an event, one bare durable insert: %s µs, %.2f times", single, bareSingle, single.median()/bareSingle.median())
	if err := b.finish(result); err != nil {
		return err
	}

	half := &table{name: "ingest-half", title: "Webhooks acknowledged at half of what 256 connections reach", what: "connections", columns: []string{
		"p50 ms", "p99 ms", "p99.9 ms", "events/s",
	}}
	var p50, p99, p999, rates sample
	for range rounds {
		start := time.Now()
		r, err := b.acknowledge(ctx, 256, length, atRate(at256/2, start, start.Add(length)), next)
		if err != nil {
			return err
		}
		rates, p50, p99, p999 = append(rates, r.rate), append(p50, r.times.quantile(.5)), append(p99, r.times.quantile(.99)), append(p999, r.times.quantile(.999))
	}
	half.add("256", p50, p99, p999, rates)
	half.note("times count from when a webhook was due")
	return b.finish(half)
}

type acknowledged struct {
	rate             float64 // events a second
	times            latencies
	cpu, allocations float64 // µs and number an event, of the manager
}

// acknowledge loads the webhook endpoint.
func (b *bench) acknowledge(ctx context.Context, connections int, length time.Duration, pace pacer, next func(time.Time) (*webhook, int64)) (acknowledged, error) {
	pid := b.set.Manager.PID()
	cpu, err := cpuTime(pid)
	if err != nil {
		return acknowledged{}, err
	}
	mallocs, err := metric(ctx, b.set.Manager.MetricsURL, "go_memstats_mallocs_total")
	if err != nil {
		return acknowledged{}, err
	}
	times := make([]latencies, connections)
	start := time.Now()
	err = run(ctx, b.address(), connections, pace, next, func(connection int, _ int64, from, to time.Time) {
		times[connection] = append(times[connection], to.Sub(from))
	})
	took := max(time.Since(start), length)
	if err != nil {
		return acknowledged{}, err
	}
	cpuAfter, err := cpuTime(pid)
	if err != nil {
		return acknowledged{}, err
	}
	mallocsAfter, err := metric(ctx, b.set.Manager.MetricsURL, "go_memstats_mallocs_total")
	if err != nil {
		return acknowledged{}, err
	}
	var all latencies
	for _, t := range times {
		all = append(all, t...)
	}
	n := float64(len(all))
	if n == 0 {
		return acknowledged{}, errors.New("nothing was acknowledged")
	}
	return acknowledged{
		rate:        n / took.Seconds(),
		times:       all,
		cpu:         float64(cpuAfter-cpu) / float64(time.Microsecond) / n,
		allocations: (mallocsAfter - mallocs) / n,
	}, nil
}

// bareWriter is the rate at which one connection of the database inserts events
// durably, so many in a transaction, with its statement prepared.
func (b *bench) bareWriter(ctx context.Context, batch int, length time.Duration) (perSecond float64, err error) {
	dir := filepath.Join(b.state, "bare")
	path := filepath.Join(dir, "ledger.db")
	store, err := ledger.Open(ctx, ledger.Options{Path: path}) // makes the tables
	if err != nil {
		return 0, err
	}
	if err := store.Close(); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": {
		"journal_mode(WAL)", "synchronous(FULL)", "cache_size(-16000)", "journal_size_limit(67108864)", "secure_delete(FAST)",
	}}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return 0, fmt.Errorf("opening the bare database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, fmt.Errorf("opening the bare database: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var statements [3]*sql.Stmt
	for i, query := range []string{"BEGIN IMMEDIATE", bareInsert, "COMMIT"} {
		if statements[i], err = conn.PrepareContext(ctx, query); err != nil { //nolint:sqlclosecheck // it is closed below
			return 0, fmt.Errorf("preparing the bare database: %w", err)
		}
		defer func() { err = errors.Join(err, statements[i].Close()) }()
	}
	begin, insert, commit := statements[0], statements[1], statements[2]
	data, rows, start := []byte(plainData()), 0, time.Now()
	for time.Since(start) < length {
		if _, err := begin.ExecContext(ctx); err != nil {
			return 0, fmt.Errorf("writing to the bare database: %w", err)
		}
		for range batch {
			rows++
			now := time.Now().UnixMilli()
			company := b.companies[rows%len(b.companies)].company
			if _, err := insert.ExecContext(ctx, company, fmt.Sprintf("%0*d", numberDigits, rows), plainEvent, now, now, data); err != nil {
				return 0, fmt.Errorf("writing to the bare database: %w", err)
			}
		}
		if _, err := commit.ExecContext(ctx); err != nil {
			return 0, fmt.Errorf("writing to the bare database: %w", err)
		}
	}
	return float64(rows) / time.Since(start).Seconds(), nil
}

const bareInsert = `
	INSERT INTO events (company, event_id, name, received_at, next_attempt_at, updated_at, data)
	VALUES ($1, $2, $3, $4, $5, $5, $6) ON CONFLICT (company, event_id) DO NOTHING`
