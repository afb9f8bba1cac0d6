// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"iter"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/meter"
)

// Sequence is an iterable of known length: a set, a dict view, or a list-like Object.
type Sequence interface {
	Value
	Len() int
	At(i int) Value
}

// Len returns len(v).
func Len(v Value) (int, error) {
	switch v := v.(type) {
	case Str:
		return utf8.RuneCountInString(string(v)), nil
	case SafeStr:
		return utf8.RuneCountInString(string(v)), nil
	case *List:
		return len(v.Items), nil
	case *Tuple:
		return len(v.Items), nil
	case *Dict:
		return v.Len(), nil
	case Sequence:
		return v.Len(), nil
	}
	return 0, Errorf("TypeError", "object of type '%s' has no len()", qualified(v))
}

// Iterate iterates over all items like iter(v): the code points of a str, the keys of a
// dict. A value that can't be iterated is a TypeError.
func Iterate(v Value) (iter.Seq[Value], error) {
	switch v := v.(type) {
	case Str:
		return eachRune(string(v)), nil
	case SafeStr:
		return eachRune(string(v)), nil
	case *List:
		return each(v.Items), nil
	case *Tuple:
		return each(v.Items), nil
	case *Dict:
		return each(v.keys), nil
	case Sequence:
		return func(yield func(Value) bool) {
			for i := range v.Len() {
				if !yield(v.At(i)) {
					return
				}
			}
		}, nil
	}
	return nil, notIterable(v)
}

func each(items []Value) iter.Seq[Value] {
	return func(yield func(Value) bool) {
		for _, it := range items {
			if !yield(it) {
				return
			}
		}
	}
}

func eachRune(s string) iter.Seq[Value] {
	return func(yield func(Value) bool) {
		for i := 0; i < len(s); {
			_, n := utf8.DecodeRuneInString(s[i:])
			if !yield(char(s[i : i+n])) {
				return
			}
			i += n
		}
	}
}

// Items returns list(v) as a slice, which may be shared with the value: read only. If it is
// allocated, m is charged for it; m may be nil.
func Items(m *meter.Meter, v Value) ([]Value, error) {
	switch v := v.(type) {
	case *List:
		return v.Items, nil
	case *Tuple:
		return v.Items, nil
	case *Dict:
		return v.keys, nil
	}
	n, err := Len(v)
	if err != nil {
		return nil, notIterable(v)
	}
	each := ItemBytes
	if view, ok := v.(*DictView); ok && view.Kind == DictItems {
		each = PairBytes
	}
	if err := m.Hold(n * each); err != nil {
		return nil, err
	}
	if err := m.Spend(n / 2); err != nil {
		return nil, err
	}
	if s, ok := AsStr(v); ok {
		list, err := Chars(m, s)
		if err != nil {
			return nil, err
		}
		return list.Items, nil
	}
	seq, ok := v.(Sequence)
	if !ok {
		return nil, notIterable(v)
	}
	items := make([]Value, n)
	for i := range items {
		if items[i] = seq.At(i); i%itemsPerCheck == itemsPerCheck-1 {
			if err := m.Look(); err != nil {
				return nil, err
			}
		}
	}
	return items, nil
}

func notIterable(v Value) error {
	return Errorf("TypeError", "'%s' object is not iterable", qualified(v))
}

// itemsPerCheck is how many items are created between two checks of the context.
const itemsPerCheck = 16 << 10

// char returns a text of one character. Those of one byte are preallocated.
func char(s string) Value {
	if len(s) == 1 && s[0] < utf8.RuneSelf {
		return asciiChars[s[0]]
	}
	return Str(s)
}

var asciiChars = func() (chars [utf8.RuneSelf]Value) {
	for i := range chars {
		chars[i] = Str(rune(i))
	}
	return chars
}()

// Chars returns the list of a text's characters. The caller has charged for it.
func Chars(m *meter.Meter, s string) (*List, error) {
	items := make([]Value, 0, utf8.RuneCountInString(s))
	for i := 0; i < len(s); {
		_, n := utf8.DecodeRuneInString(s[i:])
		if items = append(items, char(s[i:i+n])); len(items)%itemsPerCheck == 0 {
			if err := m.Look(); err != nil {
				return nil, err
			}
		}
		i += n
	}
	return &List{items}, nil
}

// GetItem returns v[key]: an IndexError, KeyError or TypeError as in Python.
func GetItem(v, key Value) (Value, error) {
	switch v := v.(type) {
	case *Dict:
		val, ok, err := v.Get(key)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, Errorf("KeyError", "the dict has no such key")
		}
		return val, nil
	case *List:
		return itemAt(v, v.Items, key)
	case *Tuple:
		return itemAt(v, v.Items, key)
	case Str, SafeStr:
		s, _ := AsStr(v)
		n, ok := AsInt(key)
		if !ok {
			if _, big := key.(*Big); !big {
				return nil, Errorf("TypeError", "string indices must be integers, not '%s'", key.TypeName())
			}
			return nil, Errorf("IndexError", "cannot fit 'int' into an index-sized integer")
		}
		c, ok := charAt(s, n)
		if !ok {
			return nil, Errorf("IndexError", "string index out of range")
		}
		return Str(c), nil
	case Bytes:
		n, ok := AsInt(key)
		if !ok {
			return nil, Errorf("TypeError", "byte indices must be integers or slices, not %s", key.TypeName())
		}
		if n < 0 {
			n += int64(len(v))
		}
		if n < 0 || n >= int64(len(v)) {
			return nil, Errorf("IndexError", "index out of range")
		}
		return Int(v[n]), nil
	case interface{ Tuple() *Tuple }: // a named tuple of the host
		t := v.Tuple()
		return itemAt(t, t.Items, key)
	}
	return nil, Errorf("TypeError", "'%s' object is not subscriptable", qualified(v))
}

