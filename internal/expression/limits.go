// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"context"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/python"
)

// Limits bound what an expression may use. A zero field means the default.
// What one operation may make is bounded by package python: texts and lists of
// 1 Mi, integers of 128 Ki bits.
type Limits struct {
	Source int // bytes of the author's text; 256 KiB
	Steps  int // nodes evaluated, items and blocks of 64 bytes handled; 2,000,000
	Memory int // bytes made in all, an item of a list counted as 32; 64 Mi
}

func (l Limits) withDefaults() Limits {
	set := func(f *int, d int) {
		if *f <= 0 {
			*f = d
		}
	}
	set(&l.Source, 256<<10)
	set(&l.Steps, 2_000_000)
	set(&l.Memory, 64<<20)
	return l
}

// simpleeval's own limits.
const (
	maxString        = 100_000   // length of a literal, a sum, a product, a part of an f-string
	maxComprehension = 10_000    // turns of all comprehensions together
	maxPower         = 4_000_000 // size of the base and of the exponent
	maxShift         = 10_000
)

// maxFrames is how many of Python's frames an evaluation may be deep. Python's
// limit is 1000 and some are in use before simpleeval starts.
const maxFrames = 984

// charge accounts for n units of work.
func (e *evaluator) charge(n int) error {
	e.steps -= n
	if e.steps < 0 {
		return faultf(LimitExceeded, -1, "the expression asks for too much work")
	}
	if e.untilCheck -= n; e.untilCheck < 0 {
		e.untilCheck = 1024
		if err := e.ctx.Err(); err != nil {
			return cancelled(err)
		}
	}
	return nil
}

func cancelled(err error) *Fault {
	msg := "the evaluation was cancelled"
	if err == context.DeadlineExceeded { //nolint:errorlint // Err gives it as it is
		msg = "the evaluation took too long"
	}
	return &Fault{Kind: Cancelled, Msg: msg, Err: err, pos: -1}
}

// itemBytes is about what an item of a list takes.
const itemBytes = 32

// growItems accounts for n items about to be made or moved.
func (e *evaluator) growItems(n int) error { return e.grow(n * itemBytes) }

// grow accounts for n bytes about to be made.
func (e *evaluator) grow(n int) error {
	if e.memory -= n; e.memory < 0 {
		return faultf(LimitExceeded, -1, "the expression asks for too much memory")
	}
	return e.charge(n / 64)
}

// made accounts for a value that an operation has made.
func (e *evaluator) made(v python.Value, err error) (python.Value, error) {
	if err != nil {
		return nil, err
	}
	n := size(v)
	if n <= 64 {
		return v, nil
	}
	switch v.(type) {
	case python.Str, Bytes, *python.Big:
		return v, e.grow(n)
	}
	return v, e.growItems(n)
}

// chargeBig accounts for arithmetic on large integers, whose time grows with
// the product of their sizes.
func (e *evaluator) chargeBig(op string, a, b python.Value) error {
	x, okX := a.(*python.Big)
	y, okY := b.(*python.Big)
	switch {
	case op == "**":
		words := python.MaxIntBits / 64
		if n, ok := python.AsInt(b); ok {
			base, _ := python.AsBig(a)
			if base != nil && n >= 0 && n < python.MaxIntBits {
				words = min(words, base.BitLen()*int(n)/64)
			}
			if n < 64 {
				words = min(words, 64)
			}
		}
		return e.charge(words * words / 64)
	case okX && okY:
		return e.charge(x.Int().BitLen() / 64 * (y.Int().BitLen() / 64) / 64)
	case okX || okY:
		return e.charge(64)
	}
	return nil
}

// size is about what a value holds itself, not counting what its items hold.
func size(v python.Value) int {
	switch v := v.(type) {
	case python.Str:
		return len(v)
	case Bytes:
		return len(v)
	case *python.Big:
		return v.Int().BitLen() / 8
	case *python.List:
		return len(v.Items)
	case *python.Tuple:
		return len(v.Items)
	case python.Sequence:
		return v.Len()
	case *python.Dict:
		return v.Len()
	}
	return 1
}

// chargeDeep accounts for walking all of a value, as comparing or printing does.
func (e *evaluator) chargeDeep(v python.Value, depth int) error {
	if depth > maxValueDepth {
		return errTooDeep
	}
	var items []python.Value
	switch v := v.(type) {
	case *python.List:
		items = v.Items
	case *python.Tuple:
		items = v.Items
	case *python.Dict:
		for i := range v.Len() {
			k, val := v.At(i)
			if err := e.chargeDeep(k, depth+1); err != nil {
				return err
			}
			if err := e.chargeDeep(val, depth+1); err != nil {
				return err
			}
		}
		return e.charge(v.Len())
	case *python.DictView:
		return e.chargeDeep(v.Dict, depth+1)
	default:
		n := size(v)
		if n < 64 {
			return nil
		}
		if _, ok := v.(*python.Big); ok {
			n *= 16 // digits are dear
		}
		return e.charge(n / 16)
	}
	if err := e.charge(len(items) + 1); err != nil {
		return err
	}
	for _, it := range items {
		if err := e.chargeDeep(it, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// newSet accounts for hashing the items and makes a set of them.
func (e *evaluator) newSet(items []python.Value) (*python.Set, error) {
	for _, it := range items {
		if err := e.chargeDeep(it, 0); err != nil {
			return nil, err
		}
	}
	return python.NewSet(items...)
}

// length is len(v), or false if v has none.
func length(v python.Value) (int, bool) {
	switch v := v.(type) {
	case python.Str:
		return utf8.RuneCountInString(string(v)), true
	case *python.List, *python.Tuple, *python.Dict, python.Sequence:
		return size(v), true
	}
	return 0, false
}
