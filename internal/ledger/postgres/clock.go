// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// callersClock is a ledger's clock that callers' times are by too.
type callersClock struct{ clock.PassiveClock }

// Ahead implements [driver.Clock].
func (callersClock) Ahead() time.Duration { return 0 }

// serverClock is the database server's clock. Replicas must agree on when a lease ends,
// and their own clocks may not. Between two readings it runs on monotonically.
type serverClock struct {
	machine clock.PassiveClock
	last    atomic.Pointer[reading]
}

// reading is what the server's clock showed at a time of this machine.
type reading struct{ server, machine time.Time }

// Now returns the time by the server's clock.
func (c *serverClock) Now() time.Time {
	last := c.last.Load()
	return last.server.Add(c.machine.Since(last.machine))
}

// Since is how long ago a time by the server's clock was.
func (c *serverClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// adjust asks the server for the time.
func (c *serverClock) adjust(ctx context.Context, db *sql.DB) error {
	var micros int64
	before := c.machine.Now()
	if err := db.QueryRowContext(ctx, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").Scan(&micros); err != nil {
		return fmt.Errorf("asking the database for the time: %w", err)
	}
	c.learn(time.UnixMicro(micros), c.machine.Since(before))
	return nil
}

// learn takes a reading of the server's clock that was asked for some time ago. An answer
// after a long time says little: a clock that it doesn't prove wrong runs on. A new clock
// shows the earliest time that is possible, so that it need not go back later, when what was
// due would no longer be due.
func (c *serverClock) learn(server time.Time, took time.Duration) {
	machine := c.machine.Now()
	if last := c.last.Load(); last != nil {
		if now := last.server.Add(machine.Sub(last.machine)); now.After(server) && now.Before(server.Add(took)) {
			server = now
		}
	}
	c.last.Store(&reading{server: server, machine: machine})
}

// doubtful reports whether time may have passed that this machine did not count because
// it was suspended: then its wall clock jumped. It may also have been set.
func (c *serverClock) doubtful() bool {
	last := c.last.Load().machine
	return (c.machine.Since(last) - c.machine.Now().Round(0).Sub(last.Round(0))).Abs() > time.Second
}

func warnOfSkew(log logr.Logger, c *serverClock) {
	if ahead := c.Now().Sub(c.machine.Now().Round(0)); ahead.Abs() > 5*time.Second {
		log.Info("The clocks of this machine and of the ledger's database differ; the ledger uses the database's", "difference", ahead.String())
	}
}
