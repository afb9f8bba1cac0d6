// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const suppress = `
	INSERT INTO suppressions (company, channel, recipient, address, reason, since_at, expires_at)
	SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), CAST($6 AS BIGINT), CAST($7 AS BIGINT)
	WHERE (SELECT COUNT(*) FROM suppressions WHERE company = $1) < $8
	ON CONFLICT (company, channel, recipient, address) DO UPDATE SET reason = excluded.reason, since_at = excluded.since_at, expires_at = excluded.expires_at`

// Suppress implements [ledger.Suppressions].
func (s *Store) Suppress(ctx context.Context, p ledger.Suppression, keep time.Duration) error {
	if p.Company == "" || p.Channel == "" || p.Address == "" {
		return errors.New("a suppression needs a company, a channel and an address")
	}
	return s.driver.Write(ctx, &driver.Job{Single: true, Run: func(tx driver.Tx) error {
		now, expires := s.now(), int64(0)
		if keep > 0 {
			expires = now + keep.Milliseconds()
		}
		_, err := tx.Exec(suppress, p.Company, p.Channel, p.Recipient, p.Address, p.Reason, now, expires, ledger.MaxSuppressions)
		return err
	}})
}

// Suppressed implements [ledger.Suppressions].
func (s *Store) Suppressed(ctx context.Context, company, channel, recipient string) (found []ledger.Suppression, err error) {
	rows, err := s.pool.QueryContext(ctx,
		"SELECT address, reason, since_at FROM suppressions WHERE company = $1 AND channel = $2 AND recipient = $3 AND (expires_at = 0 OR expires_at > $4)",
		driver.StorableArgs([]any{company, channel, recipient, s.now()})...)
	if err != nil {
		return nil, unavailable("reading suppressions", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		p := ledger.Suppression{Company: company, Channel: channel, Recipient: recipient}
		var since int64
		if err := rows.Scan(&p.Address, &p.Reason, &since); err != nil {
			return nil, unavailable("reading suppressions", err)
		}
		p.Since = schema.Time(since).Add(-s.clock.Ahead())
		found = append(found, p)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("reading suppressions", err)
	}
	return found, nil
}

// Unsuppress implements [ledger.Suppressions].
func (s *Store) Unsuppress(ctx context.Context, company, channel, recipient string, addresses ...string) error {
	if len(addresses) == 0 {
		return nil
	}
	return s.driver.Write(ctx, &driver.Job{Run: func(tx driver.Tx) error {
		for _, address := range addresses {
			if _, err := tx.Exec("DELETE FROM suppressions WHERE company = $1 AND channel = $2 AND recipient = $3 AND address = $4", company, channel, recipient, address); err != nil {
				return err
			}
		}
		return nil
	}})
}

// DeleteSuppressions implements [ledger.Retention].
func (s *Store) DeleteSuppressions(ctx context.Context) error {
	err := s.inSteps(ctx, nil, "DELETE FROM suppressions WHERE id IN (SELECT id FROM suppressions WHERE expires_at > 0 AND expires_at <= $1 LIMIT $2)", s.now(), step)
	if err != nil {
		return fmt.Errorf("deleting expired suppressions: %w", err)
	}
	return nil
}
