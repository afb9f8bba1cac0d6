// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"time"

	"k8s.io/utils/clock"
)

// Lane is a queue within the queue: the deliveries of a company on one channel, which
// go through one provider. The lane of an event is its company, without a channel.
type Lane struct{ Company, Channel string }

// Before reports whether this lane comes before another: by company, then by channel.
func (l Lane) Before(other Lane) bool {
	return l.Company < other.Company || l.Company == other.Company && l.Channel < other.Channel
}

// Bound is how many deliveries may be claimed of all lanes together that name it, such
// as those that share a provider. A claim counts down Left.
type Bound struct{ Left int }

// Claim says how much work to take and from whom.
type Claim struct {
	// Limit is the greatest number of rows to claim.
	Limit int
	// Lease is how long the caller has until another worker may claim them.
	Lease time.Duration
	// Bounds, if not nil, tells what bounds a lane. What can't be worked on now stays
	// due instead of being claimed and given back. It is asked once a lane, while
	// nobody else writes, so it must be quick and wait for nothing.
	Bounds func(Lane) []*Bound
}

// Lease is a worker's right to a row, until it ends or the outcome is recorded.
type Lease struct {
	// ID is the claim's; no two claims share one.
	ID int64
	// Until is when another worker may claim the row.
	Until time.Time
	// Begun is when the lease began or was last renewed, by this machine's clock, and
	// Length how long it lasts from then.
	Begun  time.Time
	Length time.Duration
}

// Left returns how much of the lease is left by the clocks of this machine, so that a
// worker that can't reach the database knows too. It counts by whichever clock advanced
// more: the monotonic one stands still while the machine is suspended, and the wall
// clock may have been set.
func (l Lease) Left(machine clock.PassiveClock) time.Duration {
	return l.Length - max(machine.Since(l.Begun), machine.Now().Round(0).Sub(l.Begun.Round(0)))
}
