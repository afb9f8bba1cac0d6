// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// accepters is how many batches of events are on the way at once: while one
	// waits for its commit, the next is sent.
	accepters = 3
	// maxBatchBytes is how much data one statement brings.
	maxBatchBytes = 4 << 20
	// acceptAttempts is how often a batch is sent whose connection broke. It does no
	// harm if the first was stored after all.
	acceptAttempts = 3
	acceptPause    = 50 * time.Millisecond
)

// Rows come in the order of their keys, so that replicas that take in the same
// events wait for each other instead of deadlocking.
const insertEvents = `
	INSERT INTO events (company, event_id, name, received_at, next_attempt_at, lease, attempts, updated_at, data)
	SELECT company, event_id, name, received_at, due, lease, attempts, now, data
	FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::int[], $8::bigint[], $9::bytea[])
		AS e (company, event_id, name, received_at, due, lease, attempts, now, data)
	ON CONFLICT (company, event_id) DO NOTHING
	RETURNING company, event_id, id`

// acceptance is an event that waits to be stored.
type acceptance struct {
	*newEvent
	ctx  context.Context
	key  int64 // 0 if it is a duplicate
	err  error
	done chan struct{}
}

// end says what became of it.
func (a *acceptance) end() {
	a.ended(a.key, a.err)
	close(a.done)
}

func (a *acceptance) refuse(err error) (bool, error) {
	a.ended(0, err)
	return false, err
}

// accepter stores events, many in a statement. A caller who is alone waits for
// nobody.
type accepter struct {
	p       *postgresDatabase
	waiting chan *acceptance
	closing chan struct{}
	once    sync.Once
	workers sync.WaitGroup
}

func newAccepter(p *postgresDatabase) *accepter {
	a := &accepter{p: p, waiting: make(chan *acceptance, maxQueue), closing: make(chan struct{})}
	for range accepters {
		a.workers.Go(a.work)
	}
	return a
}

func (p *postgresDatabase) accept(ctx context.Context, e *newEvent) (bool, error) {
	a := &acceptance{newEvent: e, ctx: ctx, done: make(chan struct{})}
	select {
	case <-p.accepter.closing:
		return a.refuse(errClosed)
	default:
	}
	select {
	case p.accepter.waiting <- a:
	case <-p.accepter.closing:
		return a.refuse(errClosed)
	case <-ctx.Done():
		return a.refuse(fmt.Errorf("%w: too many writes are waiting: %w", ErrUnavailable, ctx.Err()))
	}
	select {
	case <-a.done:
		return a.key != 0, a.err
	case <-ctx.Done():
		return false, fmt.Errorf("%w: the write took too long: %w", ErrUnavailable, ctx.Err())
	}
}

// close stores what waits and stops.
func (a *accepter) close() {
	a.once.Do(func() { close(a.closing) })
	a.workers.Wait()
	// What slipped in between.
	for {
		select {
		case late := <-a.waiting:
			late.err = errClosed
			late.end()
		default:
			return
		}
	}
}

func (a *accepter) work() {
	for {
		batch := a.next()
		if len(batch) == 0 {
			return
		}
		a.store(batch)
		for _, e := range batch {
			e.end()
		}
	}
}

// next waits for an event and takes those that queued behind it. It returns
// nothing when the accepter is closed and nothing waits.
func (a *accepter) next() []*acceptance {
	var batch []*acceptance
	select {
	case e := <-a.waiting:
		batch = append(batch, e)
	default:
		select {
		case e := <-a.waiting:
			batch = append(batch, e)
		case <-a.closing:
		}
	}
	for size := 0; len(batch) > 0 && len(batch) < maxBatch; {
		if size += len(batch[len(batch)-1].data); size > maxBatchBytes {
			break
		}
		select {
		case e := <-a.waiting:
			batch = append(batch, e)
		default:
			return batch
		}
	}
	return batch
}

// store stores a batch and gives each its outcome.
func (a *accepter) store(batch []*acceptance) {
	live := make([]*acceptance, 0, len(batch))
	for _, e := range batch {
		if err := e.ctx.Err(); err != nil {
			e.err = fmt.Errorf("%w: the write took too long: %w", ErrUnavailable, err)
			continue
		}
		live = append(live, e)
	}
	if len(live) == 0 {
		return
	}
	slices.SortStableFunc(live, func(x, y *acceptance) int {
		return cmp.Or(cmp.Compare(x.company, y.company), cmp.Compare(x.id, y.id))
	})
	err := a.insert(live)
	if err != nil && len(live) > 1 && !postgresFailed(err) {
		// One of them can't be stored. The others must not suffer for it.
		for i := range live {
			live[i].err = a.p.outcome(a.insert(live[i : i+1]))
		}
		return
	}
	err = a.p.outcome(err)
	for _, e := range live {
		e.err = err
	}
}

// insert stores events that are sorted by their keys. A batch whose connection broke is
// sent again.
func (a *accepter) insert(batch []*acceptance) error {
	store := func(ctx context.Context) error { return a.insertMany(ctx, batch) }
	if len(batch) == 1 {
		store = func(ctx context.Context) error { return a.insertOne(ctx, batch[0]) }
	}
	for attempt := 1; ; attempt++ {
		err := repeat(context.Background(), maxRepeats, store)
		if err == nil || attempt == acceptAttempts || !connectionLost(err) {
			return err
		}
		select {
		case <-time.After(acceptPause):
		case <-a.closing:
		}
	}
}

// insertOne is insertMany for one event. Arrays take the server a tenth of a
// millisecond more.
func (a *accepter) insertOne(ctx context.Context, e *acceptance) error {
	e.key = 0
	err := a.p.pool.QueryRowContext(ctx, insertEvent+" RETURNING id", e.company, e.id, e.name, e.received, e.due, e.lease, e.attempts(), e.now, e.data).Scan(&e.key)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

func (a *accepter) insertMany(ctx context.Context, batch []*acceptance) error {
	var companies, ids, names []string
	var received, due, lease, now []int64
	var attempts []int
	var data [][]byte
	for _, e := range batch {
		companies, ids, names = append(companies, e.company), append(ids, e.id), append(names, e.name)
		received, due, lease = append(received, e.received), append(due, e.due), append(lease, e.lease)
		attempts, now, data = append(attempts, e.attempts()), append(now, e.now), append(data, e.data)
	}
	rows, err := a.p.pool.QueryContext(ctx, insertEvents, companies, ids, names, received, due, lease, attempts, now, data)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	type key struct{ company, id string }
	fresh := make(map[key]int64, len(batch))
	for rows.Next() {
		var k key
		var row int64
		if err := rows.Scan(&k.company, &k.id, &row); err != nil {
			return err
		}
		fresh[k] = row
	}
	for _, e := range batch {
		// Of several with one key the first is the new one.
		k := key{e.company, e.id}
		e.key = fresh[k]
		delete(fresh, k)
	}
	return rows.Err()
}
