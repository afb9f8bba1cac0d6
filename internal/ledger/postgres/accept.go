// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rehive/extension-operator/internal/ledger/driver"
)

const (
	// accepters is how many batches of events are in flight at once: while one waits for
	// its commit, the next is sent. Large events have accepters of their own, so that small
	// ones never wait for the tens of milliseconds that each of these takes.
	accepters, largeAccepters = 3, 2
	// largeEvent is the size in bytes from which an event counts as large.
	largeEvent = 64 << 10
	// maxQueue is how many events of either kind may wait. maxBatch is how many events, and
	// maxBatchBytes how much data, one statement inserts, unless a single event has more.
	maxQueue      = 4096
	maxBatch      = 256
	maxBatchBytes = 1 << 20
	// acceptAttempts is how often a batch is sent if its connection breaks. It does no
	// harm if the first attempt was stored after all.
	acceptAttempts = 3
	acceptPause    = 50 * time.Millisecond
)

// Rows are inserted in the order of their keys, so that replicas that accept the same
// events wait for each other instead of deadlocking.
const insertEvents = "INSERT INTO events (" + driver.EventColumns + ") SELECT " + driver.EventColumns + `
	FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::int[], $8::bigint[], $9::bytea[])
		AS e (` + driver.EventColumns + `)
	ON CONFLICT (company, event_id) DO NOTHING
	RETURNING company, event_id, id`

// acceptance is an event that waits to be stored.
type acceptance struct {
	*driver.Event
	ctx  context.Context
	key  int64 // 0 if it is a duplicate
	err  error
	done chan struct{}
}

// end reports the outcome.
func (a *acceptance) end() {
	a.Ended(a.key, a.err)
	close(a.done)
}

func (a *acceptance) refuse(err error) (bool, error) {
	a.Ended(0, err)
	return false, err
}

// accepter stores events, many with one statement. A caller who is alone waits for
// nobody.
type accepter struct {
	d            *database
	small, large queue
	closing      chan struct{}
	once         sync.Once
	workers      sync.WaitGroup
}

// queue holds events that wait to be stored.
type queue chan *acceptance

func newAccepter(d *database) *accepter {
	a := &accepter{d: d, small: make(queue, maxQueue), large: make(queue, maxQueue), closing: make(chan struct{})}
	for range accepters {
		a.workers.Go(func() { a.work(a.small) })
	}
	for range largeAccepters {
		a.workers.Go(func() { a.work(a.large) })
	}
	return a
}

// Accept implements [driver.Driver].
func (d *database) Accept(ctx context.Context, e *driver.Event) (bool, error) {
	a := &acceptance{Event: e, ctx: ctx, done: make(chan struct{})}
	select {
	case <-d.accepter.closing:
		return a.refuse(driver.ErrClosed)
	default:
	}
	waiting := d.accepter.small
	if len(e.Data) >= largeEvent {
		waiting = d.accepter.large
	}
	select {
	case waiting <- a:
	case <-d.accepter.closing:
		return a.refuse(driver.ErrClosed)
	case <-ctx.Done():
		return a.refuse(driver.Refused(ctx.Err()))
	}
	select {
	case <-a.done:
		return a.key != 0, a.err
	case <-ctx.Done():
		return false, driver.TimedOut(ctx.Err())
	}
}

// close stores the waiting events and stops.
func (a *accepter) close() {
	a.once.Do(func() { close(a.closing) })
	a.workers.Wait()
	// Refuse those that were queued after the workers had ended.
	for {
		var late *acceptance
		select {
		case late = <-a.small:
		case late = <-a.large:
		default:
			return
		}
		late.err = driver.ErrClosed
		late.end()
	}
}

func (a *accepter) work(waiting queue) {
	// left did not fit into the previous batch.
	var left *acceptance
	for {
		var batch []*acceptance
		batch, left = a.next(waiting, left)
		if len(batch) == 0 {
			return
		}
		a.store(batch)
		for _, e := range batch {
			e.end()
		}
	}
}

// next waits for an event, unless one is left, and takes those that queued behind it. It
// returns nothing once the accepter is closed and no event waits, and the first event that
// did not fit.
func (a *accepter) next(waiting queue, left *acceptance) (batch []*acceptance, rest *acceptance) {
	first := left
	if first == nil {
		select {
		case first = <-waiting:
		default:
			select {
			case first = <-waiting:
			case <-a.closing:
				return nil, nil
			}
		}
	}
	batch = append(batch, first)
	for size := len(first.Data); len(batch) < maxBatch; {
		select {
		case e := <-waiting:
			if size += len(e.Data); size > maxBatchBytes {
				return batch, e
			}
			batch = append(batch, e)
		default:
			return batch, nil
		}
	}
	return batch, nil
}

// store stores a batch and sets the outcome of each event.
func (a *accepter) store(batch []*acceptance) {
	live := make([]*acceptance, 0, len(batch))
	for _, e := range batch {
		if err := e.ctx.Err(); err != nil {
			e.err = driver.TimedOut(err)
			continue
		}
		live = append(live, e)
	}
	if len(live) == 0 {
		return
	}
	slices.SortStableFunc(live, func(x, y *acceptance) int {
		return cmp.Or(cmp.Compare(x.Company, y.Company), cmp.Compare(x.ID, y.ID))
	})
	err := a.insert(live)
	if err != nil && len(live) > 1 && !databaseFailed(err) {
		// One of them can't be stored, and must not keep the others from it.
		for i := range live {
			live[i].err = a.d.outcome(a.insert(live[i : i+1]))
		}
		return
	}
	err = a.d.outcome(err)
	for _, e := range live {
		e.err = err
	}
}

// insert stores events that are sorted by their keys. If the connection breaks, the batch
// is sent again.
func (a *accepter) insert(batch []*acceptance) error {
	store := func(ctx context.Context) error { return a.insertBatch(ctx, batch) }
	if len(batch) == 1 {
		store = func(ctx context.Context) error { return a.insertSingle(ctx, batch[0]) }
	}
	for attempt := 1; ; attempt++ {
		err := retry(context.Background(), maxAttempts, store)
		if err == nil || attempt == acceptAttempts || !connectionLost(err) {
			return err
		}
		select {
		case <-time.After(acceptPause):
		case <-a.closing:
		}
	}
}

// insertSingle is insertBatch for one event. Arrays take the server a tenth of a
// millisecond longer.
func (a *accepter) insertSingle(ctx context.Context, e *acceptance) error {
	e.key = 0
	err := a.d.pool.QueryRowContext(ctx, driver.InsertEvent+" RETURNING id", e.Args()...).Scan(&e.key)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

func (a *accepter) insertBatch(ctx context.Context, batch []*acceptance) error {
	var companies, ids, names []string
	var received, due, lease, now []int64
	var attempts []int
	var data [][]byte
	for _, e := range batch {
		companies, ids, names = append(companies, e.Company), append(ids, e.ID), append(names, e.Name)
		received, due, lease = append(received, e.Received), append(due, e.Due), append(lease, e.Lease)
		attempts, now, data = append(attempts, e.Attempts()), append(now, e.Now), append(data, e.Data)
	}
	rows, err := a.d.pool.QueryContext(ctx, insertEvents, companies, ids, names, received, due, lease, attempts, now, data)
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
		// Of several with the same key the first is the new one.
		k := key{e.Company, e.ID}
		e.key = fresh[k]
		delete(fresh, k)
	}
	return rows.Err()
}
