// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const (
	suppress = `
		INSERT INTO suppressions (company, channel, recipient, address, reason, source, note, since_at, expires_at)
		SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), CAST($6 AS TEXT), CAST($7 AS TEXT), CAST($8 AS BIGINT), CAST($9 AS BIGINT)
		WHERE (SELECT COUNT(*) FROM suppressions WHERE company = $1 AND channel = $2) < $10
		ON CONFLICT (company, channel, recipient, address, reason) DO UPDATE SET since_at = excluded.since_at, source = excluded.source,
			note = CASE WHEN excluded.note = '' THEN suppressions.note ELSE excluded.note END,
			expires_at = CASE WHEN suppressions.expires_at = 0 THEN 0 ELSE excluded.expires_at END`
	// renewSuppression is for a company that has no room for another.
	renewSuppression = `
		UPDATE suppressions SET since_at = $1, expires_at = CASE WHEN expires_at = 0 THEN 0 ELSE CAST($2 AS BIGINT) END
		WHERE company = $3 AND channel = $4 AND recipient = $5 AND address = $6 AND reason = $7`
	suppressionColumns = "SELECT id, company, channel, recipient, address, reason, source, note, since_at, expires_at FROM suppressions "
	notExpired         = "(expires_at = 0 OR expires_at > $1)"
	// hideSuppression keeps a wish of a user who is erased, without the address. If the
	// keyed hash is there already, the row is deleted.
	hideSuppression = `
		UPDATE suppressions SET address = $1, note = '' WHERE id = $2 AND NOT EXISTS (
			SELECT 1 FROM suppressions o WHERE o.company = suppressions.company AND o.channel = suppressions.channel
				AND o.recipient = '' AND o.address = $1 AND o.reason = suppressions.reason)`
	// maxAmong is how many recipients one query is about.
	maxAmong = 400
	// suppressionKey is the name of the key of hidden addresses.
	suppressionKey = "suppressions"
)

// Suppress implements [ledger.Suppressions].
func (s *Store) Suppress(ctx context.Context, p ledger.Suppression, keep time.Duration) error {
	if p.Company == "" || p.Channel == "" || p.Address == "" || p.Reason == "" {
		return errors.New("a suppression needs a company, a channel, an address and a reason")
	}
	return s.driver.Write(ctx, &driver.Job{
		Run:       func(tx driver.Tx) error { return s.suppress(tx, p, keep) },
		Committed: func() { s.suppressed.add(ledger.Lane{Company: p.Company, Channel: p.Channel}) },
	})
}

// suppress stores a suppression. Once that is committed, its lane must be added to
// s.suppressed.
func (s *Store) suppress(tx driver.Tx, p ledger.Suppression, keep time.Duration) error {
	now, expires := s.now(), int64(0)
	if keep > 0 {
		expires = now + keep.Milliseconds()
	}
	if p.Recipient == "" {
		p.Address = ledger.RecipientKey(p.Channel, p.Address)
	}
	if p.Source == "" {
		p.Source = ledger.SourceProvider
	}
	n, err := tx.Exec(suppress, p.Company, p.Channel, p.Recipient, p.Address, p.Reason, p.Source, p.Note, now, expires, ledger.MaxSuppressions)
	if err != nil || n > 0 {
		return err
	}
	n, err = tx.Exec(renewSuppression, now, expires, p.Company, p.Channel, p.Recipient, p.Address, p.Reason)
	if err == nil && n == 0 {
		err = ledger.ErrSuppressionsFull
	}
	return err
}

// Suppressed implements [ledger.Suppressions].
func (s *Store) Suppressed(ctx context.Context, company, channel, recipient string) ([]ledger.Suppression, error) {
	if recipient == "" || !s.suppressed.any(ledger.Lane{Company: company, Channel: channel}) {
		return nil, nil
	}
	return s.readSuppressions(ctx, "WHERE "+notExpired+" AND company = $2 AND channel = $3 AND recipient = $4", s.now(), company, channel, recipient)
}

