// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"time"
)

// Bulkhead bounds how many messages are with a provider at once, so that one that
// hangs doesn't take every worker.
type Bulkhead struct {
	next  Provider
	slots chan struct{}
}

// NewBulkhead lets slots messages be with next at once, at least 1.
func NewBulkhead(next Provider, slots int) *Bulkhead {
	return &Bulkhead{next: next, slots: make(chan struct{}, max(slots, 1))}
}

// Send implements [Provider]. It doesn't wait for a slot: waiting would occupy the
// worker that the bulkhead is there to spare.
func (b *Bulkhead) Send(ctx context.Context, m Message) (Receipt, error) {
	select {
	case b.slots <- struct{}{}:
	default:
		return Receipt{}, Transient(ReasonBusy, fmt.Sprintf("The provider already has %d messages in hand.", cap(b.slots)), time.Second)
	}
	defer func() { <-b.slots }()
	return b.next.Send(ctx, m)
}
