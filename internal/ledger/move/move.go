// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package move copies a ledger from SQLite to PostgreSQL.
package move

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/postgres"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
)

// A statement moves at most batchRows rows and about batchBytes bytes.
const (
	batchRows  = 500
	batchBytes = 4 << 20
)

// Result says what a move found.
type Result struct {
	// Events and Deliveries are how many the SQLite ledger holds, all of which are now in
	// PostgreSQL.
	Events, Deliveries int64
	// Before reports that they had been moved before and nothing was left to do.
	Before bool
}

// ToPostgres copies a SQLite ledger, with its work and its log, to a PostgreSQL database.
// No manager may run on either; it fails if one has the SQLite ledger open. The database
// must be empty, or hold the rows of an earlier move that was interrupted, which is then
// completed. At the end the SQLite file gets the suffix .moved. Rows are copied in small
// batches.
func ToPostgres(ctx context.Context, from string, to postgres.Config, o ledger.Options) (Result, error) {
	if to.URL == "" {
		return Result{}, errors.New("the ledger is moved to PostgreSQL: its URL is missing")
	}
	from, err := sqlite.Resolve(from)
	if err != nil {
		return Result{}, err
	}
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(from + sqlite.MovedSuffix); err == nil {
			return Result{Before: true}, nil
		}
		return Result{}, fmt.Errorf("there is no ledger %s to move", from)
	}
	source, err := sqlite.OpenDriver(ctx, from, o)
	if err != nil {
		return Result{}, err
	}
	moved, err := moveAll(ctx, source, to)
	if err := errors.Join(err, source.Close()); err != nil {
		return Result{}, err
	}
	// Closing the file copied SQLite's write-ahead log into it.
	if err := os.Rename(from, from+sqlite.MovedSuffix); err != nil {
		return Result{}, fmt.Errorf("everything was moved, but the old file could not be renamed: %w", err)
	}
	return moved, nil
}

func moveAll(ctx context.Context, source driver.Driver, to postgres.Config) (moved Result, err error) {
	db, err := postgres.Prepare(ctx, to)
	if err != nil {
		return moved, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tables, err := readTables(ctx, db)
	if err != nil {
		return moved, err
	}
	clock := source.Clock()
	if err := begin(ctx, source.Pool(), db, tables, clock.Now().UnixMilli()); err != nil {
		return moved, err
	}
	for _, t := range tables {
		n, err := moveTable(ctx, source.Pool(), db, t, clock.Ahead())
		if err != nil {
			return moved, fmt.Errorf("moving %s (run the move again to continue it): %w", t.name, err)
		}
		switch t.name {
		case "events":
			moved.Events = n
		case "deliveries":
			moved.Deliveries = n
		}
	}
	if _, err := db.ExecContext(ctx, "UPDATE move SET finished = TRUE WHERE id = 1"); err != nil {
		return moved, fmt.Errorf("finishing the move (run it again): %w", err)
	}
	return moved, nil
}

// begin reserves the IDs of the rows to come: new rows will get greater ones.
func begin(ctx context.Context, from, to *sql.DB, tables []table, now int64) (err error) {
	tx, err := to.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning the move: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after the commit it does nothing
	begun, err := tx.ExecContext(ctx, "INSERT INTO move (id, started_at, finished) VALUES (1, $1, FALSE) ON CONFLICT (id) DO NOTHING", now)
	if err != nil {
		return fmt.Errorf("beginning the move: %w", err)
	}
	switch n, err := begun.RowsAffected(); {
	case err != nil:
		return fmt.Errorf("beginning the move: %w", err)
	case n == 0:
		return resume(ctx, tx)
	}
	// A manager that was started on the empty database may have generated keys. The moved
	// ones are those that providers and links know.
	if _, err := tx.ExecContext(ctx, "DELETE FROM keys"); err != nil {
		return fmt.Errorf("beginning the move: %w", err)
	}
	for _, t := range tables {
		var used bool
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+t.name+")").Scan(&used); err != nil {
			return fmt.Errorf("checking that the target is empty: %w", err)
		}
		if used {
			return errors.New("the target ledger is not empty: move into an empty database")
		}
		var last int64
		if err := from.QueryRowContext(ctx, "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = $1", t.name).Scan(&last); err != nil {
			return fmt.Errorf("reading the ledger to move: %w", err)
		}
		if _, err := tx.ExecContext(ctx, "SELECT setval(pg_get_serial_sequence($1, 'id'), $2)", t.name, last+1); err != nil {
			return fmt.Errorf("beginning the move: %w", err)
		}
	}
	return tx.Commit()
}

// resume continues a move that was interrupted. After a finished one, it would restore
// rows that managers have deleted since.
func resume(ctx context.Context, tx *sql.Tx) error {
	var finished bool
	if err := tx.QueryRowContext(ctx, "SELECT finished FROM move WHERE id = 1").Scan(&finished); err != nil {
		return fmt.Errorf("beginning the move: %w", err)
	}
	if finished {
		return errors.New("a ledger was moved to this database before: if it was this one, move its file out of the way; otherwise use an empty database")
	}
	return nil
}

