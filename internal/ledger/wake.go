// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"fmt"
)

const wakeDeliveries = `
	UPDATE deliveries SET next_attempt_at = $1
	WHERE id IN (
		SELECT id FROM deliveries
		WHERE state = 'pending' AND company = $2 AND channel = $3 AND next_attempt_at > $1 AND lease = 0 LIMIT $4
	) AND state = 'pending' AND lease = 0`

// WakeDeliveries makes what waits in a lane due at once, in small steps: use it when
// what it waited for was mended. What a worker has in hand stays with it.
func (s *Store) WakeDeliveries(ctx context.Context, l Lane) error {
	now := s.now()
	for {
		var changed int64
		err := s.write(ctx, &job{one: true, run: func(w *writer) (err error) {
			changed, err = w.exec(wakeDeliveries, now, l.Company, l.Channel, step)
			return err
		}})
		if err != nil {
			return fmt.Errorf("waking a company's deliveries: %w", err)
		}
		if changed == 0 {
			return nil
		}
		s.deliveries.raise()
	}
}
