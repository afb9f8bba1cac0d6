// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Claim says how much work to take and from whom.
type Claim struct {
	// Limit is how many rows to claim at most.
	Limit int
	// Lease is how long the caller has until another may claim them.
	Lease time.Duration
	// MaxPerCompany, if it isn't 0, is how many rows of one company the caller is
	// willing to hold, and Held how many it holds now: a company whose provider
	// hangs doesn't get all of a caller's hands.
	MaxPerCompany int
	Held          map[string]int
}

// room is how many more rows of the company the caller would take.
func (c Claim) room(company string) int {
	if c.MaxPerCompany == 0 {
		return c.Limit
	}
	return c.MaxPerCompany - c.Held[company]
}

// turn remembers which company was served last, so that the next claim begins
// with the one after it, also when there are more companies than a claim takes.
type turn struct {
	mu   sync.Mutex
	last string
}

// queue is what the two tables that are queues have in common.
type queue struct {
	companies, nextDue, pending string
	renew, release              string
}

// newQueue writes the statements for a table. Companies with pending rows are
// found by jumping along the index from one to the next, so that the cost grows
// with the companies and not with what the busiest of them has waiting.
//
// The limits of these and of the claims are a sum: SQLite parses a statement
// again whenever a limit that is a bare parameter changes, which took a third of
// the time of all claims.
func newQueue(table string) queue {
	in := func(q string) string { return strings.ReplaceAll(q, "{table}", table) }
	return queue{
		companies: in(`
			WITH RECURSIVE waiting (company) AS (
				SELECT MIN(company) FROM {table} WHERE state = 'pending' AND company > $1
				UNION ALL
				SELECT (SELECT MIN(q.company) FROM {table} q WHERE q.state = 'pending' AND q.company > waiting.company)
				FROM waiting WHERE waiting.company IS NOT NULL
			)
			SELECT company FROM waiting
			WHERE company IS NOT NULL AND $2 >= (
				SELECT MIN(q.next_attempt_at) FROM {table} q WHERE q.state = 'pending' AND q.company = waiting.company)
			LIMIT $3 + 0`),
		nextDue: in(`
			WITH RECURSIVE waiting (company) AS (
				SELECT MIN(company) FROM {table} WHERE state = 'pending'
				UNION ALL
				SELECT (SELECT MIN(q.company) FROM {table} q WHERE q.state = 'pending' AND q.company > waiting.company)
				FROM waiting WHERE waiting.company IS NOT NULL
			)
			SELECT MIN((SELECT MIN(q.next_attempt_at) FROM {table} q WHERE q.state = 'pending' AND q.company = waiting.company))
			FROM waiting WHERE company IS NOT NULL`),
		pending: in("SELECT COUNT(*) FROM {table} WHERE state = 'pending'"),
		renew:   in("UPDATE {table} SET next_attempt_at = $1 WHERE id = $2 AND lease = $3 AND state = 'pending'"),
		release: in("UPDATE {table} SET lease = 0, next_attempt_at = $1, attempts = attempts - 1 WHERE id = $2 AND lease = $3 AND state = 'pending'"),
	}
}

var (
	eventQueue    = newQueue("events")
	deliveryQueue = newQueue("deliveries")
)

// claim finds whose turn it is and lets take claim up to n rows of each company;
// take returns how many it got. The turn is held meanwhile, so that callers don't
// ask for the same rows.
func (s *Store) claim(ctx context.Context, q queue, t *turn, c Claim, take func(w *writer, company string, n int, lease, now, until int64) (int, error)) error {
	if c.Limit <= 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	companies, err := s.companiesDue(ctx, q, t.last, c)
	if err != nil {
		return unavailable("looking for due work", err)
	}
	if len(companies) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return unavailable("claiming", err)
	}
	last := t.last
	// A caller that stops must not cut off a claim that has begun: it would not learn
	// what it got, could not give it back, and nobody else would get it before the
	// lease ends. The database bounds how long this takes.
	err = s.write(context.WithoutCancel(ctx), &job{loose: true, run: func(w *writer) error {
		now := s.now()
		lease := rand.Int64() | 1 // not 0, which is no lease
		left, until := c.Limit, now+c.Lease.Milliseconds()
		open, taken := companies, map[string]int{}
		// In rounds: what one company doesn't use of its share goes to the others.
		for left > 0 && len(open) > 0 {
			share := max(1, left/len(open))
			var more []string
			for _, company := range open {
				n := min(share, left, c.room(company)-taken[company])
				if n <= 0 {
					continue
				}
				got, err := take(w, company, n, lease, now, until)
				if err != nil {
					return err
				}
				if got > 0 {
					left -= got
					taken[company] += got
					last = company
				}
				if got == n {
					more = append(more, company)
				}
			}
			open = more
		}
		return nil
	}})
	if err == nil {
		t.last = last
	}
	return err
}

// companiesDue returns companies with due rows, in the order of their turns.
func (s *Store) companiesDue(ctx context.Context, q queue, after string, c Claim) ([]string, error) {
	full := 0 // companies that may be found but aren't wanted
	for company := range c.Held {
		if c.room(company) <= 0 {
			full++
		}
	}
	now, limit := s.now(), c.Limit+full
	find := func(after, upTo string, found []string) ([]string, error) {
		rows, err := s.prepared[q.companies].QueryContext(ctx, after, now, limit)
		if err != nil {
			return nil, err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() && len(found) < c.Limit {
			var company string
			if err := rows.Scan(&company); err != nil {
				return nil, err
			}
			if upTo != "" && company > upTo {
				break
			}
			if c.room(company) > 0 {
				found = append(found, company)
			}
		}
		return found, rows.Err()
	}
	found, err := find(after, "", nil)
	if err != nil || after == "" || len(found) >= c.Limit {
		return found, err
	}
	return find("", after, found)
}

// wait tells how long it is until the next row of a queue is due.
func (s *Store) wait(ctx context.Context, q queue) (time.Duration, bool, error) {
	at, ok, err := s.due(ctx, q)
	if !ok || err != nil {
		return 0, false, err
	}
	return at.Sub(s.clock.Now()), true, nil
}

// due tells when, by the ledger's clock, the next row of a queue is due.
func (s *Store) due(ctx context.Context, q queue) (time.Time, bool, error) {
	var at *int64
	if err := s.prepared[q.nextDue].QueryRowContext(ctx).Scan(&at); err != nil {
		return time.Time{}, false, unavailable("looking for the next due work", err)
	}
	if at == nil {
		return time.Time{}, false, nil
	}
	return timeOf(*at), true, nil
}

// leased runs a statement that changes the one row of a claim.
func (s *Store) leased(ctx context.Context, loose bool, committed func(), query string, args ...any) error {
	return s.write(ctx, &job{one: true, loose: loose, committed: committed, run: func(w *writer) error {
		n, err := w.exec(query, args...)
		if err == nil && n == 0 {
			return ErrLeaseLost
		}
		return err
	}})
}

// inTurn puts the rows of several companies one by one, as the companies came.
func inTurn[T any](rows []T, company func(*T) string) []T {
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
