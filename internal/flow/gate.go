// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Reasons why a Gate refuses a call. The caller may try again later.
var (
	// ErrCrowded means that too many calls are waiting, most of them of callers that
	// asked for less.
	ErrCrowded = errors.New("too many calls are waiting")
	// ErrNoTurn means that the call's turn did not come in time.
	ErrNoTurn = errors.New("the call's turn did not come in time")
)

const (
	// demandWindow is how long a call is held against its caller. It fades until twice
	// the window has passed.
	demandWindow = 30 * time.Second
	// reservedShare is the part of the burst that is kept from callers of full demand.
	reservedShare = 0.9
)

// GateOptions are the limits of a Gate.
type GateOptions struct {
	// Rate is how many calls a second are let through, and Burst how many at once
	// after a pause.
	Rate  float64
	Burst int
	// FullDemand is the demand from which on a caller may use only the top of the burst.
	FullDemand float64
	// Concurrent is how many calls may be in progress at once.
	Concurrent int
	// Waiting is how many calls may wait for their turn at once.
	Waiting int
}

// Gate lets calls through at a bounded rate, those of the least demanding caller first.
//
// A caller's demand is how many calls it made lately, and more if it was blamed for
// them. The more a caller demands, the larger the part of the burst that it must leave
// to others. So callers that ask for little find room however much others ask for: a
// flood from one address takes what nobody else needs, and one from a thousand
// addresses waits as soon as each of them has tried a few times. Among equals the
// latest goes first, since the others may have stopped waiting.
//
// Callers of the same group, such as a network, share some of their demand, so a flood from
// many addresses of few networks waits for callers of all others.
//
// No number of callers exhausts memory or makes the gate forget what one of them did. A Gate
// is safe for concurrent use.
type Gate struct {
	options GateOptions

	mu      sync.Mutex
	demand  *Demand
	bucket  *Bucket
	inUse   int
	waiting []*queued // the latest last
	timer   *time.Timer
}

type queued struct {
	caller Caller
	demand float64
	turn   chan error // gets nil when it is the call's turn
}

// NewGate returns a gate with a full burst.
func NewGate(o GateOptions) *Gate {
	return &Gate{options: o, demand: NewDemand(demandWindow), bucket: NewBucket(o.Rate, o.Burst)}
}

// Enter waits for the turn of a call and returns what must be called when it is over.
// The error is ErrCrowded or wraps ErrNoTurn.
func (g *Gate) Enter(ctx context.Context, caller Caller) (leave func(), err error) {
	if ctx.Err() != nil {
		return nil, errors.Join(ErrNoTurn, ctx.Err())
	}
	w := g.arrive(caller)
	select {
	case err = <-w.turn:
	case <-ctx.Done():
		if !g.giveUp(w) {
			err = <-w.turn // decided meanwhile
			break
		}
		return nil, errors.Join(ErrNoTurn, ctx.Err())
	}
	if err != nil {
		return nil, err
	}
	return sync.OnceFunc(g.leave), nil
}

// Blame adds to a caller's demand as if it had made n more calls.
func (g *Gate) Blame(caller Caller, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.demand.Add(caller, n, time.Now())
}

// InUse returns how many calls are in progress.
func (g *Gate) InUse() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inUse
}

// arrive counts the call and decides about it at once if it can.
func (g *Gate) arrive(caller Caller) *queued {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.demand.Add(caller, 1, now)
	w := &queued{caller: caller, demand: g.demand.Of(caller, now), turn: make(chan error, 1)}
	// The calls that wait can't be let through yet, so only the new one may be.
	if g.inUse < g.options.Concurrent && g.bucket.turns(now) >= g.needed(w) {
		g.admit(w, now)
		return w
	}
	if len(g.waiting) >= g.options.Waiting {
		worst := -1
		for i, other := range g.waiting {
			if other.demand > w.demand && (worst < 0 || other.demand > g.waiting[worst].demand) {
				worst = i
			}
		}
		if worst < 0 {
			w.turn <- ErrCrowded
			return w
		}
		g.waiting[worst].turn <- ErrCrowded
		g.remove(worst)
	}
	g.waiting = append(g.waiting, w)
	g.schedule()
	return w
}

// needed returns how many turns the bucket must hold for a call to be let through.
func (g *Gate) needed(w *queued) float64 {
	burst := float64(g.options.Burst)
	return 1 + min(burst*reservedShare, burst-1)*min(w.demand/g.options.FullDemand, 1)
}

func (g *Gate) admit(w *queued, now time.Time) {
	g.bucket.charge(now)
	g.inUse++
	w.turn <- nil
}

func (g *Gate) remove(i int) {
	copy(g.waiting[i:], g.waiting[i+1:])
	g.waiting[len(g.waiting)-1] = nil
	g.waiting = g.waiting[:len(g.waiting)-1]
}

// next returns the index of the call whose turn is next; -1 if none waits.
func (g *Gate) next(now time.Time) int {
	best := -1
	for i, w := range g.waiting {
		w.demand = g.demand.Of(w.caller, now)
		if best < 0 || w.demand <= g.waiting[best].demand {
			best = i
		}
	}
	return best
}

// dispatch lets through as many waiting calls as possible.
func (g *Gate) dispatch() {
	now := time.Now()
	for g.inUse < g.options.Concurrent && g.bucket.turns(now) >= 1 {
		i := g.next(now)
		if i < 0 || g.bucket.turns(now) < g.needed(g.waiting[i]) {
			break
		}
		g.admit(g.waiting[i], now)
		g.remove(i)
	}
	g.schedule()
}

// schedule arranges for dispatch to be called when there may be enough turns for a waiting
// call.
func (g *Gate) schedule() {
	if len(g.waiting) == 0 || g.inUse >= g.options.Concurrent {
		return // leave dispatches
	}
	least := g.needed(g.waiting[0])
	for _, w := range g.waiting[1:] {
		least = min(least, g.needed(w))
	}
	wait := max(min(g.bucket.wait(time.Now(), least), time.Minute), time.Millisecond)
	if g.timer == nil {
		g.timer = time.AfterFunc(wait, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.dispatch()
		})
		return
	}
	g.timer.Reset(wait)
}

func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inUse--
	if len(g.waiting) > 0 {
		g.dispatch()
	}
}

// giveUp removes a call and reports whether it was still waiting.
func (g *Gate) giveUp(w *queued) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, other := range g.waiting {
		if other == w {
			g.remove(i)
			return true
		}
	}
	return false
}
