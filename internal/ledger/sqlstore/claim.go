// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

// turn remembers which lane was served last, so that the next claim begins with the one
// after it, even if there are more lanes than a claim takes from.
type turn struct {
	claiming sync.Mutex // held during a claim

	mu   sync.Mutex
	last ledger.Lane
}

func (t *turn) get() ledger.Lane {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

func (t *turn) set(last ledger.Lane) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = last
}

// queue is what the two tables that are queues have in common.
type queue struct {
	// lanes finds those with rows that are due, and since when. Its parameters are the
	// two names of the lane after which it begins, a time and a limit.
	lanes            string
	nextDue, pending string
	renew, release   string
	// quarantine takes a reason, a message, a time, the row, its lease, and by how much
	// the attempts are too many.
	quarantine, quarantined string
	// logQuarantined adds a quarantined row to the log. It is empty if the log has it.
	logQuarantined string
	// background says that claims give way to webhooks.
	background bool
}

// newQueue writes the statements for a table, given the one that finds its lanes with
// pending rows, and the column of their channel. It jumps along the index from the
// longest due row of one lane to that of the next, so that the cost grows with the
// lanes and not with what the busiest of them has waiting.
//
// The limits of these and of the claims are a sum: SQLite parses a statement
// again whenever a limit that is a bare parameter changes, which took a third of
// the time of all claims.
func newQueue(table, waiting, channel string) queue {
	q := queue{
		lanes:   waiting + "SELECT company, " + channel + ", due FROM waiting WHERE due <= $3 LIMIT $4 + 0",
		nextDue: strings.NewReplacer("$1", "''", "$2", "''").Replace(waiting + "SELECT MIN(due) FROM waiting"),
		pending: "SELECT COUNT(*) FROM " + table + " WHERE state = 'pending'",
		renew:   "UPDATE " + table + " SET next_attempt_at = $1 WHERE id = $2 AND lease = $3 AND state = 'pending'",
		release: "UPDATE " + table + " SET lease = 0, next_attempt_at = $1, attempts = attempts - 1 WHERE id = $2 AND lease = $3 AND state = 'pending'",
		quarantine: "UPDATE " + table + " SET state = 'quarantined', reason = $1, message = $2, updated_at = $3, lease = 0, attempts = attempts - CAST($6 AS BIGINT)" +
			" WHERE id = $4 AND lease = $5 AND state = 'pending'",
		quarantined: "SELECT COUNT(*) FROM " + table + " WHERE state = 'quarantined'",
	}
	if table == "events" {
		q.background, q.logQuarantined = true, logQuarantinedEvent
	} else {
		q.quarantined += " AND rule <> ''" // without those of events
	}
	return q
}

var (
	// The lane of an event is its company.
	eventQueue = newQueue("events", `
		WITH RECURSIVE waiting (company, due) AS (
			SELECT q.company, q.next_attempt_at FROM events q WHERE q.id = (
				SELECT n.id FROM events n WHERE n.state = 'pending' AND n.company > $1
				ORDER BY n.company, n.next_attempt_at LIMIT 1)
			UNION ALL
			SELECT q.company, q.next_attempt_at FROM waiting JOIN events q ON q.id = (
				SELECT n.id FROM events n WHERE n.state = 'pending' AND n.company > waiting.company
				ORDER BY n.company, n.next_attempt_at LIMIT 1)
		) `, "CAST($2 AS TEXT)")
	// After a lane comes the next channel of its company, else the next company. As one
	// comparison of pairs SQLite would look through all that waits in the lane.
	deliveryQueue = newQueue("deliveries", `
		WITH RECURSIVE waiting (company, channel, due) AS (
			SELECT q.company, q.channel, q.next_attempt_at FROM deliveries q WHERE q.id = COALESCE((
				SELECT n.id FROM deliveries n WHERE n.state = 'pending' AND n.company = $1 AND n.channel > $2
				ORDER BY n.channel, n.next_attempt_at LIMIT 1), (
				SELECT n.id FROM deliveries n WHERE n.state = 'pending' AND n.company > $1
				ORDER BY n.company, n.channel, n.next_attempt_at LIMIT 1))
			UNION ALL
			SELECT q.company, q.channel, q.next_attempt_at FROM waiting JOIN deliveries q ON q.id = COALESCE((
				SELECT n.id FROM deliveries n WHERE n.state = 'pending' AND n.company = waiting.company AND n.channel > waiting.channel
				ORDER BY n.channel, n.next_attempt_at LIMIT 1), (
				SELECT n.id FROM deliveries n WHERE n.state = 'pending' AND n.company > waiting.company
				ORDER BY n.company, n.channel, n.next_attempt_at LIMIT 1))
		) `, "channel")
)

