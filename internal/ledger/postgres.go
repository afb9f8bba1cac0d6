// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"k8s.io/utils/clock"
)

const (
	// connectTimeout bounds one attempt to connect, statementTimeout one statement
	// and lockTimeout its wait for others.
	connectTimeout   = 5 * time.Second
	statementTimeout = 10 * time.Second
	lockTimeout      = 5 * time.Second
	// jobTimeout bounds a transaction with all its statements.
	jobTimeout = 20 * time.Second
	// openTimeout bounds the opening, waiting for another replica's migration
	// included.
	openTimeout = 10 * time.Minute
	// defaultConnections is how many connections a replica has at most.
	defaultConnections = 16
	// connectionAge is when a connection is replaced, so that those to a server
	// that came back are used again.
	connectionAge = 30 * time.Minute
	// maxRepeats is how often a transaction is begun again that gave way to
	// another.
	maxRepeats = 5
	// watchEvery is how long work that another replica took in, or gave back, may
	// wait to be seen.
	watchEvery = time.Second
	// migrationLock is the advisory lock that a replica holds while it updates the
	// tables.
	migrationLock = 0x7265686976650001
	// oldestPostgres is the oldest version that the statements are tested for.
	oldestPostgres = 140000
)

// A claim locks the rows that it takes and skips those that another replica is
// taking now. The rows are picked once and for all before they are changed: as a
// plain subquery they might be picked again for each row.
const (
	postgresClaimEvents = `
		WITH picked AS MATERIALIZED (
			SELECT id, next_attempt_at AS due FROM events WHERE state = 'pending' AND company = $3 AND next_attempt_at <= $4
			ORDER BY next_attempt_at, id LIMIT $5 FOR UPDATE SKIP LOCKED
		), claimed AS (
			UPDATE events SET lease = $1, next_attempt_at = $2, attempts = attempts + 1,
				unfinished = unfinished + CASE WHEN lease <> 0 THEN 1 ELSE 0 END
			FROM picked WHERE events.id = picked.id
			RETURNING events.*, picked.due
		)
		SELECT id, event_id, name, received_at, attempts, unfinished, ` + claimedData + ` FROM claimed ORDER BY due, id`
	postgresClaimDeliveries = `
		WITH picked AS MATERIALIZED (
			SELECT id, next_attempt_at AS due FROM deliveries WHERE state = 'pending' AND company = $3 AND channel = $4 AND next_attempt_at <= $5
			ORDER BY next_attempt_at, id LIMIT $6 FOR UPDATE SKIP LOCKED
		), claimed AS (
			UPDATE deliveries SET lease = $1, next_attempt_at = $2, attempts = attempts + 1,
				unfinished = unfinished + CASE WHEN lease <> 0 THEN 1 ELSE 0 END
			FROM picked WHERE deliveries.id = picked.id
			RETURNING deliveries.*, picked.due
		)
		SELECT ` + deliveryHead + "unfinished" + claimedTail + ` FROM claimed deliveries` + withContents + `ORDER BY due, deliveries.id`
)

// postgresEndLoosely doesn't wait for the disk: the setting holds for the transaction.
const postgresEndLoosely = `
	WITH loose AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
	UPDATE events SET state = $1, message = $2, updated_at = $3, lease = 0
	FROM loose WHERE id = $4 AND lease = $5 AND state = 'pending'`

var postgresDialect = dialect{
	position:     "strpos",
	dataContains: "position($%d IN data) > 0",
	endLoosely:   postgresEndLoosely,
	keepContent:  "SELECT 1 FROM contents WHERE id = (SELECT content FROM deliveries WHERE id = $1) FOR KEY SHARE",
	insertContents: func(w *writer, n int, args []any) ([]int64, error) {
		rows, err := w.query(insertContents[n]+" RETURNING id", args...)
		if err != nil {
			return nil, err
		}
		defer func() { _ = rows.Close() }()
		ids := make([]int64, 0, n)
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				return nil, err
			}
			ids = append(ids, id)
		}
		return ids, rows.Err()
	},
	claimEvents: func(w *writer, company string, n int, lease, now, until int64) ([]ClaimedEvent, error) {
		return w.events(company, postgresClaimEvents, lease, until, company, now, n)
	},
	claimDeliveries: func(w *writer, l Lane, n int, lease, now, until int64) ([]Delivery, error) {
		return w.deliveries(postgresClaimDeliveries, lease, until, l.Company, l.Channel, now, n)
	},
}

// postgresDatabase is a PostgreSQL database, which replicas share.
type postgresDatabase struct {
	pool     *sql.DB
	era      era
	clock    *serverClock
	log      func(error)
	accepter *accepter
	failure  atomic.Pointer[error]

	stop    context.CancelFunc
	stopped sync.WaitGroup
}

