// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
	"github.com/rehive/extension-operator/internal/ledger/seal"
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
	// cancelLogged changes the entry that the log has of a quarantined event.
	cancelLogged = `
		UPDATE deliveries SET state = 'cancelled', reason = $1, message = $2, updated_at = $3
		WHERE event = $4 AND rule = '' AND channel = '` + ledger.ChannelSystem + `' AND state = 'quarantined'`
	insertErasure = `
		INSERT INTO erasures (company, subject, cause, deliveries, events, preferences, erased_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`
	selectErasures = "SELECT id, company, subject, cause, deliveries, events, preferences, erased_at FROM erasures WHERE company = $1 ORDER BY id DESC LIMIT $2"
	selectOwn      = `
		SELECT recipient FROM deliveries
		WHERE company = $1 AND channel IN ('email', 'sms') AND recipient IN (
			SELECT recipient FROM deliveries WHERE company = $1 AND lower(user_id) = $2 AND channel IN ('email', 'sms'))
		GROUP BY recipient HAVING MAX(CASE WHEN lower(user_id) IN ('', $2) THEN 0 ELSE 1 END) = 0
		ORDER BY MAX(id) DESC LIMIT `
	// eraseStep is how many rows a transaction erases, and eraseRows how many events a query
	// searches.
	eraseStep = 100
	eraseRows = 500
)

