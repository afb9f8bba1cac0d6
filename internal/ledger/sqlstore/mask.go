// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const (
	// lockContent makes transactions that end two deliveries with the same content see each
	// other: the later one masks it.
	lockContent = "UPDATE contents SET digest = digest WHERE id = (SELECT content FROM deliveries WHERE id = $1)"
	// contentToMask is the content of a delivery that no delivery needs any more.
	contentToMask = `
		SELECT ` + contentRowColumns + ` FROM deliveries d JOIN contents c ON c.id = d.content
		WHERE d.id = $1 AND c.digest = '' AND NOT EXISTS (
			SELECT 1 FROM deliveries o
			WHERE o.event = d.event AND o.rule = d.rule AND o.channel = d.channel AND o.content = d.content AND (o.state IN ('pending', 'quarantined') OR o.state = 'skipped' AND o.reason = '` + ledger.ReasonFallbackWaiting + `'))`
	maskContent = "UPDATE contents SET sender = $1, subject = $2, text = $3, html = $4, sms = $5, sealed = $6, digest = $7 WHERE id = $8"
	eventToMask = "SELECT length(data) FROM events WHERE id = $1 AND masked = 0"
	maskEvent   = "UPDATE events SET data = $1, masked = 1 WHERE id = $2 AND masked = 0"
)

// maskedData replaces the data of an event.
var maskedData = []byte(`{"masked":"` + ledger.Mask + `"}`)

// mask replaces the texts of a delivery that has ended, unless another delivery with the
// same content has not. It returns how many bytes less are stored.
func (s *Store) mask(tx driver.Tx, delivery int64) (freed int64, err error) {
	if s.driver.Shared() {
		if _, err := tx.Exec(lockContent, delivery); err != nil {
			return 0, err
		}
	}
	s.unscrubbed.Store(true)
	row, err := readContent(tx, contentToMask, delivery)
	if err != nil || row.id == 0 {
		return 0, err
	}
	before, digest := row.size(), schema.NoDigest
	if row.sealed == nil {
		digest = s.digest(row.Content)
	} else if err := s.openContent(&row); err != nil {
		// A text that nobody can read is removed nevertheless.
		*row.Content = ledger.Content{Text: ledger.Mask}
	} else {
		digest = s.digest(row.Content)
	}
	for _, text := range []*string{&row.Subject, &row.Text, &row.HTML, &row.SMS.ContentVariables} {
		if *text != "" {
			*text = ledger.Mask
		}
	}
	if err := s.encodeRow(&row); err != nil {
		return 0, err
	}
	args := append(row.columns(), digest, row.id)
	_, err = tx.Exec(maskContent, args...)
	return before - row.size(), err
}

// textBytes is the length of the texts of a content.
func textBytes(c *ledger.Content) int64 {
	return int64(len(c.From) + len(c.Subject) + len(c.Text) + len(c.HTML))
}

// digest identifies a content that is masked. It needs a key, because a reader of
// the ledger could try all six-digit codes against a plain hash.
func (s *Store) digest(c *ledger.Content) string {
	if len(s.digestKey) == 0 {
		return schema.NoDigest
	}
	h := hmac.New(sha256.New, s.digestKey)
	for _, text := range []string{c.Subject, c.Text, c.HTML, c.SMS.ContentVariables} {
		_, _ = fmt.Fprintf(h, "%d:%s", len(text), text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// maskEvents replaces the data of an event that has ended, and of the one that it decided
// again. It returns how many bytes less are stored.
func (s *Store) maskEvents(tx driver.Tx, e *ledger.ClaimedEvent) (freed int64, err error) {
	s.unscrubbed.Store(true)
	keys := []int64{e.Key}
	if e.Replay != nil {
		keys = append(keys, e.Replay.Of)
	}
	for _, key := range keys {
		size := int64(0)
		if err := queryRow(tx, eventToMask, []any{key}, &size); err != nil {
			return 0, err
		}
		n, err := tx.Exec(maskEvent, maskedData, key)
		if err != nil {
			return 0, err
		}
		freed += n * (size - int64(len(maskedData)))
	}
	return freed, nil
}

// endEventMasked ends the claim of a sensitive event, and masks its data.
func (s *Store) endEventMasked(ctx context.Context, e *ledger.ClaimedEvent, query string, args ...any) error {
	return s.endClaimAnd(ctx, &s.suspectEvents, e.Key, e.Lease, e.Company, nil, func(tx driver.Tx) (int64, error) {
		freed, err := s.maskEvents(tx, e)
		return -freed, err
	}, query, args...)
}

// endSensitive marks a sensitive delivery as sent, and masks its texts.
func (s *Store) endSensitive(ctx context.Context, d *ledger.ClaimedDelivery, query string, args ...any) error {
	return s.endClaimAnd(ctx, &s.suspectDeliveries, d.ID, d.Lease, d.Company, nil, func(tx driver.Tx) (int64, error) {
		freed, err := s.mask(tx, d.ID)
		return -freed, err
	}, query, args...)
}

const sensitiveCancelled = `
	SELECT id FROM deliveries WHERE company = $1 AND sensitive = 1 AND state = 'cancelled' AND id > $2
		AND EXISTS (SELECT 1 FROM contents WHERE contents.id = content AND digest = '') ORDER BY id LIMIT 100`

// maskCancelled masks what a company's cancelled deliveries say.
func (s *Store) maskCancelled(ctx context.Context, company string) error {
	for after := int64(0); ; {
		ids, err := s.readIDs(ctx, sensitiveCancelled, company, after)
		if err != nil || len(ids) == 0 {
			return err
		}
		freed, err := write(ctx, s, &driver.Job{}, func(tx driver.Tx) (freed int64, err error) {
			for _, id := range ids {
				n, err := s.mask(tx, id)
				if err != nil {
					return 0, err
				}
				freed += n
			}
			return freed, nil
		})
		if err != nil {
			return err
		}
		s.usage.add(company, 0, -freed)
		after = ids[len(ids)-1]
	}
}

func (s *Store) readIDs(ctx context.Context, query string, args ...any) (ids []int64, err error) {
	rows, err := s.pool.QueryContext(ctx, query, driver.StorableArgs(args)...)
	if err != nil {
		return nil, unavailable("reading deliveries", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, unavailable("reading deliveries", err)
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// Scrub implements [ledger.Retention].
func (s *Store) Scrub(ctx context.Context) error {
	if !s.unscrubbed.Swap(false) {
		return nil
	}
	err := s.driver.Scrub(ctx)
	if err != nil {
		s.unscrubbed.Store(true)
	}
	return err
}
