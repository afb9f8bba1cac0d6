// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/seal"
)

const (
	// windowRows is how many rows a query looks at for those with another key.
	windowRows = 2000
	// reencryptRows and reencryptBytes bound a transaction.
	reencryptRows  = 100
	reencryptBytes = 1 << 20
	// reencryptSteps is how many transactions or windows without such rows follow one another
	// before the caller may pause.
	reencryptSteps = 50
)

// reencryption is how far the rows from before were encrypted with the newest key. It starts
// again with the process: rows that have the key are passed quickly.
type reencryption struct {
	begun  int64 // when, in milliseconds by the ledger's clock; 0 if it isn't running
	places [2]int64
	failed bool // a row could not be decrypted, because a key is missing
}

// passage is a table whose rows are encrypted again.
type passage struct {
	// window finds the last of the rows after an ID, and outdated those up to there that
	// don't begin with a header, with their sizes.
	window, outdated string
	again            func(s *Store, tx driver.Tx, id int64) (company string, bytes int64, err error)
}

var passages = [2]passage{
	{
		window:   "SELECT MAX(id) FROM (SELECT id FROM events WHERE id > $1 ORDER BY id LIMIT $2) AS part",
		outdated: "SELECT id, length(data) FROM events WHERE id > $1 AND id <= $2 AND masked = 0 AND (length(data) = 0 OR substr(data, 1, %d) <> $3) ORDER BY id LIMIT $4",
		again:    (*Store).reencryptEvent,
	},
	{
		// A content has no place of its own: its deliveries do.
		window: "SELECT MAX(id) FROM (SELECT id FROM deliveries WHERE id > $1 ORDER BY id LIMIT $2) AS part",
		outdated: "SELECT d.id, length(c.text) + length(c.html) + length(c.sealed) FROM deliveries d JOIN contents c ON c.id = d.content" +
			" WHERE d.id > $1 AND d.id <= $2 AND (length(c.sealed) = 0 OR substr(c.sealed, 1, %d) <> $3) ORDER BY d.id LIMIT $4",
		again: (*Store).reencryptContent,
	},
}

// Reencrypt implements [ledger.Retention].
func (s *Store) Reencrypt(ctx context.Context, limit int) (n int, more bool, err error) {
	if s.cipher == nil {
		return 0, false, nil
	}
	used, err := usedKeys(ctx, s.pool)
	if err != nil {
		return 0, false, err
	}
	newest := s.cipher.Newest()
	if slices.ContainsFunc(used, func(k usedKey) bool { return seal.Newer(k.id, newest) }) {
		return 0, false, nil // another replica has a newer key and does it
	}
	r := &s.reencryption
	if len(used) == 1 && used[0].id == newest && used[0].passed {
		*r = reencryption{}
		return 0, false, nil
	}
	if r.begun == 0 {
		*r = reencryption{begun: s.now()}
	}
	steps := 0
	for i := range passages {
		for {
			steps++
			done, end, err := s.reencryptSome(ctx, &passages[i], &r.places[i])
			n += done
			if err != nil {
				return n, false, fmt.Errorf("encrypting the ledger with the newest key: %w", err)
			}
			if end {
				break
			}
			if n >= limit || steps >= reencryptSteps {
				return n, true, nil
			}
		}
	}
	begun, failed := r.begun, r.failed
	*r = reencryption{}
	if failed {
		return n, false, nil // it is tried again
	}
	if begun < s.opened+keyRest.Milliseconds() {
		return n, false, nil // a replica that is being replaced may still store rows without this key
	}
	err = s.driver.Write(ctx, &driver.Job{Run: func(tx driver.Tx) error {
		if _, err := tx.Exec(passKey, newest); err != nil {
			return err
		}
		// A key that somebody used until recently may have encrypted rows behind this pass.
		_, err := tx.Exec(retireKeys, newest, begun-keyRest.Milliseconds())
		return err
	}})
	if err != nil {
		return n, false, fmt.Errorf("recording that the ledger is encrypted with the newest key: %w", err)
	}
	return n, false, nil
}