// EraseUser implements [ledger.Erasures].
func (s *Store) EraseUser(ctx context.Context, u ledger.Subject, cause string, except int64) (ledger.Erasure, error) {
	addresses, err := addressesOf(&u)
	if err != nil {
		return ledger.Erasure{}, err
	}
	e := ledger.Erasure{Company: u.Company, Subject: u.Digest(), Cause: cause}
	// First, because the messages say which addresses the user had.
	own, err := s.ownRecipients(ctx, u.Company, addresses[0])
	if err != nil {
		return e, fmt.Errorf("looking for a user's addresses: %w", err)
	}
	all := slices.Concat(addresses, own)
	if err := s.eraseSuppressions(ctx, u.Company, all); err != nil {
		return e, fmt.Errorf("erasing a user's suppressions: %w", err)
	}
	// Events before messages: one that is being decided can't add messages afterwards.
	if e.Events, err = s.eraseEvents(ctx, &u, except); err != nil {
		return e, fmt.Errorf("erasing a user's events: %w", err)
	}
	hidden, err := s.hidden(ctx)
	if err != nil {
		return e, err
	}
	// Counts before messages too: without those, a call after an interruption doesn't know all
	// addresses.
	if _, err := write(ctx, s, &driver.Job{}, func(tx driver.Tx) (struct{}, error) {
		return struct{}{}, eraseCounts(tx, u.Company, all, hidden)
	}); err != nil {
		return e, fmt.Errorf("erasing the counts of a user's messages: %w", err)
	}
	if e.Deliveries, err = s.eraseDeliveries(ctx, u.Company, addresses); err != nil {
		return e, fmt.Errorf("erasing a user's messages: %w", err)
	}
	s.unscrubbed.Store(true)
	e, err = write(ctx, s, &driver.Job{}, func(tx driver.Tx) (ledger.Erasure, error) {
		done, now := e, s.now()
		var err error
		if done.Preferences, err = tx.Exec("DELETE FROM preferences WHERE company = $1 AND user_id = $2", u.Company, u.UserID); err != nil {
			return e, err
		}
		// Messages that were sent meanwhile were counted again.
		if err := eraseCounts(tx, u.Company, all, hidden); err != nil {
			return e, err
		}
		done.ErasedAt = schema.Time(now).Add(-s.clock.Ahead())
		ids, err := tx.Insert(insertErasure, 1, done.Company, done.Subject, done.Cause, done.Deliveries, done.Events, done.Preferences, now)
		if err != nil {
			return e, err
		}
		done.ID = ids[0]
		return done, nil
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

// eraseCounts deletes what is counted for addresses on any channel. Rows have their keyed
// hashes; those of earlier versions of the operator have the addresses themselves.
func eraseCounts(tx driver.Tx, company string, addresses []string, hidden func(channel, key string) string) error {
	for _, address := range addresses {
		for _, channel := range []string{ledger.ChannelEmail, ledger.ChannelSMS, ledger.ChannelPush, ledger.ChannelSystem} {
			hash := hidden(channel, ledger.RecipientKey(channel, address))
			if _, err := tx.Exec("DELETE FROM charges WHERE company = $1 AND channel = $2 AND scope = 'recipient' AND (key = $3 OR lower(key) = $4)", company, channel, hash, address); err != nil {
				return err
			}
			if _, err := tx.Exec("DELETE FROM throttles WHERE company = $1 AND channel = $2 AND (recipient = $3 OR lower(recipient) = $4)", company, channel, hash, address); err != nil {
				return err
			}
		}
	}
	return nil
}

// ownRecipients returns the addresses to which messages about a user were sent, the newest
// [ledger.MaxSubjectAddresses]: the request for an erasure may not name them all. An address
// that also received messages about others, such as a back office's, is not the user's own.
func (s *Store) ownRecipients(ctx context.Context, company, user string) (own []string, err error) {
	rows, err := s.pool.QueryContext(ctx, selectOwn+strconv.Itoa(ledger.MaxSubjectAddresses), driver.Storable(company), user)
	if err != nil {
		return nil, unavailable("reading messages", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var address string
		if err := rows.Scan(&address); err != nil {
			return nil, unavailable("reading messages", err)
		}
		own = append(own, strings.ToLower(address))
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("reading messages", err)
	}
	return own, nil
}

// FindUser implements [ledger.Erasures].
func (s *Store) FindUser(ctx context.Context, u ledger.Subject) (ledger.Erasure, error) {
	addresses, err := addressesOf(&u)
	if err != nil {
		return ledger.Erasure{}, err
	}
	e := ledger.Erasure{Company: u.Company, Subject: u.Digest()}
	company, names := driver.Storable(u.Company), newMentions(&u)
	for after := ""; ; {
		last, err := s.lastOfWindow(ctx, company, after)
		if err != nil {
			return e, err
		}
		if last == "" {
			break
		}
		ids, err := s.eventsNaming(ctx, company, names, 0, inWindow, after, last)
		if err != nil {
			return e, err
		}
		e.Events, after = e.Events+int64(len(ids)), last
	}
	about := deliveriesAbout(u.Company, addresses)
	if err := s.pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM deliveries "+about.where(), about.arguments()...).Scan(&e.Deliveries); err != nil {
		return e, unavailable("counting a user's messages", err)
	}
	if err := s.pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM preferences WHERE company = $1 AND user_id = $2", company, driver.Storable(u.UserID)).Scan(&e.Preferences); err != nil {
		return e, unavailable("counting a user's preferences", err)
	}
	return e, nil
}

// addressesOf returns a user's identifier and addresses in the forms that are compared, the
// identifier first.
func addressesOf(u *ledger.Subject) ([]string, error) {
	if u.Company == "" || u.UserID == "" {
		return nil, errors.New("an erasure needs a company and a user")
	}
	if len(u.Addresses) > ledger.MaxSubjectAddresses {
		return nil, fmt.Errorf("an erasure names at most %d addresses", ledger.MaxSubjectAddresses)
	}
	addresses := []string{strings.ToLower(u.UserID)}
	for _, a := range u.Addresses {
		if a = strings.TrimSpace(driver.Storable(a)); a != "" {
			// Some databases fold the case of ASCII letters only.
			addresses = append(addresses, strings.ToLower(a), lowerASCII(a))
		}
	}
	return addresses, nil
}

// deliveriesAbout selects the messages that are about a user or sent to an address.
func deliveriesAbout(company string, addresses []string) *conditions {
	c := &conditions{}
	c.compare("company =", company)
	places := make([]string, len(addresses))
	for i, a := range addresses {
		places[i] = c.place(a)
	}
	c.add("(lower(user_id) = " + places[0] + " OR lower(recipient) IN (" + strings.Join(places, ", ") + "))")
	return c
}

// eraseDeliveries deletes the messages that are about a user or sent to an address, with
// their attempts and those contents that nobody else was sent.
func (s *Store) eraseDeliveries(ctx context.Context, company string, addresses []string) (total int64, err error) {
	for after := int64(0); ; {
		c := deliveriesAbout(company, addresses)
		c.compare("id >", after)
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

// eraseWindow is the last of some events of a company in the order of their IDs on the platform,
// which is that of the index.
const eraseWindow = `
	SELECT COALESCE(MAX(event_id), '') FROM (
		SELECT event_id FROM events WHERE company = $1 AND event_id > $2 ORDER BY event_id LIMIT $3) AS part`

// inWindow are the events of a window after another one, for eventsNaming.
const inWindow = "event_id > $2 AND event_id <= $3"

// lastOfWindow returns the last event of a window that begins after another event, and an
// empty string after the last window.
func (s *Store) lastOfWindow(ctx context.Context, company, after string) (last string, err error) {
	if err := s.pool.QueryRowContext(ctx, eraseWindow, company, after, eraseRows).Scan(&last); err != nil {
		return "", unavailable("looking for events", err)
	}
	return last, nil
}

// eraseEvents masks the events whose data names a user or an address. The database finds those
// that may, and their decoded data decides. An erasure that was interrupted continues where it
// was, and at the end looks at the events that were stored since it began.
func (s *Store) eraseEvents(ctx context.Context, u *ledger.Subject, except int64) (total int64, err error) {
	names := newMentions(u)
	company := driver.Storable(u.Company)
	key := erasing{digest: u.Digest(), names: strings.Join(names.texts, "\n")}
	at, resumed := s.erasing.resume(key)
	defer func() {
		if err != nil {
			s.erasing.interrupt(key, at)
		}
	}()
	if !resumed {
		if err := s.pool.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM events").Scan(&at.begun); err != nil {
			return 0, unavailable("looking for events", err)
		}
	}
	erase := func(test string, args ...any) error {
		ids, err := s.eventsNaming(ctx, company, names, except, test, args...)
		for some := range slices.Chunk(ids, eraseStep) {
			if err != nil {
				break
			}
			var n int64
			n, err = s.eraseSome(ctx, company, some, ledger.ReasonErased, "A user whom the event names was erased.")
			total += n
		}
		return err
	}
	for {
		last, err := s.lastOfWindow(ctx, company, at.event)
		if err != nil {
			return total, err
		}
		if last == "" {
			break
		}
		if err := erase(inWindow, at.event, last); err != nil {
			return total, err
		}
		at.event = last
	}
	return total, erase("id > $2", at.begun)
}

// eventsNaming returns the events of a company whose data names somebody, among those that pass
// a test of arguments from $2 on.
func (s *Store) eventsNaming(ctx context.Context, company string, names *mentions, except int64, test string, args ...any) (ids []int64, err error) {
	c := conditions{}
	c.compare("company =", company)
	c.values = append(c.values, args...)
	c.add(test)
	c.compare("id <>", except)
	c.add("masked = 0")
	c.place(seal.Prefix())
	maybe := []string{fmt.Sprintf(s.dialect.DataContains, len(c.values))} // encrypted
	for _, hint := range names.hints {
		maybe = append(maybe, s.dialect.Position+"("+s.dialect.FoldedData+", "+c.place(hint)+") > 0")
	}
	maybe = append(maybe, s.dialect.Position+"("+s.dialect.FoldedData+", "+c.place(`\`)+") > 0") // something is escaped
	c.add("(" + strings.Join(maybe, " OR ") + ")")
	rows, err := s.pool.QueryContext(ctx, "SELECT id, event_id, data FROM events "+c.where(), c.arguments()...) //nolint:gosec // where is this package's own text; values are arguments
	if err != nil {
		return nil, unavailable("reading events", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id int64
		var event string
		var data []byte
		if err := rows.Scan(&id, &event, &data); err != nil {
			return nil, unavailable("reading events", err)
		}
		if data, err = s.openEvent(company, event, data); err != nil {
			// Nobody can say whom it names, so the user is not erased yet.
			return nil, unavailable("looking for a user's events", err)
		}
		if names.in(data) {
			ids = append(ids, id)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("reading events", err)
	}
	return ids, nil
}

// eraseSome masks events. Those that were not decided yet are cancelled, with why.
func (s *Store) eraseSome(ctx context.Context, company string, ids []int64, reason, message string) (int64, error) {
	freed := int64(0)
	n, err := write(ctx, s, &driver.Job{}, func(tx driver.Tx) (n int64, err error) {
		freed = 0
		for _, id := range ids {
			size := int64(0)
			if err := queryRow(tx, eventToMask, []any{id}, &size); err != nil {
				return 0, err
			}
			now := s.now()
			one, err := tx.Exec(eraseEvent, maskedData, now, message, id)
			if err != nil {
				return 0, err
			}
			if _, err := tx.Exec(cancelLogged, reason, message, now, id); err != nil {
				return 0, err
			}
			n, freed = n+one, freed+one*(size-int64(len(maskedData)))
		}
		return n, nil
	})
	if err == nil {
		s.usage.add(company, 0, -freed)
	}
	return n, err
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