// column is a column of a moved table. Its kind is the type in PostgreSQL.
type column struct{ name, kind string }

// table is a table to move. Its columns are the same in both databases, and begin with id.
type table struct {
	name    string
	columns []column
}

// readTables reads from the target what there is to move: the tables whose rows have
// generated IDs, with all their columns except for leases, which end with their process.
func readTables(ctx context.Context, to *sql.DB) (tables []table, err error) {
	rows, err := to.QueryContext(ctx, `
		SELECT table_name, column_name, data_type FROM information_schema.columns
		WHERE table_schema = current_schema() AND column_name <> 'lease' AND table_name <> $1 AND table_name IN (
			SELECT table_name FROM information_schema.columns
			WHERE table_schema = current_schema() AND column_name = 'id' AND is_identity = 'YES')
		ORDER BY table_name, column_name <> 'id', ordinal_position`, goose.DefaultTablename)
	if err != nil {
		return nil, fmt.Errorf("reading the target's tables: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		var c column
		if err := rows.Scan(&name, &c.name, &c.kind); err != nil {
			return nil, fmt.Errorf("reading the target's tables: %w", err)
		}
		if len(tables) == 0 || tables[len(tables)-1].name != name {
			tables = append(tables, table{name: name})
		}
		last := &tables[len(tables)-1]
		last.columns = append(last.columns, c)
	}
	return tables, rows.Err()
}

// statements returns the statements that read a batch, write it, and count how many of its
// rows the target holds.
func (t table) statements(ahead time.Duration) (read, write, count string) {
	names, sources, places := make([]string, len(t.columns)), make([]string, len(t.columns)), make([]string, len(t.columns))
	var same []string
	for i, c := range t.columns {
		names[i], sources[i], places[i] = c.name, c.name, fmt.Sprintf("$%d::%s[]", i+1, c.kind)
		if !strings.HasSuffix(c.name, "_at") {
			same = append(same, "target."+c.name+" = source."+c.name)
		} else if ahead != 0 {
			sources[i] = fmt.Sprintf("CASE WHEN %[1]s = 0 THEN 0 ELSE %[1]s - (%[2]d) END", c.name, ahead.Milliseconds())
		}
	}
	list, rows := strings.Join(names, ", "), "unnest("+strings.Join(places, ", ")+")"
	read = "SELECT " + strings.Join(sources, ", ") + " FROM " + t.name + " WHERE id > $1 ORDER BY id"
	write = "INSERT INTO " + t.name + " (" + list + ") SELECT * FROM " + rows + " ON CONFLICT DO NOTHING"
	count = "SELECT COUNT(*) FROM " + rows + " AS source (" + list + ") JOIN " + t.name + " AS target ON " + strings.Join(same, " AND ")
	return read, write, count
}

// moveTable copies a table and verifies that every row arrived. Times are set back by how
// far the ledger's clock is ahead.
func moveTable(ctx context.Context, from, to *sql.DB, t table, ahead time.Duration) (int64, error) {
	read, write, count := t.statements(ahead)
	var total int64
	for after := int64(0); ; {
		batch, n, last, err := readBatch(ctx, from, read, after, t.columns)
		if err != nil || n == 0 {
			return total, err
		}
		if _, err := to.ExecContext(ctx, write, batch...); err != nil {
			return total, err
		}
		var there int64
		if err := to.QueryRowContext(ctx, count, batch...).Scan(&there); err != nil {
			return total, err
		}
		if there != n {
			return total, fmt.Errorf("%d of %d rows after ID %d are missing or different in the target: it holds another ledger, or this ledger changed after an earlier move; use an empty database", n-there, n, after)
		}
		total, after = total+n, last
	}
}

// readBatch reads the rows after an ID, as one array for each column.
func readBatch(ctx context.Context, from *sql.DB, read string, after int64, columns []column) (batch []any, n, last int64, err error) {
	rows, err := from.QueryContext(ctx, read, after)
	if err != nil {
		return nil, 0, 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	batch, row := make([]any, len(columns)), make([]any, len(columns))
	for i, c := range columns {
		switch c.kind {
		case "bigint":
			batch[i], row[i] = []int64{}, new(int64)
		case "bytea":
			batch[i], row[i] = [][]byte{}, new([]byte)
		default:
			batch[i], row[i] = []string{}, new(string)
		}
	}
	for size := 0; n < batchRows && size < batchBytes && rows.Next(); n++ {
		if err := rows.Scan(row...); err != nil {
			return nil, 0, 0, err
		}
		for i, field := range row {
			switch v := field.(type) {
			case *int64:
				batch[i] = append(batch[i].([]int64), *v)
			case *[]byte:
				// Scan made a copy; an empty one must not become NULL.
				batch[i] = append(batch[i].([][]byte), append([]byte{}, *v...))
				size += len(*v)
			case *string:
				batch[i] = append(batch[i].([]string), driver.Storable(*v))
				size += len(*v)
			}
		}
		last = *row[0].(*int64)
	}
	return batch, n, last, rows.Err()
}
