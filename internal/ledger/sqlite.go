// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
	"k8s.io/utils/clock"
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

const (
	// busyTimeout is how long a statement waits for a lock that another program
	// (a person's sqlite3 shell, a backup) holds.
	busyTimeout = 5 * time.Second
	// checkTime bounds the look for damage when the ledger is opened, so that a
	// ledger of many gigabytes doesn't keep the operator from starting.
	checkTime = 5 * time.Second
	// readers is how many connections read at once: four for the work.
	readers = 4 + logQueries
)

// sqliteSettings are what tests want otherwise.
type sqliteSettings struct {
	// vfs is SQLite's layer to the operating system; its own if empty.
	vfs string
	// synchronous is when commits wait for the disk; as the code says if empty.
	synchronous string
	pragmas     []string
	// checkpointAfter and restartAfter are pages; the constants if 0.
	checkpointAfter, restartAfter int64
}

// sqliteDSN names the file and sets what every connection needs. Paths are
// escaped, so that a ? or % in one can't change the settings.
func sqliteDSN(path string, o sqliteSettings, pragmas ...string) string {
	u := url.URL{Scheme: "file", Path: path}
	q := url.Values{"_pragma": append([]string{
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"journal_mode(WAL)",
		// Every commit is in the log on the disk before it is reported.
		"synchronous(" + cmp.Or(o.synchronous, "FULL") + ")",
		"cache_size(-16000)",           // KiB
		"journal_size_limit(67108864)", // the log shrinks to this after a burst
		fmt.Sprintf("wal_autocheckpoint(%d)", writersCheckpoint),
		"secure_delete(FAST)", // purged rows don't linger in reused pages
		"foreign_keys(ON)",    // a delivery's content goes with it
		"temp_store(MEMORY)",  // what a statement may have to undo needs no file
	}, append(pragmas, o.pragmas...)...)}
	if o.vfs != "" {
		q.Set("vfs", o.vfs)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// openSQLite opens the file for one writer and several readers.
func openSQLite(ctx context.Context, path string, o sqliteSettings, machine clock.PassiveClock) (writer, reader *sql.DB, c *steadyClock, err error) {
	if err := prepareFile(path); err != nil {
		return nil, nil, nil, err
	}
	writer, err = sql.Open("sqlite", sqliteDSN(path, o))
	if err != nil {
		return nil, nil, nil, fmt.Errorf("opening the ledger: %w", err)
	}
	writer.SetMaxOpenConns(1)
	c, err = prepareSQLite(ctx, writer, path, o, machine)
	if err != nil {
		return nil, nil, nil, errors.Join(err, writer.Close())
	}
	reader, err = sql.Open("sqlite", sqliteDSN(path, o, "query_only(1)"))
	if err != nil {
		return nil, nil, nil, errors.Join(fmt.Errorf("opening the ledger: %w", err), writer.Close())
	}
	reader.SetMaxOpenConns(readers)
	reader.SetMaxIdleConns(readers)
	return writer, reader, c, nil
}

// prepareSQLite checks the file, brings its tables up to date, lets the ledger's
// clock go on and ends the leases: one process at a time has the file, so whoever
// held one is dead, and its claim ended without an outcome. What was put back later than now is due too: the machine's
// clock went back while the ledger was closed, and nobody knows how far.
func prepareSQLite(ctx context.Context, db *sql.DB, path string, o sqliteSettings, machine clock.PassiveClock) (*steadyClock, error) {
	if err := checkSQLite(ctx, db, path, o); err != nil {
		return nil, err
	}
	if err := migrate(ctx, db, goose.DialectSQLite3, "sqlite"); err != nil {
		return nil, openError(path, err)
	}
	var ahead int64
	if err := db.QueryRowContext(ctx, "SELECT COALESCE(MAX(ahead), 0) FROM clock").Scan(&ahead); err != nil {
		return nil, openError(path, fmt.Errorf("reading the ledger's clock: %w", err))
	}
	c := newSteadyClock(machine, time.Duration(ahead)*time.Millisecond)
	for _, q := range []string{
		"UPDATE events SET unfinished = unfinished + (lease <> 0), lease = 0, next_attempt_at = $1 WHERE state = 'pending' AND (lease <> 0 OR updated_at > $1)",
		"UPDATE deliveries SET unfinished = unfinished + (lease <> 0), lease = 0, next_attempt_at = $1 WHERE state = 'pending' AND (lease <> 0 OR updated_at > $1)",
	} {
		if _, err := db.ExecContext(ctx, q, c.Now().UnixMilli()); err != nil {
			return nil, openError(path, fmt.Errorf("ending the leases of the process before: %w", err))
		}
	}
	return c, nil
}

// makeDirectory makes the ledger's directory, readable by its owner only.
func makeDirectory(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("creating the ledger's directory: %w", err)
	}
	return nil
}

// sqliteMagic is how a SQLite database begins.
const sqliteMagic = "SQLite format 3\x00"

// checkFile refuses a path that can't be a ledger's: something that isn't a file, a file
// of another kind, or one that can't be written. A missing or empty file is fine.
func checkFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("the ledger %s can't be created, because a part of its path is a file instead of a directory", path)
	case err != nil:
		return fmt.Errorf("looking for the ledger: %w", err)
	case info.IsDir():
		return fmt.Errorf("the ledger %s is a directory: name a file, such as %s", path, filepath.Join(path, "ledger.db"))
	case !info.Mode().IsRegular():
		return fmt.Errorf("the ledger %s is not a regular file: name a file on a local disk or a block volume", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return unwritable(path, err)
	case err != nil:
		return fmt.Errorf("opening the ledger: %w", err)
	}
	begin := make([]byte, len(sqliteMagic))
	n, err := io.ReadFull(f, begin)
	if err := f.Close(); err != nil {
		return fmt.Errorf("looking at the ledger: %w", err)
	}
	switch {
	case errors.Is(err, io.EOF): // it is empty
		return nil
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("looking at the ledger: %w", err)
	case string(begin[:n]) != sqliteMagic:
		return fmt.Errorf("the file %s is not a SQLite database and was left as it is: name the ledger's own file, or one that doesn't exist yet; if this was the ledger, restore it from a backup", path)
	}
	return nil
}

