// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// poolerRounds is how often connections are checked for sharing a session.
	poolerRounds = 4
	// poolerTimeout bounds the check: a pooler with only one connection makes the second
	// wait.
	poolerTimeout = 20 * time.Second
)

// errTransactionPooling says which setting to change.
var errTransactionPooling = errors.New("the ledger's database is reached through a pooler that gives a connection to others between transactions: set pool_mode = session in PgBouncer for this database or user, or connect to PostgreSQL itself")

// session holds the settings of each connection. A statement applies them to a new
// connection, because PgBouncer refuses them as startup parameters or, if it is configured
// to ignore them, drops them.
type session map[string]string

// begin applies the settings to a new connection, and makes its commits wait for the disk
// whatever the server's default is. Commits may also wait for a standby.
func (s session) begin(ctx context.Context, conn *pgx.Conn) error {
	query := strings.Builder{}
	query.WriteString("SELECT ")
	// The simple protocol, because with transaction pooling a statement that is prepared
	// here would be prepared in another client's session.
	args := []any{pgx.QueryExecModeSimpleProtocol}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&query, "set_config($%d, $%d, false), ", len(args), len(args)+1)
		args = append(args, name, s[name])
	}
	// Last, so that no setting of the URL goes before it.
	query.WriteString(`CASE WHEN current_setting('synchronous_commit') IN ('on', 'remote_apply') THEN current_setting('synchronous_commit')
		ELSE set_config('synchronous_commit', 'on', false) END`)
	rows, err := conn.Query(ctx, query.String(), args...)
	if err != nil {
		return fmt.Errorf("preparing the settings of a connection: %w", err)
	}
	mode, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		if err != nil {
			return "", err
		}
		return fmt.Sprint(values[len(values)-1]), nil
	})
	if err != nil {
		return fmt.Errorf("preparing the settings of a connection: %w", err)
	}
	if mode != "on" && mode != "remote_apply" {
		return fmt.Errorf("commits are not durable: synchronous_commit is %s", mode)
	}
	return nil
}

// startupParameters are those that PgBouncer accepts when a client connects.
var startupParameters = []string{"application_name", "client_encoding", "datestyle", "timezone", "standard_conforming_strings", "options"}

// newSession removes from a configuration the settings that are not startup parameters.
func newSession(config *pgx.ConnConfig) session {
	s := session{
		"statement_timeout":                   milliseconds(statementTimeout),
		"lock_timeout":                        milliseconds(lockTimeout),
		"idle_in_transaction_session_timeout": milliseconds(jobTimeout),
		"default_transaction_isolation":       "read committed",
	}
	// A pooler refuses the parameter options, whose settings go first, as on the server.
	if options, ok := config.RuntimeParams["options"]; ok {
		if settings, ok := settingsOf(options); ok {
			maps.Copy(s, settings)
			delete(config.RuntimeParams, "options")
		}
	}
	for name, value := range config.RuntimeParams {
		// The names of settings are the same in any case.
		if lower := strings.ToLower(name); !slices.Contains(startupParameters, lower) {
			s[lower] = value
			delete(config.RuntimeParams, name)
		}
	}
	if _, ok := config.RuntimeParams["application_name"]; !ok {
		config.RuntimeParams["application_name"] = "rehive-extension-operator"
	}
	return s
}

// settingsOf reads the settings of the connection parameter options: -c name=value or
// --name=value, separated by spaces, of which a backslash escapes one. It reports false if
// there is anything else in it.
func settingsOf(options string) (s session, ok bool) {
	const escaped = "\x00"
	s = session{}
	options = strings.ReplaceAll(strings.ReplaceAll(options, `\ `, escaped), "-c ", "-c")
	for _, option := range strings.Fields(options) {
		setting, found := strings.CutPrefix(option, "-c")
		if !found {
			setting, found = strings.CutPrefix(option, "--")
		}
		name, value, assigned := strings.Cut(setting, "=")
		if !found || !assigned || name == "" {
			return nil, false
		}
		s[strings.ReplaceAll(strings.ToLower(name), "-", "_")] = strings.ReplaceAll(value, escaped, " ")
	}
	return s, true
}

// checkPooling refuses a pooler that gives a server's session to another client while
// this one is connected. The ledger's settings, its prepared statements and the lock for
// updating its tables belong to a session.
//
// Two connections that reach the same session, or one that reaches two, prove it. While
// one has a transaction open, the pooler must give the other another session.
func checkPooling(ctx context.Context, db *sql.DB) (err error) {
	ctx, cancel := context.WithTimeout(ctx, poolerTimeout)
	defer cancel()
	one, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting to the ledger's database: %w", explainRefusal(err))
	}
	defer func() { err = errors.Join(err, one.Close()) }()
	first, err := backend(ctx, one)
	if err != nil {
		return err
	}
	other, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("opening a second connection to the ledger's database (a pooler must allow at least two): %w", explainRefusal(err))
	}
	defer func() { err = errors.Join(err, other.Close()) }()
	for range poolerRounds {
		if _, err := other.ExecContext(ctx, "BEGIN", pgx.QueryExecModeSimpleProtocol); err != nil {
			return poolingError(err)
		}
		second, err := backend(ctx, other)
		if err != nil {
			return err
		}
		again, err := backend(ctx, one)
		if err != nil {
			return err
		}
		if _, err := other.ExecContext(ctx, "ROLLBACK", pgx.QueryExecModeSimpleProtocol); err != nil {
			return poolingError(err)
		}
		if second == first || again != first {
			return errTransactionPooling
		}
	}
	return nil
}

// backend returns the ID of the server process that a connection reaches.
func backend(ctx context.Context, conn *sql.Conn) (pid int64, err error) {
	if err := conn.QueryRowContext(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&pid); err != nil {
		return 0, poolingError(err)
	}
	return pid, nil
}

// poolingError explains an error that a pooler causes: 08P01 if it refuses transactions
// altogether, 26000 and 42P05 if a prepared statement belongs to another session.
func poolingError(err error) error {
	switch code(err) {
	case "26000", "42P05":
		return fmt.Errorf("%w: %w", errTransactionPooling, err)
	case "08P01":
		if strings.Contains(err.Error(), "pooling mode") {
			return fmt.Errorf("%w: %w", errTransactionPooling, err)
		}
	}
	return fmt.Errorf("asking the ledger's database for its session: %w", err)
}
