// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Preference is what a user chose for the messages of a rule. They have no time
// to live: those of a rule that was deleted go with the company.
type Preference struct {
	// Company and UserID are the platform's identifiers.
	Company, UserID string
	// RuleUID is the NotificationRule's metadata.uid.
	RuleUID string
	// Enabled is whether the user wants the messages.
	Enabled bool
	// UpdatedAt is when it was last set; the ledger sets it.
	UpdatedAt time.Time
}

// SetPreference stores what a user chose, in place of what the user chose before.
// It is durable when the error is nil.
func (s *Store) SetPreference(ctx context.Context, p Preference) error {
	if p.Company == "" || p.UserID == "" || p.RuleUID == "" {
		return errors.New("a preference needs a company, a user and a rule")
	}
	enabled := 0
	if p.Enabled {
		enabled = 1
	}
	return s.write(ctx, &job{one: true, run: func(w *writer) error {
		_, err := w.exec(`
			INSERT INTO preferences (company, user_id, rule_uid, enabled, updated_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (company, user_id, rule_uid) DO UPDATE SET enabled = excluded.enabled, updated_at = excluded.updated_at`,
			p.Company, p.UserID, p.RuleUID, enabled, s.now())
		return err
	}})
}

// Preferences returns what a user of a company chose, in no particular order. A
// rule that the user said nothing about is not in it.
func (s *Store) Preferences(ctx context.Context, company, user string) (found []Preference, err error) {
	rows, err := s.reader.QueryContext(ctx, "SELECT rule_uid, enabled, updated_at FROM preferences WHERE company = $1 AND user_id = $2",
		storableArgs([]any{company, user})...)
	if err != nil {
		return nil, unavailable("reading preferences", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		p := Preference{Company: company, UserID: user}
		var updated int64
		if err := rows.Scan(&p.RuleUID, &p.Enabled, &updated); err != nil {
			return nil, unavailable("reading preferences", err)
		}
		p.UpdatedAt = timeOf(updated).Add(-s.ahead())
		found = append(found, p)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("reading preferences", err)
	}
	return found, nil
}

// OptedOut returns, by user, the UIDs of those of the rules whose messages the
// user doesn't want.
func (s *Store) OptedOut(ctx context.Context, company string, users, rules []string) (out map[string][]string, err error) {
	if len(users) == 0 || len(rules) == 0 {
		return nil, nil
	}
	args := []any{company}
	among := func(values []string) string {
		places := make([]string, len(values))
		for i, value := range values {
			args = append(args, value)
			places[i] = fmt.Sprintf("$%d", len(args))
		}
		return "(" + strings.Join(places, ", ") + ")"
	}
	rows, err := s.reader.QueryContext(ctx, "SELECT user_id, rule_uid FROM preferences WHERE company = $1 AND user_id IN "+among(users)+ //nolint:gosec // the places of arguments
		" AND rule_uid IN "+among(rules)+" AND enabled = 0", storableArgs(args)...)
	if err != nil {
		return nil, unavailable("reading preferences", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var user, rule string
		if err := rows.Scan(&user, &rule); err != nil {
			return nil, unavailable("reading preferences", err)
		}
		if out == nil {
			out = make(map[string][]string, len(users))
		}
		out[user] = append(out[user], rule)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("reading preferences", err)
	}
	return out, nil
}
