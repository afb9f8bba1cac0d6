// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
)

// querier is a connection, a transaction or a pool.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// writer is the one connection that writes, with its prepared statements.
type writer struct {
	// direct, if not nil, is asked instead of conn: PostgreSQL's driver keeps
	// statements prepared by itself.
	direct querier
	// ctx is never done. It is not the caller's: a statement that is interrupted
	// takes the whole transaction, and so its neighbours' writes, with it.
	ctx      context.Context
	conn     *sql.Conn
	clock    *steadyClock
	prepared map[string]*sql.Stmt
	// loose is whether commits on the connection now go without the disk's word.
	loose bool
	// wrote is whether the job at hand changed anything yet, and inserted the last row
	// that was inserted; changed is whether any job of the batch did.
	wrote, changed bool
	inserted       int64
	// synchronous, if it isn't empty, is how all commits go.
	synchronous string
}

func newWriter(ctx context.Context, db *sql.DB, c *steadyClock, o sqliteSettings) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &writer{ctx: context.WithoutCancel(ctx), conn: conn, clock: c, synchronous: o.synchronous, prepared: map[string]*sql.Stmt{}}, nil
}

func (w *writer) close() {
	for _, s := range w.prepared {
		_ = s.Close()
	}
	_ = w.conn.Close()
}

// discard closes the connection itself instead of giving it back to the pool.
func (w *writer) discard() {
	_, _ = w.conn.ExecContext(w.ctx, "ROLLBACK")
	for _, s := range w.prepared {
		_ = s.Close()
	}
	_ = w.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = w.conn.Close()
}

func (w *writer) prepare(query string) (*sql.Stmt, error) {
	if s := w.prepared[query]; s != nil {
		return s, nil
	}
	s, err := w.conn.PrepareContext(w.ctx, query)
	if err != nil {
		return nil, err
	}
	w.prepared[query] = s
	return s, nil
}

// exec runs a statement and returns how many rows it changed. The query must be
// a constant: it is kept prepared.
func (w *writer) exec(query string, args ...any) (int64, error) {
	args = storableArgs(args)
	if w.direct != nil {
		r, err := w.direct.ExecContext(w.ctx, query, args...)
		if err != nil {
			return 0, err
		}
		return r.RowsAffected()
	}
	s, err := w.prepare(query) //nolint:sqlclosecheck // kept as long as the connection
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(w.ctx, args...)
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	if err == nil && n > 0 {
		w.wrote = true
		w.inserted, err = r.LastInsertId()
	}
	return n, err
}

// query runs a statement that returns rows.
func (w *writer) query(query string, args ...any) (*sql.Rows, error) {
	args = storableArgs(args)
	if w.direct != nil {
		return w.direct.QueryContext(w.ctx, query, args...)
	}
	s, err := w.prepare(query) //nolint:sqlclosecheck // kept as long as the connection
	if err != nil {
		return nil, err
	}
	return s.QueryContext(w.ctx, args...)
}

const storeAhead = "INSERT INTO clock (id, ahead) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET ahead = excluded.ahead"

// errHalfDone says that a job failed by itself after it had changed something.
var errHalfDone = errors.New("a job failed half-done")

// commit runs the jobs in one transaction. A job that fails by itself keeps its
// error and leaves no trace; an error that is returned is everybody's.
//
// Next to none fails after it changed something. So they run without savepoints, for
// which SQLite keeps each page as it was before, and when one does fail all are run
// once more, with them.
func (w *writer) commit(batch []*job) error {
	w.changed = false
	if len(batch) == 1 && batch[0].reads {
		return w.run(batch[0])
	}
	if len(batch) == 1 && batch[0].one && batch[0].ctx.Err() == nil && w.clock.ahead() == w.clock.stored {
		return w.commitOne(batch[0])
	}
	err := w.transact(batch, false)
	if errors.Is(err, errHalfDone) {
		if _, err := w.exec("ROLLBACK"); err != nil {
			return err
		}
		return w.transact(batch, true)
	}
	return err
}

// transact runs the jobs in one transaction, each in a savepoint of its own or none.
func (w *writer) transact(batch []*job, savepoints bool) error {
	loose := true
	for _, j := range batch {
		loose = loose && (j.loose || j.reads)
	}
	if err := w.setLoose(loose); err != nil {
		return err
	}
	if _, err := w.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	run := w.run
	if savepoints {
		run = w.runInSavepoint
	}
	for _, j := range batch {
		if err := j.ctx.Err(); err != nil {
			j.err = fmt.Errorf("%w: the write took too long: %w", ErrUnavailable, err)
			continue
		}
		if err := run(j); err != nil {
			return err
		}
	}
	// Times that the ledger's clock told and what that clock is by are stored together.
	ahead := w.clock.ahead()
	if ahead != w.clock.stored {
		if _, err := w.exec(storeAhead, ahead.Milliseconds()); err != nil {
			return err
		}
	}
	if _, err := w.exec("COMMIT"); err != nil {
		return err
	}
	w.clock.stored = ahead
	return nil
}

// commitOne runs a job that is one statement, which is its own transaction.
func (w *writer) commitOne(j *job) error {
	if err := w.setLoose(j.loose); err != nil {
		return err
	}
	return w.run(j)
}

// run runs one job, and returns an error if more than the job failed, or errHalfDone.
func (w *writer) run(j *job) error {
	w.wrote = false
	j.err = j.run(w)
	w.changed = w.changed || w.wrote
	switch {
	case j.err == nil:
		return nil
	case brokenTransaction(j.err):
		return j.err
	case w.wrote && !j.one:
		return errHalfDone
	}
	return nil
}

// runInSavepoint runs one job so that its failure is undone.
func (w *writer) runInSavepoint(j *job) error {
	if j.one {
		return w.run(j)
	}
	if _, err := w.exec("SAVEPOINT job"); err != nil {
		return err
	}
	if err := w.run(j); errors.Is(err, errHalfDone) {
		if _, err := w.exec("ROLLBACK TO job"); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	_, err := w.exec("RELEASE job")
	return err
}

// setLoose chooses whether the next commit waits for the disk. A later commit
// that does takes the loose ones before it along.
func (w *writer) setLoose(loose bool) error {
	if w.loose == loose || w.synchronous != "" {
		return nil
	}
	q := "PRAGMA synchronous = FULL"
	if loose {
		q = "PRAGMA synchronous = NORMAL"
	}
	// Not prepared: SQLite carries this pragma out when it is parsed.
	if _, err := w.conn.ExecContext(w.ctx, q); err != nil {
		return err
	}
	w.loose = loose
	return nil
}