// maxReturned is about how many of the claimed rows one claim returns to the queue, so that
// its transaction stays short where thousands are not to be handed out yet.
const maxReturned = 200

// claim has take claim up to n rows of each lane, and returns those that are handed out.
// take returns how many it claimed, including those that it returned to the queue. After many
// of those the claim ends, although more rows may be due.
// The turn is held meanwhile, so that callers don't ask for the same rows.
func claim[T any](ctx context.Context, s *Store, q *queue, t *turn, held *suspects, c ledger.Claim, take func(driver.Tx, driver.Claim) (rows []T, n int, err error), rowOf func(*T) claimedRow) ([]T, error) {
	if c.Limit <= 0 {
		return nil, nil
	}
	t.claiming.Lock()
	defer t.claiming.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, unavailable("claiming", err)
	}
	lanes, err := s.lanesOf(ctx, q, t, c)
	if err != nil || len(lanes) == 0 {
		return nil, err
	}
	var claimed []T
	var last ledger.Lane
	served := false
	var screen screening
	var until int64
	// A caller that stops must not cut off a claim that has begun: it would not learn
	// what it got, could not return it, and nobody else would get it before the lease
	// ends. The database bounds how long this takes.
	err = s.driver.Write(context.WithoutCancel(ctx), &driver.Job{Relaxed: true, Background: q.background, Run: func(tx driver.Tx) error {
		claimed, served = nil, false // after a run that was rolled back
		now := s.now()
		lease := newLease()
		until = now + c.Lease.Milliseconds()
		screen = screening{queue: q, lease: lease, now: now}
		screen.held, screen.alone = held.inHand(now)
		left, returned, bounds := c.Limit, 0, slices.Clone(c.Bounds)
		open := slices.Clone(lanes)
		// In rounds: what one lane doesn't use of its share goes to the others.
		for left > 0 && returned < maxReturned && len(open) > 0 {
			share := shares(open, bounds, left)
			more := open[:0]
			for i := range open {
				l := &open[i]
				n := min(share(l), left)
				if n <= 0 {
					continue
				}
				found, taken, err := take(tx, driver.Claim{Lane: l.Lane, Limit: n, Lease: lease, Now: now, Until: until})
				if err != nil {
					return err
				}
				got := 0
				for i := range found {
					ok, err := screen.admits(tx, rowOf(&found[i]))
					if err != nil {
						return err
					}
					if ok {
						claimed = append(claimed, found[i])
						got++
					}
				}
				returned += taken - got
				if got > 0 {
					left -= got
					for _, b := range l.Bounds {
						bounds[b] -= got
					}
					last, served = l.Lane, true
				}
				if taken == n {
					more = append(more, *l)
				}
			}
			open = more
		}
		return nil
	}})
	if err != nil {
		return nil, err
	}
	if served {
		t.set(last)
	}
	held.add(screen.admitted, screen.lease, until)
	s.reportQuarantined(screen.quarantined)
	return claimed, nil
}

