// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
	"github.com/rehive/extension-operator/internal/ledger/seal"
)

// Encrypted values belong to one place each: the data of an event to the event, and a content
// to the event, rule and channel whose deliveries may share it. The places are in the columns
// of the rows, so that a value that was copied to another row is not decrypted.
const (
	eventPlace   = "event"
	contentPlace = "content"
	proofPlace   = "proof"
)

// keyWait is how long a row waits whose key is missing.
const keyWait = time.Minute

// Reasons of rows that can't be decrypted.
const (
	reasonKeyMissing = "KeyMissing"
	reasonTampered   = "Tampered"
)

const postponeEvent = `
	UPDATE events SET next_attempt_at = $1, message = $2, updated_at = $3, lease = 0, unfinished = 0, attempts = attempts - 1
	WHERE id = $4 AND lease = $5 AND state = 'pending'`

// sealEvent returns an event's data as it is stored.
func (s *Store) sealEvent(company, id string, data []byte) []byte {
	if s.cipher == nil {
		return data
	}
	return s.cipher.Seal(data, eventPlace, company, id)
}

// openEvent returns an event's data from what is stored.
func (s *Store) openEvent(company, id string, data []byte) ([]byte, error) {
	if !seal.Sealed(data) {
		return data, nil
	}
	opened, err := s.cipher.Open(data, eventPlace, company, id)
	if err != nil {
		return nil, fmt.Errorf("the event's data is encrypted: %w", err)
	}
	return opened, nil
}

// openClaimed decrypts an event that was just claimed. One whose key is missing is returned to
// the queue, and one that was tampered with is quarantined; it then returns false.
func (s *Store) openClaimed(tx driver.Tx, c driver.Claim, e *ledger.ClaimedEvent, set func(ledger.Quarantined)) (bool, error) {
	data, err := s.openEvent(e.Company, e.ID, e.Data)
	if err == nil {
		e.Data, e.Size = data, len(data)
		return true, nil
	}
	s.undecryptable(err)
	if !errors.Is(err, seal.ErrTampered) {
		_, failed := tx.Exec(postponeEvent, c.Now+keyWait.Milliseconds(), sentence(err), c.Now, e.Key, c.Lease)
		return false, failed
	}
	if _, err := tx.Exec(eventQueue.quarantine, reasonTampered, sentence(err), c.Now, e.Key, c.Lease, 0); err != nil {
		return false, err
	}
	set(ledger.Quarantined{Company: e.Company, Key: e.Key, EventID: e.ID, Reason: reasonTampered, Message: sentence(err)})
	_, failed := tx.Exec(logQuarantinedEvent, e.Key)
	return false, failed
}

// openClaimedDelivery is openClaimed for a delivery.
func (s *Store) openClaimedDelivery(tx driver.Tx, c driver.Claim, d *ledger.Delivery, set func(ledger.Quarantined)) (bool, error) {
	err := s.openDelivery(d)
	if err == nil {
		return true, nil
	}
	s.undecryptable(err)
	until := c.Now + keyWait.Milliseconds()
	switch {
	case errors.Is(err, seal.ErrTampered):
		_, failed := tx.Exec(deliveryQueue.quarantine, reasonTampered, sentence(err), c.Now, d.ID, c.Lease, 0)
		set(ledger.Quarantined{Company: d.Company, Channel: d.Channel, Key: d.ID, EventID: d.EventID, Reason: reasonTampered, Message: sentence(err)})
		return false, failed
	case d.Reason == reasonOutcomeUnknown: // which must not be forgotten
		_, failed := tx.Exec(deliveryQueue.release, until, d.ID, c.Lease)
		return false, failed
	}
	_, failed := tx.Exec(postponeDelivery, until, reasonKeyMissing, sentence(err), c.Now, d.ID, c.Lease)
	return false, failed
}

// sentence is an error as a sentence.
func sentence(err error) string {
	text := err.Error()
	return string(text[0]-'a'+'A') + text[1:] + "."
}

// appendContent encodes what is encrypted of a content.
func appendContent(to []byte, c *ledger.Content, sms string) []byte {
	for _, text := range []string{c.From, c.Subject, c.Text, c.HTML, sms} {
		to = append(binary.AppendUvarint(to, uint64(len(text))), text...)
	}
	return to
}

// parseContent reads what appendContent wrote.
func parseContent(from []byte, c *ledger.Content) error {
	var sms string
	for _, text := range []*string{&c.From, &c.Subject, &c.Text, &c.HTML, &sms} {
		n, size := binary.Uvarint(from)
		if size <= 0 || n > uint64(len(from)-size) {
			return errors.New("the decrypted content is incomplete")
		}
		*text, from = string(from[size:size+int(n)]), from[size+int(n):]
	}
	return schema.DecodeSMS(sms, &c.SMS)
}

// sealContent encrypts a content for the deliveries of an event, rule and channel.
func (s *Store) sealContent(c *ledger.Content, sms, company, event, rule, channel string) []byte {
	text := appendContent(make([]byte, 0, c.Size()+len(sms)+5*binary.MaxVarintLen32), c, sms)
	return s.cipher.Seal(text, contentPlace, company, event, driver.Storable(rule), driver.Storable(channel))
}

// openDelivery decrypts the content of a delivery.
func (s *Store) openDelivery(d *ledger.Delivery) error {
	if d.Sealed == nil {
		return nil
	}
	text, err := s.cipher.Open(d.Sealed, contentPlace, d.Company, d.EventID, d.RuleName, d.Channel)
	if err == nil {
		err = parseContent(text, &d.Content)
	}
	if err != nil {
		return fmt.Errorf("the message is encrypted: %w", err)
	}
	d.Sealed, d.Size = nil, len(d.Content.Subject)+len(d.Content.Text)+len(d.Content.HTML)
	return nil
}

