// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
)

// reasonOutcomeUnknown is the delivery workers' reason for a message that the provider
// may have accepted.
const reasonOutcomeUnknown = "OutcomeUnknown"

// Replays implements [ledger.History].
func (s *Store) Replays(ctx context.Context, company string, key int64) ([]ledger.StoredEvent, error) {
	from, before := ledger.ReplayIDs(key)
	found, err := s.readEvents(ctx, eventColumns+", NULL",
		"WHERE company = $1 AND event_id >= $2 AND event_id < $3 ORDER BY id + 0 LIMIT "+strconv.Itoa(2*ledger.MaxReplays), driver.Storable(company), from, before)
	if err != nil {
		return nil, unavailable("reading an event's replays", err)
	}
	return found, nil
}

const (
	// ofFamily selects the deliveries of an event and of its replays.
	ofFamily = " FROM deliveries WHERE company || '' = $1 AND event IN" +
		" (SELECT id FROM events WHERE company = $1 AND (id = $2 OR event_id >= $3 AND event_id < $4))"
	earlierColumns = "SELECT id, event_id, state, reason, attempts, content <> 0," +
		" EXISTS (SELECT 1 FROM attempts a WHERE a.delivery = deliveries.id AND a.reason = '" + reasonOutcomeUnknown + "')"
	earlierTo = earlierColumns + ofFamily + " AND rule = $5 AND channel || '' = $6 AND recipient = $7 ORDER BY id + 0 LIMIT 1000"
	// The lock makes replays of one event, which other replicas may decide at the same
	// time, see each other's deliveries.
	lockEvent = "UPDATE events SET updated_at = updated_at WHERE id = $1 AND company = $2"
	supersede = `
		UPDATE deliveries SET reason = $1, message = CASE WHEN reason = $1 THEN message ELSE $2 || message END
		WHERE id = $3 AND state IN ('failed', 'cancelled')`
)

// earlier is a [ledger.Earlier], with what says whether it may have arrived.
type earlier struct {
	ledger.Earlier

	attempts   int
	hasMessage bool
	unknown    bool // the outcome of an attempt is
}

// mayHaveArrived reports whether the recipient has the message, may have it or may get it
// yet.
func (e *earlier) mayHaveArrived() bool {
	switch e.State {
	case ledger.DeliveryPending, ledger.DeliverySent, ledger.DeliveryQuarantined:
		return true
	case ledger.DeliveryFailed:
		return e.unknown || e.Reason == reasonOutcomeUnknown
	case ledger.DeliveryCancelled:
		return e.attempts > 0 // it may have been on its way when its company was deactivated
	case ledger.DeliverySkipped:
	}
	return false
}

// scanEarlier reads rows of earlierTo and closes them.
func scanEarlier(rows *sql.Rows) (found []earlier, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e earlier
		if err := rows.Scan(&e.ID, &e.EventID, &e.State, &e.Reason, &e.attempts, &e.hasMessage, &e.unknown); err != nil {
			return nil, err
		}
		found = append(found, e)
	}
	return found, rows.Err()
}

// EarlierTo implements [ledger.History].
func (s *Store) EarlierTo(ctx context.Context, company string, key int64, rule, channel, recipient string) ([]ledger.Earlier, error) {
	from, before := ledger.ReplayIDs(key)
	rows, err := s.pool.QueryContext(ctx, earlierTo, driver.StorableArgs([]any{company, key, from, before, rule, channel, recipient})...)
	if err != nil {
		return nil, unavailable("reading earlier deliveries", err)
	}
	found, err := scanEarlier(rows)
	if err != nil {
		return nil, unavailable("reading earlier deliveries", err)
	}
	var arrived []ledger.Earlier
	for i := range found {
		if e := &found[i]; e.mayHaveArrived() {
			arrived = append(arrived, e.Earlier)
		}
	}
	return arrived, nil
}

// InFamily implements [ledger.History].
func (s *Store) InFamily(ctx context.Context, company string, key int64, ids []int64) ([]int64, error) {
	from, before := ledger.ReplayIDs(key)
	var found []int64
	for _, id := range ids {
		var one int
		err := s.pool.QueryRowContext(ctx, "SELECT COUNT(*)"+ofFamily+" AND deliveries.id = $5", driver.Storable(company), key, from, before, id).Scan(&one)
		if err != nil {
			return nil, unavailable("looking for an event's deliveries", err)
		}
		if one > 0 {
			found = append(found, id)
		}
	}
	slices.Sort(found)
	return found, nil
}

// withhold returns what a replay stores instead of its deliveries: a message whose
// recipient may have received it before is recorded as skipped. It locks the replayed
// event, and returns ErrNotFound if that is gone.
func withhold(tx driver.Tx, r *ledger.Replay, company string, c *completion) (*completion, error) {
	n, err := tx.Exec(lockEvent, r.Of, company)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, fmt.Errorf("the replayed event: %w", ledger.ErrNotFound)
	}
	kept := *c // the job may run again
	kept.deliveries, kept.says = slices.Clone(c.deliveries), slices.Clone(c.says)
	for i := range kept.deliveries {
		d := &kept.deliveries[i]
		if state, _, _ := d.Outcome(); state != ledger.DeliveryPending {
			continue
		}
		before, err := withheldFor(tx, r, company, d)
		if err != nil {
			return nil, err
		}
		if before == nil {
			continue
		}
		d.SkipReason = ledger.ReasonAlreadySent
		d.SkipMessage = fmt.Sprintf("The recipient has, or may have, this message already: see log entry %d. Name that entry in \"repeat\" to send the message again.", before.ID)
		d.Content, kept.says[i] = ledger.Content{}, 0
	}
	kept.dropUnused()
	return &kept, nil
}

// dropUnused leaves out contents that no delivery says.
func (c *completion) dropUnused() {
	all, place := c.contents, make([]int, len(c.contents)+1)
	c.contents = nil
	for i, at := range c.says {
		if at > 0 && place[at] == 0 {
			c.contents = append(c.contents, all[at-1])
			place[at] = len(c.contents)
		}
		c.says[i] = place[at]
	}
}

// withheldFor returns the last delivery for which a message is withheld; nil if it is
// sent. Earlier failures are marked, so that they are not sent again with other failed
// messages.
func withheldFor(tx driver.Tx, r *ledger.Replay, company string, d *ledger.NewDelivery) (*earlier, error) {
	from, until := ledger.ReplayIDs(r.Of)
	rows, err := tx.Query(earlierTo, company, r.Of, from, until, d.RuleName, d.Channel, d.Recipient)
	if err != nil {
		return nil, err
	}
	all, err := scanEarlier(rows)
	if err != nil {
		return nil, err
	}
	named := slices.ContainsFunc(all, func(e earlier) bool { return slices.Contains(r.Repeat, e.ID) })
	for i := range all {
		if e := &all[len(all)-1-i]; e.mayHaveArrived() && !named {
			return e, nil
		}
	}
	for i := range all {
		if e := &all[i]; !e.mayHaveArrived() && e.hasMessage {
			n, err := tx.Exec(supersede, ledger.ReasonReplayed, "A replay of the event replaces this message. ", e.ID)
			if err != nil {
				return nil, err
			}
			if n == 0 && !named {
				return e, nil // it has just been sent again
			}
		}
	}
	return nil, nil //nolint:nilnil // documented above
}
