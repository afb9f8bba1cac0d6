// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"context"
	"sync"
	"time"
)

const (
	// maxAhead bounds how many calls are prepared for each slot.
	maxAhead = 8
	// stuckAfter is the time without a returning call after which a counterpart counts as
	// hanging, so that no calls are prepared for it.
	stuckAfter = 500 * time.Millisecond
)

// bulkhead bounds how many calls are under way at once, so that a counterpart that hangs
// doesn't occupy everybody.
type bulkhead struct {
	slots chan struct{}

	mu       sync.Mutex
	average  time.Duration // of a call
	returned time.Time     // when the last call returned
}

func newBulkhead(slots int) *bulkhead { return &bulkhead{slots: make(chan struct{}, slots)} }

// enter takes a slot. It waits up to limit for one.
func (b *bulkhead) enter(ctx context.Context, limit time.Duration) bool {
	select {
	case b.slots <- struct{}{}:
		return true
	default:
	}
	if limit <= 0 {
		return false
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case b.slots <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// leave gives a slot back after a call of the given duration.
func (b *bulkhead) leave(took time.Duration) {
	b.mu.Lock()
	if b.returned.IsZero() {
		b.average = took
	}
	b.average += (took - b.average) / 8
	b.returned = time.Now()
	b.mu.Unlock()
	<-b.slots
}

func (b *bulkhead) inUse() int { return len(b.slots) }

// free is how many calls there are slots for by the time that they have been prepared:
// all slots, and those that become free within the preparation, a few for each.
func (b *bulkhead) free(preparation time.Duration) int {
	slots := cap(b.slots)
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.returned) > stuckAfter {
		return slots
	}
	return slots + int(float64(slots)*min(maxAhead, float64(preparation)/float64(max(b.average, 1))))
}