// lanesOf returns the lanes of a claim, or those that are due.
func (s *Store) lanesOf(ctx context.Context, q *queue, t *turn, c ledger.Claim) ([]ledger.ClaimLane, error) {
	if c.Lanes != nil {
		return c.Lanes, nil
	}
	var lanes []ledger.ClaimLane
	for l, err := range s.dueLanes(ctx, q, t) {
		if err != nil {
			return nil, err
		}
		if lanes = append(lanes, ledger.ClaimLane{Lane: l}); len(lanes) == c.Limit {
			break
		}
	}
	return lanes, nil
}

// newLease returns a unique number for a claim.
func newLease() int64 { return rand.Int64() | 1 } // 0 means that there is no lease

// shares divides what is left between companies, what a company gets between its lanes,
// and each bound between the lanes that it bounds. Everybody's share is at least one, so
// that the first in turn get something of what is too little for all.
func shares(open []ledger.ClaimLane, bounds []int, left int) func(*ledger.ClaimLane) int {
	ofCompany, ofBound, room := map[string]int{}, make([]int, len(bounds)), slices.Clone(bounds)
	for i := range open {
		ofCompany[open[i].Company]++
		for _, b := range open[i].Bounds {
			ofBound[b]++
		}
	}
	return func(l *ledger.ClaimLane) int {
		n := max(1, left/(len(ofCompany)*ofCompany[l.Company]))
		for _, b := range l.Bounds {
			n = min(n, bounds[b], max(1, room[b]/ofBound[b]))
		}
		return n
	}
}

// lanePage is how many lanes are read at first.
const lanePage = 64

// DueEventLanes implements [ledger.EventQueue].
func (s *Store) DueEventLanes(ctx context.Context) iter.Seq2[ledger.Lane, error] {
	return s.dueLanes(ctx, &eventQueue, &s.eventTurn)
}

// DueDeliveryLanes implements [ledger.DeliveryQueue].
func (s *Store) DueDeliveryLanes(ctx context.Context) iter.Seq2[ledger.Lane, error] {
	return s.dueLanes(ctx, &deliveryQueue, &s.deliveryTurn)
}

// dueLanes returns the lanes with due rows in the order of their turns.
func (s *Store) dueLanes(ctx context.Context, q *queue, t *turn) iter.Seq2[ledger.Lane, error] {
	return func(yield func(ledger.Lane, error) bool) {
		after, now, more := t.get(), s.now(), true
		list := func(after ledger.Lane, limit int) ([]dueLane, error) { return s.lanes(ctx, *q, after, now, limit) }
		next := func(l ledger.Lane, _ int64) bool {
			more = yield(l, nil)
			return more
		}
		err := eachLane(list, after, lanePage, next)
		if err == nil && more && after != (ledger.Lane{}) {
			// From the first on, up to the one where it began.
			err = eachLane(list, ledger.Lane{}, lanePage, func(l ledger.Lane, due int64) bool {
				return !after.Before(l) && next(l, due)
			})
		}
		if err != nil {
			yield(ledger.Lane{}, unavailable("looking for due work", err))
		}
	}
}

// dueLane is a lane, and since when something in it is due.
type dueLane struct {
	ledger.Lane
	due int64
}

// eachLane calls look with each lane that list returns after the given one, in order,
// until it returns false. It asks for limit of them at first, and for more where that
// wasn't enough.
func eachLane(list func(after ledger.Lane, limit int) ([]dueLane, error), after ledger.Lane, limit int, look func(l ledger.Lane, due int64) bool) error {
	for {
		found, err := list(after, limit)
		if err != nil {
			return err
		}
		for _, l := range found {
			if !look(l.Lane, l.due) {
				return nil
			}
			after = l.Lane
		}
		if len(found) < limit {
			return nil
		}
		limit = min(2*limit, 1000)
	}
}

// lanes returns at most limit lanes that have rows due at a time.
func (s *Store) lanes(ctx context.Context, q queue, after ledger.Lane, at int64, limit int) ([]dueLane, error) {
	return query(ctx, s, func(tx driver.Tx) (found []dueLane, err error) {
		rows, err := tx.Query(q.lanes, after.Company, after.Channel, at, limit)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var l dueLane
			if err := rows.Scan(&l.Company, &l.Channel, &l.due); err != nil {
				return nil, err
			}
			found = append(found, l)
		}
		return found, rows.Err()
	})
}

