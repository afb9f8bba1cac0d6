// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/meter"
)

// Costs of operations, in nanoseconds per byte, measured on the most expensive text.
// TestMethodCost verifies them for the methods of str.
const (
	copyNanos = 1  // copying, searching for a byte
	scanNanos = 6  // reading each character
	mapNanos  = 60 // mapping or classifying non-ASCII characters
)

// Bytes of memory, including the overhead of the allocator and of growing slices.
const (
	ItemBytes  = 48  // an item of a list or tuple, with its own header
	EntryBytes = 192 // an entry of a dict or set, including the index
	PairBytes  = 112 // an item of dict.items()
)

// Weigh traverses a value like printing or comparing it, and charges for that. It returns
// approximately how many bytes the value prints as; the caller charges for processing
// those.
func Weigh(m *meter.Meter, v Value) (int, error) { return weigh(m, v, 0) }

func weigh(m *meter.Meter, v Value, depth int) (int, error) {
	if depth > maxDepth {
		return 0, errTooDeep
	}
	switch v := v.(type) {
	case Str:
		return len(v), nil
	case SafeStr:
		return len(v), nil
	case NoneType, Bool, Int, Float:
		return 8, nil
	case *Big:
		n := v.n.BitLen() / 3
		return n, m.Spend(digitSteps(n))
	case *Decimal:
		n := v.Coef.BitLen()/3 + 8
		return n, m.Spend(2 + digitSteps(n))
	case *List:
		return weighItems(m, v.Items, depth)
	case *Tuple:
		return weighItems(m, v.Items, depth)
	case *Dict:
		keys, err := weighItems(m, v.keys, depth)
		if err != nil {
			return 0, err
		}
		vals, err := weighItems(m, v.vals, depth)
		return keys + vals, err
	case *DictView:
		return weigh(m, v.Dict, depth+1)
	case interface{ Size() int }: // a leaf that knows its size
		return v.Size(), nil
	case Sequence:
		total := 0
		for i := range v.Len() {
			if err := m.Spend(1); err != nil {
				return 0, err
			}
			n, err := weigh(m, v.At(i), depth+1)
			if err != nil {
				return 0, err
			}
			total += n + 2
		}
		return total, nil
	}
	return 64, nil
}

