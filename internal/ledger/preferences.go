// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rule is a NotificationRule. Its name is what counts: one that is replaced or restored
// has another UID and is the same rule to its users.
type Rule struct {
	// Name is namespace/name; empty in a preference that was set when rules were known
	// by UID, and whose rule has not been seen since.
	Name string
	// UID is metadata.uid. It finds such preferences.
	UID string
}

// byUID stands in place of a rule's name in preferences that only have its UID.
const byUID = "uid:"

// Preference is what a user chose for the messages of a rule. They have no time
// to live: those of a rule that was deleted go with the company.
type Preference struct {
	// Company and UserID are the platform's identifiers.
	Company, UserID string
	Rule
	// Enabled is whether the user wants the messages.
	Enabled bool
	// UpdatedAt is when it was last set; the ledger sets it.
	UpdatedAt time.Time
}

// SetPreference stores what a user chose, in place of what the user chose before.
// It is durable when the error is nil.
func (s *Store) SetPreference(ctx context.Context, p Preference) error {
	if p.Company == "" || p.UserID == "" || p.Name == "" {
		return errors.New("a preference needs a company, a user and a rule")
	}
	enabled := 0
	if p.Enabled {
		enabled = 1
	}
	return s.write(ctx, &job{run: func(w *writer) error {
		_, err := w.exec(`
			INSERT INTO preferences (company, user_id, rule, enabled, updated_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (company, user_id, rule) DO UPDATE SET enabled = excluded.enabled, updated_at = excluded.updated_at`,
			p.Company, p.UserID, p.Name, enabled, s.now())
		if err != nil || p.UID == "" {
			return err
		}
		_, err = w.exec("DELETE FROM preferences WHERE company = $1 AND user_id = $2 AND rule = $3", p.Company, p.UserID, byUID+p.UID)
		return err
	}})
}

// Preferences returns what a user of a company chose, in no particular order. A
// rule that the user said nothing about is not in it.
func (s *Store) Preferences(ctx context.Context, company, user string) (found []Preference, err error) {
	rows, err := s.reader.QueryContext(ctx, "SELECT rule, enabled, updated_at FROM preferences WHERE company = $1 AND user_id = $2",
		storableArgs([]any{company, user})...)
	if err != nil {
		return nil, unavailable("reading preferences", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		p := Preference{Company: company, UserID: user}
		var updated int64
		if err := rows.Scan(&p.Name, &p.Enabled, &updated); err != nil {
			return nil, unavailable("reading preferences", err)
		}
		if uid, ok := strings.CutPrefix(p.Name, byUID); ok {
			p.Rule = Rule{UID: uid}
		}
		p.UpdatedAt = timeOf(updated).Add(-s.ahead())
		found = append(found, p)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("reading preferences", err)
	}
	return found, nil
}

// maxOptedOut is how many rules one query is about.
const maxOptedOut = 500

// OptedOut returns, by user, the names of those of the rules whose messages the user
// doesn't want.
func (s *Store) OptedOut(ctx context.Context, company string, users []string, rules []Rule) (map[string][]string, error) {
	if len(users) == 0 {
		return nil, nil
	}
	var out map[string][]string
	for some := range slices.Chunk(rules, maxOptedOut) {
		var old []Rule
		err := s.optedOut(ctx, company, users, some, func(user string, rule Rule, byUID bool) {
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
			// What fails is tried again with the next event: the choice counts as it is.
			_ = s.nameRule(ctx, company, rule)
		}
	}
	return out, nil
}

func (s *Store) optedOut(ctx context.Context, company string, users []string, rules []Rule, found func(user string, rule Rule, byUID bool)) (err error) {
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
	keys, rule := make([]string, 0, 2*len(rules)), make(map[string]Rule, 2*len(rules))
	for _, r := range rules {
		keys = append(keys, r.Name)
		rule[storable(r.Name)] = r
		if r.UID != "" {
			keys = append(keys, byUID+r.UID)
			rule[byUID+storable(r.UID)] = r
		}
	}
	rows, err := s.reader.QueryContext(ctx, "SELECT user_id, rule FROM preferences WHERE company = $1 AND user_id IN "+among(users)+ //nolint:gosec // the places of arguments
		" AND rule IN "+among(keys)+" AND enabled = 0", storableArgs(args)...)
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
func (s *Store) nameRule(ctx context.Context, company string, r Rule) error {
	return s.write(ctx, &job{run: func(w *writer) error {
		_, err := w.exec(`
			INSERT INTO preferences (company, user_id, rule, enabled, updated_at)
			SELECT company, user_id, CAST($3 AS TEXT), enabled, updated_at FROM preferences WHERE company = $1 AND rule = $2
			ON CONFLICT (company, user_id, rule) DO NOTHING`, company, byUID+r.UID, r.Name)
		if err != nil {
			return err
		}
		_, err = w.exec("DELETE FROM preferences WHERE company = $1 AND rule = $2", company, byUID+r.UID)
		return err
	}})
}
