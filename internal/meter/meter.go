// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package meter limits the work and memory of one rendering of a template or one evaluation
// of an expression, and enforces its deadline.
//
// An operation is charged before it runs, by the size of its input and output. Work is
// counted in steps, each of which takes about StepTime on a modest machine, so the default
// budget of a million steps is about 100 ms of one core.
package meter

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"
)

// StepTime is the approximate time of one step, to which the charges are calibrated.
const StepTime = 100 * time.Nanosecond

// stepsPerCheck is how many steps pass between two checks of the context: 50 µs.
const stepsPerCheck = 500

// checksPerYield is how many checks pass until a meter lets other goroutines run: about a
// millisecond, a tenth of what the scheduler allows. Yielding more often would let a busy
// machine run renderings into their deadlines.
const checksPerYield = 20

// ErrLimit is wrapped by errors about an exhausted budget. Retrying is pointless, because
// the same template or expression fails again on the same data. Errors of the context don't
// wrap it.
var ErrLimit = errors.New("limit exceeded")

// Meter tracks what is left of a budget. A nil Meter charges nothing. A Meter is for one
// goroutine.
type Meter struct {
	ctx   context.Context // a Meter is one call's state
	left  int             // steps
	next  int             // check the context when fewer steps than this are left; not negative
	yield int             // checks until the next yield
	held  int             // bytes that are released at the end of a scope
	kept  int             // bytes that outlive it
	steps int             // the limits
	bytes int
}

// New returns a meter with a number of steps and of bytes held at a time.
func New(ctx context.Context, steps, bytes int) Meter {
	return Meter{ctx: ctx, left: steps, next: max(steps-stepsPerCheck, 0), yield: checksPerYield, steps: steps, bytes: bytes}
}

// Spend charges steps. If they are used up, the error wraps ErrLimit; if the context is
// done, it is the context's error. Spend is small enough to be inlined.
func (m *Meter) Spend(steps int) error {
	if m != nil {
		if m.left -= steps; m.left < m.next {
			return m.look()
		}
	}
	return nil
}

// Owe charges steps where no error can be returned; the next Spend fails.
func (m *Meter) Owe(steps int) {
	if m != nil {
		m.left = max(m.left-steps, math.MinInt/2)
	}
}

func (m *Meter) look() error {
	if m.left < 0 {
		m.left = -1
		return fmt.Errorf("%w: this takes more than %d steps of work", ErrLimit, m.steps)
	}
	m.next = max(m.left-stepsPerCheck, 0)
	if m.yield--; m.yield <= 0 {
		m.yield = checksPerYield
		runtime.Gosched() // requests that take microseconds go first
	}
	return m.ctx.Err()
}

// SpendBytes charges for processing n bytes that take the given nanoseconds each.
func (m *Meter) SpendBytes(n, nanos int) error {
	return m.Spend(n * nanos / int(StepTime))
}

// Hold counts n bytes as held. If they are too many, the error wraps ErrLimit.
func (m *Meter) Hold(n int) error {
	if m == nil {
		return nil
	}
	if m.held += n; m.held+m.kept <= m.bytes {
		return nil
	}
	return fmt.Errorf("%w: this needs more than %d bytes of memory", ErrLimit, m.bytes)
}

// Held returns how many bytes are held.
func (m *Meter) Held() int { return m.held }

// Release restores the held bytes to an earlier result of Held.
func (m *Meter) Release(held int) { m.held = held }

// Keep counts n bytes that Release doesn't release; n may be negative.
func (m *Meter) Keep(n int) error {
	m.kept += n
	return m.Hold(0)
}

// Kept returns the bytes counted by Keep.
func (m *Meter) Kept() int { return m.kept }

// Spent returns how many steps have been used.
func (m *Meter) Spent() int { return m.steps - m.left }

// Look checks the context immediately, in the middle of an operation that was charged as a
// whole.
func (m *Meter) Look() error {
	if m == nil {
		return nil
	}
	return m.ctx.Err()
}