// SuppressedAmong implements [ledger.Suppressions].
func (s *Store) SuppressedAmong(ctx context.Context, company, channel string, recipients ...string) (map[string]ledger.SuppressionReason, error) {
	if len(recipients) == 0 || !s.suppressed.any(ledger.Lane{Company: company, Channel: channel}) {
		return nil, nil
	}
	hidden, err := s.hidden(ctx)
	if err != nil {
		return nil, err
	}
	reasons := map[string]ledger.SuppressionReason{}
	for some := range slices.Chunk(recipients, maxAmong) {
		byForm := make(map[string][]string, 2*len(some))
		var c conditions
		c.values = append(c.values, s.now())
		c.add(notExpired)
		c.compare("company =", company)
		c.compare("channel =", channel)
		c.add("recipient = ''")
		forms := make([]string, 0, 2*len(some))
		for _, recipient := range some {
			key := driver.Storable(ledger.RecipientKey(channel, recipient))
			for _, form := range []string{key, hidden(channel, key)} {
				if byForm[form] == nil {
					forms = append(forms, form)
				}
				byForm[form] = append(byForm[form], recipient)
			}
		}
		c.among("address", forms)
		found, err := s.readSuppressions(ctx, c.where(), c.values...)
		if err != nil {
			return nil, err
		}
		for i := range found {
			for _, recipient := range byForm[found[i].Address] {
				if known := reasons[recipient]; known == "" || !known.Hard() && found[i].Reason.Hard() {
					reasons[recipient] = found[i].Reason
				}
			}
		}
	}
	return reasons, nil
}

// hidden returns the function that makes the keyed hash of a recipient's normal form.
func (s *Store) hidden(ctx context.Context) (func(channel, key string) string, error) {
	secret, err := s.Key(ctx, suppressionKey)
	if err != nil {
		return nil, err
	}
	return func(channel, key string) string {
		h := hmac.New(sha256.New, secret)
		_, _ = fmt.Fprintf(h, "%s\x00%s", channel, key)
		return ledger.HiddenAddress + hex.EncodeToString(h.Sum(nil))
	}, nil
}

