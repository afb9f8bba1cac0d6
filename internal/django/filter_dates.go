// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"time"

	"github.com/rehive/extension-operator/internal/python"
)

func init() {
	builtins.AddFilters(
		&Filter{Name: "date", Func: date, Arg: OptionalArg, ExpectsLocaltime: true, Nanos: 60},
		&Filter{Name: "time", Func: timeFilter, Arg: OptionalArg, ExpectsLocaltime: true, Nanos: 60},
		&Filter{Name: "timesince", Func: timesinceFilter, Arg: OptionalArg},
		&Filter{Name: "timeuntil", Func: timeuntilFilter, Arg: OptionalArg},
	)
}

// resolveFormat returns the format for a filter's argument: the default if it is empty,
// what a name stands for, or the argument's text. Django takes the text of any argument
// since 4.2; before, a list was a TypeError.
func resolveFormat(c *Context, arg python.Value, byDefault string) (string, error) {
	if arg == nil || !python.Truth(arg) {
		format, _ := c.locale.format(byDefault)
		return format, nil
	}
	name, err := c.print(arg, copyNanos)
	if err != nil {
		return "", err
	}
	if format, ok := c.locale.format(name); ok {
		return format, nil
	}
	return name, nil
}

// Lengths of the longest text that one character of a format stands for, in bytes: in
// English, and in any language.
const (
	longestEnglishName = 16
	longestName        = 80
)

func (l *locale) longestName() int {
	if l == nil {
		return longestEnglishName
	}
	return longestName
}

// formatWith formats by a filter's argument. If the value can't answer the
// format that the argument stands for, Django tries the argument as it is.
func formatWith(c *Context, in, arg python.Value, byDefault string, format func(moment, string) (string, error), forgiven ...string) (string, error) {
	m := c.momentOf(in)
	resolved, err := resolveFormat(c, arg, byDefault)
	if err == nil {
		if err := c.Grow(c.locale.longestName() * len(resolved)); err != nil {
			return "", err
		}
		var s string
		if s, err = format(m, resolved); err == nil {
			return s, nil
		}
	}
	if python.IsError(err, forgiven...) {
		if arg == nil {
			arg = python.None
		}
		raw, err := c.print(arg, copyNanos)
		if err != nil {
			return "", err
		}
		if err := c.Grow(c.locale.longestName() * len(raw)); err != nil {
			return "", err
		}
		var s string
		if s, err = format(m, raw); python.IsError(err, forgiven...) {
			return "", nil
		}
		return s, err
	}
	return "", err
}

func isNoneOrEmpty(v python.Value) bool {
	s, ok := python.AsStr(v)
	return v == python.None || ok && s == ""
}

func date(c *Context, in, arg python.Value) (python.Value, error) {
	if isNoneOrEmpty(in) {
		return python.Str(""), nil
	}
	s, err := formatWith(c, in, arg, "DATE_FORMAT", formatDate, "AttributeError")
	return python.Str(s), err
}

func timeFilter(c *Context, in, arg python.Value) (python.Value, error) {
	if isNoneOrEmpty(in) {
		return python.Str(""), nil
	}
	s, err := formatWith(c, in, arg, "TIME_FORMAT", formatTime, "AttributeError", "TypeError")
	return python.Str(s), err
}

func timesinceFilter(c *Context, in, arg python.Value) (python.Value, error) {
	return since(c, in, arg, false)
}

func timeuntilFilter(c *Context, in, arg python.Value) (python.Value, error) {
	return since(c, in, arg, true)
}

// since compares a datetime or date with the one in the argument, or with the
// clock. A naive and an aware one can't be compared.
func since(c *Context, in, arg python.Value, until bool) (python.Value, error) {
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
	from, to := wallTime(value, value.Location()), wallTime(other, value.Location())
	if until {
		from, to = to, from
	}
	return python.Str(timesince(c.locale, from, to, "")), nil
}

// dayOrMoment returns the time of a datetime, or of a date at midnight.
func dayOrMoment(v python.Value) (t time.Time, aware bool, err error) {
	m := momentOf(v)
	if !m.hasDate {
		return time.Time{}, false, noAttribute(v, "year")
	}
	return m.t, m.aware, nil
}
