// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import "iter"

// Key is a comparable Go value that two Python values share exactly if they
// are equal and hashable.
type Key struct {
	kind uint8
	n    int64
	s    string
}

// HashKey makes the key; an unhashable value is a TypeError.
func HashKey(v Value) (Key, error) { panic("todo") }

// Repr is repr(v).
func Repr(v Value) string { panic("todo") }

// StrOf is str(v).
func StrOf(v Value) string { panic("todo") }

// AppendStr appends str(v) to dst without an intermediate string.
func AppendStr(dst []byte, v Value) []byte { panic("todo") }

// FloatRepr is repr of a float.
func FloatRepr(f float64) string { panic("todo") }

// Truth is bool(v).
func Truth(v Value) bool { panic("todo") }

// Equal is a == b.
func Equal(a, b Value) bool { panic("todo") }

// Is is a is b. Small ints and texts are compared by value, as CPython's
// interning mostly makes it.
func Is(a, b Value) bool { panic("todo") }

// Op is a comparison that orders.
type Op uint8

// The comparisons that order.
const (
	LT Op = iota
	LE
	GT
	GE
)

// Compare is a < b, a <= b, a > b or a >= b. Values without an order are a TypeError.
func Compare(op Op, a, b Value) (bool, error) { panic("todo") }

// Add is a + b.
func Add(a, b Value) (Value, error) { panic("todo") }

// Sub is a - b (numbers, sets, datetimes).
func Sub(a, b Value) (Value, error) { panic("todo") }

// Mul is a * b (numbers, repetition).
func Mul(a, b Value) (Value, error) { panic("todo") }

// TrueDiv is a / b.
func TrueDiv(a, b Value) (Value, error) { panic("todo") }

// FloorDiv is a // b.
func FloorDiv(a, b Value) (Value, error) { panic("todo") }

// Mod is a % b; for a str it is printf-style formatting (Format).
func Mod(a, b Value) (Value, error) { panic("todo") }

// Pow is a ** b.
func Pow(a, b Value) (Value, error) { panic("todo") }

// Neg is -a.
func Neg(a Value) (Value, error) { panic("todo") }

// Pos is +a.
func Pos(a Value) (Value, error) { panic("todo") }

// Invert is ~a.
func Invert(a Value) (Value, error) { panic("todo") }

// BitOp is a & b, a | b, a ^ b, a << b or a >> b; op is '&', '|', '^', '<', '>'.
// Sets take & | ^.
func BitOp(op byte, a, b Value) (Value, error) { panic("todo") }

// Contains is item in container.
func Contains(container, item Value) (bool, error) { panic("todo") }

// GetItem is v[key]: an IndexError, KeyError or TypeError as in Python.
func GetItem(v, key Value) (Value, error) { panic("todo") }

// Slice is v[start:stop:step]; nil or None leaves a bound out.
func Slice(v, start, stop, step Value) (Value, error) { panic("todo") }

// Len is len(v).
func Len(v Value) (int, error) { panic("todo") }

// Iterate is iter(v) over all items: of a str its code points, of a dict its
// keys. A value that can't be iterated is a TypeError.
func Iterate(v Value) (iter.Seq[Value], error) { panic("todo") }

// Items is list(v) as a slice, which is the caller's only if v is not a list
// or tuple: don't change it.
func Items(v Value) ([]Value, error) { panic("todo") }

// ToInt is int(v): of a str in base 10, of a float truncated.
func ToInt(v Value) (Value, error) { panic("todo") }

// ToFloat is float(v).
func ToFloat(v Value) (float64, error) { panic("todo") }

// ToDecimal is decimal.Decimal(v) of an int, float, str or Decimal.
func ToDecimal(v Value) (*Decimal, error) { panic("todo") }

// FromJSON is json.loads(raw): objects keep their order, a repeated key keeps
// its first place and its last value, ints have any size, 1.0 is a float. NaN
// and Infinity are refused; nesting is bounded.
func FromJSON(raw []byte) (Value, error) { panic("todo") }

// Format is format % args, printf-style. A tuple gives several args, a dict
// the named ones.
func Format(format string, args Value) (string, error) { panic("todo") }

// CallMethod calls the method of that name of v with positional arguments, for
// the methods of str, dict, list, tuple, int, float and the datetime types that
// don't change the object. ok is false if there is no such method. Templates
// call it without arguments.
func CallMethod(v Value, name string, args []Value) (result Value, ok bool, err error) { panic("todo") }

// Attr is a plain attribute: dt.year, td.days, an Object's. ok is false if
// there is none.
func Attr(v Value, name string) (Value, bool) { panic("todo") }

// Upper, Lower, Title, Capitalize, Swapcase: case mapping as Python's str
// methods do it (full mapping: 'ß'.upper() == 'SS').

// Upper is s.upper().
func Upper(s string) string { panic("todo") }

// Lower is s.lower().
func Lower(s string) string { panic("todo") }

// Strip is s.strip(), which removes Python's white space (IsSpace).
func Strip(s string) string { panic("todo") }

// IsSpace tells whether r is white space to str.isspace and str.split.
func IsSpace(r rune) bool { panic("todo") }

// IsPrintable tells whether repr prints r as it is.
func IsPrintable(r rune) bool { panic("todo") }
