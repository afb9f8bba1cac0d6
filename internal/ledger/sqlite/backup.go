// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"

	sqlitelib "modernc.org/sqlite/lib"

	"github.com/rehive/extension-operator/internal/ledger/schema"
)

// backupSuffix is appended to the ledger's path for the copy that Backup streams.
const backupSuffix = ".backup"

// restoringSuffix is appended to the ledger's path for the file that Restore puts in its
// place.
const restoringSuffix = ".restoring"

// Backup writes a consistent copy of a ledger, as one SQLite file, to w. A manager may have
// the ledger open: the copy holds everything that was committed when the backup began. It is
// first made in the directory of the ledger, which needs as much free space.
func Backup(ctx context.Context, path string, w io.Writer) (err error) {
	if path, err = Resolve(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no ledger at %s", path)
	case err != nil:
		return fmt.Errorf("looking for the ledger: %w", err)
	case info.Size() == 0:
		return fmt.Errorf("the ledger %s is empty", path)
	}
	if err := checkFile(path); err != nil {
		return err
	}
	if err := checkTables(ctx, path); err != nil {
		return err
	}
	// Two backups at a time would write the same copy.
	held, err := lockFile(path + backupSuffix + lockSuffix)
	if err != nil {
		return fmt.Errorf("another backup may be running: %w", err)
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	copied := path + backupSuffix
	if err := os.RemoveAll(copied); err != nil { // left by a backup that was killed
		return fmt.Errorf("removing the copy of an earlier backup: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(copied)) }()
	file, err := os.OpenFile(copied, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("creating the copy: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := vacuumInto(ctx, path, copied); err != nil {
		return err
	}
	if err := checkCopy(ctx, copied); err != nil {
		return fmt.Errorf("the copy of %s is not usable: %w", path, err)
	}
	if _, err := io.Copy(w, file); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	return nil
}

// vacuumInto copies a database in one read transaction, without blocking its writer.
func vacuumInto(ctx context.Context, path, to string) (err error) {
	source := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())}}.Encode()}
	db, err := sql.Open("sqlite", source.String())
	if err != nil {
		return fmt.Errorf("opening the ledger: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		return fmt.Errorf("copying the ledger %s: %w", path, err)
	}
	return nil
}

// checkCopy reads a whole database file and refuses one that is damaged, that is not a
// ledger, or whose tables this version does not know.
func checkCopy(ctx context.Context, path string) (err error) {
	if err := checkFile(path); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", unchanged(path))
	if err != nil {
		return fmt.Errorf("opening the backup: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var verdict string
	err = db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict)
	switch {
	case resultCode(err) == sqlitelib.SQLITE_CORRUPT:
		return fmt.Errorf("the backup is damaged: %w", err)
	case err != nil:
		return fmt.Errorf("checking the backup: %w", err)
	case verdict != "ok":
		return fmt.Errorf("the backup is damaged: %s", verdict)
	}
	return schema.CheckVersion(ctx, db)
}

// Restore puts a backup, which it reads from r, in the place of a ledger that no manager has
// open. A ledger that is there is kept beside it, with the suffix .before-restore.
func Restore(ctx context.Context, r io.Reader, path string) (err error) {
	if path, err = Resolve(path); err != nil {
		return err
	}
	// Only a file is replaced. Its content does not matter, and it is kept.
	if _, err := checkKind(path); err != nil {
		return err
	}
	if err := makeDirectory(path); err != nil {
		return err
	}
	held, err := lockFile(path + lockSuffix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	incoming := path + restoringSuffix
	defer func() { err = errors.Join(err, os.RemoveAll(incoming)) }()
	if err := receive(r, incoming); err != nil {
		return err
	}
	if err := checkCopy(ctx, incoming); err != nil {
		return err
	}
	// The write-ahead log belongs to the previous ledger: SQLite would apply it to the
	// restored one.
	for _, suffix := range []string{"", "-wal", "-shm"} {
		err := os.Rename(path+suffix, path+".before-restore"+suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("moving the previous ledger away: %w", err)
		}
	}
	if err := os.Rename(incoming, path); err != nil {
		return fmt.Errorf("putting the backup in place: %w", err)
	}
	if err := syncDirectory(path); err != nil {
		return fmt.Errorf("syncing the ledger's directory: %w", err)
	}
	return nil
}

// receive writes what it reads to a new file, and syncs it.
func receive(r io.Reader, path string) (err error) {
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("removing the rest of an earlier restore: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("creating the ledger: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	n, err := io.Copy(file, r)
	if err != nil {
		return fmt.Errorf("reading the backup: %w", err)
	}
	if n == 0 {
		return errors.New("the backup is empty")
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("syncing the ledger: %w", err)
	}
	return nil
}
