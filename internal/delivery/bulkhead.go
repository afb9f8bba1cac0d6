// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// maxSlotWait is how long a message waits for a slot: it comes a moment before
	// one is free, so that none is ever idle.
	maxSlotWait = time.Second
	// claimTime is about how long it takes to claim what goes into a slot that
	// became free. What is freed meanwhile is claimed ahead, at most maxAhead messages
	// for each slot.
	claimTime = 20 * time.Millisecond
	maxAhead  = 8
	// stuckAfter is when a provider that sent nothing back is taken to hang, so that
	// nothing is claimed ahead for it.
	stuckAfter = 500 * time.Millisecond
)

// Bulkhead bounds how many messages are with a provider at once, so that one that
// hangs doesn't take every worker.
type Bulkhead struct {
	next  Provider
	slots chan struct{}

	mu       sync.Mutex
	average  time.Duration // of the time that a message takes
	returned time.Time     // when the last came back
}

// NewBulkhead lets slots messages be with next at once, at least 1.
func NewBulkhead(next Provider, slots int) *Bulkhead {
	return &Bulkhead{next: next, slots: make(chan struct{}, max(slots, 1))}
}

// Send implements [Provider]. It waits a short time for a slot; to wait longer would
// occupy the worker that the bulkhead is there to spare.
func (b *Bulkhead) Send(ctx context.Context, m Message) (Receipt, error) {
	select {
	case b.slots <- struct{}{}:
	default:
		timer := time.NewTimer(maxSlotWait)
		defer timer.Stop()
		select {
		case b.slots <- struct{}{}:
		case <-timer.C:
			return Receipt{}, b.busy()
		case <-ctx.Done():
			return Receipt{}, b.busy()
		}
	}
	began := time.Now()
	defer func() {
		b.note(time.Since(began))
		<-b.slots
	}()
	return b.next.Send(ctx, m)
}

func (b *Bulkhead) busy() error {
	return Transient(ReasonBusy, fmt.Sprintf("The provider already has %d messages in hand.", cap(b.slots)), time.Second)
}

func (b *Bulkhead) note(took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.returned.IsZero() {
		b.average = took
	}
	b.average += (took - b.average) / 8
	b.returned = time.Now()
}

// hold is how many messages may be in hand: one for each slot, and as many more as
// there will be slots for by the time that they are claimed.
func (b *Bulkhead) hold() int {
	slots := cap(b.slots)
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.returned) > stuckAfter {
		return slots
	}
	return slots + int(float64(slots)*min(maxAhead, float64(claimTime)/float64(max(b.average, 1))))
}
