// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const (
	// ofDelivery finds a delivery that is stored already, because its event is decided again.
	ofDelivery = "EXISTS (SELECT 1 FROM deliveries WHERE event = $5 AND rule = $2 AND channel = $3 AND recipient = $6 AND copy = 0)"
	// collect adds a message to the digest of the current period, unless that is being sent:
	// the row is locked from here on, so that it can't be claimed without the message. The
	// throttle's row, which is locked before, keeps transactions in one order.
	collect = `
		UPDATE events SET collected = collected + 1,
			collected_from = CASE WHEN collected < $8 THEN collected_from || $7 ELSE collected_from END
		WHERE id = (SELECT digest FROM throttles WHERE company = $1 AND rule = $2 AND channel = $3 AND recipient = $4)
			AND state = 'pending' AND lease = 0 AND attempts = 0 AND NOT ` + ofDelivery + `
		RETURNING event_id, received_at`
	endOfPeriod = `
		SELECT ends_at FROM throttles
		WHERE company = $1 AND rule = $2 AND channel = $3 AND recipient = $4 AND NOT ` + ofDelivery
	insertDigest = `
		INSERT INTO events (company, event_id, name, received_at, next_attempt_at, updated_at, data, collected, collected_from)
		VALUES ($1, $2, $3, $4, $4, $5, $6, 1, $7)`
	setDigest = "UPDATE throttles SET digest = $5 WHERE company = $1 AND rule = $2 AND channel = $3 AND recipient = $4"

	collectedOf    = "SELECT collected, collected_from FROM events WHERE id = $1"
	collectedEvent = `
		SELECT event_id, name, received_at, data FROM events
		WHERE id = $1 AND company = $2 AND masked = 0 AND length(data) <= $3`
)

// collect adds a message beyond its limit to the digest of the period. The recipient is as in the
// table throttles. It returns what the log says about the message, empty if the message can't be
// collected, and how many bytes are stored for a new digest.
func (s *Store) collect(tx driver.Tx, e *ledger.ClaimedEvent, now int64, d *ledger.NewDelivery, recipient string) (message string, stored int64, err error) {
	source := e.Key
	if e.Replay != nil {
		source = e.Replay.Of
	}
	from := strconv.FormatInt(source, 10) + ","
	key := []any{e.Company, d.RuleName, d.Channel, recipient}
	args := append(key[:4:4], e.Key, d.Recipient)
	var id string
	var at int64
	if err := queryRow(tx, collect, append(args, from, ledger.MaxDigestItems), &id, &at); err != nil {
		return "", 0, fmt.Errorf("collecting a message: %w", err)
	}
	if id == "" {
		if err := queryRow(tx, endOfPeriod, args, &at); err != nil || at == 0 {
			return "", 0, err // if it is 0, the message is stored already
		}
		if s.usage.crowded(e.Company) {
			return "", 0, nil
		}
		id = "digest-" + rand.Text()
		data := s.sealEvent(e.Company, id, d.Throttle.Digest.Data)
		ids, err := tx.Insert(insertDigest, 1, e.Company, id, d.Throttle.Digest.Name, at, now, data, from)
		if err != nil {
			return "", 0, fmt.Errorf("storing a digest: %w", err)
		}
		if _, err := tx.Exec(setDigest, append(key, ids[0])...); err != nil {
			return "", 0, fmt.Errorf("storing a digest: %w", err)
		}
		stored = rowBytes + int64(len(data))
		s.usage.add(e.Company, 1, 0) // the next count corrects it if the transaction is repeated
	}
	until := schema.Time(at).Add(-s.clock.Ahead()).UTC().Format(time.RFC3339)
	return fmt.Sprintf("it was collected in the digest that is due at %s, the event %s", until, id), stored, nil
}

// Collected implements [ledger.EventQueue].
func (s *Store) Collected(ctx context.Context, e ledger.ClaimedEvent) (c ledger.Collected, err error) {
	var from string
	switch err := s.pool.QueryRowContext(ctx, collectedOf, e.Key).Scan(&c.Count, &from); {
	case errors.Is(err, sql.ErrNoRows):
		return c, fmt.Errorf("event %d: %w", e.Key, ledger.ErrNotFound)
	case err != nil:
		return c, unavailable("reading what was collected", err)
	}
	company, left := driver.Storable(e.Company), ledger.MaxDigestBytes
	for id := range strings.SplitSeq(strings.TrimSuffix(from, ","), ",") {
		key, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			continue // it is empty
		}
		var one ledger.Event
		var received int64
		switch err := s.pool.QueryRowContext(ctx, collectedEvent, key, company, left).Scan(&one.ID, &one.Name, &received, &one.Data); {
		case errors.Is(err, sql.ErrNoRows):
			continue // it was masked, or is too large
		case err != nil:
			return c, unavailable("reading what was collected", err)
		}
		if one.Data, err = s.openEvent(company, one.ID, one.Data); err != nil {
			return c, unavailable("decrypting a collected event", err)
		}
		one.Company, one.ReceivedAt = e.Company, schema.Time(received).Add(-s.clock.Ahead())
		c.Events, left = append(c.Events, one), left-len(one.Data)
	}
	return c, nil
}
