// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package postgres keeps a ledger in a PostgreSQL database that several replicas share.
package postgres

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"k8s.io/utils/clock"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/schema"
	"github.com/rehive/extension-operator/internal/ledger/sqlstore"
)

const (
	// connectTimeout bounds one attempt to connect, statementTimeout one statement
	// and lockTimeout its wait for others.
	connectTimeout   = 5 * time.Second
	statementTimeout = 10 * time.Second
	lockTimeout      = 5 * time.Second
	// jobTimeout bounds a transaction with all its statements.
	jobTimeout = 20 * time.Second
	// openTimeout bounds opening the ledger, including the wait for another replica's
	// migration.
	openTimeout = 10 * time.Minute
	// defaultConnections is how many connections a replica opens at most.
	defaultConnections = 16
	// connectionAge is when a connection is replaced, so that a server that came back is
	// used again.
	connectionAge = 30 * time.Minute
	// maxAttempts is how often a transaction is started that is rolled back in favour of
	// another.
	maxAttempts = 5
	// clockInterval is how often the server is asked for the time.
	clockInterval = time.Second
	// migrationLock is the advisory lock that a replica holds while it updates the
	// tables.
	migrationLock = 0x7265686976650001
	// oldestVersion is the oldest version that the statements are tested with.
	oldestVersion = 140000
)

// Config says where the database is and how to connect.
type Config struct {
	// URL is like postgres://user@host/database. It must not hold a password, see
	// [CheckURL].
	URL string
	// Password is that of the URL's user; empty if none is needed.
	Password string
	// Connections is the greatest number of open connections; 16 if 0.
	Connections int
}

// database is a PostgreSQL database, which replicas share.
type database struct {
	pool        *sql.DB
	connections *connector
	era         era
	server      *serverClock
	clock       driver.Clock // the server's, unless the options give one
	log         func(error)
	accepter    *accepter
	failure     atomic.Pointer[error]

	stop    context.CancelFunc
	stopped sync.WaitGroup
}

var _ driver.Driver = (*database)(nil)

// Open opens the ledger in a database, creates it if the database is empty, and brings
// the tables up to date, one replica at a time. The caller closes the ledger.
func Open(ctx context.Context, c Config, o ledger.Options) (*sqlstore.Store, error) {
	d, err := openDatabase(ctx, c, o)
	if err != nil {
		return nil, err
	}
	return sqlstore.Open(ctx, d, o)
}

func openDatabase(ctx context.Context, c Config, o ledger.Options) (*database, error) {
	config, settings, err := parse(c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := prepare(ctx, config, settings); err != nil {
		return nil, err
	}
	if c.Connections <= 0 {
		c.Connections = defaultConnections
	}
	d := &database{era: era{session: settings}, server: &serverClock{machine: clock.RealClock{}}, log: driver.RateLimited(o.Log, driver.WriteFailed)}
	d.clock = callersClock{d.server}
	if o.Clock != nil {
		d.clock = callersClock{o.Clock}
	}
	d.pool, d.connections = openPool(oneLine{stdlib.GetConnector(*config, stdlib.OptionAfterConnect(d.era.begin), stdlib.OptionResetSession(d.era.check))}, c.Connections, o.Log)
	d.pool.SetConnMaxLifetime(connectionAge)
	if err := errors.Join(checkMove(ctx, d.pool), d.server.adjust(ctx, d.pool)); err != nil {
		return nil, errors.Join(err, d.pool.Close())
	}
	warnOfSkew(o.Log, d.server)
	d.accepter = newAccepter(d)
	d.adjustClock()
	return d, nil
}

// Prepare brings the tables up to date and returns a pool of connections to the
// database, for those who write the rows themselves. The caller closes it.
func Prepare(ctx context.Context, c Config) (*sql.DB, error) {
	config, settings, err := parse(c)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, config, settings); err != nil {
		return nil, err
	}
	return sql.OpenDB(oneLine{stdlib.GetConnector(*config, stdlib.OptionAfterConnect(settings.begin))}), nil
}

// checkMove refuses a ledger whose move from SQLite was not finished.
func checkMove(ctx context.Context, db *sql.DB) error {
	var unfinished bool
	if err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM move WHERE NOT finished)").Scan(&unfinished); err != nil {
		return fmt.Errorf("opening the ledger: %w", err)
	}
	if unfinished {
		return errors.New("moving a SQLite ledger to this database was not finished: run `manager migrate-ledger` again")
	}
	return nil
}

