// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehivetest

import (
	"sort"
	"sync"
	"time"
)

// Clock is the platform's time: timestamps, throttling windows, the limits of
// calls to the extension and the delays between webhook attempts.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once d has passed, unless stop is called before.
	AfterFunc(d time.Duration, f func()) (stop func())
}

type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }

func (realClock) AfterFunc(d time.Duration, f func()) func() {
	timer := time.AfterFunc(d, f)
	return func() { timer.Stop() }
}

// ManualClock only advances when Advance is called. It is safe for concurrent use.
type ManualClock struct {
	mu     sync.Mutex
	now    time.Time
	serial int
	timers map[int]manualTimer
}

type manualTimer struct {
	at time.Time
	f  func()
}

// NewManualClock returns a clock that shows start.
func NewManualClock(start time.Time) *ManualClock {
	return &ManualClock{now: start, timers: make(map[int]manualTimer)}
}

// Now implements Clock.
func (c *ManualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc implements Clock. Functions that become due run inside Advance.
func (c *ManualClock) AfterFunc(d time.Duration, f func()) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serial++
	id := c.serial
	c.timers[id] = manualTimer{c.now.Add(d), f}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, id)
	}
}

// Advance moves the clock on by d and runs what falls due, in order, each at
// its own time. Work it starts in the background (a webhook attempt) may not
// have ended when Advance returns: see Platform.Idle.
func (c *ManualClock) Advance(d time.Duration) {
	c.mu.Lock()
	end := c.now.Add(d)
	for {
		ids := make([]int, 0, len(c.timers))
		for id, timer := range c.timers {
			if !timer.at.After(end) {
				ids = append(ids, id)
			}
		}
		if len(ids) == 0 {
			break
		}
		sort.Slice(ids, func(i, j int) bool {
			a, b := c.timers[ids[i]], c.timers[ids[j]]
			if a.at.Equal(b.at) {
				return ids[i] < ids[j]
			}
			return a.at.Before(b.at)
		})
		next := c.timers[ids[0]]
		delete(c.timers, ids[0])
		if next.at.After(c.now) {
			c.now = next.at
		}
		c.mu.Unlock()
		next.f()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}
