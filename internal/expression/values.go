// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"math"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

// Values that expressions can make and templates can't. They don't hash, so
// they can't be members of a set or keys of a dict.
type (
	// Bytes is a bytes object.
	Bytes string
	// Complex is a complex number.
	Complex complex128
	// Ellipsis is the value of `...`.
	Ellipsis struct{}

	// slice is the content of the brackets in a[1:2].
	slice struct{ start, stop, step python.Value }
	// class is a type, like int. It can be called.
	class struct{ name string }
	// builtin is a function or method that is not called (yet).
	builtin struct{ callable }
)

// callable is the work of a builtin.
type callable interface {
	call(e *evaluator, args arguments) (python.Value, error)
}

// TypeName implements python.Value.
func (Bytes) TypeName() string { return "bytes" }

// TypeName implements python.Value.
func (Complex) TypeName() string { return "complex" }

// TypeName implements python.Value.
func (Ellipsis) TypeName() string { return "ellipsis" }

func (*slice) TypeName() string   { return "slice" }
func (*class) TypeName() string   { return "type" }
func (*builtin) TypeName() string { return "builtin_function_or_method" }

// Attr implements python.Object.
func (Bytes) Attr(string) (python.Value, bool) { return nil, false }

// Size implements what package python asks to count bytes as one value.
func (b Bytes) Size() int { return len(b) }

// Len makes bytes a sequence of ints.
func (b Bytes) Len() int { return len(b) }

// At returns the i-th byte.
func (b Bytes) At(i int) python.Value { return python.Int(b[i]) }

// Repr returns repr(b).
func (b Bytes) Repr() string {
	const hex = "0123456789abcdef"
	quote := byte('\'')
	if strings.IndexByte(string(b), '\'') >= 0 && strings.IndexByte(string(b), '"') < 0 {
		quote = '"'
	}
	out := []byte{'b', quote}
	for i := range len(b) {
		c := b[i]
		switch {
		case c == quote || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, `\n`...)
		case c == '\r':
			out = append(out, `\r`...)
		case c == '\t':
			out = append(out, `\t`...)
		case c < ' ' || c >= 0x7f:
			out = append(out, '\\', 'x', hex[c>>4], hex[c&15])
		default:
			out = append(out, c)
		}
	}
	return string(append(out, quote))
}

// Attr implements python.Object.
func (c Complex) Attr(name string) (python.Value, bool) {
	switch name {
	case "real":
		return python.Float(real(c)), true
	case "imag":
		return python.Float(imag(c)), true
	}
	return nil, false
}

// Repr returns repr(c).
func (c Complex) Repr() string {
	part := func(f float64) string { return strings.TrimSuffix(python.FloatRepr(f), ".0") }
	re, im := real(c), imag(c)
	if re == 0 && !math.Signbit(re) {
		return part(im) + "j"
	}
	sign := "+"
	if s := part(im); s[0] == '-' {
		sign = ""
	}
	return "(" + part(re) + sign + part(im) + "j)"
}

// Attr implements python.Object.
func (Ellipsis) Attr(string) (python.Value, bool) { return nil, false }

// Repr returns repr(...).
func (Ellipsis) Repr() string { return "Ellipsis" }

func (c *class) Attr(string) (python.Value, bool) { return nil, false }

// Repr returns repr(c).
func (c *class) Repr() string { return "<class '" + c.name + "'>" }

func (*builtin) Attr(string) (python.Value, bool) { return nil, false }

// Repr returns a placeholder, because Python's repr contains an address.
func (*builtin) Repr() string { return "<built-in method>" }

// truth returns bool(v).
func truth(v python.Value) bool {
	switch v := v.(type) {
	case Bytes:
		return v != ""
	case Complex:
		return v != 0
	}
	return python.Truth(v)
}

// checkHashable is the TypeError that hash(v) would be.
func checkHashable(v python.Value, depth int) error {
	switch v := v.(type) {
	case *python.List, *python.Dict, *python.Set, *slice:
		return typeError("unhashable type: '%s'", v.TypeName())
	case *python.DictView:
		if v.Kind != python.DictValues {
			return typeError("unhashable type: '%s'", v.TypeName())
		}
	case *python.Tuple:
		if depth > maxValueDepth {
			return errTooDeep
		}
		for _, it := range v.Items {
			if err := checkHashable(it, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxValueDepth bounds lists within lists.
const maxValueDepth = 200

var errTooDeep = faultf(RecursionError, -1, "lists are nested too deeply")