// parse reads the URL, and returns how to connect and what to set on each connection, on
// top of the server's and the user's own settings.
func parse(c Config) (*pgx.ConnConfig, session, error) {
	if err := CheckURL(c.URL); err != nil {
		return nil, nil, err
	}
	config, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return nil, nil, fmt.Errorf("the ledger's URL can't be read: %w", err)
	}
	if c.Password != "" {
		config.Password = c.Password
	}
	config.ConnectTimeout = connectTimeout
	if config.ValidateConnect == nil {
		// After a failover a standby may answer under the old address.
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	config.ValidateConnect = explained(config.ValidateConnect)
	// Statements of the simple protocol need these. They are among the startup parameters that
	// PgBouncer accepts.
	for _, name := range slices.Collect(maps.Keys(config.RuntimeParams)) {
		if lower := strings.ToLower(name); lower == "client_encoding" || lower == "standard_conforming_strings" {
			delete(config.RuntimeParams, name)
		}
	}
	config.RuntimeParams["client_encoding"], config.RuntimeParams["standard_conforming_strings"] = "UTF8", "on"
	return config, newSession(config), nil
}

func milliseconds(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }

// CheckURL says in one sentence why a URL can't be that of a ledger on PostgreSQL. The
// error repeats nothing of the URL, which may hold a password.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return errors.New("the ledger's URL must be like postgres://user@host:5432/database?sslmode=verify-full")
	}
	_, password := u.User.Password()
	for name := range u.Query() {
		password = password || strings.EqualFold(name, "password") || strings.EqualFold(name, "sslpassword")
	}
	if password {
		return errors.New("the ledger's URL must not hold a password: others can read where it is set; give the password in a file or its environment variable")
	}
	return nil
}

// era ends when the server turns out to be shutting down or no longer the primary. The
// connections made in it are not used again. Closing the idle ones by SetMaxIdleConns(0)
// would not do: database/sql may close a connection that was returned meanwhile, and
// panics when that one is used.
type era struct {
	session
	number atomic.Int64
}

// eraOf is the key under which a connection keeps the era that it was made in.
const eraOf = "rehive.com/era"

// begin prepares a connection that was just made.
func (e *era) begin(ctx context.Context, conn *pgx.Conn) error {
	conn.PgConn().CustomData()[eraOf] = e.number.Load()
	return e.session.begin(ctx, conn)
}

// check refuses a connection of an era that has ended.
func (e *era) check(_ context.Context, conn *pgx.Conn) error {
	if conn.PgConn().CustomData()[eraOf] != e.number.Load() {
		return sqldriver.ErrBadConn
	}
	return nil
}

func (e *era) end() { e.number.Add(1) }

// prepare checks the server and updates the tables. An advisory lock makes replicas that
// start together do it one after another; it ends with the connection, however that ends.
func prepare(ctx context.Context, config *pgx.ConnConfig, settings session) (err error) {
	settings = maps.Clone(settings)
	for _, name := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"} {
		settings[name] = "0" // a migration, and the wait for one, may take long
	}
	db := sql.OpenDB(oneLine{stdlib.GetConnector(*config, stdlib.OptionAfterConnect(settings.begin))})
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := checkPooling(ctx, db); err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting to the ledger's database: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := checkServer(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return fmt.Errorf("waiting for another replica to update the ledger's tables: %w", err)
	}
	foreign, err := schema.IsForeign(ctx, db, schema.Postgres)
	if err == nil && foreign {
		return errors.New("the ledger's database has tables of another program with the names of the ledger's: create a database for the ledger alone, or a schema, and name the schema in the ledger's URL, as in ?search_path=ledger")
	}
	if err == nil {
		err = schema.Migrate(ctx, db, schema.Postgres)
	}
	if code(err) == "42501" {
		return fmt.Errorf("the role in the ledger's URL must own the database, or must own the ledger's tables and have the privilege CREATE on their schema: %w", err)
	} else if err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", int64(migrationLock))
	return err
}