// show decrypts the content of a delivery for a person, or says why it can't.
func (s *Store) show(d *ledger.Delivery) {
	if err := s.openDelivery(d); err != nil {
		s.undecryptable(err)
		d.Sealed, d.Content = nil, ledger.Content{Text: sentence(err)}
		d.Size = len(d.Content.Text)
	}
}

// contentRow is a row of contents, and the place that it is encrypted for.
type contentRow struct {
	content

	id                            int64
	company, event, rule, channel string
	digest                        string
}

// contentRowColumns are those that readContent reads, of a delivery d with its content c.
const contentRowColumns = "c.id, c.sender, c.subject, c.text, c.html, c.sms, c.sealed, c.digest, d.company, d.event_id, d.rule, d.channel"

// readContent returns the content of a delivery that a statement selects; its ID is 0 if there is none.
func readContent(tx driver.Tx, statement string, id int64) (row contentRow, err error) {
	row.Content = &ledger.Content{}
	err = queryRow(tx, statement, []any{id}, &row.id, &row.From, &row.Subject, &row.Text, &row.HTML, &row.sms, &row.sealed, &row.digest,
		&row.company, &row.event, &row.rule, &row.channel)
	if err != nil || row.id == 0 {
		return row, err
	}
	if len(row.sealed) == 0 {
		row.sealed = nil
	}
	return row, schema.DecodeSMS(row.sms, &row.SMS)
}

// openContent decrypts a row, if it is encrypted.
func (s *Store) openContent(row *contentRow) error {
	d := ledger.Delivery{Company: row.company, EventID: row.event, RuleName: row.rule, Channel: row.channel, Sealed: row.sealed}
	if row.sealed == nil {
		return nil
	}
	err := s.openDelivery(&d)
	*row.Content = d.Content
	return err
}

// encodeRow prepares a row that was changed for the database.
func (s *Store) encodeRow(row *contentRow) (err error) {
	row.sealed = nil
	if row.sms, err = schema.EncodeSMS(row.SMS); err == nil && s.cipher != nil {
		row.sealed = s.sealContent(row.Content, row.sms, row.company, row.event, row.rule, row.channel)
	}
	return err
}

// columns are the texts of a row and their encrypted form, as they are stored.
func (row *contentRow) columns() []any {
	if row.sealed != nil {
		return []any{"", "", "", "", "", row.sealed}
	}
	return []any{row.From, row.Subject, row.Text, row.HTML, row.sms, []byte{}}
}

const (
	// useKey says that this process encrypts with a key.
	useKey = `
		INSERT INTO encryption_keys (key, proof, used_at) VALUES ($1, $2, $3)
		ON CONFLICT (key) DO UPDATE SET used_at = excluded.used_at`
	selectKeys = "SELECT key, proof, used_at, pass FROM encryption_keys"
	passKey    = "UPDATE encryption_keys SET pass = 1 WHERE key = $1" //nolint:gosec // a statement, not a password
	retireKeys = "DELETE FROM encryption_keys WHERE key <> $1 AND used_at < $2"
	// keyInterval is how often a process records that it still encrypts with its key.
	keyInterval = 10 * time.Minute
	// keyRest is how long a key must have been unused before it is forgotten.
	keyRest = 3 * keyInterval
)

// usedKey is a key with which rows are, or may be, encrypted.
type usedKey struct {
	id     string
	proof  []byte
	usedAt int64
	passed bool // all rows from before are encrypted with it, too
}

func usedKeys(ctx context.Context, pool *sql.DB) (keys []usedKey, err error) {
	rows, err := pool.QueryContext(ctx, selectKeys)
	if err != nil {
		return nil, unavailable("reading which keys encrypt the ledger", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var k usedKey
		var pass int64
		if err := rows.Scan(&k.id, &k.proof, &k.usedAt, &pass); err != nil {
			return nil, unavailable("reading which keys encrypt the ledger", err)
		}
		k.passed = pass != 0
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// registerKey refuses a ledger some rows of which can't be decrypted, and records the key that
// encrypts from now on.
func registerKey(ctx context.Context, d driver.Driver, keys *seal.Keyring) error {
	used, err := usedKeys(ctx, d.Pool())
	if err != nil {
		return err
	}
	for _, k := range used {
		_, err := keys.Open(k.proof, proofPlace, k.id)
		if errors.Is(err, seal.ErrTampered) {
			return fmt.Errorf("the key %q of --ledger-encryption-keys is not the one that encrypted rows of the ledger: put the original key back, and give a new key another name", k.id)
		}
		if err != nil {
			return fmt.Errorf("rows of the ledger are encrypted with the key %q, which can't be used (see --ledger-encryption-keys): %w", k.id, err)
		}
	}
	if keys == nil {
		return nil
	}
	return useNewest(ctx, d, keys)
}

func useNewest(ctx context.Context, d driver.Driver, keys *seal.Keyring) error {
	id := keys.Newest()
	err := d.Write(ctx, &driver.Job{Single: true, Run: func(tx driver.Tx) error {
		_, err := tx.Exec(useKey, id, keys.Seal(nil, proofPlace, id), d.Clock().Now().UnixMilli())
		return err
	}})
	if err != nil {
		return fmt.Errorf("recording the key that encrypts the ledger: %w", err)
	}
	return nil
}

// keepKey repeats that this process encrypts with its key, until ctx is done.
func (s *Store) keepKey(ctx context.Context) {
	ticker := time.NewTicker(keyInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		bounded, cancel := context.WithTimeout(ctx, usageTimeout)
		if err := useNewest(bounded, s.driver, s.cipher); err != nil {
			s.log.V(1).Info("The key in use is recorded later", "reason", err.Error())
		}
		cancel()
	}
}
