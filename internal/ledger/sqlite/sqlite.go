// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/utils/clock"
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

const (
	// busyTimeout is how long a statement waits for a lock that another program
	// (a person's sqlite3 shell, a backup) holds.
	busyTimeout = 5 * time.Second
	// checkTime bounds the search for damage when the ledger is opened, so that a ledger
	// of many gigabytes doesn't keep the operator from starting.
	checkTime = 5 * time.Second
	// readers is how many connections read at once: four for the work, and those of the
	// log.
	readers = 4 + driver.LogQueries
)

// settings are changed only by tests.
type settings struct {
	// vfs is SQLite's layer to the operating system; its own if empty.
	vfs string
	// synchronous is the mode of all commits; if empty, each job decides.
	synchronous string
	pragmas     []string
	// checkpointAfter and restartAfter are pages; the constants if 0.
	checkpointAfter, restartAfter int64
}

// dsn names the file and sets what every connection needs. Paths are escaped, so that a ?
// or % in one can't change the settings.
func dsn(path string, o settings, pragmas ...string) string {
	u := url.URL{Scheme: "file", Path: path}
	q := url.Values{"_pragma": append([]string{
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"journal_mode(WAL)",
		// Every commit is in the write-ahead log on the disk before it is reported.
		"synchronous(" + cmp.Or(o.synchronous, "FULL") + ")",
		"cache_size(-16000)",           // KiB
		"journal_size_limit(67108864)", // the log shrinks to this after a burst
		fmt.Sprintf("wal_autocheckpoint(%d)", writersCheckpoint),
		"secure_delete(ON)",  // what is deleted, masked or erased is overwritten
		"foreign_keys(ON)",   // a content is deleted with its deliveries
		"temp_store(MEMORY)", // statement journals need no file
	}, append(pragmas, o.pragmas...)...)}
	if o.vfs != "" {
		q.Set("vfs", o.vfs)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// openDatabase opens the file for one writer and several readers.
func openDatabase(ctx context.Context, path string, o settings, machine clock.PassiveClock) (writer, reader *sql.DB, c *steadyClock, err error) {
	if err := prepareFile(path); err != nil {
		return nil, nil, nil, err
	}
	writer, err = sql.Open("sqlite", dsn(path, o))
	if err != nil {
		return nil, nil, nil, fmt.Errorf("opening the ledger: %w", err)
	}
	writer.SetMaxOpenConns(1)
	c, err = prepare(ctx, writer, path, o, machine)
	if err != nil {
		return nil, nil, nil, errors.Join(err, writer.Close())
	}
	reader, err = sql.Open("sqlite", dsn(path, o, "query_only(1)"))
	if err != nil {
		return nil, nil, nil, errors.Join(fmt.Errorf("opening the ledger: %w", err), writer.Close())
	}
	reader.SetMaxOpenConns(readers)
	reader.SetMaxIdleConns(readers)
	return writer, reader, c, nil
}

// prepare checks the file, brings its tables up to date, resumes the ledger's clock and
// ends all leases: one process at a time has the file, so their holders are dead and
// their claims ended without an outcome. Rows that were updated later than now become due
// too: the machine's clock was set back while the ledger was closed, nobody knows how
// far.
func prepare(ctx context.Context, db *sql.DB, path string, o settings, machine clock.PassiveClock) (*steadyClock, error) {
	if err := check(ctx, db, path, o); err != nil {
		return nil, err
	}
	if err := schema.Migrate(ctx, db, schema.SQLite); err != nil {
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
			return nil, openError(path, fmt.Errorf("ending the leases of the previous process: %w", err))
		}
	}
	return c, nil
}

// makeDirectory creates the ledger's directory, readable by its owner only.
func makeDirectory(path string) error {
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	switch {
	case isFull(err):
		return full(path, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the directory of the ledger %s can't be created: create it, writable for the operator, or name a file in another directory: %w", path, err)
	case err != nil:
		return fmt.Errorf("creating the ledger's directory: %w", err)
	}
	return nil
}

// magic is how a SQLite database begins.
const magic = "SQLite format 3\x00"

// Resolve returns the absolute path of a ledger's file, and that of the file itself if it is
// named by a symbolic link. SQLite keeps the write-ahead log beside the file itself, and two
// managers that name it differently must find the same lock.
func Resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("finding the ledger: %w", err)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		file, err := filepath.EvalSymlinks(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("the ledger %s is a symbolic link to a file that doesn't exist: mount the volume that the link leads to, or, to start with an empty ledger, name the file itself", path)
		case err != nil:
			return "", fmt.Errorf("following the symbolic link %s to the ledger: %w", path, err)
		}
		return file, nil
	}
	return path, nil
}

