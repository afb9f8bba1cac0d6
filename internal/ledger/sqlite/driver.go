// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sqlite keeps a ledger in a SQLite file. One process at a time has it open, and
// one connection writes: concurrent writes share commits.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/gofrs/flock"
	"k8s.io/utils/clock"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/sqlstore"
)

// Open opens the ledger in a file, creates the file and its directory if they are
// missing, and brings the tables up to date. A file that another process has open is
// refused. The caller closes the ledger.
func Open(ctx context.Context, path string, o ledger.Options) (*sqlstore.Store, error) {
	d, err := openFile(ctx, path, o, settings{})
	if err != nil {
		return nil, err
	}
	return sqlstore.Open(ctx, d, o)
}

// OpenDriver opens the file as [Open] does, for those who read the rows themselves. The
// caller closes the driver.
func OpenDriver(ctx context.Context, path string, o ledger.Options) (driver.Driver, error) {
	return openFile(ctx, path, o, settings{})
}

// database is a SQLite file, which has one writer.
type database struct {
	lock         *flock.Flock
	writer       *sql.DB
	reader       *sql.DB
	committer    *committer
	checkpointer *checkpointer
	clock        *steadyClock
}

var _ driver.Driver = (*database)(nil)

// openFile opens the file for this process alone.
func openFile(ctx context.Context, path string, o ledger.Options, s settings) (*database, error) {
	if path == "" {
		return nil, errors.New("the ledger needs the path of a file")
	}
	path, err := Resolve(path)
	if err != nil {
		return nil, err
	}
	// Nothing is created beside a file that is not a ledger.
	if err := checkFile(path); err != nil {
		return nil, err
	}
	if err := checkTables(ctx, path); err != nil {
		return nil, err
	}
	if err := makeDirectory(path); err != nil {
		return nil, err
	}
	machine := o.Clock
	if machine == nil {
		machine = clock.RealClock{}
	}
	d := &database{}
	// The lock comes first: the file isn't touched while another process has it.
	d.lock, err = lockFile(path + lockSuffix)
	if err != nil {
		return nil, err
	}
	d.writer, d.reader, d.clock, err = openDatabase(ctx, path, s, machine)
	if err != nil {
		return nil, errors.Join(err, d.lock.Close())
	}
	checkpoints, err := sql.Open("sqlite", dsn(path, s))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the ledger: %w", err), d.reader.Close(), d.writer.Close(), d.lock.Close())
	}
	checkpoints.SetMaxOpenConns(1)
	d.committer = newCommitter(ctx,
		func(ctx context.Context) (*writer, error) { return newWriter(ctx, d.writer, d.clock, s) },
		driver.RateLimited(o.Log, driver.WriteFailed),
	)
	d.checkpointer = newCheckpointer(ctx, checkpoints, d.committer, s,
		driver.RateLimited(o.Log, "Copying the ledger's write-ahead log into its database failed; retrying"))
	return d, nil
}

// Write implements [driver.Driver].
func (d *database) Write(ctx context.Context, j *driver.Job) error {
	return d.committer.do(&job{
		ctx: ctx, run: func(w *writer) error { return j.Run(w) },
		single: j.Single, relaxed: j.Relaxed, background: j.Background, bytes: j.Bytes, committed: j.Committed,
	})
}

// Query implements [driver.Driver]. It runs on the connection that writes, which has all
// pages in its cache; others must read them again after each commit.
func (d *database) Query(ctx context.Context, run func(driver.Tx) error) error {
	return d.committer.do(&job{ctx: ctx, reads: true, run: func(w *writer) error { return run(w) }})
}

// Accept implements [driver.Driver].
func (d *database) Accept(ctx context.Context, e *driver.Event) (bool, error) {
	var key int64
	err := d.committer.do(&job{
		ctx: ctx, single: true, accepts: true, bytes: len(e.Data),
		run: func(w *writer) error {
			n, err := w.Exec(driver.InsertEvent, e.Args()...)
			if key = 0; n > 0 {
				key = w.inserted
			}
			return err
		},
		ended: func(err error) { e.Ended(key, err) },
	})
	if err != nil {
		return false, err // the job may still be running
	}
	return key != 0, nil
}

// dialect has no relaxed end of an event: the committer relaxes whole commits.
var dialect = driver.Dialect{Position: "instr", DataContains: "instr(data, $%d) > 0", FoldedData: "lower(CAST(data AS TEXT))", EndEventRelaxed: driver.EndEvent}

// Scrub implements [driver.Driver]. Deleted content is overwritten in the database
// (secure_delete), but the write-ahead log holds earlier versions of its pages.
func (d *database) Scrub(ctx context.Context) error { return d.checkpointer.truncate(ctx) }

func (d *database) Pool() *sql.DB           { return d.reader }
func (d *database) Clock() driver.Clock     { return d.clock }
func (d *database) Dialect() driver.Dialect { return dialect }
func (d *database) Shared() bool            { return false }
func (d *database) Failing() bool           { return d.committer.failure.Load() != nil }

func (d *database) Close() error {
	d.committer.close()
	return errors.Join(d.checkpointer.close(), d.reader.Close(), d.writer.Close(), d.lock.Close())
}
