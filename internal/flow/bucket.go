// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bucket is a token bucket: it grants turns at a bounded rate, and some at once after a
// pause. It is safe for concurrent use.
type Bucket struct {
	mu      sync.Mutex // held while turns of several buckets are taken together
	limiter *rate.Limiter
}

// NewBucket returns a full bucket that grants perSecond turns a second and burst turns, at
// least 1, at once.
func NewBucket(perSecond float64, burst int) *Bucket {
	return &Bucket{limiter: rate.NewLimiter(rate.Limit(perSecond), max(burst, 1))}
}

// Charge takes a turn for a call that is made whether or not its turn has come. Later
// calls wait the longer for it.
func (b *Bucket) Charge() { b.charge(time.Now()) }

func (b *Bucket) charge(now time.Time) { b.limiter.ReserveN(now, 1) }

// turns is how many turns could be taken now. It is negative if calls wait for theirs.
func (b *Bucket) turns(now time.Time) float64 { return b.limiter.TokensAt(now) }

func (b *Bucket) rate() float64 { return float64(b.limiter.Limit()) }

// wait is how long it takes until there are n turns.
func (b *Bucket) wait(now time.Time, n float64) time.Duration {
	return time.Duration(max(0, n-b.turns(now)) / b.rate() * float64(time.Second))
}

// takeTurn takes the next turn of each bucket and returns how long the call has to wait
// until all of them have come. If that is longer than limit, ok is false and it takes none.
func takeTurn(buckets []*Bucket, now time.Time, limit time.Duration) (wait time.Duration, ok bool) {
	for _, b := range buckets { // always in the same order
		b.mu.Lock()
		defer b.mu.Unlock()
		wait = max(wait, b.wait(now, 1))
	}
	if wait > limit {
		return wait, false
	}
	for _, b := range buckets {
		b.charge(now)
	}
	return wait, true
}
