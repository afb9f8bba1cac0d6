// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"math"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

// Bytes is python.Bytes.
type Bytes = python.Bytes

// Values that expressions can make and templates can't. Apart from complex numbers they
// don't hash, so they can't be members of a set or keys of a dict.
type (
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
func (Complex) TypeName() string { return "complex" }

// TypeName implements python.Value.
func (Ellipsis) TypeName() string { return "ellipsis" }

func (*slice) TypeName() string   { return "slice" }
func (*class) TypeName() string   { return "type" }
func (*builtin) TypeName() string { return "builtin_function_or_method" }

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

// HashKey returns the key of the number in sets and dicts.
func (c Complex) HashKey() python.Key { return python.ComplexKey(complex128(c)) }

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
	if c, ok := v.(Complex); ok {
		return c != 0
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
