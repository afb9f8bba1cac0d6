// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// migrate brings the tables up to date. A ledger that a newer version of the
// operator made is refused: its rows may mean what this version doesn't know.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, dir string) error {
	files, err := fs.Sub(migrations, "migrations/"+dir)
	if err != nil {
		return fmt.Errorf("reading the ledger's migrations: %w", err)
	}
	p, err := goose.NewProvider(dialect, db, files,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("reading the ledger's migrations: %w", err)
	}
	current, newest, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("reading the version of the ledger's tables: %w", err)
	}
	if current > newest {
		return fmt.Errorf("the ledger's tables have version %d, but this operator knows up to %d: run the newer operator that made them", current, newest)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("updating the ledger's tables: %w", err)
	}
	return nil
}