func itemAt(v Value, items []Value, key Value) (Value, error) {
	n, ok := AsInt(key)
	if !ok {
		if _, big := key.(*Big); !big {
			return nil, Errorf("TypeError", "%s indices must be integers or slices, not %s", v.TypeName(), key.TypeName())
		}
		return nil, Errorf("IndexError", "cannot fit 'int' into an index-sized integer")
	}
	if n < 0 {
		n += int64(len(items))
	}
	if n < 0 || n >= int64(len(items)) {
		return nil, Errorf("IndexError", "%s index out of range", v.TypeName())
	}
	return items[n], nil
}

// charAt returns the n-th code point of s, from the end if n is negative.
func charAt(s string, n int64) (string, bool) {
	if n < 0 {
		n += int64(utf8.RuneCountInString(s))
	}
	if n < 0 || n >= int64(len(s)) {
		return "", false
	}
	for i := 0; i < len(s); {
		_, w := utf8.DecodeRuneInString(s[i:])
		if n == 0 {
			return s[i : i+w], true
		}
		n--
		i += w
	}
	return "", false
}

// Slice returns v[start:stop:step]; nil or None omits a bound.
func Slice(v, start, stop, step Value) (Value, error) {
	if named, ok := v.(interface{ Tuple() *Tuple }); ok {
		v = named.Tuple()
	}
	var length int
	switch v := v.(type) {
	case Str, SafeStr, *List, *Tuple, Bytes:
		length, _ = Len(v)
	case *Dict, *Set:
		return nil, Errorf("TypeError", "unhashable type: 'slice'")
	default:
		return nil, Errorf("TypeError", "'%s' object is not subscriptable", qualified(v))
	}
	by, err := sliceBound(step, 1)
	if err != nil {
		return nil, err
	}
	if by == 0 {
		return nil, Errorf("ValueError", "slice step cannot be zero")
	}
	first, last := 0, length
	if by < 0 {
		first, last = length-1, -1
	}
	from, err := clampBound(start, first, length, by < 0)
	if err != nil {
		return nil, err
	}
	to, err := clampBound(stop, last, length, by < 0)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case *List:
		return &List{sliceItems(v.Items, from, to, by)}, nil
	case *Tuple:
		return &Tuple{sliceItems(v.Items, from, to, by)}, nil
	case Bytes:
		return Bytes(sliceItems([]byte(v), from, to, by)), nil
	default:
		s, _ := AsStr(v)
		return Str(sliceText(s, length, from, to, by)), nil
	}
}

func sliceBound(v Value, absent int) (int, error) {
	switch b := v.(type) {
	case nil, NoneType:
		return absent, nil
	case Int, Bool:
		n, _ := AsInt(b)
		return int(max(min(n, 1<<40), -1<<40)), nil
	case *Big:
		return b.n.Sign() << 40, nil
	}
	return 0, Errorf("TypeError", "slice indices must be integers or None or have an __index__ method")
}

func clampBound(v Value, absent, length int, backward bool) (int, error) {
	if _, none := v.(NoneType); none || v == nil {
		return absent, nil
	}
	n, err := sliceBound(v, absent)
	if err != nil {
		return 0, err
	}
	lo, hi := 0, length
	if backward {
		lo, hi = -1, length-1
	}
	if n < 0 {
		n += length
	}
	return max(min(n, hi), lo), nil
}

func sliceItems[T any](items []T, from, to, by int) []T {
	if by == 1 {
		if from >= to {
			return nil
		}
		return append([]T(nil), items[from:to]...)
	}
	var out []T
	for i := from; by > 0 && i < to || by < 0 && i > to; i += by {
		out = append(out, items[i])
	}
	return out
}

func sliceText(s string, length, from, to, by int) string {
	if length == len(s) && by == 1 {
		if from >= to {
			return ""
		}
		return s[from:to]
	}
	if by == 1 { // start and end are enough
		if from >= to {
			return ""
		}
		rest := s[len(upToRunes(s, from)):]
		return upToRunes(rest, to-from)
	}
	if length == len(s) {
		out := make([]byte, 0, abs(to-from)/abs(by)+1)
		for i := from; by > 0 && i < to || by < 0 && i > to; i += by {
			out = append(out, s[i])
		}
		return string(out)
	}
	runes := []rune(s)
	out := make([]rune, 0, abs(to-from)/abs(by)+1)
	for i := from; by > 0 && i < to || by < 0 && i > to; i += by {
		out = append(out, runes[i])
	}
	return string(out)
}
