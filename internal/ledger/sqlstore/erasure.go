// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const (
	deleteDelivery = "DELETE FROM deliveries WHERE id = $1"
	// eraseEvent masks an event. One that was not decided yet is cancelled: without its data
	// it can't be.
	eraseEvent = `
		UPDATE events SET data = $1, masked = 1, updated_at = $2, lease = 0,
			state = CASE WHEN state IN ('pending', 'quarantined') THEN 'cancelled' ELSE state END,
			message = CASE WHEN state IN ('pending', 'quarantined') THEN $3 ELSE message END
		WHERE id = $4 AND masked = 0`
	insertErasure = `
		INSERT INTO erasures (company, subject, cause, deliveries, events, preferences, erased_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`
	selectErasures = "SELECT id, company, subject, cause, deliveries, events, preferences, erased_at FROM erasures WHERE company = $1 ORDER BY id DESC LIMIT $2"
	// eraseStep is how many rows a transaction erases.
	eraseStep = 100
)

// EraseUser implements [ledger.Erasures].
func (s *Store) EraseUser(ctx context.Context, u ledger.Subject, cause string, except int64) (ledger.Erasure, error) {
	if u.Company == "" || u.UserID == "" {
		return ledger.Erasure{}, errors.New("an erasure needs a company and a user")
	}
	if len(u.Addresses) > ledger.MaxSubjectAddresses {
		return ledger.Erasure{}, fmt.Errorf("an erasure names at most %d addresses", ledger.MaxSubjectAddresses)
	}
	addresses := []string{strings.ToLower(u.UserID)}
	for _, a := range u.Addresses {
		if a = strings.ToLower(strings.TrimSpace(driver.Storable(a))); a != "" {
			addresses = append(addresses, a)
		}
	}
	e := ledger.Erasure{Company: u.Company, Subject: u.Digest(), Cause: cause}
	var err error
	// Events first: one that is being decided can't add messages afterwards.
	if e.Events, err = s.eraseEvents(ctx, &u, except); err != nil {
		return e, fmt.Errorf("erasing a user's events: %w", err)
	}
	if e.Deliveries, err = s.eraseDeliveries(ctx, u.Company, addresses); err != nil {
		return e, fmt.Errorf("erasing a user's messages: %w", err)
	}
	if err := s.eraseSuppressions(ctx, u.Company, addresses); err != nil {
		return e, fmt.Errorf("erasing a user's suppressions: %w", err)
	}
	s.unscrubbed.Store(true)
	e, err = write(ctx, s, &driver.Job{}, func(tx driver.Tx) (ledger.Erasure, error) {
		done, now := e, s.now()
		var err error
		if done.Preferences, err = tx.Exec("DELETE FROM preferences WHERE company = $1 AND user_id = $2", u.Company, u.UserID); err != nil {
			return e, err
		}
		for _, a := range addresses {
			if _, err := tx.Exec("DELETE FROM charges WHERE company = $1 AND scope = 'recipient' AND lower(key) = $2", u.Company, a); err != nil {
				return e, err
			}
		}
		done.ErasedAt = schema.Time(now).Add(-s.clock.Ahead())
		_, err = tx.Exec(insertErasure, done.Company, done.Subject, done.Cause, done.Deliveries, done.Events, done.Preferences, now)
		return done, err
	})
	if err != nil {
		return e, fmt.Errorf("recording an erasure: %w", err)
	}
	// While somebody reads, the cleaner does it later.
	if err := s.Scrub(ctx); err != nil {
		s.log.V(1).Info("The files are cleaned up later after an erasure", "reason", err.Error())
	}
	return e, nil
}

// eraseDeliveries deletes the messages that are about a user or sent to an address, with
// their attempts and those contents that nobody else was sent.
func (s *Store) eraseDeliveries(ctx context.Context, company string, addresses []string) (total int64, err error) {
	for after := int64(0); ; {
		var c conditions
		c.compare("company =", company)
		c.compare("id >", after)
		places := make([]string, len(addresses))
		for i, a := range addresses {
			places[i] = c.place(a)
		}
		list := strings.Join(places, ", ")
		c.add("(lower(user_id) = " + places[0] + " OR lower(recipient) IN (" + list + "))")
		ids, err := s.readIDs(ctx, fmt.Sprintf("SELECT id FROM deliveries %s ORDER BY id LIMIT %d", c.where(), eraseStep), c.values...)
		if err != nil || len(ids) == 0 {
			return total, err
		}
		n, err := write(ctx, s, &driver.Job{}, func(tx driver.Tx) (n int64, err error) {
			for _, id := range ids {
				one, err := tx.Exec(deleteDelivery, id)
				if err != nil {
					return 0, err
				}
				n += one
			}
			return n, nil
		})
		total += n
		if err != nil {
			return total, err
		}
		after = ids[len(ids)-1]
	}
}

// eraseEvents masks the events whose data names a user or an address.
func (s *Store) eraseEvents(ctx context.Context, u *ledger.Subject, except int64) (total int64, err error) {
	company := u.Company
	texts := []string{u.UserID}
	for _, a := range u.Addresses {
		// A whole value, so that it isn't found in a longer one.
		if a = strings.TrimSpace(a); a != "" {
			texts = append(texts, `"`+a+`"`, `"`+strings.ToLower(a)+`"`)
		}
	}
	for after := int64(0); ; {
		var c conditions
		c.compare("company =", company)
		c.compare("id >", after)
		c.compare("id <>", except)
		c.add("masked = 0")
		var named []string
		for _, a := range texts {
			c.place([]byte(a))
			named = append(named, fmt.Sprintf(s.dialect.DataContains, len(c.values)))
		}
		c.add("(" + strings.Join(named, " OR ") + ")")
		ids, err := s.readIDs(ctx, fmt.Sprintf("SELECT id FROM events %s ORDER BY id LIMIT %d", c.where(), eraseStep), c.values...)
		if err != nil || len(ids) == 0 {
			return total, err
		}
		freed := int64(0)
		n, err := write(ctx, s, &driver.Job{}, func(tx driver.Tx) (n int64, err error) {
			freed = 0
			for _, id := range ids {
				size, err := unmaskedSize(tx.Query(eventToMask, id))
				if err != nil {
					return 0, err
				}
				one, err := tx.Exec(eraseEvent, maskedData, s.now(), "A user whom the event names was erased.", id)
				if err != nil {
					return 0, err
				}
				n, freed = n+one, freed+one*(size-int64(len(maskedData)))
			}
			return n, nil
		})
		total += n
		if err != nil {
			return total, err
		}
		s.usage.add(company, 0, -freed)
		after = ids[len(ids)-1]
	}
}

// Erasures implements [ledger.Erasures].
func (s *Store) Erasures(ctx context.Context, company string, limit int) (found []ledger.Erasure, err error) {
	rows, err := s.pool.QueryContext(ctx, selectErasures, driver.Storable(company), min(limit, 1000))
	if err != nil {
		return nil, unavailable("reading erasures", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e ledger.Erasure
		var at int64
		if err := rows.Scan(&e.ID, &e.Company, &e.Subject, &e.Cause, &e.Deliveries, &e.Events, &e.Preferences, &at); err != nil {
			return nil, unavailable("reading erasures", err)
		}
		e.ErasedAt = schema.Time(at).Add(-s.clock.Ahead())
		found = append(found, e)
	}
	return found, rows.Err()
}
