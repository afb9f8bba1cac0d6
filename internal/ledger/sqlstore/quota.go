// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
)

const (
	charge = `
		INSERT INTO charges (company, channel, scope, key, day, n) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (company, channel, scope, key, day) DO UPDATE SET n = charges.n + excluded.n WHERE charges.n + excluded.n <= $7`
	giveBack = "UPDATE charges SET n = n - $1 WHERE company = $2 AND channel = $3 AND scope = $4 AND key = $5 AND day = $6 AND n >= $1"
)

// Spend implements [ledger.Quotas].
func (s *Store) Spend(ctx context.Context, company string, n int64, quotas ...ledger.Quota) (ledger.Charge, *ledger.Quota, error) {
	c := ledger.Charge{Company: company, Messages: n, Day: s.day(), Quotas: quotas}
	for i := range quotas {
		if quotas[i].Limit < n {
			return ledger.Charge{}, &quotas[i], nil
		}
	}
	var err error
	if c.Quotas, err = s.withoutRecipients(ctx, quotas); err != nil {
		return ledger.Charge{}, nil, err
	}
	exceeded, err := write(ctx, s, &driver.Job{Single: len(quotas) == 1}, func(tx driver.Tx) (*ledger.Quota, error) {
		for i := range c.Quotas {
			q := &c.Quotas[i]
			changed, err := tx.Exec(charge, company, q.Channel, q.Scope, q.Key, c.Day, n, q.Limit)
			if err != nil {
				return nil, err
			}
			if changed == 0 {
				return &quotas[i], unspend(tx, &c, c.Quotas[:i])
			}
		}
		return nil, nil //nolint:nilnil // no quota is exceeded
	})
	if err != nil || exceeded != nil {
		return ledger.Charge{}, exceeded, err
	}
	return c, nil, nil
}

// withoutRecipients returns quotas with keyed hashes instead of recipients: a charge doesn't say
// which user it is about, so an erasure of the user might not find it.
func (s *Store) withoutRecipients(ctx context.Context, quotas []ledger.Quota) ([]ledger.Quota, error) {
	if !slices.ContainsFunc(quotas, func(q ledger.Quota) bool { return q.Scope == ledger.ScopeRecipient }) {
		return quotas, nil
	}
	hidden, err := s.hidden(ctx)
	if err != nil {
		return nil, err
	}
	stored := slices.Clone(quotas)
	for i := range stored {
		if q := &stored[i]; q.Scope == ledger.ScopeRecipient {
			q.Key = hidden(q.Channel, q.Key)
		}
	}
	return stored, nil
}

// GiveBack implements [ledger.Quotas].
func (s *Store) GiveBack(ctx context.Context, c ledger.Charge) error {
	return s.driver.Write(ctx, &driver.Job{Relaxed: true, Single: len(c.Quotas) == 1, Run: func(tx driver.Tx) error { return unspend(tx, &c, c.Quotas) }})
}

func unspend(tx driver.Tx, c *ledger.Charge, quotas []ledger.Quota) error {
	for _, q := range quotas {
		if _, err := tx.Exec(giveBack, c.Messages, c.Company, q.Channel, q.Scope, q.Key, c.Day); err != nil {
			return err
		}
	}
	return nil
}

// Spent implements [ledger.Quotas].
func (s *Store) Spent(ctx context.Context, company string) (map[string]int64, error) {
	rows, err := s.pool.QueryContext(ctx, "SELECT channel, n FROM charges WHERE company = $1 AND scope = $2 AND day = $3", company, ledger.ScopeCompany, s.day())
	if err != nil {
		return nil, unavailable("reading what was charged", err)
	}
	defer func() { _ = rows.Close() }()
	spent := make(map[string]int64)
	for rows.Next() {
		var channel string
		var n int64
		if err := rows.Scan(&channel, &n); err != nil {
			return nil, unavailable("reading what was charged", err)
		}
		spent[channel] = n
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("reading what was charged", err)
	}
	return spent, nil
}

// day is today by the ledger's clock.
func (s *Store) day() int64 { return s.now() / (24 * time.Hour).Milliseconds() }

// DeleteCharges implements [ledger.Retention].
func (s *Store) DeleteCharges(ctx context.Context) error {
	if err := s.inSteps(ctx, nil, "DELETE FROM charges WHERE id IN (SELECT id FROM charges WHERE day < $1 LIMIT $2)", s.day()-1, step); err != nil {
		return fmt.Errorf("deleting what was charged to quotas: %w", err)
	}
	return nil
}
