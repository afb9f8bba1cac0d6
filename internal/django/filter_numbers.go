// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"math/big"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

func init() {
	builtins.AddFilters(
		&Filter{Name: "add", Func: add, Arg: RequiredArg},
		&Filter{Name: "floatformat", Func: floatformat, Arg: OptionalArg, IsSafe: true},
		&Filter{Name: "get_digit", Func: getDigit, Arg: RequiredArg},
	)
}

// add adds two integers, or two values of one kind, or gives "".
func add(_ *Context, in, arg python.Value) (python.Value, error) {
	a, err := python.ToInt(in)
	if err == nil {
		var b python.Value
		if b, err = python.ToInt(arg); err == nil {
			return python.Add(a, b)
		}
	}
	if !python.IsError(err, "ValueError", "TypeError") {
		return nil, err
	}
	sum, err := python.Add(in, arg)
	if err != nil && !python.IsError(err, "LimitError") {
		return python.Str(""), nil
	}
	return sum, err
}

func floatformat(c *Context, in, arg python.Value) (python.Value, error) {
	if arg == nil {
		arg = python.Int(-1)
	}
	// The suffix "g" groups thousands by the locale, and without one not at all.
	if s, ok := python.AsStr(arg); ok && strings.HasSuffix(s, "g") {
		if arg = python.Str(s[:len(s)-1]); s == "g" {
			arg = python.Int(-1)
		}
	}
	var (
		repr = python.Repr(in)
		d    *python.Decimal
		err  error
	)
	switch in.(type) {
	case python.Int, *python.Big, python.Float:
		d, err = python.ToDecimal(python.Str(repr))
	default:
		var f float64
		if f, err = python.ToFloat(in); err == nil {
			d, err = python.ToDecimal(python.Str(python.FloatRepr(f)))
		}
	}
	if python.IsError(err, "ValueError", "TypeError", "InvalidOperation") {
		return python.Str(""), nil
	}
	if err != nil {
		return nil, err
	}
	places, err := intArg(arg)
	if python.IsError(err, "ValueError") {
		return python.Str(repr), nil
	}
	if err != nil {
		return nil, err
	}
	if d.Kind != python.Finite {
		return python.Str(repr), nil
	}
	digits := d.Coef.String()
	if len(digits)+max(d.Exp, -d.Exp) > maxDigits {
		return python.Str(repr), nil
	}
	if places < 0 {
		places = -places
		if isIntegral(d) {
			places = 0
			if d.Neg && d.Coef.Sign() == 0 {
				d = &python.Decimal{Coef: d.Coef}
			}
		}
	}
	if err := c.Grow(places + maxDigits); err != nil {
		return nil, err
	}
	n := roundHalfUp(d.Coef, d.Exp, places)
	s := fixedPoint(n, places)
	if d.Neg && n.Sign() != 0 {
		s = "-" + s
	}
	return python.SafeStr(s), nil
}

func isIntegral(d *python.Decimal) bool {
	if d.Exp >= 0 {
		return true
	}
	return new(big.Int).Rem(d.Coef, pow10(-d.Exp)).Sign() == 0
}

// getDigit gives the arg-th digit from the right.
func getDigit(_ *Context, in, arg python.Value) (python.Value, error) {
	place, err := intArg(arg)
	var n python.Value
	if err == nil {
		n, err = python.ToInt(in)
	}
	if python.IsError(err, "ValueError") {
		return in, nil
	}
	if err != nil {
		return nil, err
	}
	if place < 1 {
		return n, nil
	}
	digits := python.StrOf(n)
	if place > len(digits) {
		return python.Int(0), nil
	}
	return python.ToInt(python.Str(digits[len(digits)-place : len(digits)-place+1]))
}
