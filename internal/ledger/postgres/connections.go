// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/jackc/pgx/v5/pgconn"
)

// regrowTime is how long a pool stays smaller than configured after the server had no
// connection left.
const regrowTime = 30 * time.Second

// errNoConnectionLeft means that the server or a pooler accepts connections, but has none left
// for this one.
var errNoConnectionLeft = errors.New("the ledger's database has no connection left: lower --ledger-connections, or raise max_connections, the connection limit of the role or database, or PgBouncer's max_client_conn and pool sizes")

// errNoAnswer means that a new connection gets no answer. A pooler then has no connection to the
// server left, or can't reach it.
var errNoAnswer = errors.New("the ledger's database, or the pooler before it, doesn't answer new connections: see whether the pooler reaches the server; if it does and has no connection left, lower --ledger-connections, or raise max_connections or PgBouncer's pool sizes")

// connector opens the connections of a pool. Others may use up what the server allows: further
// replicas, or a database administrator's limit. The pool then makes do with the connections that
// it has, instead of failing each caller who arrives while they are busy.
type connector struct {
	sqldriver.Connector

	pool *sql.DB
	most int // connections, as configured
	log  logr.Logger

	mu     sync.Mutex
	limit  int
	shrunk time.Time
}

// openPool opens a pool of up to most connections.
func openPool(opener sqldriver.Connector, most int, log logr.Logger) (*sql.DB, *connector) {
	c := &connector{Connector: opener, most: most, limit: most, log: log}
	c.pool = sql.OpenDB(c)
	c.pool.SetMaxOpenConns(most)
	c.pool.SetMaxIdleConns(most)
	return c.pool, c
}

// Connect implements [sqldriver.Connector].
func (c *connector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err == nil || !noConnectionLeft(err) {
		return conn, err
	}
	err = explainRefusal(err)
	if c.shrink(err) {
		// The pool then waits for one of its other connections.
		err = errors.Join(sqldriver.ErrBadConn, err)
	}
	return nil, err
}

// shrink makes the pool smaller by the connection that could not be opened because of an error. It
// reports false if there is no other.
func (c *connector) shrink(cause error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	// The open connections include those that are being opened.
	others := min(c.limit, c.pool.Stats().OpenConnections) - 1
	if others < 1 {
		return false
	}
	if c.limit == c.most {
		c.log.Info("The ledger makes do with fewer connections than --ledger-connections", "reason", cause.Error())
	}
	c.limit, c.shrunk = others, time.Now()
	c.pool.SetMaxOpenConns(others)
	return true
}

// regrow makes the pool as large as configured again, some time after it shrank.
func (c *connector) regrow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limit == c.most || time.Since(c.shrunk) < regrowTime {
		return
	}
	c.limit = c.most
	c.pool.SetMaxOpenConns(c.most)
	c.pool.SetMaxIdleConns(c.most)
}

// noConnectionLeft reports whether a connection could not be opened because others use all that
// the server or a pooler allows.
func noConnectionLeft(err error) bool {
	switch code(err) {
	case "53300":
		return true
	case "08P01": // PgBouncer before 1.22
		text := err.Error()
		return strings.Contains(text, "max_client_conn") || strings.Contains(text, "query_wait_timeout")
	}
	return errors.Is(err, errKeptWaiting)
}

// explainRefusal says what to change if there is no connection left.
func explainRefusal(err error) error {
	if errors.Is(err, errKeptWaiting) {
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	if noConnectionLeft(err) {
		return fmt.Errorf("%w: %w", errNoConnectionLeft, err)
	}
	return err
}

// errKeptWaiting means that a server accepted a connection and then didn't answer, as a pooler
// does that has no connection to the server left.
var errKeptWaiting = errors.New("the server accepted the connection, but didn't answer in time")

// errReadOnly explains a refusal of pgconn's.
var errReadOnly = errors.New("the server accepts no writes: it is a standby, or default_transaction_read_only is on for the database or the role")

// explained explains the errors of a function that checks a new connection.
func explained(check pgconn.ValidateConnectFunc) pgconn.ValidateConnectFunc {
	return func(ctx context.Context, conn *pgconn.PgConn) error {
		err := check(ctx, conn)
		switch {
		case err == nil:
			return nil
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return errKeptWaiting // pgconn would replace an error that wraps a timeout
		case errors.Is(err, pgconn.ErrReadOnlyConnection):
			return fmt.Errorf("%w: %w", errReadOnly, err)
		}
		return err
	}
}
