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
	// QuarantinedEvents and QuarantinedDeliveries are set aside until they are released.
	QuarantinedEvents, QuarantinedDeliveries int64
	// OldestEventDue and OldestDeliveryDue are since when the longest waiting work
	// is due; zero if nothing is overdue.
	OldestEventDue, OldestDeliveryDue time.Time
}

// Stats counts what is pending and what is quarantined.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	var st Stats
	for _, q := range []struct {
		queue
		pending, quarantined *int64
		oldest               *time.Time
	}{
		{eventQueue, &st.PendingEvents, &st.QuarantinedEvents, &st.OldestEventDue},
		{deliveryQueue, &st.PendingDeliveries, &st.QuarantinedDeliveries, &st.OldestDeliveryDue},
	} {
		if err := s.reader.QueryRowContext(ctx, q.queue.pending).Scan(q.pending); err != nil {
			return Stats{}, unavailable("counting pending work", err)
		}
		if err := s.reader.QueryRowContext(ctx, q.queue.quarantined).Scan(q.quarantined); err != nil {
			return Stats{}, unavailable("counting quarantined work", err)
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
