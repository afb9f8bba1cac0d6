// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

func init() {
	builtins.AddFilters(
		&Filter{Name: "default", Func: defaultFilter, Arg: RequiredArg, Strict: StrictInput | StrictArg, Choice: true, Reads: ReadsValue, Nanos: 1},
		&Filter{Name: "default_if_none", Func: defaultIfNone, Arg: RequiredArg, Strict: StrictInput | StrictArg, Choice: true, Reads: ReadsValue, Nanos: 1},
		&Filter{Name: "divisibleby", Func: divisibleBy, Arg: RequiredArg, Strict: StrictInput | StrictArg, Nanos: 40},
		&Filter{Name: "yesno", Func: yesno, Arg: OptionalArg, Choice: true, Reads: ReadsValue, Nanos: 1},
	)
}

func defaultFilter(_ *Context, in, arg python.Value) (python.Value, error) {
	if python.Truth(unwrap(in)) {
		return in, nil
	}
	return arg, nil
}

func defaultIfNone(_ *Context, in, arg python.Value) (python.Value, error) {
	if in == python.None {
		return arg, nil
	}
	return in, nil
}

func divisibleBy(_ *Context, in, arg python.Value) (python.Value, error) {
	n, err := python.ToInt(in)
	if err != nil {
		return nil, err
	}
	divisor, err := python.ToInt(arg)
	if err != nil {
		return nil, err
	}
	rest, err := python.Mod(n, divisor)
	if err != nil {
		return nil, err
	}
	return python.Bool(!python.Truth(rest)), nil
}

func yesno(c *Context, in, arg python.Value) (python.Value, error) {
	choices := c.locale.gettext("yes,no,maybe")
	if arg != nil && arg != python.None {
		s, ok := python.AsStr(arg)
		if !ok {
			return nil, noAttribute(arg, "split")
		}
		choices = s
	}
	bits := strings.SplitN(choices, ",", 4)
	if len(bits) < 2 {
		return in, nil
	}
	maybe := bits[1]
	if len(bits) == 3 {
		maybe = bits[2]
	}
	switch {
	case in == python.None:
		return python.Str(maybe), nil
	case python.Truth(in):
		return python.Str(bits[0]), nil
	}
	return python.Str(bits[1]), nil
}

func noAttribute(v python.Value, name string) error {
	return python.Errorf("AttributeError", "'%s' object has no attribute '%s'", v.TypeName(), name)
}
