// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"context"
	"fmt"
	"math"
	"time"
)

// Cause is why a [Guard] rejects a call.
type Cause int

const (
	// CircuitOpen means that the counterpart keeps failing.
	CircuitOpen Cause = iota
	// Busy means that as many calls as allowed are under way.
	Busy
	// RateLimited means that the call's turn is too far ahead.
	RateLimited
)

// Rejection is why a [Guard] doesn't let a call through now.
type Rejection struct {
	Cause Cause
	// RetryAfter is when the call may be tried again.
	RetryAfter time.Duration
}

// Error implements error.
func (r *Rejection) Error() string {
	switch r.Cause {
	case CircuitOpen:
		return fmt.Sprintf("the counterpart keeps failing; calls are made again in %s", r.RetryAfter)
	case Busy:
		return "too many calls are under way"
	}
	return fmt.Sprintf("the rate limit is reached; the call's turn is in %s", r.RetryAfter)
}

// GuardOptions are the limits of a [Guard].
type GuardOptions struct {
	// Concurrent is how many calls may be under way at once; at least 1.
	Concurrent int
	// SlotWait is how long a call waits for another one to return if as many as allowed
	// are under way.
	SlotWait time.Duration
	// Buckets limit the rate of calls; several guards may share one. A call takes a turn of
	// each. Guards that share buckets must list them in the same order.
	Buckets []*Bucket
	// TurnWait is how long a call waits for its turn.
	TurnWait time.Duration
	// Failures is how many calls in a row must fail until calls are rejected, and OpenFor
	// is for how long they are.
	Failures int
	OpenFor  time.Duration
	// OnChange, if not nil, is called when calls begin to be rejected because of failures,
	// and when they are let through again. It must not block.
	OnChange func(open bool)
	// Preparation is how long callers take to prepare a call after they asked for room.
	Preparation time.Duration
}

// Guard limits the calls to one counterpart: how many are under way at once and how many
// begin in a second. While the counterpart keeps failing it rejects calls, to spare both
// the counterpart and those that would wait for it. It is safe for concurrent use.
type Guard struct {
	options  GuardOptions
	breaker  *breaker
	bulkhead *bulkhead
}

// NewGuard returns a guard of a counterpart that works.
func NewGuard(o GuardOptions) *Guard {
	return &Guard{options: o, breaker: newBreaker(o.Failures, o.OpenFor, o.OnChange), bulkhead: newBulkhead(max(o.Concurrent, 1))}
}

// leastRetry is the least time after which a rejected call is tried again.
const leastRetry = time.Second

// Enter waits until a call may begin. The caller then makes it and passes its result to
// leave. The error is a [*Rejection].
func (g *Guard) Enter(ctx context.Context) (leave func(Result), err error) {
	done, again := g.breaker.allow()
	if done == nil {
		return nil, &Rejection{CircuitOpen, max(time.Until(again), leastRetry)}
	}
	if !g.bulkhead.enter(ctx, g.options.SlotWait) {
		done(errInconclusive)
		return nil, &Rejection{Busy, leastRetry}
	}
	began := time.Now()
	leave = func(r Result) {
		done(r.err())
		g.bulkhead.leave(time.Since(began))
	}
	if wait, ok := g.awaitTurn(ctx, began); !ok {
		leave(Inconclusive)
		return nil, &Rejection{RateLimited, wait}
	}
	return leave, nil
}

// awaitTurn waits for the turn of a call, unless that is too long a wait.
func (g *Guard) awaitTurn(ctx context.Context, now time.Time) (wait time.Duration, ok bool) {
	if len(g.options.Buckets) == 0 {
		return 0, true
	}
	limit := g.options.TurnWait
	if deadline, limited := ctx.Deadline(); limited {
		limit = min(limit, deadline.Sub(now)-1) // later, there is no time for the call
	}
	wait, ok = takeTurn(g.options.Buckets, now, limit)
	if !ok || wait == 0 {
		return wait, ok
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return 0, true
	case <-ctx.Done():
		return 0, false
	}
}

// Charge takes a turn for a call that is made without [Guard.Enter].
func (g *Guard) Charge() {
	for _, b := range g.options.Buckets {
		b.Charge()
	}
}

// InUse is how many calls are under way or wait for their turn.
func (g *Guard) InUse() int { return g.bulkhead.inUse() }

const (
	// lookAhead is how far ahead Room looks at turns. It matters only where fewer turns are
	// granted at once than in this time.
	lookAhead = 100 * time.Millisecond
	// leastPause is the least time between two looks.
	leastPause = 50 * time.Millisecond
)

// Room is how many more calls may be prepared, given that some have been prepared already
// and have not returned yet. If it is none, again is when to ask again; zero if a call has
// to return first.
//
// It is a forecast. Enter decides.
func (g *Guard) Room(prepared int) (n int, again time.Time) {
	allowed, again := g.breaker.room()
	if allowed == 0 {
		return 0, again
	}
	n = min(allowed, g.bulkhead.free(g.options.Preparation)) - prepared
	if n <= 0 {
		return 0, time.Time{}
	}
	now := time.Now()
	// Prepared calls that have not entered yet will take a turn each.
	coming := float64(max(0, prepared-g.bulkhead.inUse()))
	for _, b := range g.options.Buckets {
		ahead := max(0, b.rate()*lookAhead.Seconds()-float64(b.limiter.Burst()))
		if turns := b.turns(now) + ahead - coming; turns >= 1 {
			n = min(n, int(min(turns, math.MaxInt32)))
		} else {
			return 0, now.Add(max(leastPause, b.wait(now, 1+coming-ahead)))
		}
	}
	return n, time.Time{}
}
