// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// message measures the whole pipeline: a webhook's event is stored, ten rules are
// evaluated, and three messages are rendered, stored, sent by SMTP and recorded as sent.
func (b *bench) message(ctx context.Context) error {
	rounds, length := 3, 8*time.Second
	if b.short {
		rounds, length = 1, 5*time.Second
	}
	if err := b.scene(ctx); err != nil {
		return err
	}
	sustained := &table{name: "message-sustained", title: "Webhook to email, sustained", what: "load", columns: []string{
		"messages/s", "manager CPU ms/message", "all CPU ms/message", "manager MiB",
	}}
	rates, manager, all, memory, err := b.sustain(ctx, rounds, length)
	if err != nil {
		return err
	}
	sustained.add("as many as possible", rates, manager, all, memory)
	sustained.note("%d companies with %d rules for the event, %d of which send; templates with HTML; plain SMTP to a sink in the load's process", companyCount, rulesPerCompany, matchingRules)
	if err := b.finish(sustained); err != nil {
		return err
	}
	b.report("emails a second, sustained", rates, "", atLeast(3000))
	b.report("total CPU per email, with load and sink", all, " ms", atMost(.6))
	b.report("of it, the manager's", manager, " ms", bar{})

	latency := &table{name: "message-latency", title: "From the webhook to the sink", what: "load", columns: []string{
		"p50 ms", "p99 ms", "p99.9 ms", "messages/s",
	}}
	most := rates.median() / matchingRules
	for _, load := range []struct {
		name     string
		rate     float64
		p50, p99 bar
	}{
		{"10 events/s", 10, atMost(15), atMost(40)},
		{"10 % of the sustained rate", most / 10, bar{}, bar{}},
		{"80 % of the sustained rate", most * 8 / 10, bar{}, bar{}},
	} {
		var p50, p99, p999, rate sample
		for range rounds {
			took, err := b.pacedMessages(ctx, load.rate, length, b.next)
			if err != nil {
				return fmt.Errorf("at %s: %w", load.name, err)
			}
			p50, p99, p999 = append(p50, took.quantile(.5)), append(p99, took.quantile(.99)), append(p999, took.quantile(.999))
			rate = append(rate, float64(len(took))/length.Seconds())
		}
		latency.add(load.name, p50, p99, p999, rate)
		b.report("webhook to sink at "+load.name+", p50", p50, " ms", load.p50)
		b.report("webhook to sink at "+load.name+", p99", p99, " ms", load.p99)
	}
	latency.note("times are measured from when the webhook was due until the sink received the recipient")
	return b.finish(latency)
}

// sustain keeps enough events in the manager to saturate it, and few enough that input and
// output rates are equal.
func (b *bench) sustain(ctx context.Context, rounds int, length time.Duration) (rates, manager, all, memory sample, err error) {
	const waiting = 2000 // messages
	const warmUp = 2 * time.Second
	before, first := b.mail.Count(), b.numbers.Load()
	start := time.Now()
	end := start.Add(warmUp + time.Duration(rounds)*length)
	outstanding := func() int {
		return int(b.numbers.Load()-first)*matchingRules - (b.mail.Count() - before)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := b.load(ctx, 64, func() (time.Time, bool) {
			for outstanding() > waiting && time.Now().Before(end) && ctx.Err() == nil {
				time.Sleep(2 * time.Millisecond)
			}
			return flatOut(end)()
		}, b.next)
		failed <- err
	}()
	profiled := func() error { return nil }
	time.Sleep(warmUp)
	for i := range rounds {
		if i == 0 {
			profiled = b.profileFor(ctx, "message", length-time.Second)
		}
		count, from := b.mail.Count(), time.Now()
		cpu, own, err := b.cpu()
		if err != nil {
			return nil, nil, nil, nil, err
		}
		time.Sleep(length)
		cpuAfter, ownAfter, err := b.cpu()
		if err != nil {
			return nil, nil, nil, nil, err
		}
		sent, took := float64(b.mail.Count()-count), time.Since(from)
		rates = append(rates, sent/took.Seconds())
		manager = append(manager, float64(cpuAfter-cpu)/float64(time.Millisecond)/sent)
		all = append(all, float64(cpuAfter-cpu+ownAfter-own)/float64(time.Millisecond)/sent)
		bytes, err := residentBytes(b.set.Manager.PID())
		if err != nil {
			return nil, nil, nil, nil, err
		}
		memory = append(memory, mib(bytes))
	}
	if err := <-failed; err != nil {
		return nil, nil, nil, nil, err
	}
	if err := profiled(); err != nil {
		return nil, nil, nil, nil, err
	}
	return rates, manager, all, memory, b.drained(ctx, outstanding)
}

// drained waits until all messages have arrived.
func (b *bench) drained(ctx context.Context, outstanding func() int) error {
	return b.set.Eventually(ctx, "the last messages", func() error {
		if n := outstanding(); n > 0 {
			return fmt.Errorf("%d are missing", n)
		}
		return nil
	})
}

// pacedMessages sends events at a rate and returns the latency of each message.
func (b *bench) pacedMessages(ctx context.Context, rate float64, length time.Duration, next source) (latencies, error) {
	var (
		mu   sync.Mutex
		due  = make(map[int64]time.Time)
		took latencies
	)
	arrived := func(number int64) {
		now := time.Now()
		mu.Lock()
		defer mu.Unlock()
		if at, ok := due[number]; ok {
			took = append(took, now.Sub(at))
		}
	}
	b.arrivals.Store(&arrived)
	defer b.arrivals.Store(nil)
	start := time.Now()
	if _, err := b.load(ctx, 64, atRate(rate, start, start.Add(length)), func(at time.Time) (*webhook, int64) {
		w, number := next(at)
		mu.Lock()
		defer mu.Unlock()
		due[number] = at
		return w, number
	}); err != nil {
		return nil, err
	}
	err := b.drained(ctx, func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(due)*matchingRules - len(took)
	})
	mu.Lock()
	defer mu.Unlock()
	return took, err
}

// cpu returns the CPU time of the manager and of this process.
func (b *bench) cpu() (manager, own time.Duration, err error) {
	if manager, err = cpuTime(b.set.Manager.PID()); err != nil {
		return 0, 0, err
	}
	own, err = cpuTime(os.Getpid())
	return manager, own, err
}
