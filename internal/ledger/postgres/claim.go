// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"database/sql"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

// A claim locks the rows that it takes and skips those that another replica is taking.
// The rows are picked once before they are changed: a plain subquery might be evaluated
// again for each row.
var (
	claimEvents = `
		WITH picked AS MATERIALIZED (
			SELECT id, next_attempt_at AS due FROM events WHERE state = 'pending' AND company = $3 AND next_attempt_at <= $4
			ORDER BY next_attempt_at, id LIMIT $5 FOR UPDATE SKIP LOCKED
		), claimed AS (
			UPDATE events SET lease = $1, next_attempt_at = $2, attempts = attempts + 1,
				unfinished = unfinished + CASE WHEN lease <> 0 THEN 1 ELSE 0 END
			FROM picked WHERE events.id = picked.id
			RETURNING events.*, picked.due
		)
		SELECT ` + schema.ClaimedEventColumns("unfinished") + ` FROM claimed ORDER BY due, id`
	claimDeliveries = `
		WITH picked AS MATERIALIZED (
			SELECT id, next_attempt_at AS due FROM deliveries WHERE state = 'pending' AND company = $3 AND channel = $4 AND next_attempt_at <= $5
			ORDER BY next_attempt_at, id LIMIT $6 FOR UPDATE SKIP LOCKED
		), claimed AS (
			UPDATE deliveries SET lease = $1, next_attempt_at = $2, attempts = attempts + 1,
				unfinished = unfinished + CASE WHEN lease <> 0 THEN 1 ELSE 0 END
			FROM picked WHERE deliveries.id = picked.id
			RETURNING deliveries.*, picked.due
		)
		SELECT ` + schema.ClaimedDeliveryColumns("unfinished") + ` FROM claimed deliveries` + schema.WithContents + `ORDER BY due, deliveries.id`
)

// dialect differs in a commit that need not wait for the disk, for which the setting
// holds until the end of the transaction, and in rows that others may delete meanwhile.
var dialect = driver.Dialect{
	Position:     "strpos",
	DataContains: "position($%d IN data) > 0",
	FoldedData:   "lower(encode(data, 'escape'))",
	EndEventRelaxed: `
	WITH relaxed AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
	UPDATE events SET state = $1, message = $2, updated_at = $3, lease = 0
	FROM relaxed WHERE id = $4 AND lease = $5 AND state = 'pending'`,
	KeepContent: "SELECT 1 FROM contents WHERE id = (SELECT content FROM deliveries WHERE id = $1) FOR KEY SHARE",
}

// querier is a transaction or a pool.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// tx implements [driver.Tx]. pgx keeps its statements prepared.
type tx struct {
	ctx context.Context
	on  querier
}

var _ driver.Tx = tx{}

// Exec implements [driver.Tx].
func (t tx) Exec(query string, args ...any) (int64, error) {
	r, err := t.on.ExecContext(t.ctx, query, driver.StorableArgs(args)...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Query implements [driver.Tx].
func (t tx) Query(query string, args ...any) (*sql.Rows, error) {
	return t.on.QueryContext(t.ctx, query, driver.StorableArgs(args)...)
}

// Insert implements [driver.Tx].
func (t tx) Insert(query string, n int, args ...any) ([]int64, error) {
	rows, err := t.Query(query+" RETURNING id", args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	ids := make([]int64, 0, n)
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// ClaimEvents implements [driver.Tx].
func (t tx) ClaimEvents(c driver.Claim) ([]ledger.ClaimedEvent, error) {
	return schema.ScanClaimedEvents(t.Query(claimEvents, c.Lease, c.Until, c.Lane.Company, c.Now, c.Limit)) //nolint:rowserrcheck // the function does
}

// ClaimDeliveries implements [driver.Tx].
func (t tx) ClaimDeliveries(c driver.Claim) ([]ledger.Delivery, error) {
	return schema.ScanDeliveries(t.Query(claimDeliveries, c.Lease, c.Until, c.Lane.Company, c.Lane.Channel, c.Now, c.Limit)) //nolint:rowserrcheck // the function does
}
