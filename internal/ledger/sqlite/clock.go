// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"time"

	"k8s.io/utils/clock"
)

// steadyClock continues monotonically from where it was when the ledger was last open,
// however the machine's clock is set. How far it is ahead of the machine's clock is
// stored together with the times that it showed, so that it outlives the process.
type steadyClock struct {
	machine clock.PassiveClock
	// start is when it was created, and began what it showed then.
	start, began time.Time
	// stored is how far ahead it is according to the ledger; only the committer uses it.
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

// Ahead is how far this clock is ahead of the machine's, in whole seconds: any less is
// the time it took to read both.
func (c *steadyClock) Ahead() time.Duration {
	return c.Now().Sub(c.machine.Now().Round(0)).Round(time.Second)
}
