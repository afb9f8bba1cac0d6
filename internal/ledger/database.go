// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// database is what a Store needs of the database that it is on, beside one to
// read from.
type database interface {
	// run runs a job in a transaction and waits for its commit. Errors of the
	// database wrap ErrUnavailable; those of the job come as they are.
	run(j *job) error
	// read runs a job that changes nothing and is asked all the time.
	read(j *job) error
	// accept stores a new event, or tells that it is stored already. Concurrent
	// calls share commits. Once it is known what became of the event it calls ended.
	accept(ctx context.Context, e *newEvent) (stored bool, err error)
	// failing tells whether the last write failed.
	failing() bool
	// close commits what was handed in, refuses the rest and closes the database.
	close() error
}

// newEvent is an event as it is stored.
type newEvent struct {
	company, id, name string
	received, now     int64
	data              []byte
	// lease is 0 unless somebody takes the event as soon as it is stored. due is when
	// it may be claimed: now, or when the lease ends.
	lease, due int64
	// ended is called once, also when the caller has gone, with the event's row, which is
	// 0 if it is a duplicate, or an error. It must not block. When the ledger is closed
	// meanwhile it may not be called.
	ended func(key int64, err error)
}

// attempts counts the claims of an event that was just stored.
func (e *newEvent) attempts() int {
	if e.lease == 0 {
		return 0
	}
	return 1
}

// dialect is what the databases want to be asked in their own ways.
type dialect struct {
	// position is the function that finds a text in another.
	position string
	// dataContains is whether an event's data contains the bytes of parameter %d.
	dataContains string
	// endLoosely is endEvent for what may be undone by a power cut.
	endLoosely string
	// keepContent, if not empty, keeps what a delivery says from being deleted until the
	// transaction ends.
	keepContent string
	// insertContents stores n contents and returns their IDs, in their order.
	insertContents  func(w *writer, n int, args []any) ([]int64, error)
	claimEvents     func(w *writer, company string, n int, lease, now, until int64) ([]ClaimedEvent, error)
	claimDeliveries func(w *writer, l Lane, n int, lease, now, until int64) ([]Delivery, error)
}

var sqliteDialect = dialect{
	position: "instr", dataContains: "instr(data, $%d) > 0", endLoosely: endEvent, claimEvents: claimEvents, claimDeliveries: claimDeliveries,
	insertContents: func(w *writer, n int, args []any) ([]int64, error) {
		if _, err := w.exec(insertContents[n], args...); err != nil {
			return nil, err
		}
		// The only writer gets IDs without gaps.
		ids := make([]int64, n)
		for i := range ids {
			ids[i] = w.inserted - int64(n-1-i)
		}
		return ids, nil
	},
}

// sqliteDatabase is a SQLite file, which has one writer.
type sqliteDatabase struct {
	lock         *lock
	writer       *sql.DB
	reader       *sql.DB
	committer    *committer
	checkpointer *checkpointer
	clock        *steadyClock
}

// openSQLiteFile opens the file for this process alone.
func openSQLiteFile(ctx context.Context, o Options, machine clock.PassiveClock) (*sqliteDatabase, error) {
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("finding the ledger: %w", err)
	}
	// Nothing is made beside a file that is not a ledger.
	if err := checkFile(path); err != nil {
		return nil, err
	}
	if err := makeDirectory(path); err != nil {
		return nil, err
	}
	d := &sqliteDatabase{}
	// The lock comes first: the file isn't touched while it is another's.
	d.lock, err = lockFile(path + lockSuffix)
	if err != nil {
		return nil, err
	}
	d.writer, d.reader, d.clock, err = openSQLite(ctx, path, o.sqlite, machine)
	if err != nil {
		return nil, errors.Join(err, d.lock.release())
	}
	checkpoints, err := sql.Open("sqlite", sqliteDSN(path, o.sqlite))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the ledger: %w", err), d.reader.Close(), d.writer.Close(), d.lock.release())
	}
	checkpoints.SetMaxOpenConns(1)
	d.committer = newCommitter(ctx,
		func(ctx context.Context) (*writer, error) { return newWriter(ctx, d.writer, d.clock, o.sqlite) },
		logFailure(o.Log),
	)
	d.checkpointer = newCheckpointer(ctx, checkpoints, d.committer, o.sqlite, muted(func(err error) {
		o.Log.Error(err, "Copying the ledger's log into its database failed; it is tried again")
	}))
	return d, nil
}

func logFailure(log logr.Logger) func(error) {
	return func(err error) { log.Error(err, "Writing to the ledger failed; what was not written is refused") }
}

func (d *sqliteDatabase) run(j *job) error { return d.committer.do(j) }

// read asks the writer's connection: it knows all pages, and others must read anew what
// they knew after each commit.
func (d *sqliteDatabase) read(j *job) error {
	j.reads = true
	return d.committer.do(j)
}

func (d *sqliteDatabase) accept(ctx context.Context, e *newEvent) (bool, error) {
	var key int64
	err := d.run(&job{ctx: ctx, one: true, accepts: true, bytes: len(e.data), ended: func(err error) { e.ended(key, err) }, run: func(w *writer) error {
		n, err := w.exec(insertEvent, e.company, e.id, e.name, e.received, e.due, e.lease, e.attempts(), e.now, e.data)
		if key = 0; n > 0 {
			key = w.inserted
		}
		return err
	}})
	if err != nil {
		return false, err // the job may still be running
	}
	return key != 0, nil
}

func (d *sqliteDatabase) failing() bool { return d.committer.failure.Load() != nil }

func (d *sqliteDatabase) close() error {
	d.committer.close()
	return errors.Join(d.checkpointer.close(), d.reader.Close(), d.writer.Close(), d.lock.release())
}

// storable returns the text without what PostgreSQL can't store. What the
// platform or an author sends may hold it, and both databases are to give the
// same answers.
func storable(text string) string {
	if strings.IndexByte(text, 0) < 0 && utf8.ValidString(text) {
		return text
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// storableArgs makes all texts among a statement's arguments storable.
func storableArgs(args []any) []any {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			if clean := storable(text); clean != text {
				args[i] = clean
			}
		}
	}
	return args
}
