// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// eventSize is the size of an event's data in bytes.
const eventSize = 2 << 10

// plainData returns an event's data with eventSize bytes.
func plainData() string {
	const begin, end = `{"note":"`, `"}`
	return begin + strings.Repeat("x", eventSize-len(begin)-len(end)) + end
}

// ingest measures how fast webhooks are acknowledged with SQLite.
func (b *bench) ingest(ctx context.Context) error {
	if err := b.scene(ctx); err != nil {
		return err
	}
	return b.ingestInto(ctx, database{name: "ingest", title: "SQLite", bare: b.bareSQLite, empty: b.newSQLite})
}

// ingestPostgres measures the same with PostgreSQL.
func (b *bench) ingestPostgres(ctx context.Context) (err error) {
	server, err := startPostgres()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.set.Manager.Stop(), server.Stop()) }()
	if err := b.scene(ctx); err != nil {
		return err
	}
	if err := b.moveTo(ctx, server); err != nil {
		return err
	}
	fsyncs, err := fsyncRate(server.disk(), time.Second)
	if err != nil {
		return err
	}
	return b.ingestInto(ctx, database{name: "ingest-postgres", title: "PostgreSQL", bare: func(ctx context.Context, batch int, length time.Duration) (float64, error) {
		return b.barePostgres(ctx, server, batch, length)
	}, empty: server.newLedger, note: fmt.Sprintf("PostgreSQL has its default settings and shares the manager's cores; its disk does %s fsyncs/s", number(fsyncs))})
}

// moveTo restarts the manager with an empty ledger on a PostgreSQL server.
func (b *bench) moveTo(ctx context.Context, server *postgres) error {
	if err := b.set.Manager.Stop(); err != nil {
		return err
	}
	var err error
	if b.set.Manager.LedgerURL, err = server.newDatabase(); err != nil {
		return err
	}
	return b.set.Manager.Start(ctx)
}

// database describes the database of the ledger.
type database struct {
	name, title string
	// bare returns the rate at which a program that does nothing else inserts rows durably,
	// in batches.
	bare func(ctx context.Context, batch int, length time.Duration) (perSecond float64, err error)
	// empty creates an empty ledger and returns its location.
	empty func(context.Context) (string, error)
	note  string
}

