// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"
	"unicode"

	"github.com/rehive/extension-operator/internal/python"
)

// django.contrib.humanize.
func init() {
	library("humanize").AddFilters(
		&Filter{Name: "apnumber", Func: apnumber, IsSafe: true, Strict: StrictInput, Nanos: 40},
		&Filter{Name: "intcomma", Func: intcomma, Arg: OptionalArg, IsSafe: true, Strict: StrictInput, Nanos: 40},
		&Filter{Name: "intword", Func: intword, Strict: StrictInput, Nanos: 40},
		&Filter{Name: "naturalday", Func: naturalday, Arg: OptionalArg, Strict: StrictInput, ExpectsLocaltime: true},
		&Filter{Name: "naturaltime", Func: naturaltime, Strict: StrictInput},
		&Filter{Name: "ordinal", Func: ordinal, IsSafe: true, Strict: StrictInput, Nanos: 40},
	)
}

// humanInt returns int(v). ok is false if v is not a number; the filters then return it
// unchanged.
func humanInt(v python.Value) (n python.Value, ok bool, err error) {
	n, err = python.ToInt(v)
	if python.IsError(err, "TypeError", "ValueError") {
		return nil, false, nil
	}
	return n, err == nil, err
}

var numberWords = [...]string{"one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}

func apnumber(c *Context, in, _ python.Value) (python.Value, error) {
	n, ok, err := humanInt(in)
	if err != nil {
		return nil, err
	}
	if !ok {
		return in, nil
	}
	if i, ok := python.AsInt(n); ok && i >= 1 && i <= 9 {
		return python.Str(c.locale.gettext(numberWords[i-1])), nil
	}
	return n, nil
}

func intcomma(c *Context, in, arg python.Value) (python.Value, error) {
	localized := arg == nil || python.Truth(arg)
	if localized {
		switch in.(type) {
		case python.Float, *python.Decimal:
			s, err := plainNumber(in)
			return python.Str(c.locale.number(s, true)), err
		}
		n, ok, err := humanInt(in)
		if err != nil {
			return nil, err
		}
		if ok {
			return python.Str(c.locale.group(python.StrOf(n))), nil
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

// groupDigits separates groups of three digits of any script with commas.
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
		rounded, _ := python.ToFloat(quotient)
		text := c.locale.ngettext("%(value)s "+large.name, "%(value)s "+large.name, roundAwayFromOne(rounded))
		return python.Str(fillText(text, python.StrOf(s))), nil
	}
	return v, nil
}

func ordinal(c *Context, in, _ python.Value) (python.Value, error) {
	v, ok, err := humanInt(in)
	if err != nil {
		return nil, err
	}
	if !ok {
		return in, nil
	}
	n, _ := python.AsBig(v)
	lastTwo := new(big.Int).Mod(n, big.NewInt(100)) // never negative, as in Python
	if c.locale == nil {
		return python.SafeStr(n.String() + ordinalSuffix(int(lastTwo.Int64()))), nil
	}
	message := "ordinal 11, 12, 13\x04{}th"
	if i := int(lastTwo.Int64()); i < 11 || i > 13 {
		message = fmt.Sprintf("ordinal %d\x04{}%s", i%10, ordinalSuffix(i))
	}
	return python.SafeStr(strings.Replace(c.locale.gettext(message), "{}", n.String(), 1)), nil
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
		return python.Str(c.locale.gettext("today")), nil
	case 1:
		return python.Str(c.locale.gettext("tomorrow")), nil
	case -1:
		return python.Str(c.locale.gettext("yesterday")), nil
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
	early, late, when, context := t, now, "ago", "naturaltime-past\x04"
	if !t.Before(now) {
		early, late, when, context = now, t, "from now", "naturaltime-future\x04"
	}
	seconds := late.Unix() - early.Unix()
	if late.Nanosecond() < early.Nanosecond() {
		seconds--
	}
	switch {
	case seconds >= 86400:
		since := timesince(c.locale, wallTime(early, t.Location()), wallTime(late, t.Location()), context)
		return python.Str(fillText(c.locale.gettext("%(delta)s "+when), since)), nil
	case seconds == 0:
		return python.Str(c.locale.gettext("now")), nil
	case seconds < 60:
		return python.Str(c.locale.aFew(seconds, "a", "second", when)), nil
	case seconds < 3600:
		return python.Str(c.locale.aFew(seconds/60, "a", "minute", when)), nil
	}
	return python.Str(c.locale.aFew(seconds/3600, "an", "hour", when)), nil
}

// aFew returns a text such as "a minute ago" or "2 minutes from now" in the language.
func (l *locale) aFew(n int64, article, unit, when string) string {
	return fill(l.ngettext(article+" "+unit+" "+when, "%(count)s"+noBreakSpace+unit+"s "+when, n), n)
}

// roundAwayFromOne returns the number with which Django chooses a plural form: 1.5 isn't
// singular.
func roundAwayFromOne(f float64) int64 {
	f = math.Abs(f)
	if f > 1 {
		f = math.Ceil(f)
	}
	return int64(f)
}