// openPostgres connects, checks what the ledger relies on and brings the tables
// up to date, one replica at a time.
func openPostgres(ctx context.Context, o Options) (*postgresDatabase, error) {
	config, settings, err := postgresConfig(o.URL, o.Password)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := preparePostgres(ctx, config, settings); err != nil {
		return nil, err
	}
	if o.Connections <= 0 {
		o.Connections = defaultConnections
	}
	p := &postgresDatabase{era: era{session: settings}, clock: &serverClock{machine: clock.RealClock{}}, log: muted(logFailure(o.Log))}
	p.pool = stdlib.OpenDB(*config, stdlib.OptionAfterConnect(p.era.begin), stdlib.OptionResetSession(p.era.check))
	p.pool.SetMaxOpenConns(o.Connections)
	p.pool.SetMaxIdleConns(o.Connections)
	p.pool.SetConnMaxLifetime(connectionAge)
	if err := errors.Join(checkMove(ctx, p.pool), p.clock.adjust(ctx, p.pool)); err != nil {
		return nil, errors.Join(err, p.pool.Close())
	}
	warnOfSkew(o.Log, p.clock)
	p.accepter = newAccepter(p)
	return p, nil
}

// postgresConfig reads the URL, and returns how to connect and what to set on each
// connection, on top of the server's and the user's own settings.
func postgresConfig(address, password string) (*pgx.ConnConfig, session, error) {
	if err := CheckURL(address); err != nil {
		return nil, nil, err
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, nil, fmt.Errorf("the ledger's URL can't be read: %w", err)
	}
	if password != "" {
		config.Password = password
	}
	config.ConnectTimeout = connectTimeout
	if config.ValidateConnect == nil {
		// After a failover a standby may answer under the old address.
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	return config, newSession(config), nil
}

func milliseconds(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }

// CheckURL says in one sentence why a URL can't be that of a ledger on PostgreSQL.
// It repeats nothing of the URL, which may hold a password.
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

// era ends when the server that the connections lead to turns out to be going. Those
// made before are then not used again. To close the idle ones by SetMaxIdleConns(0) is
// no way: database/sql may close one that was put back meanwhile, and panics when that
// is used.
type era struct {
	session
	number atomic.Int64
}

// eraOf is where a connection keeps the era that it was made in.
const eraOf = "rehive.com/era"

// begin prepares a connection that was just made.
func (e *era) begin(ctx context.Context, conn *pgx.Conn) error {
	conn.PgConn().CustomData()[eraOf] = e.number.Load()
	return e.session.begin(ctx, conn)
}

// check refuses a connection of an era that has ended.
func (e *era) check(_ context.Context, conn *pgx.Conn) error {
	if conn.PgConn().CustomData()[eraOf] != e.number.Load() {
		return driver.ErrBadConn
	}
	return nil
}

func (e *era) end() { e.number.Add(1) }

// preparePostgres checks the server and updates the tables. An advisory lock
// makes replicas that start at once do it one after another; it ends with the
// connection, however that ends.
func preparePostgres(ctx context.Context, config *pgx.ConnConfig, settings session) (err error) {
	settings = maps.Clone(settings)
	for _, name := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
		settings[name] = "0" // a migration may take long, and so may the wait for it
	}
	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(settings.begin))
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := checkPooling(ctx, db); err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting to the ledger's database: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := checkPostgres(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return fmt.Errorf("waiting for another replica to update the ledger's tables: %w", err)
	}
	if err := migrate(ctx, db, goose.DialectPostgres, "postgres"); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", int64(migrationLock))
	return err
}

func checkPostgres(ctx context.Context, conn *sql.Conn) error {
	var version int
	var fsync, encoding string
	err := conn.QueryRowContext(ctx, "SELECT current_setting('server_version_num')::int, current_setting('fsync'), current_setting('server_encoding')").
		Scan(&version, &fsync, &encoding)
	switch {
	case err != nil:
		return fmt.Errorf("asking the ledger's database for its version: %w", err)
	case version < oldestPostgres:
		return fmt.Errorf("the ledger's database is PostgreSQL %d, and it must be %d or later", version/10000, oldestPostgres/10000)
	case fsync != "on":
		return errors.New("the ledger's database has fsync off, so a power cut would lose what was acknowledged: set fsync = on in its configuration")
	case encoding != "UTF8":
		return fmt.Errorf("the ledger's database has the encoding %s and can't hold every text: create it with ENCODING 'UTF8'", encoding)
	}
	return nil
}

