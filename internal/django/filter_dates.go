// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"time"

	"github.com/rehive/extension-operator/internal/python"
)

func init() {
	builtins.AddFilters(
		&Filter{Name: "date", Func: date, Arg: OptionalArg, ExpectsLocaltime: true},
		&Filter{Name: "time", Func: timeFilter, Arg: OptionalArg, ExpectsLocaltime: true},
		&Filter{Name: "timesince", Func: timesinceFilter, Arg: OptionalArg},
		&Filter{Name: "timeuntil", Func: timeuntilFilter, Arg: OptionalArg},
	)
}

// resolveFormat gives the format for a filter's argument: the default if it is
// empty, what a name stands for, or the argument itself.
func resolveFormat(arg python.Value, byDefault string) string {
	if arg == nil || !python.Truth(arg) {
		return namedFormats[byDefault]
	}
	name := python.StrOf(arg)
	if format, ok := namedFormats[name]; ok {
		return format
	}
	return name
}

func isNoneOrEmpty(v python.Value) bool {
	s, ok := python.AsStr(v)
	return v == python.None || ok && s == ""
}

func date(c *Context, in, arg python.Value) (python.Value, error) {
	if isNoneOrEmpty(in) {
		return python.Str(""), nil
	}
	format := resolveFormat(arg, "DATE_FORMAT")
	if err := c.Grow(16 * len(format)); err != nil {
		return nil, err
	}
	s, err := formatDate(momentOf(in), format)
	if python.IsError(err, "AttributeError") {
		return python.Str(""), nil
	}
	return python.Str(s), err
}

func timeFilter(c *Context, in, arg python.Value) (python.Value, error) {
	if isNoneOrEmpty(in) {
		return python.Str(""), nil
	}
	format := resolveFormat(arg, "TIME_FORMAT")
	if err := c.Grow(16 * len(format)); err != nil {
		return nil, err
	}
	s, err := formatTime(momentOf(in), format)
	if err != nil {
		return python.Str(""), nil
	}
	return python.Str(s), nil
}

func timesinceFilter(c *Context, in, arg python.Value) (python.Value, error) {
	return since(c, in, arg, func(value, other time.Time) string { return timesince(value, other) })
}

func timeuntilFilter(c *Context, in, arg python.Value) (python.Value, error) {
	return since(c, in, arg, func(value, other time.Time) string { return timesince(other, value) })
}

// since compares a datetime or date with the one in the argument, or with the
// clock. A naive and an aware one can't be compared.
func since(c *Context, in, arg python.Value, between func(value, other time.Time) string) (python.Value, error) {
	if !python.Truth(in) {
		return python.Str(""), nil
	}
	value, aware, err := dayOrMoment(in)
	if err != nil {
		return nil, err
	}
	other, otherAware := c.Now(), aware
	if arg != nil && python.Truth(arg) {
		if other, otherAware, err = dayOrMoment(arg); err != nil {
			return nil, err
		}
	}
	if aware != otherAware {
		return python.Str(""), nil
	}
	return python.Str(between(value, other)), nil
}

// dayOrMoment is the time of a datetime, or of a date at midnight.
func dayOrMoment(v python.Value) (t time.Time, aware bool, err error) {
	m := momentOf(v)
	if !m.hasDate {
		return time.Time{}, false, noAttribute(v, "year")
	}
	return m.t, m.aware, nil
}
