// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // the driver of the ledger

	"github.com/rehive/extension-operator/internal/ledger"
	ledgerpostgres "github.com/rehive/extension-operator/internal/ledger/postgres"
	"github.com/rehive/extension-operator/internal/ledger/postgres/postgrestest"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
)

// newSQLite creates an empty ledger and returns its file.
func (b *bench) newSQLite(ctx context.Context) (path string, err error) {
	dir := filepath.Join(b.state, "bare")
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("removing the last bare database: %w", err)
	}
	path = filepath.Join(dir, "ledger.db")
	store, err := sqlite.Open(ctx, path, ledger.Options{}) // creates the tables
	if err != nil {
		return "", err
	}
	return path, store.Close()
}

// openBareSQLite opens a ledger's file with only the driver.
func openBareSQLite(path string) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": {
		"journal_mode(WAL)", "synchronous(FULL)", "cache_size(-16000)", "journal_size_limit(67108864)", "secure_delete(FAST)",
	}}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("opening the bare database: %w", err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// bareSQLite returns the rate at which one SQLite connection inserts events durably with a
// prepared statement, batch events per transaction.
func (b *bench) bareSQLite(ctx context.Context, batch int, length time.Duration) (perSecond float64, err error) {
	path, err := b.newSQLite(ctx)
	if err != nil {
		return 0, err
	}
	db, err := openBareSQLite(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, fmt.Errorf("opening the bare database: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var statements [3]*sql.Stmt
	for i, query := range []string{"BEGIN IMMEDIATE", bareInsert, "COMMIT"} {
		if statements[i], err = conn.PrepareContext(ctx, query); err != nil { //nolint:sqlclosecheck // it is closed below
			return 0, fmt.Errorf("preparing the bare database: %w", err)
		}
		defer func() { err = errors.Join(err, statements[i].Close()) }()
	}
	begin, insert, commit := statements[0], statements[1], statements[2]
	data, rows, start := []byte(plainData()), 0, time.Now()
	for time.Since(start) < length {
		if _, err := begin.ExecContext(ctx); err != nil {
			return 0, fmt.Errorf("writing to the bare database: %w", err)
		}
		for range batch {
			rows++
			now := time.Now().UnixMilli()
			company := b.companies[rows%len(b.companies)].company
			if _, err := insert.ExecContext(ctx, company, fmt.Sprintf("%0*d", numberDigits, rows), plainEvent, now, now, data); err != nil {
				return 0, fmt.Errorf("writing to the bare database: %w", err)
			}
		}
		if _, err := commit.ExecContext(ctx); err != nil {
			return 0, fmt.Errorf("writing to the bare database: %w", err)
		}
	}
	return float64(rows) / time.Since(start).Seconds(), nil
}

const bareInsert = `
	INSERT INTO events (company, event_id, name, received_at, next_attempt_at, updated_at, data)
	VALUES ($1, $2, $3, $4, $5, $5, $6) ON CONFLICT (company, event_id) DO NOTHING`

// postgres is a PostgreSQL server for the benchmarks.
type postgres struct {
	*postgrestest.Server
	databases int
}

// startPostgres starts a server. Its error is one sentence.
func startPostgres() (*postgres, error) {
	server, err := postgrestest.Start()
	if errors.Is(err, postgrestest.ErrNotInstalled) {
		return nil, skipped{err}
	}
	return &postgres{Server: server}, err
}

// newDatabase creates an empty database and returns its URL, which needs no password.
func (p *postgres) newDatabase() (string, error) {
	p.databases++
	name := fmt.Sprint("bench_", p.databases)
	return p.URL(name, "postgres"), p.Exec("CREATE DATABASE " + name)
}

// newLedger creates an empty ledger and returns the URL of its database.
func (p *postgres) newLedger(ctx context.Context) (string, error) {
	address, err := p.newDatabase()
	if err != nil {
		return "", err
	}
	store, err := ledgerpostgres.Open(ctx, ledgerpostgres.Config{URL: address}, ledger.Options{}) // creates the tables
	if err != nil {
		return "", err
	}
	return address, store.Close()
}

// disk returns a directory on the server's disk.
func (p *postgres) disk() string {
	u, _ := url.Parse(p.URL("postgres", "postgres"))
	return filepath.Dir(u.Query().Get("host"))
}

// barePostgres returns the rate at which one PostgreSQL connection inserts events durably
// with a prepared statement, batch events per transaction and round trip.
func (b *bench) barePostgres(ctx context.Context, server *postgres, batch int, length time.Duration) (perSecond float64, err error) {
	address, err := server.newLedger(ctx)
	if err != nil {
		return 0, err
	}
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return 0, fmt.Errorf("opening the bare database: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	data, rows, start := []byte(plainData()), 0, time.Now()
	for time.Since(start) < length {
		var inserts pgx.Batch // one transaction, unless it contains another
		for range batch {
			rows++
			now := time.Now().UnixMilli()
			inserts.Queue(bareInsert, b.companies[rows%len(b.companies)].company, fmt.Sprintf("%0*d", numberDigits, rows), plainEvent, now, now, data)
		}
		if err := conn.SendBatch(ctx, &inserts).Close(); err != nil {
			return 0, fmt.Errorf("writing to the bare database: %w", err)
		}
	}
	return float64(rows) / time.Since(start).Seconds(), nil
}
