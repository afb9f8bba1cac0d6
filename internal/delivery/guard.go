// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultConcurrency is how many messages are with a provider at once if nothing
// else is said.
const DefaultConcurrency = 16

// Gate bounds how many messages are taken in hand, so that the others stay in the
// ledger, where they hold nobody up, instead of being claimed and put back. It is
// only a forecast; who sends decides. It is safe for concurrent use, makes no calls
// and can be the key of a map.
type Gate interface {
	// Room is how many more messages may be taken in hand now. If it is none, again
	// is when to ask again; zero if only a message that leaves can make room.
	Room() (n int, again time.Time)
	// Enter counts a message that is taken in hand, until leave is called.
	Enter() (leave func())
}

// Gated is a Provider whose messages pass gates.
type Gated interface {
	Provider
	Gates() []Gate
}

// GuardConfig says how a provider is protected. Zero fields have defaults.
type GuardConfig struct {
	// Concurrency is how many messages are with the provider at once;
	// DefaultConcurrency if 0.
	Concurrency int
	// PerSecond is how many messages are sent a second, any number if 0; Burst how
	// many at once after a pause, PerSecond if 0.
	PerSecond float64
	Burst     int
	Breaker   BreakerConfig
	// Metrics tell how the provider does; may be nil.
	Metrics *ProviderMetrics
}

// Guard is a provider with what protects it, and others from it: a [Breaker], a
// [Bulkhead] and, if its rate is limited, a [Limited].
type Guard struct {
	breaker  *Breaker
	bulkhead *Bulkhead
	limited  *Limited // nil if the rate is not
	metrics  *ProviderMetrics
	patience time.Duration

	inHand atomic.Int64
}

var _ interface {
	Gate
	Gated
	Patient
} = (*Guard)(nil)

// NewGuard protects next.
func NewGuard(next Provider, c GuardConfig) *Guard {
	g := &Guard{metrics: c.Metrics, patience: PatienceOf(next)}
	if c.PerSecond > 0 {
		burst := c.Burst
		if burst <= 0 {
			burst = int(c.PerSecond)
		}
		g.limited = NewLimited(next, c.PerSecond, burst)
		next = g.limited
	}
	if c.Concurrency <= 0 {
		c.Concurrency = DefaultConcurrency
	}
	g.bulkhead = NewBulkhead(next, c.Concurrency)
	tell := c.Breaker.OnChange
	c.Breaker.OnChange = func(open bool) {
		g.metrics.circuit(open)
		if tell != nil {
			tell(open)
		}
	}
	g.breaker = NewBreaker(g.bulkhead, c.Breaker)
	g.metrics.circuit(false)
	return g
}

// Send implements [Provider].
func (g *Guard) Send(ctx context.Context, m Message) (Receipt, error) {
	receipt, err := g.breaker.Send(ctx, m)
	if err != nil && HeldBack(err) {
		g.metrics.heldBack(err)
	}
	return receipt, err
}

// Patience implements [Patient]: it is that of the provider.
func (g *Guard) Patience() time.Duration { return g.patience }

// Gates implements [Gated]: it is its own.
func (g *Guard) Gates() []Gate { return []Gate{g} }

// Room implements [Gate].
func (g *Guard) Room() (int, time.Time) {
	inHand := int(g.inHand.Load())
	passes, again := g.breaker.room()
	if passes == 0 {
		return 0, again
	}
	n := min(passes, g.bulkhead.hold()) - inHand
	if n <= 0 {
		return 0, time.Time{}
	}
	if g.limited == nil {
		return n, time.Time{}
	}
	turns, again := g.limited.room(inHand)
	return min(n, turns), again
}

// Enter implements [Gate].
func (g *Guard) Enter() (leave func()) {
	g.inHand.Add(1)
	return sync.OnceFunc(func() { g.inHand.Add(-1) })
}