func weighItems(m *meter.Meter, items []Value, depth int) (int, error) {
	if err := m.Spend(1 + len(items)/2); err != nil {
		return 0, err
	}
	total := 2 * len(items)
	for _, it := range items {
		n, err := weigh(m, it, depth+1)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// digitSteps returns the cost of printing or parsing a number of n digits.
func digitSteps(n int) int { return n / 20 * (1 + n/2000) }

// Size returns approximately the bytes of a text or number, or of the items of a container
// without their contents.
func Size(v Value) int {
	switch v := v.(type) {
	case Str:
		return len(v)
	case SafeStr:
		return len(v)
	case *Big:
		return v.n.BitLen() / 8
	case *Decimal:
		return v.Coef.BitLen() / 8
	case *List:
		return len(v.Items)
	case *Tuple:
		return len(v.Items)
	case *Dict:
		return v.Len()
	case interface{ Size() int }:
		return v.Size()
	case Sequence:
		return v.Len()
	}
	return 1
}

// HoldMade charges for the memory of a value that an operation has created.
func HoldMade(m *meter.Meter, v Value) error {
	n := 0
	switch v := v.(type) {
	case Str:
		n = len(v)
	case SafeStr:
		n = len(v)
	case *List:
		n = len(v.Items) * ItemBytes
	case *Tuple:
		n = len(v.Items) * ItemBytes
	case *Dict:
		n = v.Len() * EntryBytes
	case *Set:
		n = v.Len() * EntryBytes
	case *Big:
		n = v.n.BitLen() / 8
	}
	if n < 64 {
		return nil
	}
	if err := m.Hold(n); err != nil {
		return err
	}
	return m.Spend(n / 256)
}

// SpendArithmetic charges for an operator on two numbers, whose time grows with
// the product of their sizes, and for one on texts and lists.
func SpendArithmetic(m *meter.Meter, op string, a, b Value) error {
	kind := pair(a, b)
	if op == "**" {
		return m.Spend(powerSteps(kind, a, b))
	}
	switch kind {
	case smallInt, floating:
		return nil
	case bigInt:
		x, y := Size(a)/8+1, Size(b)/8+1
		return m.Spend(4 + min(x*y, 1<<22)/64 + (x+y)/8)
	case decimal:
		x, y := asDecimal(a), asDecimal(b)
		n := (x.Coef.BitLen()+y.Coef.BitLen())/3 + min(abs(x.Exp-y.Exp), 2*maxExp)
		return m.Spend(20 + 3*digitSteps(n))
	}
	return m.Spend((Size(a) + Size(b)) / 64)
}

// powerSteps returns the cost of a ** b. Floats are rounded exactly, which is expensive.
func powerSteps(kind numKind, a, b Value) int {
	n, small := AsInt(b)
	switch {
	case kind == decimal:
		return 10_000
	case kind != smallInt && kind != bigInt || !small || n < 0:
		return 500
	}
	base, _ := AsBig(a)
	words := min(base.BitLen()*int(min(n, MaxIntBits))/64, MaxIntBits/64)
	return 4 + words*words/64
}

func abs(n int) int { return max(n, -n) }

// spendMethod charges for a method in advance.
func spendMethod(m *meter.Meter, v Value, name string, args []Value) error {
	n := Size(v)
	given := 0
	for _, a := range args {
		w, err := Weigh(m, a)
		if err != nil {
			return err
		}
		given += w
	}
	if s, ok := AsStr(v); ok {
		nanos := strMethods[name].nanos
		if nanos > scanNanos && isASCII(s) {
			nanos = scanNanos
		}
		if err := m.SpendBytes(n, max(nanos, copyNanos)); err != nil {
			return err
		}
		if strMethods[name].splits {
			parts := countParts(s, name, args)
			if err := m.Hold(parts * ItemBytes); err != nil {
				return err
			}
			if err := m.Spend(parts); err != nil {
				return err
			}
		}
		return m.SpendBytes(given, scanNanos)
	}
	if given += n; given > 64 {
		return m.SpendBytes(given, scanNanos)
	}
	return nil
}

// countParts returns approximately how many parts a method splits a text into.
func countParts(s, name string, args []Value) int {
	if name == "splitlines" {
		n := 1
		for _, r := range s {
			if IsLineEnd(r) {
				n++
			}
		}
		return n
	}
	if len(args) > 0 && args[0] != None {
		if sep, _ := AsStr(args[0]); sep != "" {
			return strings.Count(s, sep) + 1
		}
		return 0
	}
	n, inside := 0, false
	for _, r := range s {
		if IsSpace(r) {
			inside = false
		} else if !inside {
			inside = true
			n++
		}
	}
	return n
}

// piece is how much of a text is processed between two checks of the context.
const piece = 32 << 10

// looks checks the context periodically while a text is processed.
type looks struct {
	meter *meter.Meter
	next  int
}

func (l *looks) at(i int) error {
	if i < l.next {
		return nil
	}
	l.next = i + piece
	return l.meter.Look()
}

// containsFunc is strings.ContainsFunc with checks of the context.
func containsFunc(m *meter.Meter, s string, f func(rune) bool) (bool, error) {
	looks := looks{meter: m}
	for i, r := range s {
		if f(r) {
			return true, nil
		}
		if err := looks.at(i); err != nil {
			return false, err
		}
	}
	return false, nil
}

// upToRunes returns the start of s with at most n characters.
func upToRunes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := 0; i < len(s); n-- {
		if n == 0 {
			return s[:i]
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return s
}
