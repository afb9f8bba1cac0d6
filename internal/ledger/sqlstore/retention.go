// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"strings"
	"time"

	"github.com/rehive/extension-operator/internal/ledger/driver"
)

// retained are the statements for a table whose rows are kept for a time. IDs
// grow with time, so the oldest rows are looked at from the first on, and no
// index on time is needed: every insert would pay for it.
type retained struct{ window, remove string }

func newRetained(table, at string) retained {
	in := func(q string) string {
		return strings.NewReplacer("{table}", table, "{at}", at).Replace(q)
	}
	return retained{
		window: in(`
			SELECT MAX(id), COUNT(*), COALESCE(SUM(CASE WHEN state <> 'pending' AND {at} < $1 THEN 1 ELSE 0 END), 0)
			FROM (SELECT id, state, {at} FROM {table} WHERE id > $2 ORDER BY id LIMIT $3) AS oldest`),
		remove: in("DELETE FROM {table} WHERE id > $1 AND id <= $2 AND state <> 'pending' AND {at} < $3"),
	}
}

var retainedTables = []retained{newRetained("events", "updated_at"), newRetained("deliveries", "updated_at")}

// DeleteBefore implements [ledger.Retention].
func (s *Store) DeleteBefore(ctx context.Context, before time.Time, limit int) (int, error) {
	total, until := 0, s.stored(before)
	for _, t := range retainedTables {
		deleted, after := 0, int64(0)
		for deleted < limit {
			var last *int64
			var seen, old int
			if err := s.pool.QueryRowContext(ctx, t.window, until, after, step).Scan(&last, &seen, &old); err != nil {
				return total, unavailable("looking for old rows", err)
			}
			if seen == 0 {
				break
			}
			if old == 0 {
				// Nothing but rows to keep: those behind them are younger still. A row
				// can end long after its neighbours (24 hours of retries), which only
				// means that they are deleted with it.
				break
			}
			n, err := write(ctx, s, &driver.Job{Single: true}, func(tx driver.Tx) (int64, error) { return tx.Exec(t.remove, after, *last, until) })
			if err != nil {
				return total, err
			}
			deleted, total, after = deleted+int(n), total+int(n), *last
		}
	}
	return total, nil
}
