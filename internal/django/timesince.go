// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"strconv"
	"strings"
	"time"
)

// The units of timesince; a month is 30 days and a year 365.
var timesinceUnits = [...]struct {
	seconds int64
	name    string
}{
	{365 * 86400, "year"},
	{30 * 86400, "month"},
	{7 * 86400, "week"},
	{86400, "day"},
	{3600, "hour"},
	{60, "minute"},
}

// timesince says how long ago d was at now, in the two largest units that are
// next to each other: "4 days, 6 hours". Without seconds, and "0 minutes" if d
// is later.
func timesince(d, now time.Time) string {
	seconds := now.Unix() - d.Unix()
	if now.Nanosecond() < d.Nanosecond() {
		seconds--
	}
	leapDays := countLeapYears(now.Year()) - countLeapYears(d.Year())
	if leapDays != 0 {
		if isLeap(d.Year()) {
			leapDays--
		} else if isLeap(now.Year()) {
			leapDays++
		}
	}
	seconds -= int64(leapDays) * 86400
	if seconds <= 0 {
		return count(0, "minute")
	}
	var parts []string
	for _, unit := range timesinceUnits {
		n := seconds / unit.seconds
		if n == 0 {
			if len(parts) > 0 {
				break
			}
			continue
		}
		parts = append(parts, count(n, unit.name))
		if len(parts) == 2 {
			break
		}
		seconds -= n * unit.seconds
	}
	if len(parts) == 0 {
		return count(0, "minute")
	}
	return strings.Join(parts, ", ")
}

// count is "1 day" or "2 days", with a space that does not break.
func count(n int64, unit string) string {
	s := strconv.FormatInt(n, 10) + "\u00a0" + unit
	if n != 1 {
		s += "s"
	}
	return s
}

// countLeapYears counts the leap years before the year.
func countLeapYears(year int) int {
	y := year - 1
	return y/4 - y/100 + y/400
}
