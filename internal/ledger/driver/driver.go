// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package driver is the contract between the ledger's store and the databases that it
// runs on. A driver decides how transactions share commits, how work is claimed and which
// clock counts; all other statements are the same for all databases and belong to the
// store.
package driver

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"k8s.io/utils/clock"

	"github.com/rehive/extension-operator/internal/ledger"
)

// Driver is an open database that holds a ledger. It is safe for concurrent use.
type Driver interface {
	// Write runs a job in a transaction and waits for its commit. Errors of the database
	// wrap [ledger.ErrUnavailable]; errors of the job are returned as they are. If ctx ends
	// first, the job may still be running.
	Write(ctx context.Context, j *Job) error
	// Query runs a read-only function that is called often. The Tx need not be a
	// transaction. If ctx ends first, the function may still be running.
	Query(ctx context.Context, run func(Tx) error) error
	// Accept stores a new event; stored is false if the event was there already.
	// Concurrent calls share commits.
	Accept(ctx context.Context, e *Event) (stored bool, err error)
	// Scrub makes sure that what was deleted or overwritten is in no file of this process's
	// any more. It does nothing on databases that clean up by themselves.
	Scrub(ctx context.Context) error
	// Pool is where to read from. It has connections for [LogQueries] beside those for the
	// work.
	Pool() *sql.DB
	// Clock is the ledger's clock.
	Clock() Clock
	// Dialect is how the database differs in statements that are otherwise the same.
	Dialect() Dialect
	// Shared reports whether other processes may use the ledger at the same time.
	Shared() bool
	// Failing reports whether the last write failed.
	Failing() bool
	// Close commits the writes that were handed in, refuses later ones and closes the
	// database.
	Close() error
}

// LogQueries is how many queries of the log run at once. A person's question can read
// every row of a company, and must leave connections to the work.
const LogQueries = 1

// Claim says which rows of one lane to lease.
type Claim struct {
	Lane ledger.Lane
	// Limit is the greatest number of rows.
	Limit int
	// Lease is the ID of the lease. Now and Until are when it begins and ends, in
	// milliseconds by the ledger's clock.
	Lease, Now, Until int64
}

// Dialect is how a database differs in statements that are otherwise the same.
type Dialect struct {
	// Position is the function that finds a text in another.
	Position string
	// DataContains tests whether an event's data contains the bytes of parameter %d.
	DataContains string
	// FoldedData is an event's data as a text in which at least the letters of ASCII are in
	// lower case, and other characters may be written with a backslash.
	FoldedData string
	// EndEventRelaxed is [EndEvent] for a change that a power cut may undo.
	EndEventRelaxed string
	// KeepContent, if not empty, prevents a delivery's content from being deleted until
	// the transaction ends.
	KeepContent string
}

// EndEvent ends the claim of an event. Its parameters are the state, the message, the
// time, the event's key and the lease.
const EndEvent = `
	UPDATE events SET state = $1, message = $2, updated_at = $3, lease = 0
	WHERE id = $4 AND lease = $5 AND state = 'pending'`

// Tx runs the statements of a job. Texts among the arguments are made [Storable].
type Tx interface {
	// Exec returns how many rows the statement changed. A driver may keep the statement
	// prepared, so there must not be many different ones.
	Exec(query string, args ...any) (int64, error)
	// Query returns rows, which the caller closes before the next statement.
	Query(query string, args ...any) (*sql.Rows, error)
	// Insert runs an INSERT of n rows and returns their IDs in order.
	Insert(query string, n int, args ...any) ([]int64, error)

	// ClaimEvents leases due events of a company, the longest due first. Times in the
	// result are the ledger's; Company, Age and Lease are not set.
	ClaimEvents(c Claim) ([]ledger.ClaimedEvent, error)
	// ClaimDeliveries leases due deliveries of a lane, the longest due first. Times in
	// the result are the ledger's.
	ClaimDeliveries(c Claim) ([]ledger.Delivery, error)
}

// Job is a change of the ledger.
type Job struct {
	// Run makes the change. It may be called again after its changes were rolled back,
	// and must not wait for anything but the database.
	Run func(Tx) error
	// Single says that Run is a single statement, which fails as a whole by itself.
	Single bool
	// Relaxed says that a power cut may undo the change, as with a claim: the commit need
	// not wait for the disk.
	Relaxed bool
	// Background says that the job may wait some milliseconds for incoming webhooks.
	Background bool
	// Bytes is about how many bytes the job writes; 0 if few.
	Bytes int
	// Committed, if not nil, is called after the commit.
	Committed func()
}

// Event is a new event as it is stored. Times are in milliseconds by the ledger's clock.
type Event struct {
	Company, ID, Name string
	Received, Now     int64
	Data              []byte
	// Lease is the lease of the worker that takes the event as soon as it is stored; 0
	// for none. Due is when the event may be claimed: now, or when the lease ends.
	Lease, Due int64
	// Ended is called once with the event's key, which is 0 if the event is a duplicate,
	// or with an error; also after the caller has gone. It must not block. It may not be
	// called if the ledger is closed meanwhile.
	Ended func(key int64, err error)
}

// Attempts counts the claims of a new event.
func (e *Event) Attempts() int {
	if e.Lease == 0 {
		return 0
	}
	return 1
}

// EventColumns are the columns of a new event, in the order of [Event.Args].
const EventColumns = "company, event_id, name, received_at, next_attempt_at, lease, attempts, updated_at, data"

// InsertEvent stores the event that [Event.Args] describes unless it is there already.
const InsertEvent = "INSERT INTO events (" + EventColumns + `)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
	ON CONFLICT (company, event_id) DO NOTHING`

// Args are the arguments of [InsertEvent].
func (e *Event) Args() []any {
	return []any{e.Company, e.ID, e.Name, e.Received, e.Due, e.Lease, e.Attempts(), e.Now, e.Data}
}

// Clock is the ledger's clock. The machine's clock may be set: a lease that ends early
// because of that is a message sent twice, and a retry that waits for the hour that the
// clock went back is a message that comes late.
type Clock interface {
	clock.PassiveClock
	// Ahead is how far this clock is ahead of the one that callers' times are by.
	Ahead() time.Duration
}

// ErrClosed refuses what comes after [Driver.Close].
var ErrClosed = fmt.Errorf("%w: it is closed", ledger.ErrUnavailable)

// Refused says that the caller's time was over before the write began.
func Refused(cause error) error {
	return fmt.Errorf("%w: too many writes are waiting: %w", ledger.ErrUnavailable, cause)
}

// TimedOut says that the caller's time was over before the write ended.
func TimedOut(cause error) error {
	return fmt.Errorf("%w: the write took too long: %w", ledger.ErrUnavailable, cause)
}
