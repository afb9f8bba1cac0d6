// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"fmt"
	"math/big"
	"strings"
	"time"
	"unicode"

	"github.com/rehive/extension-operator/internal/python"
)

// django.contrib.humanize.
func init() {
	library("humanize").AddFilters(
		&Filter{Name: "apnumber", Func: apnumber, IsSafe: true, Nanos: 40},
		&Filter{Name: "intcomma", Func: intcomma, Arg: OptionalArg, IsSafe: true, Nanos: 40},
		&Filter{Name: "intword", Func: intword, Nanos: 40},
		&Filter{Name: "naturalday", Func: naturalday, Arg: OptionalArg, ExpectsLocaltime: true},
		&Filter{Name: "naturaltime", Func: naturaltime},
		&Filter{Name: "ordinal", Func: ordinal, IsSafe: true, Nanos: 40},
	)
}

// humanInt is int(v). ok is false if v is not a number; the filters then return it
// unchanged.
func humanInt(v python.Value) (n python.Value, ok bool, err error) {
	n, err = python.ToInt(v)
	if python.IsError(err, "TypeError", "ValueError") {
		return nil, false, nil
	}
	return n, err == nil, err
}

var numberWords = [...]string{"one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}

func apnumber(_ *Context, in, _ python.Value) (python.Value, error) {
	n, ok, err := humanInt(in)
	if err != nil {
		return nil, err
	}
	if !ok {
		return in, nil
	}
	if i, ok := python.AsInt(n); ok && i >= 1 && i <= 9 {
		return python.Str(numberWords[i-1]), nil
	}
	return n, nil
}

func intcomma(_ *Context, in, arg python.Value) (python.Value, error) {
	localized := arg == nil || python.Truth(arg)
	if localized {
		switch in.(type) {
		case python.Float, *python.Decimal:
			s, err := plainNumber(in)
			coefficient, exponent := s, ""
			if e := strings.IndexByte(s, 'e'); e >= 0 {
				coefficient, exponent = s[:e], s[e:]
			}
			return python.Str(groupThousands(coefficient) + exponent), err
		}
		n, ok, err := humanInt(in)
		if err != nil {
			return nil, err
		}
		if ok {
			return python.Str(groupThousands(python.StrOf(n))), nil
		}
	}
	// Any other text: the digits it starts with.
	s := python.StrOf(in)
	digits := strings.TrimPrefix(s, "-")
	end := strings.IndexFunc(digits, func(r rune) bool { return !unicode.Is(unicode.Nd, r) })
	if end < 0 {
		end = len(digits)
	}
	if end == 0 {
		return python.Str(s), nil
	}
	at := len(s) - len(digits) + end
	return python.Str(groupDigits(s[:at]) + s[at:]), nil
}

// groupDigits is groupThousands for digits of any script.
func groupDigits(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	digits := []rune(s)
	var b strings.Builder
	b.WriteString(sign)
	for i, r := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return b.String()
}

var largeNumbers = [...]struct {
	exponent int
	name     string
}{
	{6, "million"}, {9, "billion"}, {12, "trillion"}, {15, "quadrillion"}, {18, "quintillion"},
	{21, "sextillion"}, {24, "septillion"}, {27, "octillion"}, {30, "nonillion"}, {33, "decillion"},
	{100, "googol"},
}

func intword(c *Context, in, _ python.Value) (python.Value, error) {
	v, ok, err := humanInt(in)
	if err != nil {
		return nil, err
	}
	if !ok {
		return in, nil
	}
	n, _ := python.AsBig(v)
	abs := new(big.Int).Abs(n)
	if abs.Cmp(big.NewInt(1_000_000)) < 0 {
		return v, nil
	}
	for _, large := range largeNumbers {
		if abs.Cmp(pow10(large.exponent+3)) >= 0 {
			continue
		}
		quotient, err := python.TrueDiv(v, python.NewInt(pow10(large.exponent)))
		if err != nil {
			return nil, err
		}
		s, err := floatformat(c, quotient, python.Int(1))
		if err != nil {
			return nil, err
		}
		return python.Str(python.StrOf(s) + " " + large.name), nil
	}
	return v, nil
}

func ordinal(_ *Context, in, _ python.Value) (python.Value, error) {
	v, ok, err := humanInt(in)
	if err != nil {
		return nil, err
	}
	if !ok {
		return in, nil
	}
	n, _ := python.AsBig(v)
	lastTwo := new(big.Int).Mod(n, big.NewInt(100)) // never negative, as in Python
	return python.SafeStr(n.String() + ordinalSuffix(int(lastTwo.Int64()))), nil
}

func naturalday(c *Context, in, arg python.Value) (python.Value, error) {
	m := momentOf(in)
	if !m.hasDate {
		return in, nil
	}
	now := c.Now()
	if m.aware {
		now = now.In(m.t.Location())
	}
	switch daysBetween(now, m.t) {
	case 0:
		return python.Str("today"), nil
	case 1:
		return python.Str("tomorrow"), nil
	case -1:
		return python.Str("yesterday"), nil
	}
	return date(c, &python.Date{Year: m.t.Year(), Month: m.t.Month(), Day: m.t.Day()}, arg)
}

// daysBetween counts the days from a's date to b's.
func daysBetween(a, b time.Time) int64 {
	day := func(t time.Time) int64 {
		return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Unix() / 86400
	}
	return day(b) - day(a)
}

func naturaltime(c *Context, in, _ python.Value) (python.Value, error) {
	switch in.(type) {
	case *python.DateTime:
	case *python.Date:
		return nil, noAttribute(in, "utcoffset")
	default:
		return in, nil
	}
	t, now := momentOf(in).t, c.Now().Truncate(time.Microsecond)
	early, late, phrase := t, now, "%s ago"
	if !t.Before(now) {
		early, late, phrase = now, t, "%s from now"
	}
	seconds := late.Unix() - early.Unix()
	if late.Nanosecond() < early.Nanosecond() {
		seconds--
	}
	switch {
	case seconds >= 86400:
		return python.Str(fmt.Sprintf(phrase, timesince(early, late))), nil
	case seconds == 0:
		return python.Str("now"), nil
	case seconds < 60:
		return python.Str(fmt.Sprintf(phrase, aFew(seconds, "a", "second"))), nil
	case seconds < 3600:
		return python.Str(fmt.Sprintf(phrase, aFew(seconds/60, "a", "minute"))), nil
	}
	return python.Str(fmt.Sprintf(phrase, aFew(seconds/3600, "an", "hour"))), nil
}

func aFew(n int64, article, unit string) string {
	if n == 1 {
		return article + " " + unit
	}
	return count(n, unit)
}