// checkKind refuses a path that is not that of a file, and reports whether the file exists.
func checkKind(path string) (exists bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.Is(err, syscall.ENOTDIR):
		return false, fmt.Errorf("the ledger %s can't be created, because a part of its path is a file instead of a directory", path)
	case err != nil:
		return false, fmt.Errorf("looking for the ledger: %w", err)
	case info.IsDir():
		return false, fmt.Errorf("the ledger %s is a directory: name a file, such as %s", path, filepath.Join(path, "ledger.db"))
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("the ledger %s is not a regular file: name a file on a local disk or a block volume", path)
	}
	return true, nil
}

// checkFile refuses a path that can't be a ledger's: something other than a file, a file
// of another kind, or one that can't be written to. A missing or empty file is fine.
func checkFile(path string) error {
	if exists, err := checkKind(path); err != nil || !exists {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return unwritable(path, err)
	case err != nil:
		return fmt.Errorf("opening the ledger: %w", err)
	}
	begin := make([]byte, len(magic))
	n, err := io.ReadFull(f, begin)
	if err := f.Close(); err != nil {
		return fmt.Errorf("looking at the ledger: %w", err)
	}
	switch {
	case errors.Is(err, io.EOF): // it is empty
		return nil
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("looking at the ledger: %w", err)
	case string(begin[:n]) != magic:
		return fmt.Errorf("the file %s is not a SQLite database and was left as it is: name the ledger's own file, or one that doesn't exist yet; if this was the ledger, restore it from a backup", path)
	}
	return nil
}

// checkTables refuses the database of another program. It neither changes the database nor
// creates a file beside it. Whatever else is wrong is found when the ledger is opened.
func checkTables(ctx context.Context, path string) (err error) {
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		return nil
	}
	db, err := sql.Open("sqlite", unchanged(path))
	if err != nil {
		return fmt.Errorf("opening the ledger: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if foreign, err := schema.IsForeign(ctx, db, schema.SQLite); err == nil && foreign {
		return fmt.Errorf("the file %s is the SQLite database of another program, not a ledger, and was left as it is: name the ledger's own file, or one that doesn't exist yet", path)
	}
	return nil
}

// unchanged is the DSN of a file that SQLite reads as it is: without locks, and without the
// write-ahead log.
func unchanged(path string) string {
	u := url.URL{Scheme: "file", Path: path, RawQuery: "mode=ro&immutable=1"}
	return u.String()
}

// MovedSuffix is appended to the name of a ledger that was moved to PostgreSQL, so that no
// manager continues with it.
const MovedSuffix = ".moved"

// checkMissing refuses to create a ledger where there was one: it would know neither who opted
// out nor which messages were sent.
func checkMissing(path string) error {
	if _, err := os.Stat(path + MovedSuffix); err == nil {
		return fmt.Errorf("the ledger %[1]s was moved to PostgreSQL, and %[1]s%[2]s is what was moved: set --ledger-url, or, to start with an empty ledger, move that file away", path, MovedSuffix)
	}
	if _, err := os.Stat(path + restoringSuffix); err == nil {
		return fmt.Errorf("restoring the ledger %[1]s was interrupted: run `manager restore` again, or, to start with an empty ledger, delete %[1]s%[2]s", path, restoringSuffix)
	}
	return nil
}

