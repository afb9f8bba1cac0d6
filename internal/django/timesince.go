// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"strconv"
	"strings"
	"time"
)

// wallTime returns the wall-clock time in a zone at t, as a time in UTC. Python subtracts
// times of one zone by their wall clocks.
func wallTime(t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// timesince describes the time from d to now in the two largest adjacent units: "4 days, 6
// hours". Years and months are calendar units. Seconds are omitted, and the result is "0
// minutes" if d is later. Both are wall-clock times. Context is the context of the units'
// texts in gettext's catalogs.
func timesince(l *locale, d, now time.Time, context string) string {
	since := now.Unix() - d.Unix()
	if now.Nanosecond() < d.Nanosecond() {
		since--
	}
	if since <= 0 {
		return l.units(0, "minute", context)
	}
	months := (now.Year()-d.Year())*12 + int(now.Month()) - int(d.Month())
	if d.Day() > now.Day() || d.Day() == now.Day() && timeOfDay(d) > timeOfDay(now) {
		months--
	}
	pivot := d
	if months > 0 {
		month := int(d.Month()) - 1 + months
		pivot = time.Date(d.Year()+month/12, time.Month(month%12+1), min(monthDays[month%12], d.Day()), d.Hour(), d.Minute(), d.Second(), 0, time.UTC)
	}
	rest := int64(now.Sub(pivot) / time.Second)
	parts := [...]struct {
		n    int64
		name string
	}{
		{int64(months / 12), "year"}, {int64(months % 12), "month"},
		{rest / 604800, "week"}, {rest / 86400 % 7, "day"}, {rest / 3600 % 24, "hour"}, {rest / 60 % 60, "minute"},
	}
	var out []string
	for _, p := range parts {
		if p.n == 0 && len(out) > 0 || len(out) == 2 {
			break
		}
		if p.n != 0 {
			out = append(out, l.units(p.n, p.name, context))
		}
	}
	if len(out) == 0 {
		return l.units(0, "minute", context)
	}
	return strings.Join(out, l.gettext(", "))
}

// monthDays are the lengths of months that Django uses here: February always has 28 days.
var monthDays = [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

func timeOfDay(t time.Time) time.Duration {
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond())
}

// units returns a text such as "1 day" or "2 days" in the language, with non-breaking
// spaces.
func (l *locale) units(n int64, unit, context string) string {
	if l == nil {
		return count(n, unit)
	}
	return fill(avoidWrapping(l.ngettext(context+"%(num)d "+unit, "%(num)d "+unit+"s", n)), n)
}

// bytes returns a text such as "1 byte" or "2 bytes" in the language.
func (l *locale) bytes(n int64) string {
	if l == nil {
		return count(n, "byte")
	}
	return fill(avoidWrapping(l.ngettext("%(size)d byte", "%(size)d bytes", n)), n)
}

// fill inserts a number into a text of a catalog, which has at most one placeholder.
func fill(text string, n int64) string { return fillText(text, strconv.FormatInt(n, 10)) }

func fillText(text, value string) string {
	for _, placeholder := range [...]string{"%(num)d", "%(size)d", "%(count)s", "%(delta)s", "%(value)s", "%s"} {
		if before, after, ok := strings.Cut(text, placeholder); ok {
			return before + value + after
		}
	}
	return text
}

// avoidWrapping replaces spaces with non-breaking spaces.
func avoidWrapping(s string) string { return strings.ReplaceAll(s, " ", noBreakSpace) }

// count returns a text such as "1 day" or "2 days", with a non-breaking space.
func count(n int64, unit string) string {
	s := strconv.FormatInt(n, 10) + noBreakSpace + unit
	if n != 1 {
		s += "s"
	}
	return s
}
