// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"fmt"
	"time"
)

// The scopes of a [Quota].
const (
	ScopeCompany   = "company"
	ScopeRecipient = "recipient"
	ScopeCountry   = "country"
)

// Quota is how many messages of one channel a company may send on one day (UTC): in all,
// to one recipient or to one country.
type Quota struct {
	Channel string
	// Scope is one of the Scope constants. Key is the recipient or the country, and empty
	// for ScopeCompany.
	Scope, Key string
	Limit      int64
}

// Charge is what was charged to quotas of a company, so that it can be given back.
type Charge struct {
	company string
	n, day  int64
	quotas  []Quota
}

const (
	charge = `
		INSERT INTO charges (company, channel, scope, key, day, n) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (company, channel, scope, key, day) DO UPDATE SET n = charges.n + excluded.n WHERE charges.n + excluded.n <= $7`
	giveBack = "UPDATE charges SET n = n - $1 WHERE company = $2 AND channel = $3 AND scope = $4 AND key = $5 AND day = $6 AND n >= $1"
)

// Spend charges n messages to each of the quotas, or to none if one of them would be
// exceeded: that one is returned then. Replicas that share the ledger share the quotas.
// Quotas of one company are given in one order: company, country, recipient.
func (s *Store) Spend(ctx context.Context, company string, n int64, quotas ...Quota) (Charge, *Quota, error) {
	c := Charge{company: company, n: n, day: s.day(), quotas: quotas}
	for i := range quotas {
		if quotas[i].Limit < n {
			return Charge{}, &quotas[i], nil
		}
	}
	var exceeded *Quota
	err := s.write(ctx, &job{one: len(quotas) == 1, run: func(w *writer) error {
		exceeded = nil
		for i := range quotas {
			q := &quotas[i]
			changed, err := w.exec(charge, company, q.Channel, q.Scope, q.Key, c.day, n, q.Limit)
			if err != nil {
				return err
			}
			if changed == 0 {
				exceeded = q
				return c.giveBack(w, quotas[:i])
			}
		}
		return nil
	}})
	if err != nil || exceeded != nil {
		return Charge{}, exceeded, err
	}
	return c, nil, nil
}

// GiveBack takes a charge back, for messages that were not sent.
func (s *Store) GiveBack(ctx context.Context, c Charge) error {
	return s.write(ctx, &job{loose: true, one: len(c.quotas) == 1, run: func(w *writer) error { return c.giveBack(w, c.quotas) }})
}

func (c *Charge) giveBack(w *writer, quotas []Quota) error {
	for _, q := range quotas {
		if _, err := w.exec(giveBack, c.n, c.company, q.Channel, q.Scope, q.Key, c.day); err != nil {
			return err
		}
	}
	return nil
}

// Spent returns how many messages a company was charged for today, by channel.
func (s *Store) Spent(ctx context.Context, company string) (map[string]int64, error) {
	rows, err := s.reader.QueryContext(ctx, "SELECT channel, n FROM charges WHERE company = $1 AND scope = $2 AND day = $3", company, ScopeCompany, s.day())
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

// deleteCharges deletes what was charged before yesterday. Yesterday's is kept because
// the clocks of replicas differ.
func (s *Store) deleteCharges(ctx context.Context) error {
	if err := s.inSteps(ctx, "DELETE FROM charges WHERE id IN (SELECT id FROM charges WHERE day < $1 LIMIT $2)", s.day()-1, step); err != nil {
		return fmt.Errorf("deleting what was charged to quotas: %w", err)
	}
	return nil
}
