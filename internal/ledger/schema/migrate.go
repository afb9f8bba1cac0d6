// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package schema is the ledger's tables: their migrations and the columns that are read
// as one.
package schema

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// Dialect is a database that there are migrations for.
type Dialect struct {
	goose goose.Dialect
	dir   string
	// tables counts the table of versions, two tables of the ledger, and others that a ledger
	// doesn't have. A schema of PostgreSQL may have others.
	tables string
}

// The databases that there are migrations for.
var (
	SQLite = Dialect{goose: goose.DialectSQLite3, dir: "sqlite", tables: `
		SELECT COUNT(*) FILTER (WHERE name = 'goose_db_version'), COUNT(*) FILTER (WHERE name IN ('events', 'deliveries')),
			COUNT(*) FILTER (WHERE name NOT IN ('goose_db_version', 'events', 'deliveries'))
		FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'`}
	Postgres = Dialect{goose: goose.DialectPostgres, dir: "postgres", tables: `
		SELECT num_nonnulls(to_regclass('goose_db_version')), num_nonnulls(to_regclass('events'), to_regclass('deliveries')), 0`}
)

// Migrate brings the tables up to date. Tables of a newer version of the operator are
// refused: their rows may mean something that this version doesn't know.
func Migrate(ctx context.Context, db *sql.DB, d Dialect) error {
	p, err := d.provider(db)
	if err != nil {
		return err
	}
	if err := checkVersion(ctx, p); err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("updating the ledger's tables: %w", err)
	}
	return nil
}

// IsForeign reports whether a database has another program's tables where the ledger's would be.
// It does not change the database.
func IsForeign(ctx context.Context, db *sql.DB, d Dialect) (bool, error) {
	var versions, ledgers, others int
	if err := db.QueryRowContext(ctx, d.tables).Scan(&versions, &ledgers, &others); err != nil {
		return false, fmt.Errorf("reading the names of the tables: %w", err)
	}
	if versions == 0 {
		return ledgers > 0 || others > 0, nil
	}
	var version int64
	if err := db.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version").Scan(&version); err != nil {
		return false, fmt.Errorf("reading the version of the tables: %w", err)
	}
	// Other programs use goose too.
	return version > 0 && ledgers < 2, nil
}

// ErrNoLedger says that a database has none of the ledger's tables.
var ErrNoLedger = errors.New("the database is not a ledger: it has none of the ledger's tables")

// CheckVersion returns an error if a SQLite database is not a ledger or has tables of a
// newer version of the operator. It does not change the database.
func CheckVersion(ctx context.Context, db *sql.DB) error {
	var tables int
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name IN ('goose_db_version', 'events')").Scan(&tables); err != nil {
		return fmt.Errorf("reading the tables of the ledger: %w", err)
	}
	if tables < 2 {
		return ErrNoLedger
	}
	p, err := SQLite.provider(db)
	if err != nil {
		return err
	}
	return checkVersion(ctx, p)
}

// checkVersion refuses tables of a newer version of the operator: their rows may mean
// something that this version doesn't know.
func checkVersion(ctx context.Context, p *goose.Provider) error {
	current, newest, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("reading the version of the ledger's tables: %w", err)
	}
	if current > newest {
		return fmt.Errorf("the ledger's tables have version %d, but this operator knows up to %d: run the newer operator that made them", current, newest)
	}
	return nil
}

// MigrateTo brings the tables to an older version, to test the migrations after it.
func MigrateTo(ctx context.Context, db *sql.DB, d Dialect, version int64) error {
	p, err := d.provider(db)
	if err != nil {
		return err
	}
	_, err = p.UpTo(ctx, version)
	return err
}

func (d Dialect) provider(db *sql.DB) (*goose.Provider, error) {
	all, err := d.migrations()
	if err != nil {
		return nil, fmt.Errorf("reading the ledger's migrations: %w", err)
	}
	p, err := goose.NewProvider(d.goose, db, nil, goose.WithGoMigrations(all...),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, fmt.Errorf("reading the ledger's migrations: %w", err)
	}
	return p, nil
}

// migrations reads the migrations. Each is executed as a whole, because the databases split
// SQL into statements themselves: goose would do it with a buffer of 4 MiB for each line.
func (d Dialect) migrations() ([]*goose.Migration, error) {
	files, err := fs.Glob(migrations, "migrations/"+d.dir+"/*.sql")
	if err != nil {
		return nil, err
	}
	all := make([]*goose.Migration, len(files))
	for i, file := range files {
		version, err := goose.NumericComponent(file)
		if err != nil {
			return nil, err
		}
		text, err := migrations.ReadFile(file)
		if err != nil {
			return nil, err
		}
		_, up, found := strings.Cut(string(text), "-- +goose Up\n")
		if !found {
			return nil, fmt.Errorf("%s lacks the line -- +goose Up", file)
		}
		up, _, _ = strings.Cut(up, "-- +goose Down\n")
		all[i] = goose.NewGoMigration(version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, up)
			return err
		}}, nil)
	}
	return all, nil
}
