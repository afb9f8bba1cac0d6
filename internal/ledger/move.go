// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
)

// movedSuffix is put behind the names of the files of a SQLite ledger that was
// moved, so that no manager goes on with it.
const movedSuffix = ".moved"

// moveBytes is about how much one statement moves.
const moveBytes = 4 << 20

// Moved says what a move found.
type Moved struct {
	// Events and Deliveries are how many the SQLite ledger holds, all of which are
	// now in PostgreSQL.
	Events, Deliveries int64
	// Before is true if they had been moved before and nothing was left to do.
	Before bool
}

// Move copies a SQLite ledger, with its work and its log, to PostgreSQL: from
// From.Path to To.URL. No manager may run on either; one that has the SQLite
// ledger open makes it fail. The database must be empty, or hold what an earlier
// Move that was interrupted brought there, which is then completed. In the end the
// SQLite file gets the suffix .moved. Rows go in small batches.
func Move(ctx context.Context, from string, to Options) (Moved, error) {
	if to.URL == "" {
		return Moved{}, errors.New("the ledger is moved to PostgreSQL: its URL is missing")
	}
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(from + movedSuffix); err == nil {
			return Moved{Before: true}, nil
		}
		return Moved{}, fmt.Errorf("there is no ledger %s to move", from)
	}
	source, err := Open(ctx, Options{Path: from, Clock: to.Clock, Log: to.Log})
	if err != nil {
		return Moved{}, err
	}
	moved, err := moveStore(ctx, source, to)
	if err := errors.Join(err, source.Close()); err != nil {
		return Moved{}, err
	}
	// SQLite folded its log into the file when it was closed.
	if err := os.Rename(from, from+movedSuffix); err != nil {
		return Moved{}, fmt.Errorf("everything was moved, but the old file could not be renamed: %w", err)
	}
	return moved, nil
}

func moveStore(ctx context.Context, source *Store, to Options) (moved Moved, err error) {
	config, settings, err := postgresConfig(to.URL, to.Password)
	if err != nil {
		return moved, err
	}
	if err := preparePostgres(ctx, config, settings); err != nil {
		return moved, err
	}
	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(settings.begin))
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := beginMove(ctx, source.reader, db, source.now()); err != nil {
		return moved, err
	}
	for _, t := range movedTables {
		n, err := moveTable(ctx, source.reader, db, t, source.ahead())
		if err != nil {
			return moved, fmt.Errorf("moving %s (run it again to go on): %w", t.name, err)
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

// beginMove makes sure that the rows have their place: new ones get IDs behind
// those that come.
func beginMove(ctx context.Context, from, to *sql.DB, now int64) (err error) {
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
		return resumeMove(ctx, tx)
	}
	for _, t := range movedTables {
		var used bool
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+t.name+")").Scan(&used); err != nil {
			return fmt.Errorf("looking whether the target is empty: %w", err)
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

// resumeMove lets a move go on that was interrupted. After one that wasn't, rows
// that managers deleted since would come back.
func resumeMove(ctx context.Context, tx *sql.Tx) error {
	var finished bool
	if err := tx.QueryRowContext(ctx, "SELECT finished FROM move WHERE id = 1").Scan(&finished); err != nil {
		return fmt.Errorf("beginning the move: %w", err)
	}
	if finished {
		return errors.New("a ledger was moved to this database before: if it was this one, move its file out of the way, else move into an empty database")
	}
	return nil
}

// checkMove refuses a ledger whose move was not finished.
func checkMove(ctx context.Context, db *sql.DB) error {
	var unfinished bool
	if err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM move WHERE NOT finished)").Scan(&unfinished); err != nil {
		return fmt.Errorf("opening the ledger: %w", err)
	}
	if unfinished {
		return errors.New("a SQLite ledger was not moved here to the end: run `manager migrate-ledger` again")
	}
	return nil
}

// column is a column of a moved table. Its kind is the type in PostgreSQL.
type column struct{ name, kind string }

type movedTable struct {
	name    string
	columns []column // the primary key first
	// key is what must be the same as in the target where the primary key is.
	key []string
}

var movedTables = []movedTable{
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
		{"id", "bigint"}, {"sender", "text"}, {"subject", "text"}, {"text", "text"}, {"html", "text"},
	}},
	{name: "preferences", key: []string{"company", "user_id", "rule"}, columns: []column{
		{"id", "bigint"}, {"company", "text"}, {"user_id", "text"}, {"rule", "text"}, {"enabled", "bigint"}, {"updated_at", "bigint"},
	}},
	{name: "charges", key: []string{"company", "channel", "scope", "key", "day"}, columns: []column{
		{"id", "bigint"}, {"company", "text"}, {"channel", "text"}, {"scope", "text"}, {"key", "text"}, {"day", "bigint"}, {"n", "bigint"},
	}},
}

// statements returns how a batch is read, written, and counted in the target.
func (t movedTable) statements(ahead time.Duration) (read, write, count string) {
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

// moveTable copies a table and makes sure of every row that it arrived. Times are
// set back by how far the ledger's clock is ahead.
func moveTable(ctx context.Context, from, to *sql.DB, t movedTable, ahead time.Duration) (int64, error) {
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
			return total, fmt.Errorf("%d of %d rows behind ID %d met others in their places: the target does not hold what an earlier move of this ledger brought; move into an empty database", n-there, n, after)
		}
		total, after = total+n, last
	}
}

// readBatch reads rows behind an ID, as an array a column.
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
	for size := 0; n < step && size < moveBytes && rows.Next(); n++ {
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
				batch[i] = append(batch[i].([]string), storable(*v))
				size += len(*v)
			}
		}
		last = *row[0].(*int64)
	}
	return batch, n, last, rows.Err()
}