// prepareFile creates a file that only its owner can read, and refuses what SQLite would
// mistake for an empty ledger.
func prepareFile(path string) error {
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for the ledger: %w", err)
	}
	if err == nil && info.Size() > 0 {
		return nil
	}
	if err := checkMissing(path); err != nil {
		return err
	}
	// A write-ahead log without its database means that the database was lost; SQLite
	// would create an empty one and discard the log with the events in it.
	if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 {
		return fmt.Errorf("the ledger %s is missing or empty, but its write-ahead log is there: put the database back beside it, or, to start with an empty ledger, move the log away", path)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	switch {
	case isFull(err):
		return full(path, err)
	case err != nil:
		return fmt.Errorf("creating the ledger: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("creating the ledger: %w", err)
	}
	// An event in the file is durable only once the file's name is on the disk too.
	if err := syncDirectory(path); err != nil {
		return fmt.Errorf("creating the ledger: %w", err)
	}
	return nil
}

// syncDirectory makes the name of a file durable.
func syncDirectory(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// check refuses a damaged file and one on which commits would not be durable (some
// network file systems can't hold a write-ahead log).
func check(ctx context.Context, db *sql.DB, path string, o settings) error {
	var mode string
	var sync int
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return openError(path, err)
	}
	if err := db.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&sync); err != nil {
		return openError(path, err)
	}
	if mode != "wal" || (sync != 2 && o.synchronous == "") {
		return fmt.Errorf("the ledger %s can't have a write-ahead log with full sync on this file system (journal mode %s): use a local disk or a block volume", path, mode)
	}
	checkCtx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var verdict string
	err := db.QueryRowContext(checkCtx, "PRAGMA quick_check(1)").Scan(&verdict)
	switch {
	case err != nil && checkCtx.Err() != nil && ctx.Err() == nil:
		return nil // found no damage in time
	case err != nil:
		return openError(path, err)
	case verdict != "ok":
		return damaged(path, errors.New(verdict))
	}
	return nil
}

// openError says in one sentence why the ledger can't be opened and, if it is damaged,
// what to do.
func openError(path string, err error) error {
	if isFull(err) {
		return full(path, err)
	}
	switch resultCode(err) {
	case sqlitelib.SQLITE_CORRUPT, sqlitelib.SQLITE_NOTADB:
		return damaged(path, err)
	case sqlitelib.SQLITE_READONLY, sqlitelib.SQLITE_CANTOPEN, sqlitelib.SQLITE_PERM:
		return unwritable(path, err)
	}
	return fmt.Errorf("opening the ledger %s: %w", path, err)
}

// IsUnavailable reports whether the ledger could not be opened because another program, such as
// the sqlite3 shell, holds a lock on the database, or because the disk is full. Waiting may help.
func IsUnavailable(err error) bool {
	return resultCode(err) == sqlitelib.SQLITE_BUSY || isFull(err)
}

// isFull reports whether the disk, or the part of it that the operator may use, is full.
func isFull(err error) bool {
	return resultCode(err) == sqlitelib.SQLITE_FULL || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func full(path string, err error) error {
	return fmt.Errorf("the disk of the ledger %s is full: delete other files on it, or make the volume larger: %w", path, err)
}

func unwritable(path string, err error) error {
	return fmt.Errorf("the ledger %s can't be written, check the owner and mode of the file and its directory: %w", path, err)
}

func damaged(path string, err error) error {
	return fmt.Errorf("the ledger %[1]s is damaged and was left as it is: restore it from a backup, or save what can be read with `sqlite3 %[1]s .recover | sqlite3 recovered.db`, or move it away to start with an empty ledger: %[2]w", path, err)
}

// resultCode returns the primary result code of a SQLite error, else 0.
func resultCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// brokenTransaction reports whether an error is the database's or the disk's rather than
// one statement's, so that nothing in the transaction can be relied on.
func brokenTransaction(err error) bool {
	switch resultCode(err) {
	case 0:
		return errors.Is(err, sqldriver.ErrBadConn) || errors.Is(err, sql.ErrConnDone)
	case sqlitelib.SQLITE_CONSTRAINT, sqlitelib.SQLITE_MISMATCH, sqlitelib.SQLITE_TOOBIG, sqlitelib.SQLITE_RANGE:
		return false
	}
	return true
}
