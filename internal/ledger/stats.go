// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"time"
)

// Stats are counts for metrics.
type Stats struct {
	PendingEvents, PendingDeliveries int64
	// OldestEventDue and OldestDeliveryDue are since when the longest waiting work
	// is due; zero if nothing is overdue.
	OldestEventDue, OldestDeliveryDue time.Time
}

// Stats counts what is pending.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	var st Stats
	for _, q := range []struct {
		queue
		pending *int64
		oldest  *time.Time
	}{
		{eventQueue, &st.PendingEvents, &st.OldestEventDue},
		{deliveryQueue, &st.PendingDeliveries, &st.OldestDeliveryDue},
	} {
		if err := s.reader.QueryRowContext(ctx, q.queue.pending).Scan(q.pending); err != nil {
			return Stats{}, unavailable("counting pending work", err)
		}
		at, ok, err := s.due(ctx, q.queue)
		if err != nil {
			return Stats{}, err
		}
		if ok && at.Before(s.clock.Now()) {
			*q.oldest = at.Add(-s.ahead())
		}
	}
	return st, nil
}
