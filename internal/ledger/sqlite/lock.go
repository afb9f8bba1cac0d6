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

	"github.com/gofrs/flock"
)

// lockSuffix is appended to the ledger's path.
const lockSuffix = ".lock"

// lockFile locks a file, which it creates if it is missing, so that at most one process has
// the ledger open. The operating system releases the lock when the process dies, however it
// dies. The file stays: if it were removed, two processes could lock two files of the same
// name.
func lockFile(path string) (*flock.Flock, error) {
	lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	switch {
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		return nil, unwritable(strings.TrimSuffix(path, lockSuffix), err)
	case isFull(err):
		return nil, full(strings.TrimSuffix(path, lockSuffix), err)
	case err != nil:
		return nil, fmt.Errorf("locking %s: %w", path, err)
	case !locked:
		return nil, fmt.Errorf("another process has the ledger open (it holds %s): with SQLite only one operator can run on a ledger", path)
	}
	return lock, nil
}
