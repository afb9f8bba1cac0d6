// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// The ledger's clock is not the machine's, which somebody may set: a lease that
// ends early because of that is a message sent twice, a retry that waits for the
// hour that the clock went back is a message that comes late.

// steadyClock goes on evenly from where it was when the ledger was last open,
// whatever becomes of the machine's clock. How far it is ahead of that is stored
// with the times that are told by it, so that it outlives the process.
type steadyClock struct {
	machine clock.PassiveClock
	// start is when it began, and began what it showed then.
	start, began time.Time
	// stored is how far it is ahead in the ledger; the committer's.
	stored time.Duration
}

// newSteadyClock returns a clock that is ahead of the machine's.
func newSteadyClock(machine clock.PassiveClock, ahead time.Duration) *steadyClock {
	start := machine.Now()
	return &steadyClock{machine: machine, start: start, began: start.Round(0).Add(ahead), stored: ahead}
}

// Now returns the time by this clock.
func (c *steadyClock) Now() time.Time { return c.began.Add(c.machine.Since(c.start)) }

// Since is how long ago a time by this clock was.
func (c *steadyClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// ahead is how far this clock is ahead of the machine's, in whole seconds: what is
// less is how long it took to look at both.
func (c *steadyClock) ahead() time.Duration {
	return c.Now().Sub(c.machine.Now().Round(0)).Round(time.Second)
}

// serverClock is the database's clock. Replicas must agree when a lease ends,
// and their own clocks may not. Between two looks it goes on evenly.
type serverClock struct {
	machine clock.PassiveClock
	last    atomic.Pointer[serverTime]
}

// serverTime is what the server's clock showed at a time of this machine.
type serverTime struct{ server, machine time.Time }

// Now returns the time by the server's clock.
func (c *serverClock) Now() time.Time {
	last := c.last.Load()
	return last.server.Add(c.machine.Since(last.machine))
}

// Since is how long ago a time by the server's clock was.
func (c *serverClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// adjust asks the server what time it is.
func (c *serverClock) adjust(ctx context.Context, db *sql.DB) error {
	var micros int64
	before := c.machine.Now()
	if err := db.QueryRowContext(ctx, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").Scan(&micros); err != nil {
		return fmt.Errorf("asking the database for the time: %w", err)
	}
	// It looked at its clock about half-way between question and answer.
	c.last.Store(&serverTime{server: time.UnixMicro(micros).Add(c.machine.Since(before) / 2), machine: c.machine.Now()})
	return nil
}

// doubtful tells whether time may have passed that this machine did not count,
// because it was suspended: its clock shows it. That may also have been set.
func (c *serverClock) doubtful() bool {
	last := c.last.Load().machine
	return (c.machine.Since(last) - c.machine.Now().Round(0).Sub(last.Round(0))).Abs() > time.Second
}

func warnOfSkew(log logr.Logger, c *serverClock) {
	if ahead := c.Now().Sub(c.machine.Now().Round(0)); ahead.Abs() > 5*time.Second {
		log.Info("The clocks of this machine and of the ledger's database differ; the database's counts", "difference", ahead.String())
	}
}

// leaseTime tells how much of a lease is left by the clocks of this machine, so
// that also who can't reach the database knows when it ends.
type leaseTime struct {
	begun time.Time
	last  time.Duration
}

// left counts by the clock that went further: the steady one stands still while
// the machine is suspended, the other may have been set.
func (l leaseTime) left(machine clock.PassiveClock) time.Duration {
	return l.last - max(machine.Since(l.begun), machine.Now().Round(0).Sub(l.begun.Round(0)))
}
