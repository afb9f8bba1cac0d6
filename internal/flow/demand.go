// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flow

import "time"

// Caller names who does something: the caller itself, and then ever larger groups that it
// belongs to, such as its network and the network of its provider.
type Caller []string

// groupSize is how many callers may do as much as one without their group counting more
// than each of them does; a group of groups has groupSize times as many.
const groupSize = 8

// Demand counts what callers did lately. It takes a fixed amount of memory, forgets nobody
// early, and is not safe for concurrent use.
type Demand struct{ sketch *sketch }

// NewDemand returns a Demand that counts everything for the length of window, after which
// it fades until twice as much time has passed.
func NewDemand(window time.Duration) *Demand { return &Demand{newSketch(window)} }

// Add counts n for a caller.
func (d *Demand) Add(who Caller, n int, now time.Time) {
	for _, name := range who {
		d.sketch.add(name, uint32(max(n, 0)), now)
	}
}

// Of returns the demand of a caller: what it did, and a part of what its groups did. So
// callers without a past of their own, of whom a group may have any number, are told apart
// from those of other groups.
func (d *Demand) Of(who Caller, now time.Time) float64 {
	demand, weight := 0.0, 1.0
	for _, name := range who {
		demand += weight * d.sketch.estimate(name, now)
		weight /= groupSize
	}
	return demand
}