// Unsuppress implements [ledger.Suppressions].
func (s *Store) Unsuppress(ctx context.Context, company, channel, recipient string, addresses ...string) error {
	if len(addresses) == 0 || recipient == "" {
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

// EndSuppressions implements [ledger.Suppressions].
func (s *Store) EndSuppressions(ctx context.Context, company, channel, recipient string, reasons ...ledger.SuppressionReason) (int, error) {
	if recipient == "" || !s.suppressed.any(ledger.Lane{Company: company, Channel: channel}) {
		return 0, nil
	}
	hidden, err := s.hidden(ctx)
	if err != nil {
		return 0, err
	}
	key := driver.Storable(ledger.RecipientKey(channel, recipient))
	return write(ctx, s, &driver.Job{}, func(tx driver.Tx) (ended int, err error) {
		for _, reason := range reasons {
			n, err := tx.Exec("DELETE FROM suppressions WHERE company = $1 AND channel = $2 AND recipient = '' AND address IN ($3, $4) AND reason = $5",
				company, channel, key, hidden(channel, key), reason)
			if err != nil {
				return 0, err
			}
			ended += int(n)
		}
		return ended, nil
	})
}

// ListSuppressions implements [ledger.Suppressions].
func (s *Store) ListSuppressions(ctx context.Context, f ledger.SuppressionFilter, offset, limit int) (page ledger.SuppressionPage, err error) {
	var c conditions
	c.values = append(c.values, s.now())
	c.add(notExpired)
	c.compare("company =", f.Company)
	if f.Channel != "" {
		c.compare("channel =", f.Channel)
	}
	if f.Reason != "" {
		c.compare("reason =", string(f.Reason))
	}
	if f.Address != "" {
		hidden, err := s.hidden(ctx)
		if err != nil {
			return page, err
		}
		forms := make([]string, 0, 6)
		for _, channel := range []string{ledger.ChannelEmail, ledger.ChannelSMS, ledger.ChannelPush} {
			if f.Channel == "" || f.Channel == channel {
				key := ledger.RecipientKey(channel, f.Address)
				forms = append(forms, key, hidden(channel, driver.Storable(key)))
			}
		}
		c.among("address", forms)
	}
	c.after("id", f.After, f.OldestFirst)
	l := listing[ledger.Suppression]{
		name: "suppressions", query: suppressionColumns, table: "suppressions", where: c.where(),
		order: "id" + direction(f.OldestFirst), args: c.arguments(), scan: s.scanSuppression,
	}
	page.Suppressions, page.More, page.Count, err = l.page(ctx, s, offset, limit)
	return page, err
}

// Suppression implements [ledger.Suppressions].
func (s *Store) Suppression(ctx context.Context, company string, id int64) (ledger.Suppression, error) {
	found, err := s.readSuppressions(ctx, "WHERE "+notExpired+" AND company = $2 AND id = $3", s.now(), company, id)
	if err != nil {
		return ledger.Suppression{}, err
	}
	if len(found) == 0 {
		return ledger.Suppression{}, fmt.Errorf("suppression %d: %w", id, ledger.ErrNotFound)
	}
	return found[0], nil
}

// DeleteSuppression implements [ledger.Suppressions].
func (s *Store) DeleteSuppression(ctx context.Context, company string, id int64) error {
	return s.driver.Write(ctx, &driver.Job{Single: true, Run: func(tx driver.Tx) error {
		n, err := tx.Exec("DELETE FROM suppressions WHERE company = $1 AND id = $2", company, id)
		if err == nil && n == 0 {
			err = fmt.Errorf("suppression %d: %w", id, ledger.ErrNotFound)
		}
		return err
	}})
}

func (s *Store) readSuppressions(ctx context.Context, where string, args ...any) (found []ledger.Suppression, err error) {
	rows, err := s.pool.QueryContext(ctx, suppressionColumns+where, driver.StorableArgs(args)...)
	if err != nil {
		return nil, unavailable("reading suppressions", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var p ledger.Suppression
		if err := s.scanSuppression(rows, &p); err != nil {
			return nil, unavailable("reading suppressions", err)
		}
		found = append(found, p)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("reading suppressions", err)
	}
	return found, nil
}

func (s *Store) scanSuppression(rows *sql.Rows, p *ledger.Suppression) error {
	var since, until int64
	if err := rows.Scan(&p.ID, &p.Company, &p.Channel, &p.Recipient, &p.Address, &p.Reason, &p.Source, &p.Note, &since, &until); err != nil {
		return err
	}
	p.Since = schema.Time(since).Add(-s.clock.Ahead())
	if until != 0 {
		p.Until = schema.Time(until).Add(-s.clock.Ahead())
	}
	return nil
}

// DeleteSuppressions implements [ledger.Retention].
func (s *Store) DeleteSuppressions(ctx context.Context) error {
	err := s.inSteps(ctx, nil, "DELETE FROM suppressions WHERE id IN (SELECT id FROM suppressions WHERE expires_at > 0 AND expires_at <= $1 LIMIT $2)", s.now(), step)
	if err != nil {
		return fmt.Errorf("deleting expired suppressions: %w", err)
	}
	return nil
}

// eraseSuppressions removes a user's suppressions. Wishes stay, with the keyed hash of
// the address.
func (s *Store) eraseSuppressions(ctx context.Context, company string, addresses []string) error {
	var c conditions
	c.compare("company =", company)
	forms := make([]string, 0, 2*len(addresses))
	for _, a := range addresses {
		forms = append(forms, a, ledger.RecipientKey(ledger.ChannelEmail, a))
	}
	places := make([]string, len(forms))
	for i, form := range forms {
		places[i] = c.place(form)
	}
	list := "(" + join(places) + ")"
	c.add("(lower(recipient) IN " + list + " OR lower(address) IN " + list + ")")
	// Not as s.suppressed knows it: another replica may have added one just now.
	found, err := s.readSuppressions(ctx, c.where(), c.values...)
	if err != nil || len(found) == 0 {
		return err
	}
	hidden, err := s.hidden(ctx)
	if err != nil {
		return err
	}
	return s.driver.Write(ctx, &driver.Job{Run: func(tx driver.Tx) error {
		for i := range found {
			p := &found[i]
			if p.Recipient == "" && !p.Reason.Hard() {
				n, err := tx.Exec(hideSuppression, hidden(p.Channel, p.Address), p.ID)
				if err != nil {
					return err
				}
				if n > 0 {
					continue
				}
			}
			if _, err := tx.Exec("DELETE FROM suppressions WHERE id = $1", p.ID); err != nil {
				return err
			}
		}
		return nil
	}})
}
