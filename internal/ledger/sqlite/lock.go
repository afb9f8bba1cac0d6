// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// lock keeps a file locked so that at most one process has the ledger open. The operating
// system releases it when the process dies, however it dies.
type lock struct{ file *os.File }

// lockSuffix is appended to the ledger's path.
const lockSuffix = ".lock"

// lockFile locks a file, and creates it if it is missing.
func lockFile(path string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return nil, unwritable(strings.TrimSuffix(path, lockSuffix), err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the ledger's lock file: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return &lock{file: f}, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("another process has the ledger open (it holds %s): with SQLite only one operator can run on a ledger", path)
	}
	return nil, fmt.Errorf("locking %s: %w", path, err)
}

// release lets another process open the ledger. The file stays: if it were removed, two
// processes could lock two files of the same name.
func (l *lock) release() error { return l.file.Close() }
