// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A replay is an event of its own whose deliveries are those of another event, decided
// again. Its ID begins with the other event's key, so that an event's replays are found
// by the unique index of events.
const replayPrefix = "replay:"

// MaxReplays is how many times one event may be replayed. Each message of a replay is
// looked for among those of the event and of all its replays.
const MaxReplays = 20

// Reasons that a replay gives.
const (
	// ReasonAlreadySent: the recipient got the message before, or may have.
	ReasonAlreadySent = "AlreadySent"
	// ReasonReplayed: the message failed, and a replay of the event sends it instead.
	ReasonReplayed = "Replayed"
)

// reasonOutcomeUnknown is the delivery workers' reason for a message that the provider
// may have accepted.
const reasonOutcomeUnknown = "OutcomeUnknown"

// ReplayID returns the ID of the event that replays the event with the key. Replays with
// the same name are the same replay.
func ReplayID(key int64, name string) string {
	return replayPrefix + strconv.FormatInt(key, 10) + ":" + name
}

// ReplayOf returns the key of the event that a replay with the ID decides again.
func ReplayOf(id string) (key int64, ok bool) {
	rest, ok := strings.CutPrefix(id, replayPrefix)
	number, _, found := strings.Cut(rest, ":")
	key, err := strconv.ParseInt(number, 10, 64)
	return key, ok && found && err == nil
}

// replayRange returns the bounds between which the IDs of an event's replays are sorted.
func replayRange(key int64) (from, before string) {
	prefix := replayPrefix + strconv.FormatInt(key, 10)
	return prefix + ":", prefix + ";" // the character after the colon
}

// Replay makes the completion of a claimed event that of a replay: see
// [ClaimedEvent.Replay].
type Replay struct {
	// Of is the key of the event that is decided again. It is an event of the same
	// company.
	Of int64
	// Repeat holds the IDs of deliveries of that event and of its replays. Their
	// recipients get the message again although they may have received it.
	Repeat []int64
}

// Replays returns the replays of an event of a company, the oldest first, without their
// Data.
func (s *Store) Replays(ctx context.Context, company string, key int64) ([]StoredEvent, error) {
	from, before := replayRange(key)
	found, err := s.readEvents(ctx, eventColumns+", NULL",
		"WHERE company = $1 AND event_id >= $2 AND event_id < $3 ORDER BY id + 0 LIMIT "+strconv.Itoa(2*MaxReplays), storable(company), from, before)
	if err != nil {
		return nil, unavailable("reading an event's replays", err)
	}
	return found, nil
}

// Earlier is a delivery of an event or of one of its replays.
type Earlier struct {
	ID      int64
	EventID string
	State   DeliveryState
	Reason  string

	attempts   int
	hasMessage bool
}

const (
	// ofFamily selects the deliveries of an event and of its replays.
	ofFamily = " FROM deliveries WHERE company || '' = $1 AND event IN" +
		" (SELECT id FROM events WHERE company = $1 AND (id = $2 OR event_id >= $3 AND event_id < $4))"
	earlierColumns = "SELECT id, event_id, state, reason, attempts, content <> 0"
	earlierTo      = earlierColumns + ofFamily + " AND rule = $5 AND channel || '' = $6 AND recipient = $7 ORDER BY id + 0 LIMIT 1000"
	// The lock makes replays of one event, which other replicas may decide at the same
	// time, see each other's deliveries.
	lockEvent = "UPDATE events SET updated_at = updated_at WHERE id = $1 AND company = $2"
	supersede = `
		UPDATE deliveries SET reason = $1, message = CASE WHEN reason = $1 THEN message ELSE $2 || message END
		WHERE id = $3 AND state IN ('failed', 'cancelled')`
)

