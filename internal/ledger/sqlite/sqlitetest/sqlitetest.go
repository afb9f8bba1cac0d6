// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sqlitetest creates ledgers on SQLite for tests.
package sqlitetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/rehive/extension-operator/internal/ledger/schema"
)

// NewFile returns the path of an empty ledger with the current tables, in a directory that
// is removed after the test. Running the migrations for each test would take longer than
// most tests.
func NewFile(t testing.TB) string {
	t.Helper()
	content, err := migrated()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ledger.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// migrated is the content of the file of an empty ledger.
var migrated = sync.OnceValues(func() (content []byte, err error) {
	dir, err := os.MkdirTemp("", "sqlitetest")
	if err != nil {
		return nil, fmt.Errorf("creating a directory for a ledger: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "ledger.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return nil, fmt.Errorf("opening a ledger: %w", err)
	}
	db.SetMaxOpenConns(1)
	if err := errors.Join(schema.Migrate(context.Background(), db, schema.SQLite), db.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})
