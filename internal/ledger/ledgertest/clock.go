// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"sync"
	"time"
)

// MachineClock is a machine's clock: it runs, and it can be set. Like a [time.Time] of the
// real one, the times that it returned know how much time passed since.
type MachineClock struct {
	mu     sync.Mutex
	shows  time.Time
	passed time.Duration
	told   map[time.Time]time.Duration
}

// NewMachineClock returns a clock that shows some day in 2026.
func NewMachineClock() *MachineClock {
	return &MachineClock{shows: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), told: map[time.Time]time.Duration{}}
}

// Now implements [clock.PassiveClock].
func (c *MachineClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told[c.shows] = c.passed
	return c.shows
}

// Since implements [clock.PassiveClock].
func (c *MachineClock) Since(t time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if passed, ok := c.told[t]; ok {
		return c.passed - passed
	}
	return c.shows.Sub(t)
}

// Pass lets time pass.
func (c *MachineClock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shows, c.passed = c.shows.Add(d), c.passed+d
}

// Set sets what the clock shows, forward or back. A machine that was suspended looks the
// same as one whose clock was set forward.
func (c *MachineClock) Set(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shows = c.shows.Add(by)
}
