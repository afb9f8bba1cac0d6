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

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/postgres"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
)

// movedSuffix is appended to the name of a SQLite file that was moved, so that no manager
// continues with it.
const movedSuffix = ".moved"

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
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(from + movedSuffix); err == nil {
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
	if err := os.Rename(from, from+movedSuffix); err != nil {
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
	clock := source.Clock()
	if err := begin(ctx, source.Pool(), db, clock.Now().UnixMilli()); err != nil {
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
func begin(ctx context.Context, from, to *sql.DB, now int64) (err error) {
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

type table struct {
	name    string
	columns []column // the primary key first
	// key is what must match in the target if the primary key does.
	key []string
}

var tables = []table{
	{name: "events", key: []string{"company", "event_id"}, columns: []column{
		{"id", "bigint"}, {"company", "text"}, {"event_id", "text"}, {"name", "text"}, {"received_at", "bigint"},
		{"state", "text"}, {"reason", "text"}, {"attempts", "bigint"}, {"unfinished", "bigint"}, {"next_attempt_at", "bigint"}, {"message", "text"},
		{"updated_at", "bigint"}, {"data", "bytea"},
	}},
	{name: "deliveries", key: []string{"event", "rule", "channel", "recipient", "copy"}, columns: []column{
		{"id", "bigint"}, {"event", "bigint"}, {"company", "text"}, {"event_id", "text"}, {"event_name", "text"}, {"event_received_at", "bigint"},
		{"rule", "text"}, {"copy", "bigint"}, {"channel", "text"}, {"recipient", "text"}, {"user_id", "text"}, {"state", "text"}, {"reason", "text"},
		{"message", "text"}, {"attempts", "bigint"}, {"unfinished", "bigint"}, {"next_attempt_at", "bigint"}, {"provider_id", "text"}, {"content", "bigint"}, {"received_at", "bigint"}, {"created_at", "bigint"},
		{"updated_at", "bigint"},
	}},
	{name: "contents", columns: []column{
		{"id", "bigint"}, {"sender", "text"}, {"subject", "text"}, {"text", "text"}, {"html", "text"}, {"sms", "text"},
	}},
	{name: "attempts", key: []string{"delivery"}, columns: []column{
		{"id", "bigint"}, {"delivery", "bigint"}, {"first_at", "bigint"}, {"last_at", "bigint"}, {"times", "bigint"},
		{"state", "text"}, {"reason", "text"}, {"message", "text"},
	}},
	{name: "preferences", key: []string{"company", "user_id", "rule"}, columns: []column{
		{"id", "bigint"}, {"company", "text"}, {"user_id", "text"}, {"rule", "text"}, {"enabled", "bigint"}, {"updated_at", "bigint"},
	}},
	{name: "suppressions", key: []string{"company", "channel", "recipient", "address"}, columns: []column{
		{"id", "bigint"}, {"company", "text"}, {"channel", "text"}, {"recipient", "text"}, {"address", "text"}, {"reason", "text"}, {"since_at", "bigint"}, {"expires_at", "bigint"},
	}},
	{name: "charges", key: []string{"company", "channel", "scope", "key", "day"}, columns: []column{
		{"id", "bigint"}, {"company", "text"}, {"channel", "text"}, {"scope", "text"}, {"key", "text"}, {"day", "bigint"}, {"n", "bigint"},
	}},
}

// statements returns the statements that read a batch, write it, and count it in the
// target.
func (t table) statements(ahead time.Duration) (read, write, count string) {
	names, sources, places, same := make([]string, len(t.columns)), make([]string, len(t.columns)), make([]string, len(t.columns)), []string{}
	for i, c := range t.columns {
		names[i], sources[i], places[i] = c.name, c.name, fmt.Sprintf("$%d::%s[]", i+1, c.kind)
		if strings.HasSuffix(c.name, "_at") && ahead != 0 {
			sources[i] = fmt.Sprintf("CASE WHEN %[1]s = 0 THEN 0 ELSE %[1]s - (%[2]d) END", c.name, ahead.Milliseconds())
		}
	}
	id := t.columns[0].name
	for _, k := range append([]string{id}, t.key...) {
		same = append(same, "target."+k+" = source."+k)
	}
	list, rows := strings.Join(names, ", "), "unnest("+strings.Join(places, ", ")+")"
	read = "SELECT " + strings.Join(sources, ", ") + " FROM " + t.name + " WHERE " + id + " > $1 ORDER BY " + id
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
			return total, fmt.Errorf("%d of %d rows after ID %d conflict with others: the target does not hold the rows of an earlier move of this ledger; use an empty database", n-there, n, after)
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
