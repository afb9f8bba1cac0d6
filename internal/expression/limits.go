// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"context"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/python"
)

// Limits limit the resources of an expression. A zero field means the default. Package
// python limits the result of one operation: texts and lists of 1 Mi, integers of 128 Ki
// bits.
type Limits struct {
	Source int // characters of the author's text, as the API server counts them; 262,144
	Steps  int // work, in units of about 100 ns (see package meter); 1,000,000
	Memory int // bytes held at a time by values that the expression creates; 32 MiB
}

func (l Limits) withDefaults() Limits {
	set := func(f *int, d int) {
		if *f <= 0 {
			*f = d
		}
	}
	set(&l.Source, 256<<10)
	set(&l.Steps, 1_000_000)
	set(&l.Memory, 32<<20)
	return l
}

// simpleeval's own limits.
const (
	maxString        = 100_000   // length of a literal, a sum, a product, a part of an f-string
	maxComprehension = 10_000    // iterations of all comprehensions
	maxPower         = 4_000_000 // size of the base and of the exponent
	maxShift         = 10_000
)

// maxFrames is the maximum depth of an evaluation in Python frames. Python's limit is 1000,
// and some are in use before simpleeval starts.
const maxFrames = 984

// charge charges for n steps of work.
func (e *evaluator) charge(n int) error { return e.meter.Spend(n) }

func cancelled(err error) *Fault { return cancelledAt(err, -1) }

func cancelledAt(err error, pos int) *Fault {
	msg := "the evaluation was cancelled"
	if err == context.DeadlineExceeded { //nolint:errorlint // Err returns exactly this error
		msg = "the evaluation took too long"
	}
	return &Fault{Kind: Cancelled, Msg: msg, Err: err, pos: pos}
}

// itemBytes is the approximate memory of an item of a list.
const itemBytes = 32

// growItems charges for n items about to be created.
func (e *evaluator) growItems(n int) error {
	if err := e.meter.Hold(n * itemBytes); err != nil {
		return err
	}
	return e.charge(n / 2)
}

// moveItems charges for n items about to be moved.
func (e *evaluator) moveItems(n int) error { return e.charge(n / 16) }

// holdEntries charges for n entries about to be added to a dict or set.
func (e *evaluator) holdEntries(n int) error {
	if err := e.meter.Hold(n * python.EntryBytes); err != nil {
		return err
	}
	return e.charge(2 * n)
}

// grow charges for n bytes about to be allocated.
func (e *evaluator) grow(n int) error {
	if err := e.meter.Hold(n); err != nil {
		return err
	}
	return e.charge(n / 256)
}

// chargeKey charges for hashing a key, which allocates a text for a tuple.
func (e *evaluator) chargeKey(v python.Value) error {
	switch v := v.(type) {
	case python.Int, python.Bool, python.NoneType, python.Float:
		return nil
	case python.Str:
		if len(v) < 64 {
			return nil
		}
	}
	n, err := python.Weigh(&e.meter, v)
	if err == nil {
		err = e.meter.SpendBytes(n, hashNanos)
	}
	if _, ok := v.(python.Str); !ok && err == nil {
		err = e.meter.Hold(2 * n)
	}
	return err
}

func (e *evaluator) chargeKeys(items []python.Value) error {
	for _, it := range items {
		if err := e.chargeKey(it); err != nil {
			return err
		}
	}
	return nil
}

// Costs of traversing a whole value, in nanoseconds per printed byte.
const (
	hashNanos = 6
	deepNanos = 10
)

// made charges for a value that an operation has created.
func (e *evaluator) made(v python.Value, err error) (python.Value, error) {
	if err != nil {
		return nil, err
	}
	n := python.Size(v)
	if n <= 64 {
		return v, nil
	}
	switch v.(type) {
	case python.Str, Bytes, *python.Big:
		return v, e.grow(n)
	}
	return v, e.growItems(n)
}

// newSet charges for hashing the items and returns a set of them.
func (e *evaluator) newSet(items []python.Value) (*python.Set, error) {
	if err := e.holdEntries(len(items)); err != nil {
		return nil, err
	}
	if err := e.chargeKeys(items); err != nil {
		return nil, err
	}
	return python.NewSet(items...)
}

// length returns len(v), or false if v has none.
func length(v python.Value) (int, bool) {
	switch v := v.(type) {
	case python.Str:
		return utf8.RuneCountInString(string(v)), true
	case *python.List, *python.Tuple, *python.Dict, python.Sequence:
		return python.Size(v), true
	}
	return 0, false
}
