// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"runtime"
	"time"

	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/notify"
)

const (
	// computeTime is how long one piece of a rule's computing may take: its expression,
	// or its message. The engines' own limits are reached long before.
	computeTime = time.Second
	// eventComputeTime is how long all rules of one event may compute together.
	eventComputeTime = 10 * time.Second
	// computeAttempts is how often a piece that took too long is tried: the first may
	// have met a machine that was suspended, or too busy.
	computeAttempts = 2
	// renderMemory is about what a template or an expression may hold while it is
	// computed.
	renderMemory = 32 << 20
	// computingPerProcessor is how many pieces are computed at once for each processor:
	// enough to keep it busy, and few enough that what else needs it doesn't wait
	// behind a queue of renders.
	computingPerProcessor = 2
)

// newProcessors returns the budget of pieces that are computed at once. They fit into
// as much memory as the events have.
func newProcessors(memory int64) *flow.Budget {
	n := min(computingPerProcessor*int64(runtime.GOMAXPROCS(0)), memory/renderMemory)
	return flow.NewBudget(max(n, 2)) // at least one for each of two companies
}

// computing bounds what the rules of one event compute. It is for one goroutine.
type computing struct {
	processors *flow.Budget
	company    string
	// piece is the time of one piece of work, and left what all have together.
	piece, left time.Duration
}

// compute runs a piece of a rule's work in its company's turn, see [notify.Event].
func (c *computing) compute(ctx context.Context, work func(context.Context) error) error {
	for range computeAttempts {
		if c.left <= 0 {
			return notify.ErrEventTooSlow
		}
		late, err := c.try(ctx, work)
		if !late || ctx.Err() != nil {
			return err
		}
	}
	return notify.ErrTooSlow
}

// try runs the work once and reports whether it took too long.
func (c *computing) try(ctx context.Context, work func(context.Context) error) (late bool, err error) {
	turn, err := c.processors.Acquire(ctx, c.company, 1)
	if err != nil {
		return false, err
	}
	defer turn.Release() // also when the rule panics
	limit := min(c.piece, c.left)
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	started := time.Now()
	// The event is not charged for the time during which the machine was suspended.
	defer func() { c.left -= min(time.Since(started), limit) }()
	err = work(bounded)
	return err != nil && bounded.Err() != nil, err
}
