// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"

	"github.com/rehive/extension-operator/internal/ledger/driver"
)

// writer is the one connection that writes, with its prepared statements.
type writer struct {
	// ctx is never done. It is not the caller's: interrupting a statement rolls back the
	// whole transaction, with the writes of other callers.
	ctx      context.Context
	conn     *sql.Conn
	clock    *steadyClock
	prepared map[string]*sql.Stmt
	// relaxed reports whether commits on the connection currently don't wait for the disk.
	relaxed bool
	// wrote reports whether the current job has changed anything yet, and changed whether
	// any job of the batch has. inserted is the ID of the row inserted last.
	wrote, changed bool
	inserted       int64
	// synchronous, if not empty, is the mode of all commits.
	synchronous string
}

var _ driver.Tx = (*writer)(nil)

func newWriter(ctx context.Context, db *sql.DB, c *steadyClock, s settings) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &writer{ctx: context.WithoutCancel(ctx), conn: conn, clock: c, synchronous: s.synchronous, prepared: map[string]*sql.Stmt{}}, nil
}

func (w *writer) close() {
	for _, s := range w.prepared {
		_ = s.Close()
	}
	_ = w.conn.Close()
}

// discard closes the connection instead of returning it to the pool.
func (w *writer) discard() {
	_, _ = w.conn.ExecContext(w.ctx, "ROLLBACK")
	for _, s := range w.prepared {
		_ = s.Close()
	}
	_ = w.conn.Raw(func(any) error { return sqldriver.ErrBadConn })
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

// Exec implements [driver.Tx]. The statement is kept prepared.
func (w *writer) Exec(query string, args ...any) (int64, error) {
	s, err := w.prepare(query) //nolint:sqlclosecheck // kept as long as the connection
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(w.ctx, driver.StorableArgs(args)...)
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

// Query implements [driver.Tx]. The statement is kept prepared.
func (w *writer) Query(query string, args ...any) (*sql.Rows, error) {
	s, err := w.prepare(query) //nolint:sqlclosecheck // kept as long as the connection
	if err != nil {
		return nil, err
	}
	return s.QueryContext(w.ctx, driver.StorableArgs(args)...)
}

// Insert implements [driver.Tx].
func (w *writer) Insert(query string, n int, args ...any) ([]int64, error) {
	if _, err := w.Exec(query, args...); err != nil {
		return nil, err
	}
	// A file's only writer gets consecutive IDs.
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = w.inserted - int64(n-1-i)
	}
	return ids, nil
}

const storeAhead = "INSERT INTO clock (id, ahead) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET ahead = excluded.ahead"

// errPartlyDone says that a job failed by itself after it had changed something.
var errPartlyDone = errors.New("a job failed after it changed something")

// commit runs the jobs in one transaction. A job that fails by itself keeps its error and
// leaves no trace; an error that is returned concerns all of them.
//
// Hardly any job fails after it changed something. So they run without savepoints, for
// which SQLite would keep a copy of each page; when one does fail, all run again with
// savepoints.
func (w *writer) commit(batch []*job) error {
	w.changed = false
	if len(batch) == 1 && batch[0].reads {
		return w.run(batch[0])
	}
	if len(batch) == 1 && batch[0].single && batch[0].ctx.Err() == nil && w.clock.Ahead() == w.clock.stored {
		return w.commitSingle(batch[0])
	}
	err := w.transact(batch, false)
	if errors.Is(err, errPartlyDone) {
		if _, err := w.Exec("ROLLBACK"); err != nil {
			return err
		}
		return w.transact(batch, true)
	}
	return err
}

// transact runs the jobs in one transaction, with or without a savepoint for each.
func (w *writer) transact(batch []*job, savepoints bool) error {
	relaxed := true
	for _, j := range batch {
		relaxed = relaxed && (j.relaxed || j.reads)
	}
	if err := w.setRelaxed(relaxed); err != nil {
		return err
	}
	if _, err := w.Exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	run := w.run
	if savepoints {
		run = w.runInSavepoint
	}
	for _, j := range batch {
		if err := j.ctx.Err(); err != nil {
			j.err = driver.TimedOut(err)
			continue
		}
		if err := run(j); err != nil {
			return err
		}
	}
	// Times by the ledger's clock are stored together with what the clock is based on.
	ahead := w.clock.Ahead()
	if ahead != w.clock.stored {
		if _, err := w.Exec(storeAhead, ahead.Milliseconds()); err != nil {
			return err
		}
	}
	if _, err := w.Exec("COMMIT"); err != nil {
		return err
	}
	w.clock.stored = ahead
	return nil
}

// commitSingle runs a job that is a single statement, which is its own transaction.
func (w *writer) commitSingle(j *job) error {
	if err := w.setRelaxed(j.relaxed); err != nil {
		return err
	}
	return w.run(j)
}

// run runs one job. It returns an error if more than the job failed, or errPartlyDone.
func (w *writer) run(j *job) error {
	w.wrote = false
	j.err = j.run(w)
	w.changed = w.changed || w.wrote
	switch {
	case j.err == nil:
		return nil
	case brokenTransaction(j.err):
		return j.err
	case w.wrote && !j.single:
		return errPartlyDone
	}
	return nil
}

// runInSavepoint runs one job so that its failure is undone.
func (w *writer) runInSavepoint(j *job) error {
	if j.single {
		return w.run(j)
	}
	if _, err := w.Exec("SAVEPOINT job"); err != nil {
		return err
	}
	if err := w.run(j); errors.Is(err, errPartlyDone) {
		if _, err := w.Exec("ROLLBACK TO job"); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	_, err := w.Exec("RELEASE job")
	return err
}

// setRelaxed chooses whether the next commit waits for the disk. A later commit that
// does makes the relaxed ones before it durable too.
func (w *writer) setRelaxed(relaxed bool) error {
	if w.relaxed == relaxed || w.synchronous != "" {
		return nil
	}
	q := "PRAGMA synchronous = FULL"
	if relaxed {
		q = "PRAGMA synchronous = NORMAL"
	}
	// Not prepared: SQLite executes this pragma when it parses it.
	if _, err := w.conn.ExecContext(w.ctx, q); err != nil {
		return err
	}
	w.relaxed = relaxed
	return nil
}