// untilDue returns how long it is until the next row of a queue is due.
func (s *Store) untilDue(ctx context.Context, q queue) (time.Duration, bool, error) {
	at, ok, err := s.due(ctx, q)
	if !ok || err != nil {
		return 0, false, err
	}
	return at.Sub(s.clock.Now()), true, nil
}

// due returns when the next row of a queue is due, by the ledger's clock.
func (s *Store) due(ctx context.Context, q queue) (time.Time, bool, error) {
	at, err := query(ctx, s, func(tx driver.Tx) (at *int64, err error) {
		err = queryRow(tx, q.nextDue, nil, &at)
		return at, err
	})
	if err != nil {
		return time.Time{}, false, unavailable("looking for the next due work", err)
	}
	if at == nil {
		return time.Time{}, false, nil
	}
	return schema.Time(*at), true, nil
}

// renew extends a lease from now on.
func (s *Store) renew(ctx context.Context, q queue, held *suspects, id int64, l *ledger.Lease, length time.Duration) error {
	begun, until := s.machine.Now(), s.now()+length.Milliseconds()
	if err := s.leased(ctx, true, nil, q.renew, until, id, l.ID); err != nil {
		return err
	}
	held.renew(id, l.ID, until)
	l.Until, l.Begun, l.Length = schema.Time(until).Add(-s.clock.Ahead()), begun, length
	return nil
}

// endClaim runs a statement that ends a claim.
func (s *Store) endClaim(ctx context.Context, held *suspects, id int64, l ledger.Lease, relaxed bool, committed func(), query string, args ...any) error {
	err := s.leased(ctx, relaxed, committed, query, args...)
	if err == nil || errors.Is(err, ledger.ErrLeaseLost) {
		held.end(id, l.ID)
	}
	return err
}

// endClaimAnd ends a claim as endClaim does, and runs more in the same transaction, which
// returns how many bytes more are stored for the company.
func (s *Store) endClaimAnd(ctx context.Context, held *suspects, id int64, l ledger.Lease, company string, committed func(), more func(driver.Tx) (stored int64, err error), query string, args ...any) error {
	stored, err := write(ctx, s, &driver.Job{Committed: committed}, func(tx driver.Tx) (int64, error) {
		n, err := tx.Exec(query, args...)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, ledger.ErrLeaseLost
		}
		return more(tx)
	})
	if stored != 0 {
		s.usage.add(company, 0, stored)
	}
	if err == nil || errors.Is(err, ledger.ErrLeaseLost) {
		held.end(id, l.ID)
	}
	return err
}

// leased runs a statement that changes the one row of a claim.
func (s *Store) leased(ctx context.Context, relaxed bool, committed func(), query string, args ...any) error {
	return s.driver.Write(ctx, &driver.Job{Single: true, Relaxed: relaxed, Committed: committed, Run: func(tx driver.Tx) error {
		n, err := tx.Exec(query, args...)
		if err == nil && n == 0 {
			return ledger.ErrLeaseLost
		}
		return err
	}})
}

// interleaved returns the rows of several companies one by one, in the order in which the
// companies come first.
func interleaved[T any](rows []T, company func(*T) string) []T {
	var order []string
	byCompany := map[string][]T{}
	for i := range rows {
		c := company(&rows[i])
		if _, ok := byCompany[c]; !ok {
			order = append(order, c)
		}
		byCompany[c] = append(byCompany[c], rows[i])
	}
	if len(order) < 2 {
		return rows
	}
	out := rows[:0:0]
	for i := 0; len(out) < len(rows); i++ {
		for _, c := range order {
			if i < len(byCompany[c]) {
				out = append(out, byCompany[c][i])
			}
		}
	}
	return out
}
