// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package meter bounds the work and the memory of one render of a template or
// one evaluation of an expression, and watches their deadline.
//
// An operation is charged before it runs, by the size of what it reads and
// makes. Work is counted in steps of about StepTime on a modest machine, so the
// default budget of a million steps is about 100 ms of one core.
package meter

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// StepTime is about what one step takes, and what the charges are calibrated to.
const StepTime = 100 * time.Nanosecond

// stepsPerLook is how many steps pass between two looks at the context: 50 µs.
const stepsPerLook = 500

// ErrLimit is wrapped by every error about a budget that was used up. The same
// template or expression fails the same way on the same data, so there is no
// point in trying again; an error of the context does not wrap it.
var ErrLimit = errors.New("limit exceeded")

// Meter is what is left of one budget. A nil Meter charges nothing. A Meter
// belongs to one goroutine.
type Meter struct {
	ctx   context.Context //nolint:containedctx // a Meter is one call's state
	left  int             // steps
	next  int             // look at the context when fewer steps than this are left; not negative
	held  int             // bytes that are given back at the end of a scope
	kept  int             // bytes that outlive it
	steps int             // the limits
	bytes int
}

// New makes a meter for that many steps, and bytes held at a time.
func New(ctx context.Context, steps, bytes int) Meter {
	return Meter{ctx: ctx, left: steps, next: max(steps-stepsPerLook, 0), steps: steps, bytes: bytes}
}

// Spend charges steps. It fails when they are used up, with an error that wraps
// ErrLimit, or when the context is done, with the context's error. It is small
// enough to be inlined.
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
	m.next = max(m.left-stepsPerLook, 0)
	return m.ctx.Err()
}

// SpendBytes charges for handling n bytes at so many nanoseconds each.
func (m *Meter) SpendBytes(n, nanos int) error {
	return m.Spend(n * nanos / int(StepTime))
}

// Hold counts n bytes as held. It fails when they are too many, with an error
// that wraps ErrLimit.
func (m *Meter) Hold(n int) error {
	if m == nil {
		return nil
	}
	if m.held += n; m.held+m.kept <= m.bytes {
		return nil
	}
	return fmt.Errorf("%w: this needs more than %d bytes of memory", ErrLimit, m.bytes)
}

// Held is how many bytes are held.
func (m *Meter) Held() int { return m.held }

// Release sets the bytes held back to what Held said before they were made.
func (m *Meter) Release(held int) { m.held = held }

// Keep counts n bytes that stay when what was held is released; n may be
// negative.
func (m *Meter) Keep(n int) error {
	m.kept += n
	return m.Hold(0)
}

// Kept is what Keep has counted.
func (m *Meter) Kept() int { return m.kept }

// Spent is how many steps were used.
func (m *Meter) Spent() int { return m.steps - m.left }

// Look looks at the context at once, in the middle of what was charged as a
// whole.
func (m *Meter) Look() error {
	if m == nil {
		return nil
	}
	return m.ctx.Err()
}
