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

// Claim says how much work to take and from where.
type Claim struct {
	// Limit is the greatest number of rows to claim.
	Limit int
	// Lease is how long the caller has until another worker may claim them.
	Lease time.Duration
	// Lanes are the lanes to claim from, in the order of their turns, such as those of
	// [EventQueue.DueEventLanes] that the caller has room for. Work that can't be done now
	// stays due instead of being claimed and returned. If nil, all due lanes are claimed
	// from.
	Lanes []ClaimLane
	// Bounds are how many rows may be claimed of all lanes together that name the bound,
	// such as those that share a provider.
	Bounds []int
}

// ClaimLane is a lane to claim from.
type ClaimLane struct {
	Lane
	// Bounds are indexes of the Bounds of the [Claim] that apply to the lane.
	Bounds []int
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
// worker that can't reach the database knows too. Of the monotonic clock, which stops while
// the machine is suspended, and the wall clock, which may have been set, the one that
// advanced more counts.
func (l Lease) Left(machine clock.PassiveClock) time.Duration {
	return l.Length - max(machine.Since(l.Begun), machine.Now().Round(0).Sub(l.Begun.Round(0)))
}
