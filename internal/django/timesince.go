// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"strconv"
	"strings"
	"time"
)

// timesince says how long ago d was at now, in the two largest units that are
// next to each other: "4 days, 6 hours". Years and months are those of the
// calendar. Without seconds, and "0 minutes" if d is later.
func timesince(d, now time.Time) string {
	since := now.Unix() - d.Unix()
	if now.Nanosecond() < d.Nanosecond() {
		since--
	}
	if since <= 0 {
		return count(0, "minute")
	}
	now = now.In(d.Location())
	months := (now.Year()-d.Year())*12 + int(now.Month()) - int(d.Month())
	if d.Day() > now.Day() || d.Day() == now.Day() && timeOfDay(d) > timeOfDay(now) {
		months--
	}
	pivot := d
	if months > 0 {
		month := int(d.Month()) - 1 + months
		pivot = time.Date(d.Year()+month/12, time.Month(month%12+1), min(monthDays[month%12], d.Day()), d.Hour(), d.Minute(), d.Second(), 0, d.Location())
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
			out = append(out, count(p.n, p.name))
		}
	}
	if len(out) == 0 {
		return count(0, "minute")
	}
	return strings.Join(out, ", ")
}

// monthDays are the days of the months as Django counts them here: February
// always has 28.
var monthDays = [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

func timeOfDay(t time.Time) time.Duration {
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond())
}

// count is "1 day" or "2 days", with a space that does not break.
func count(n int64, unit string) string {
	s := strconv.FormatInt(n, 10) + "\u00a0" + unit
	if n != 1 {
		s += "s"
	}
	return s
}
