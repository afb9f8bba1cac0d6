// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

func init() {
	builtins.AddFilters(
		&Filter{Name: "add", Func: add, Arg: RequiredArg, Strict: StrictInput | StrictArg, Nanos: 40},
		&Filter{Name: "floatformat", Func: floatformat, Arg: OptionalArg, IsSafe: true, Strict: StrictArg, Nanos: 40},
		&Filter{Name: "get_digit", Func: getDigit, Arg: RequiredArg, Strict: StrictInput | StrictArg, Nanos: 40},
	)
}

// add adds two integers, or two values of one kind, or gives "".
func add(c *Context, in, arg python.Value) (python.Value, error) {
	if err := python.SpendArithmetic(&c.meter, "+", in, arg); err != nil {
		return nil, err
	}
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
	if lazy, ok := in.(lazyText); ok {
		in = lazy.text
	}
	if lazy, ok := arg.(lazyText); ok && !isSafe(in) { // safe text rejects it
		arg = lazy.text
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
	// "g" groups thousands, which Django leaves to the language; "u" turns the
	// language off, and with it what "g" would group by.
	group, plain := false, false
	if s, ok := python.AsStr(arg); ok {
		if s == "" {
			return nil, python.Errorf("IndexError", "string index out of range")
		}
		digits := s
		for _, suffix := range [...]string{"gu", "ug", "g", "u"} {
			if cut, found := strings.CutSuffix(s, suffix); found {
				digits, group, plain = cut, suffix == "g", suffix != "g"
				break
			}
		}
		if arg = python.Str(digits); digits == "" {
			arg = python.Int(-1)
		}
	}
	input, err := c.print(in, copyNanos)
	if err != nil {
		return nil, err
	}
	// Decimals are exact, also those written as text; what is none goes through
	// float().
	var n number
	d, err := python.ParseDecimal(input)
	ok := err == nil
	if ok {
		n, ok = numberOf(d)
	} else {
		f, err := python.ToFloat(in)
		if python.IsError(err, "ValueError", "TypeError") {
			return python.Str(""), nil
		}
		if err != nil {
			return nil, err
		}
		n, ok = numberOf(python.Float(f))
	}
	places, err := intArg(arg)
	if python.IsError(err, "ValueError") || err == nil && (!ok || n.size() > maxDigits) {
		return python.Str(input), nil
	}
	if err != nil {
		return nil, err
	}
	if places < 0 {
		places = -places
		if n.isIntegral() {
			places = 0
		}
	}
	if err := c.Grow(places + maxDigits); err != nil {
		return nil, err
	}
	s, isZero := n.fixed(places, halfUp)
	if n.neg && !isZero {
		s = "-" + s
	}
	if !plain {
		s = c.locale.number(s, group)
	}
	return python.SafeStr(s), nil
}

// getDigit returns the arg-th digit from the right.
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
