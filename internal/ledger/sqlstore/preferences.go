// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

// byUID begins the rule column of preferences that have the rule's UID instead of its name.
const byUID = "uid:"

// SetPreference implements [ledger.Preferences].
func (s *Store) SetPreference(ctx context.Context, p ledger.Preference) error {
	if p.Company == "" || p.UserID == "" || p.Name == "" {
		return errors.New("a preference needs a company, a user and a rule")
	}
	enabled := 0
	if p.Enabled {
		enabled = 1
	}
	return s.driver.Write(ctx, &driver.Job{Run: func(tx driver.Tx) error {
		_, err := tx.Exec(`
			INSERT INTO preferences (company, user_id, rule, enabled, updated_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (company, user_id, rule) DO UPDATE SET enabled = excluded.enabled, updated_at = excluded.updated_at`,
			p.Company, p.UserID, p.Name, enabled, s.now())
		if err != nil || p.UID == "" {
			return err
		}
		_, err = tx.Exec("DELETE FROM preferences WHERE company = $1 AND user_id = $2 AND rule = $3", p.Company, p.UserID, byUID+p.UID)
		return err
	}})
}

// Preferences implements [ledger.Preferences].
func (s *Store) Preferences(ctx context.Context, company, user string) (found []ledger.Preference, err error) {
	rows, err := s.pool.QueryContext(ctx, "SELECT rule, enabled, updated_at FROM preferences WHERE company = $1 AND user_id = $2",
		driver.StorableArgs([]any{company, user})...)
	if err != nil {
		return nil, unavailable("reading preferences", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		p := ledger.Preference{Company: company, UserID: user}
		var updated int64
		if err := rows.Scan(&p.Name, &p.Enabled, &updated); err != nil {
			return nil, unavailable("reading preferences", err)
		}
		if uid, ok := strings.CutPrefix(p.Name, byUID); ok {
			p.Rule = ledger.Rule{UID: uid}
		}
		p.UpdatedAt = schema.Time(updated).Add(-s.clock.Ahead())
		found = append(found, p)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("reading preferences", err)
	}
	return found, nil
}

// maxOptedOut is how many rules one query is about.
const maxOptedOut = 500

// OptedOut implements [ledger.Preferences].
func (s *Store) OptedOut(ctx context.Context, company string, users []string, rules []ledger.Rule) (map[string][]string, error) {
	if len(users) == 0 {
		return nil, nil
	}
	var out map[string][]string
	for some := range slices.Chunk(rules, maxOptedOut) {
		var old []ledger.Rule
		err := s.optedOut(ctx, company, users, some, func(user string, rule ledger.Rule, byUID bool) {
			if out == nil {
				out = make(map[string][]string, len(users))
			}
			if !slices.Contains(out[user], rule.Name) {
				out[user] = append(out[user], rule.Name)
			}
			if byUID && !slices.Contains(old, rule) {
				old = append(old, rule)
			}
		})
		if err != nil {
			return nil, err
		}
		for _, rule := range old {
			// If it fails, the next event tries again: the choice counts in any case.
			_ = s.nameRule(ctx, company, rule)
		}
	}
	return out, nil
}

func (s *Store) optedOut(ctx context.Context, company string, users []string, rules []ledger.Rule, found func(user string, rule ledger.Rule, byUID bool)) (err error) {
	args := make([]any, 1, 1+len(users)+2*len(rules))
	args[0] = company
	among := func(values []string) string {
		places := make([]string, len(values))
		for i, value := range values {
			args = append(args, value)
			places[i] = "$" + strconv.Itoa(len(args))
		}
		return "(" + strings.Join(places, ", ") + ")"
	}
	keys, rule := make([]string, 0, 2*len(rules)), make(map[string]ledger.Rule, 2*len(rules))
	for _, r := range rules {
		keys = append(keys, r.Name)
		rule[driver.Storable(r.Name)] = r
		if r.UID != "" {
			keys = append(keys, byUID+r.UID)
			rule[byUID+driver.Storable(r.UID)] = r
		}
	}
	rows, err := s.pool.QueryContext(ctx, "SELECT user_id, rule FROM preferences WHERE company = $1 AND user_id IN "+among(users)+ //nolint:gosec // the places of arguments
		" AND rule IN "+among(keys)+" AND enabled = 0", driver.StorableArgs(args)...)
	if err != nil {
		return unavailable("reading preferences", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var user, key string
		if err := rows.Scan(&user, &key); err != nil {
			return unavailable("reading preferences", err)
		}
		found(user, rule[key], strings.HasPrefix(key, byUID))
	}
	if err := rows.Err(); err != nil {
		return unavailable("reading preferences", err)
	}
	return nil
}

// nameRule gives the preferences that have a rule's UID its name.
func (s *Store) nameRule(ctx context.Context, company string, r ledger.Rule) error {
	return s.driver.Write(ctx, &driver.Job{Run: func(tx driver.Tx) error {
		_, err := tx.Exec(`
			INSERT INTO preferences (company, user_id, rule, enabled, updated_at)
			SELECT company, user_id, CAST($3 AS TEXT), enabled, updated_at FROM preferences WHERE company = $1 AND rule = $2
			ON CONFLICT (company, user_id, rule) DO NOTHING`, company, byUID+r.UID, r.Name)
		if err != nil {
			return err
		}
		_, err = tx.Exec("DELETE FROM preferences WHERE company = $1 AND rule = $2", company, byUID+r.UID)
		return err
	}})
}