// prepareFile creates a ledger that is readable by its owner only, and refuses
// what SQLite would take for an empty one.
func prepareFile(path string) error {
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for the ledger: %w", err)
	}
	if err == nil && info.Size() > 0 {
		return nil
	}
	// A log without its database means that the database was lost; SQLite would
	// start an empty one and throw the log away, with the events in it.
	if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 {
		return fmt.Errorf("the ledger %s is missing or empty, but its write-ahead log is there: put the database back beside it, or, to start with an empty ledger, move the log away", path)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("creating the ledger: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("creating the ledger: %w", err)
	}
	// The file's name must be on the disk too before an event in it is durable.
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("creating the ledger: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("creating the ledger: %w", err)
	}
	return nil
}

// checkSQLite refuses a damaged file and one that can't keep the promise that
// commits are durable (some network file systems can't hold a WAL).
func checkSQLite(ctx context.Context, db *sql.DB, path string, o sqliteSettings) error {
	var mode string
	var sync int
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return openError(path, err)
	}
	if err := db.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&sync); err != nil {
		return openError(path, err)
	}
	if mode != "wal" || (sync != 2 && o.synchronous == "") {
		return fmt.Errorf("the ledger %s can't have a write-ahead log with full sync where it lies (journal mode %s): use a local disk or a block volume", path, mode)
	}
	checkCtx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var verdict string
	err := db.QueryRowContext(checkCtx, "PRAGMA quick_check(1)").Scan(&verdict)
	switch {
	case err != nil && checkCtx.Err() != nil && ctx.Err() == nil:
		return nil // no damage found in the time there was
	case err != nil:
		return openError(path, err)
	case verdict != "ok":
		return damaged(path, errors.New(verdict))
	}
	return nil
}

// openError says in one sentence why the ledger can't be opened and, where it is
// damaged, what to do.
func openError(path string, err error) error {
	switch sqliteCode(err) {
	case sqlitelib.SQLITE_CORRUPT, sqlitelib.SQLITE_NOTADB:
		return damaged(path, err)
	case sqlitelib.SQLITE_READONLY, sqlitelib.SQLITE_CANTOPEN, sqlitelib.SQLITE_PERM:
		return unwritable(path, err)
	}
	return fmt.Errorf("opening the ledger %s: %w", path, err)
}

func unwritable(path string, err error) error {
	return fmt.Errorf("the ledger %s can't be written, check the owner and mode of the file and its directory: %w", path, err)
}

func damaged(path string, err error) error {
	return fmt.Errorf("the ledger %[1]s is damaged and was left as it is: restore it from a backup, or save what can be read with `sqlite3 %[1]s .recover | sqlite3 recovered.db`, or move it away to start with an empty ledger: %[2]w", path, err)
}

// sqliteCode returns the primary result code of a SQLite error, else 0.
func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// brokenTransaction tells whether an error is the database's or the disk's rather
// than one statement's, so that nothing of the transaction can be relied on.
func brokenTransaction(err error) bool {
	switch sqliteCode(err) {
	case 0:
		return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone)
	case sqlitelib.SQLITE_CONSTRAINT, sqlitelib.SQLITE_MISMATCH, sqlitelib.SQLITE_TOOBIG, sqlitelib.SQLITE_RANGE:
		return false
	}
	return true
}
