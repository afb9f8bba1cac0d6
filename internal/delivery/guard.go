// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/tracing"
)

// DefaultConcurrency is how many messages are with a provider at once by default.
const DefaultConcurrency = 16

// Reasons of messages that a [Guard] holds back.
const (
	// ReasonRateLimited is the reason of a message beyond the provider's configured rate.
	ReasonRateLimited = "RateLimited"
	// ReasonBusy is the reason of a message that found no free connection to the provider.
	ReasonBusy = "Busy"
	// ReasonCircuitOpen is the reason of a message to a provider that keeps failing.
	ReasonCircuitOpen = "CircuitOpen"
)

const (
	// A message waits for a moment for a slot or its turn. A longer wait belongs in the
	// ledger: here it would occupy a worker slot that another provider could use.
	slotWait = time.Second
	turnWait = time.Second
	// maxHold bounds how long a message is held back.
	maxHold = 24 * time.Hour
	// claimTime is roughly how long it takes to claim messages for free slots.
	claimTime = 20 * time.Millisecond
)

// GuardConfig is how a provider is protected. Zero fields have defaults.
type GuardConfig struct {
	// Concurrency is how many messages are with the provider at once;
	// DefaultConcurrency if 0.
	Concurrency int
	// PerSecond is how many messages are sent in a second, without a limit if 0; Burst is
	// how many are sent at once after a pause, PerSecond if 0.
	PerSecond float64
	Burst     int
	// Failures is how many sends in a row must fail until the provider is left alone; 5 if
	// 0. OpenFor is for how long it is, until one message is let through to try it; 30 s
	// if 0.
	Failures int
	OpenFor  time.Duration
	// OnChange, if not nil, is called when the provider starts to be left alone and when it
	// works again. It must not block.
	OnChange func(open bool)
	// Metrics may be nil.
	Metrics *ProviderMetrics
}

// Guard is a provider whose capacity is known and respected, and that is left alone while
// it keeps failing. It is the [Gate] of the messages that it sends.
type Guard struct {
	next    provider.Provider
	guard   *flow.Guard
	metrics *ProviderMetrics
	claimed atomic.Int64
}

var _ interface {
	Gate
	provider.Patient
} = (*Guard)(nil)

// NewGuard protects next.
func NewGuard(next provider.Provider, c GuardConfig) *Guard {
	g := &Guard{next: next, metrics: c.Metrics}
	o := flow.GuardOptions{
		Concurrent:  cmp.Or(max(c.Concurrency, 0), DefaultConcurrency),
		SlotWait:    slotWait,
		TurnWait:    turnWait,
		Failures:    cmp.Or(max(c.Failures, 0), 5),
		OpenFor:     cmp.Or(max(c.OpenFor, 0), 30*time.Second),
		Preparation: claimTime,
		OnChange: func(open bool) {
			g.metrics.circuit(open)
			if c.OnChange != nil {
				c.OnChange(open)
			}
		},
	}
	if c.PerSecond > 0 {
		burst := c.Burst
		if burst <= 0 {
			burst = int(c.PerSecond)
		}
		o.Buckets = []*flow.Bucket{flow.NewBucket(c.PerSecond, burst)}
	}
	g.guard = flow.NewGuard(o)
	g.metrics.circuit(false)
	return g
}

// Send implements [provider.Provider].
func (g *Guard) Send(ctx context.Context, m provider.Message) (receipt provider.Receipt, err error) {
	leave, err := g.guard.Enter(ctx)
	if err != nil {
		err = heldBack(err)
		g.metrics.heldBack(err)
		return provider.Receipt{}, err
	}
	result := flow.Failed // if it panics
	defer func() { leave(result) }()
	sending, span := tracing.Send(ctx, g.metrics.label("provider"), g.metrics.label("type"))
	defer span.End() // also if it panics
	receipt, err = g.next.Send(sending, m)
	if err != nil {
		span.Fail(reasonOf(err))
	}
	result = resultOf(ctx, err)
	switch {
	case err == nil:
		g.metrics.count()
	case provider.IsHeldBack(err):
		g.metrics.heldBack(err)
	}
	return receipt, err
}

// reasonOf returns the reason of a provider's error; empty if it has none.
func reasonOf(err error) string {
	var e *provider.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// heldBack is the error of a message that the guard rejected.
func heldBack(err error) error {
	var r *flow.Rejection
	if !errors.As(err, &r) {
		return err
	}
	again := min(r.RetryAfter, maxHold)
	switch r.Cause {
	case flow.CircuitOpen:
		return provider.HeldBack(ReasonCircuitOpen, "The provider keeps failing and is left alone for a while.", again)
	case flow.Busy:
		return provider.HeldBack(ReasonBusy, "The provider already has as many messages in progress as its concurrency allows.", again)
	}
	return provider.HeldBack(ReasonRateLimited, "The provider's configured rate is reached.", again)
}

// resultOf returns what the outcome of a send says about the provider. A refusal and a
// deferral of one message are successes: the provider works, and a company that can have
// its messages deferred must not hold up those of others.
func resultOf(ctx context.Context, err error) flow.Result {
	var e *provider.Error
	switch {
	case err == nil, provider.IsPermanent(err), provider.IsDeferred(err):
		return flow.Succeeded
	case errors.Is(ctx.Err(), context.Canceled), provider.IsMisconfigured(err), provider.IsHeldBack(err):
		return flow.Inconclusive
	case errors.As(err, &e) && (e.Reason == provider.ReasonThrottled || e.Reason == provider.ReasonDevicesUnavailable):
		return flow.Inconclusive
	}
	return flow.Failed
}

// Patience implements [provider.Patient]: it is that of the provider.
func (g *Guard) Patience() time.Duration { return provider.PatienceOf(g.next) }

// Room implements [Gate].
func (g *Guard) Room() (int, time.Time) { return g.guard.Room(int(g.claimed.Load())) }

// Enter implements [Gate].
func (g *Guard) Enter() (leave func()) {
	g.claimed.Add(1)
	return sync.OnceFunc(func() { g.claimed.Add(-1) })
}