// run runs a job on a connection of the pool: PostgreSQL itself gathers what is
// committed at the same time. All commits wait for the disk, but decisions to send
// nothing, also loose ones: a server that forgot a claim would give it to another
// replica while this one, which did not crash, is at it.
func (p *postgresDatabase) run(j *job) error {
	attempts := maxRepeats
	if j.loose {
		attempts = 1 // a claim collects what it got, and is soon made again
	}
	err := repeat(j.ctx, attempts, func(ctx context.Context) error {
		if p.clock.doubtful() {
			if err := p.clock.adjust(ctx, p.pool); err != nil {
				return err
			}
		}
		return p.transact(ctx, j)
	})
	if err == nil && j.committed != nil {
		j.committed()
	}
	return p.outcome(err)
}

func (p *postgresDatabase) read(j *job) error {
	ctx, cancel := context.WithTimeout(j.ctx, jobTimeout)
	defer cancel()
	return j.run(&writer{ctx: ctx, direct: p.pool})
}

// repeat runs a transaction again that gave way to another.
func repeat(ctx context.Context, attempts int, transaction func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		bounded, cancel := context.WithTimeout(ctx, jobTimeout)
		err := transaction(bounded)
		cancel()
		if err == nil || !gaveWay(err) || attempt == attempts || ctx.Err() != nil {
			return err
		}
	}
}

func (p *postgresDatabase) transact(ctx context.Context, j *job) error {
	if j.one {
		return j.run(&writer{ctx: ctx, direct: p.pool})
	}
	tx, err := p.pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := j.run(&writer{ctx: ctx, direct: tx}); err != nil {
		_ = tx.Rollback() // the connection may be gone
		return err
	}
	return tx.Commit()
}

// outcome remembers whether the database works, and says what an error means.
func (p *postgresDatabase) outcome(err error) error {
	switch {
	case err == nil:
		p.failure.Store(nil)
		return nil
	case !postgresFailed(err):
		return err
	}
	switch postgresCode(err) {
	case "25006", "57P01", "57P02", "57P03":
		// Read-only now, or going: the connections lead to what is no longer the
		// primary.
		p.era.end()
	}
	switch postgresCode(err) {
	case "26000", "42P05":
		err = poolingError(err)
	}
	if !errors.Is(err, context.Canceled) { // the caller's wish
		p.failure.Store(&err)
		p.log(err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func (p *postgresDatabase) failing() bool { return p.failure.Load() != nil }

func (p *postgresDatabase) close() error {
	if p.stop != nil {
		p.stop()
		p.stopped.Wait()
	}
	p.accepter.close()
	return p.pool.Close()
}

// watch looks for due work once in a while, until the database is closed: it may
// be another replica's that died, or that took in more than it can do.
func (p *postgresDatabase) watch(s *Store, every time.Duration) {
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.stopped.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			look, cancel := context.WithTimeout(ctx, statementTimeout)
			for _, q := range []struct {
				queue
				wake
			}{{eventQueue, s.events}, {deliveryQueue, s.deliveries}} {
				// An error shows where the work is claimed.
				if at, ok, err := s.due(look, q.queue); err == nil && ok && !at.After(s.clock.Now()) {
					q.raise()
				}
			}
			_ = p.clock.adjust(look, p.pool) // else it goes on evenly
			cancel()
		}
	})
}

// postgresCode returns the SQLSTATE of an error, else "".
func postgresCode(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// gaveWay tells whether a transaction was undone for another's sake: a
// serialization failure or a deadlock.
func gaveWay(err error) bool {
	code := postgresCode(err)
	return code == "40001" || code == "40P01"
}

// postgresFailed tells whether an error is the database's or the network's rather
// than one statement's or this package's.
func postgresFailed(err error) bool {
	switch code := postgresCode(err); {
	case code == "":
		return !errors.Is(err, ErrLeaseLost) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrPending) && !errors.Is(err, ErrNoMessage)
	case code[:2] == "22", code[:2] == "23": // data exceptions, broken constraints
		return false
	case code == "54000": // a key that is too long for its index
		return false
	}
	return true
}

// connectionLost tells whether a new connection may do better at once.
func connectionLost(err error) bool {
	switch code := postgresCode(err); code {
	case "":
		return !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, sql.ErrConnDone)
	case "57P01", "57P02", "57P03", "25006":
		return true
	}
	return false
}

// muted passes on one error in a while.
func muted(log func(error)) func(error) {
	var mu sync.Mutex
	var last time.Time
	return func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(last) > minMutedLog {
			last = time.Now()
			log(err)
		}
	}
}