// ingestInto measures how fast webhooks are acknowledged, compared with inserting the same
// rows into the database and nothing else.
func (b *bench) ingestInto(ctx context.Context, d database) error {
	rounds, length, bareLength := 3, 3*time.Second, 1500*time.Millisecond
	if b.short {
		rounds, length, bareLength = 1, 2*time.Second, time.Second
	}
	// The events have no rule, and are evaluated one at a time: this part measures
	// acceptance, and the part message everything.
	senders := make([]*webhook, len(b.companies))
	for i, company := range b.companies {
		senders[i] = newWebhook(company.company, company.secret, plainEvent, plainData())
	}
	next := func(time.Time) (*webhook, int64) {
		number := b.numbers.Add(1)
		return senders[number%int64(len(senders))], number
	}

	result := &table{name: d.name, title: "Webhooks acknowledged, 2 KiB each, " + d.title + " with full sync", what: "connections", columns: []string{
		"events/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU µs/event", "allocations/event", "bare writer rows/s", "% of bare",
	}}
	at256 := make(map[string]sample)
	var single, bareSingle, times, served, servedTimes sample
	for _, connections := range []int{1, 4, 16, 64, 256, 1024} {
		var rates, p50, p99, p999, cpu, allocations, bare, share sample
		for i := range rounds {
			limit, err := d.bare(ctx, min(connections, 256), bareLength)
			if err != nil {
				return err
			}
			wait := func() error { return nil }
			if i == 0 {
				wait = b.profileFor(ctx, fmt.Sprintf("%s-%d", d.name, connections), length)
			}
			r, err := b.acknowledge(ctx, connections, length, flatOut(time.Now().Add(length)), next)
			if err := errors.Join(err, wait()); err != nil {
				return fmt.Errorf("with %d connections: %w", connections, err)
			}
			rates, bare, share = append(rates, r.rate), append(bare, limit), append(share, 100*r.rate/limit)
			p50, p99, p999 = append(p50, r.times.quantile(.5)), append(p99, r.times.quantile(.99)), append(p999, r.times.quantile(.999))
			cpu, allocations = append(cpu, r.cpu), append(allocations, r.allocations)
			if connections == 1 {
				single, bareSingle, times = append(single, 1e3/r.rate), append(bareSingle, 1e3/limit), append(times, limit/r.rate)
				at, err := d.empty(ctx)
				if err != nil {
					return err
				}
				least, err := b.throughBareServer(ctx, at, bareLength, next)
				if err != nil {
					return err
				}
				served, servedTimes = append(served, 1e3/least), append(servedTimes, limit/least)
			}
		}
		result.add(fmt.Sprint(connections), rates, p50, p99, p999, cpu, allocations, bare, share)
		if connections == 256 {
			at256 = map[string]sample{"rate": rates, "share": share, "cpu": cpu, "allocations": allocations}
		}
	}
	result.note("the machine does %s fsyncs/s of 4 KiB", number(b.machine.FsyncsPerSecond))
	result.note("the bare writer inserts the same rows into the same tables and does nothing else; each transaction has as many rows as there are connections, at most 256")
	result.note("one connection: %s ms per event, one bare durable insert: %s ms, %s times", single, bareSingle, times)
	result.note("through a net/http server that only reads and inserts: %s ms, %s times", served, servedTimes)
	if d.note != "" {
		result.note("%s", d.note)
	}
	if err := b.finish(result); err != nil {
		return err
	}

	half := &table{name: d.name + "-half", title: "Webhooks acknowledged at half the rate of 256 connections, " + d.title, what: "connections", columns: []string{
		"p50 ms", "p99 ms", "p99.9 ms", "events/s",
	}}
	var p50, p99, p999, rates sample
	for range rounds {
		start := time.Now()
		r, err := b.acknowledge(ctx, 256, length, atRate(at256["rate"].median()/2, start, start.Add(length)), next)
		if err != nil {
			return err
		}
		rates, p50, p99, p999 = append(rates, r.rate), append(p50, r.times.quantile(.5)), append(p99, r.times.quantile(.99)), append(p999, r.times.quantile(.999))
	}
	half.add("256", p50, p99, p999, rates)
	half.note("times are measured from when a webhook was due")

	in := d.title + ": "
	b.report(in+"webhooks a second, 256 connections", at256["rate"], "", bar{})
	b.report(in+"of the rate of a bare writer with the same rows", at256["share"], " %", atLeast(70))
	b.report(in+"p99 at half of that load", p99, " ms", atMost(50))
	b.report(in+"one connection, compared with one bare durable insert", times, " times", atMost(1.3))
	b.report(in+"the same for a net/http server that only inserts", servedTimes, " times", bar{})
	b.report(in+"CPU per webhook, 256 connections", at256["cpu"], " µs", bar{})
	b.report(in+"allocations per webhook, 256 connections", at256["allocations"], "", bar{})
	return b.finish(half)
}

type acknowledged struct {
	rate             float64 // events per second
	times            latencies
	cpu, allocations float64 // of the manager, in µs and number per event
}

// acknowledge loads the webhook endpoint.
func (b *bench) acknowledge(ctx context.Context, connections int, length time.Duration, pace pacer, next source) (acknowledged, error) {
	pid := b.set.Manager.PID()
	cpu, err := cpuTime(pid)
	if err != nil {
		return acknowledged{}, err
	}
	mallocs, err := b.metric(ctx, "go_memstats_mallocs_total")
	if err != nil {
		return acknowledged{}, err
	}
	start := time.Now()
	times, err := b.load(ctx, connections, pace, next)
	took := max(time.Since(start), length)
	if err != nil {
		return acknowledged{}, err
	}
	cpuAfter, err := cpuTime(pid)
	if err != nil {
		return acknowledged{}, err
	}
	mallocsAfter, err := b.metric(ctx, "go_memstats_mallocs_total")
	if err != nil {
		return acknowledged{}, err
	}
	n := float64(len(times))
	if n == 0 {
		return acknowledged{}, errors.New("nothing was acknowledged")
	}
	return acknowledged{
		rate:        n / took.Seconds(),
		times:       times,
		cpu:         float64(cpuAfter-cpu) / float64(time.Microsecond) / n,
		allocations: (mallocsAfter - mallocs) / n,
	}, nil
}
