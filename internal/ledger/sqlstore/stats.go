// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
)

// Stats implements [ledger.Monitor].
func (s *Store) Stats(ctx context.Context) (ledger.Stats, error) {
	var st ledger.Stats
	for _, q := range []struct {
		queue
		pending, quarantined *int64
		overdue              *time.Duration
	}{
		{eventQueue, &st.PendingEvents, &st.QuarantinedEvents, &st.EventOverdue},
		{deliveryQueue, &st.PendingDeliveries, &st.QuarantinedDeliveries, &st.DeliveryOverdue},
	} {
		if err := s.pool.QueryRowContext(ctx, q.queue.pending).Scan(q.pending); err != nil {
			return ledger.Stats{}, unavailable("counting pending work", err)
		}
		if err := s.pool.QueryRowContext(ctx, q.queue.quarantined).Scan(q.quarantined); err != nil {
			return ledger.Stats{}, unavailable("counting quarantined work", err)
		}
		at, ok, err := s.due(ctx, q.queue)
		if err != nil {
			return ledger.Stats{}, err
		}
		if ok {
			*q.overdue = max(0, s.clock.Since(at))
		}
	}
	return st, nil
}