// mayHaveArrived tells whether the recipient has the message, may have it or may get it
// yet.
func (e *Earlier) mayHaveArrived() bool {
	switch e.State {
	case DeliveryPending, DeliverySent, DeliveryQuarantined:
		return true
	case DeliveryFailed:
		return e.Reason == reasonOutcomeUnknown
	case DeliveryCancelled:
		return e.attempts > 0 // it may have been on its way when its company was deactivated
	case DeliverySkipped:
	}
	return false
}

// scanEarlier reads rows of earlierTo and closes them.
func scanEarlier(rows *sql.Rows) (found []Earlier, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e Earlier
		if err := rows.Scan(&e.ID, &e.EventID, &e.State, &e.Reason, &e.attempts, &e.hasMessage); err != nil {
			return nil, err
		}
		found = append(found, e)
	}
	return found, rows.Err()
}

// EarlierTo returns the deliveries for which a replay of an event of a company withholds
// the message of a rule and channel to a recipient: the recipient may have received it by
// one of them, or may receive it yet. The oldest comes first.
func (s *Store) EarlierTo(ctx context.Context, company string, key int64, rule, channel, recipient string) ([]Earlier, error) {
	from, before := replayRange(key)
	rows, err := s.reader.QueryContext(ctx, earlierTo, storableArgs([]any{company, key, from, before, rule, channel, recipient})...)
	if err != nil {
		return nil, unavailable("reading earlier deliveries", err)
	}
	found, err := scanEarlier(rows)
	if err != nil {
		return nil, unavailable("reading earlier deliveries", err)
	}
	return slices.DeleteFunc(found, func(e Earlier) bool { return !e.mayHaveArrived() }), nil
}

// InFamily returns those of the delivery IDs that belong to an event of a company or to one
// of its replays, sorted.
func (s *Store) InFamily(ctx context.Context, company string, key int64, ids []int64) ([]int64, error) {
	from, before := replayRange(key)
	var found []int64
	for _, id := range ids {
		var one int
		err := s.reader.QueryRowContext(ctx, "SELECT COUNT(*)"+ofFamily+" AND deliveries.id = $5", storable(company), key, from, before, id).Scan(&one)
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
func (r *Replay) withhold(w *writer, company string, c *completion) (*completion, error) {
	n, err := w.exec(lockEvent, r.Of, company)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, fmt.Errorf("the replayed event: %w", ErrNotFound)
	}
	kept := *c // the job may run again
	kept.deliveries, kept.says = slices.Clone(c.deliveries), slices.Clone(c.says)
	for i := range kept.deliveries {
		d := &kept.deliveries[i]
		if state, _, _ := d.outcome(); state != DeliveryPending {
			continue
		}
		before, err := r.before(w, company, d)
		if err != nil {
			return nil, err
		}
		if before == nil {
			continue
		}
		d.SkipReason = ReasonAlreadySent
		d.SkipMessage = fmt.Sprintf("The recipient has, or may have, this message already: see log entry %d. Name that entry in \"repeat\" to send the message again.", before.ID)
		d.Content, kept.says[i] = Content{}, 0
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

// before returns the last delivery for which a message is withheld; nil if it is sent. What
// failed before is marked, so that it is not sent again with other failed messages.
func (r *Replay) before(w *writer, company string, d *NewDelivery) (*Earlier, error) {
	from, until := replayRange(r.Of)
	rows, err := w.query(earlierTo, company, r.Of, from, until, d.RuleName, d.Channel, d.Recipient)
	if err != nil {
		return nil, err
	}
	earlier, err := scanEarlier(rows)
	if err != nil {
		return nil, err
	}
	named := slices.ContainsFunc(earlier, func(e Earlier) bool { return slices.Contains(r.Repeat, e.ID) })
	for i := range earlier {
		if e := &earlier[len(earlier)-1-i]; e.mayHaveArrived() && !named {
			return e, nil
		}
	}
	for i := range earlier {
		if e := &earlier[i]; !e.mayHaveArrived() && e.hasMessage {
			n, err := w.exec(supersede, ReasonReplayed, "A replay of the event replaces this message. ", e.ID)
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