func checkServer(ctx context.Context, conn *sql.Conn) error {
	var version int
	var fsync, encoding, path string
	var current sql.NullString
	err := conn.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int, current_setting('fsync'), current_setting('server_encoding'),
			current_setting('search_path'), current_schema()`).
		Scan(&version, &fsync, &encoding, &path, &current)
	switch {
	case err != nil:
		return fmt.Errorf("asking the ledger's database for its version: %w", err)
	case version < oldestVersion:
		return fmt.Errorf("the ledger's database is PostgreSQL %d, and it must be %d or later", version/10000, oldestVersion/10000)
	case fsync != "on":
		return errors.New("the ledger's database has fsync off, so a power cut would lose what was acknowledged: set fsync = on in its configuration")
	case encoding != "UTF8":
		return fmt.Errorf("the ledger's database has the encoding %s and can't hold every text: create it with ENCODING 'UTF8'", encoding)
	case !current.Valid:
		return fmt.Errorf("no schema of the search_path %q exists in the ledger's database: create one that the role may use, or set the search_path of the role or in the ledger's URL, as in ?search_path=public", path)
	}
	return nil
}

// Write implements [driver.Driver]. PostgreSQL itself groups transactions that are
// committed at the same time. All commits wait for the disk except decisions to send
// nothing, even relaxed ones: a server that forgot a claim would give it to another
// replica while this one, which did not crash, is working on it.
func (d *database) Write(ctx context.Context, j *driver.Job) error {
	attempts := maxAttempts
	if j.Relaxed {
		attempts = 1 // a claim is soon made again
	}
	err := retry(ctx, attempts, func(ctx context.Context) error {
		if d.server.doubtful() {
			if err := d.server.adjust(ctx, d.pool); err != nil {
				return err
			}
		}
		return d.transact(ctx, j)
	})
	if err == nil && j.Committed != nil {
		j.Committed()
	}
	return d.outcome(err)
}

// Query implements [driver.Driver].
func (d *database) Query(ctx context.Context, run func(driver.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	return run(tx{ctx: ctx, on: d.pool})
}

// retry runs a transaction again that was rolled back in favour of another.
func retry(ctx context.Context, attempts int, transaction func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		bounded, cancel := context.WithTimeout(ctx, jobTimeout)
		err := transaction(bounded)
		cancel()
		if err == nil || !rolledBack(err) || attempt == attempts || ctx.Err() != nil {
			return err
		}
	}
}

func (d *database) transact(ctx context.Context, j *driver.Job) error {
	if j.Single {
		return j.Run(tx{ctx: ctx, on: d.pool})
	}
	t, err := d.pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := j.Run(tx{ctx: ctx, on: t}); err != nil {
		_ = t.Rollback() // the connection may be gone
		return err
	}
	return t.Commit()
}

// outcome records whether the database works, and explains the error.
func (d *database) outcome(err error) error {
	switch {
	case err == nil:
		d.failure.Store(nil)
		return nil
	case !databaseFailed(err):
		return err
	}
	switch code(err) {
	case "25006", "57P01", "57P02", "57P03":
		// Read-only or shutting down: the connections lead to a server that is no longer
		// the primary.
		d.era.end()
	case "26000", "42P05":
		err = poolingError(err)
	}
	if !errors.Is(err, context.Canceled) { // which the caller asked for
		d.failure.Store(&err)
		d.log(err)
	}
	return fmt.Errorf("%w: %w", ledger.ErrUnavailable, err)
}

// Scrub implements [driver.Driver]. Autovacuum does the work.
func (d *database) Scrub(context.Context) error { return nil }

func (d *database) Pool() *sql.DB           { return d.pool }
func (d *database) Clock() driver.Clock     { return d.clock }
func (d *database) Dialect() driver.Dialect { return dialect }
func (d *database) Shared() bool            { return true }
func (d *database) Failing() bool           { return d.failure.Load() != nil }

// Close implements [driver.Driver].
func (d *database) Close() error {
	d.stop()
	d.stopped.Wait()
	d.accepter.close()
	return d.pool.Close()
}

// adjustClock keeps the server's clock right, and the pool as large as it may be, until the
// database is closed.
func (d *database) adjustClock() {
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	server := d.server
	d.stopped.Go(func() {
		ticker := time.NewTicker(clockInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			bounded, cancel := context.WithTimeout(ctx, statementTimeout)
			_ = server.adjust(bounded, d.pool) // if it fails, the clock runs on
			cancel()
			d.connections.regrow()
		}
	})
}

// code returns the SQLSTATE of an error, or "" if it has none.
func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// rolledBack reports whether a transaction was rolled back in favour of another, by a
// serialization failure or a deadlock.
func rolledBack(err error) bool {
	c := code(err)
	return c == "40001" || c == "40P01"
}

// databaseFailed reports whether an error is the database's or the network's rather than
// one statement's or the store's.
func databaseFailed(err error) bool {
	switch c := code(err); {
	case c == "":
		return !ledger.IsAnswer(err)
	case c[:2] == "22", c[:2] == "23": // data exceptions, constraint violations
		return false
	case c == "54000": // a key that is too long for its index
		return false
	}
	return true
}

// connectionLost reports whether a new connection may work at once.
func connectionLost(err error) bool {
	switch code(err) {
	case "":
		return !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, sql.ErrConnDone)
	case "57P01", "57P02", "57P03", "25006":
		return true
	}
	return false
}