// reencryptSome encrypts some of the rows after a place, which it moves. It returns whether
// there are no rows there.
func (s *Store) reencryptSome(ctx context.Context, p *passage, place *int64) (n int, end bool, err error) {
	var last *int64
	if err := s.pool.QueryRowContext(ctx, p.window, *place, windowRows).Scan(&last); err != nil {
		return 0, false, unavailable("looking for rows", err)
	}
	if last == nil {
		return 0, true, nil
	}
	ids, full, err := s.outdated(ctx, p, *place, *last)
	if err != nil {
		return 0, false, err
	}
	if len(ids) == 0 {
		*place = *last
		return 0, false, nil
	}
	var stored map[string]int64
	missing := false
	err = s.driver.Write(ctx, &driver.Job{Background: true, Run: func(tx driver.Tx) error {
		stored, missing, n = map[string]int64{}, false, 0
		for _, id := range ids {
			company, bytes, err := p.again(s, tx, id)
			var key *seal.KeyError
			switch {
			case errors.As(err, &key):
				s.undecryptable(err)
				missing = true
			case errors.Is(err, seal.ErrTampered):
				s.undecryptable(err)
			case err != nil:
				return err
			default:
				stored[company] += bytes
				n++
			}
		}
		return nil
	}})
	if err != nil {
		return 0, false, err
	}
	for company, bytes := range stored {
		s.usage.add(company, 0, bytes)
	}
	s.reencryption.failed = s.reencryption.failed || missing
	s.unscrubbed.Store(true)
	if *place = ids[len(ids)-1]; !full {
		*place = *last
	}
	return n, false, nil
}

// outdated returns rows that are not encrypted with the newest key, and whether there may be
// more.
func (s *Store) outdated(ctx context.Context, p *passage, after, last int64) (ids []int64, full bool, err error) {
	header := s.cipher.Header()
	rows, err := s.pool.QueryContext(ctx, fmt.Sprintf(p.outdated, len(header)), after, last, header, reencryptRows)
	if err != nil {
		return nil, false, unavailable("looking for rows with another key", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for size := int64(0); rows.Next(); {
		var id, bytes int64
		if err := rows.Scan(&id, &bytes); err != nil {
			return nil, false, unavailable("looking for rows with another key", err)
		}
		if size += bytes; len(ids) > 0 && size > reencryptBytes {
			return ids, true, nil
		}
		ids = append(ids, id)
	}
	return ids, len(ids) == reencryptRows, rows.Err()
}

const (
	eventToEncrypt   = "SELECT company, event_id, data FROM events WHERE id = $1 AND masked = 0"
	encryptEvent     = "UPDATE events SET data = $1 WHERE id = $2 AND masked = 0"
	contentToEncrypt = "SELECT " + contentRowColumns + " FROM deliveries d JOIN contents c ON c.id = d.content WHERE d.id = $1"
	// A content that was masked meanwhile has another digest.
	encryptContent = "UPDATE contents SET sender = $1, subject = $2, text = $3, html = $4, sms = $5, sealed = $6 WHERE id = $7 AND digest = $8"
)

// reencryptEvent returns how many bytes more are stored.
func (s *Store) reencryptEvent(tx driver.Tx, id int64) (company string, bytes int64, err error) {
	company, event, data, err := readEventData(tx, id)
	if err != nil || company == "" {
		return "", 0, err
	}
	opened, err := s.openEvent(company, event, data)
	if err != nil {
		return "", 0, err
	}
	sealed := s.sealEvent(company, event, opened)
	n, err := tx.Exec(encryptEvent, sealed, id)
	return company, n * int64(len(sealed)-len(data)), err
}

// readEventData returns the data of an event as it is stored; the company is empty if it is
// gone or masked.
func readEventData(tx driver.Tx, id int64) (company, event string, data []byte, err error) {
	err = queryRow(tx, eventToEncrypt, []any{id}, &company, &event, &data)
	return company, event, data, err
}

func (s *Store) reencryptContent(tx driver.Tx, delivery int64) (company string, bytes int64, err error) {
	row, err := readContent(tx, contentToEncrypt, delivery)
	if err != nil || row.id == 0 {
		return "", 0, err
	}
	if id, _ := seal.KeyID(row.sealed); id == s.cipher.Newest() {
		return row.company, 0, nil // another delivery shares it
	}
	before := row.size()
	if err := s.openContent(&row); err != nil {
		return "", 0, err
	}
	if err := s.encodeRow(&row); err != nil {
		return "", 0, err
	}
	n, err := tx.Exec(encryptContent, append(row.columns(), row.id, row.digest)...)
	return row.company, n * (row.size() - before), err
}

var _ ledger.Retention = (*Store)(nil)
