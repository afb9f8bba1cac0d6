// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/python"
)

// The formats that templates can name, with Django's defaults.
var namedFormats = map[string]string{
	"DATE_FORMAT":           "N j, Y",
	"TIME_FORMAT":           "P",
	"DATETIME_FORMAT":       "N j, Y, P",
	"YEAR_MONTH_FORMAT":     "F Y",
	"MONTH_DAY_FORMAT":      "F j",
	"SHORT_DATE_FORMAT":     "m/d/Y",
	"SHORT_DATETIME_FORMAT": "m/d/Y P",
	"DECIMAL_SEPARATOR":     ".",
	"THOUSAND_SEPARATOR":    ",",
	"NUMBER_GROUPING":       "3",
	"FIRST_DAY_OF_WEEK":     "0",
}

// formatChars are the characters with a meaning in formats.
const formatChars = "aAbcdDeEfFgGhHiIjlLmMnNoOPrsStTUuwWyYzZ"

// timeChars are the characters that datetime.time supports and datetime.date doesn't.
const timeChars = "aAefgGhHiOPsTuZ"

var (
	monthsAP = [...]string{"Jan.", "Feb.", "March", "April", "May", "June", "July", "Aug.", "Sept.", "Oct.", "Nov.", "Dec."}

	errNoAttribute = python.Errorf("AttributeError", "the value is not a date or time that has what the format asks for")
	errNoDate      = python.Errorf("TypeError", "combine() argument 1 must be datetime.date")
	errTimeInDate  = python.Errorf("TypeError", "The format for date objects may not contain time-related format specifiers")
)

// moment is a date, a time or a datetime to print.
type moment struct {
	t       time.Time
	hasDate bool
	hasTime bool
	aware   bool // a datetime with a time zone
	locale  *locale
	meter   *meter.Meter // charged for formats; may be nil
}

// momentOf returns the moment of a value, for the current language.
func (c *Context) momentOf(v python.Value) moment {
	m := momentOf(v)
	m.locale, m.meter = c.locale, &c.meter
	return m
}

// momentOf splits a Date, Time or DateTime; any other value has neither a date nor a time.
func momentOf(v python.Value) moment {
	switch v := v.(type) {
	case *python.DateTime:
		return moment{t: v.T, hasDate: true, hasTime: true, aware: v.Aware}
	case *python.Date:
		return moment{t: time.Date(v.Year, v.Month, v.Day, 0, 0, 0, 0, time.UTC), hasDate: true}
	case *python.Time:
		return moment{t: time.Date(1, 1, 1, v.Hour, v.Minute, v.Second, v.Microsecond*1000, time.UTC), hasTime: true}
	}
	return moment{}
}

// formatDate implements django.utils.dateformat.format: an AttributeError if the value
// lacks what the format asks for, and a TypeError if a date is asked for its time.
func formatDate(m moment, format string) (string, error) {
	return m.format(format, formatChars)
}

// formatTime implements django.utils.dateformat.time_format.
func formatTime(m moment, format string) (string, error) {
	return m.format(format, timeChars)
}

// format replaces the format characters. Characters that are not in known are an
// AttributeError.
func (m moment) format(format, known string) (string, error) {
	b := make([]byte, 0, 4*len(format)+16)
	escaped := false
	for i, r := range format {
		switch {
		case escaped:
			// A backslash makes the next character plain, also if that is a
			// backslash; but one right before a format character always
			// protects it.
			escaped = false
			if r == '\\' && i+1 < len(format) && strings.IndexByte(formatChars, format[i+1]) >= 0 {
				b = append(b, '\\')
				escaped = true
				continue
			}
			if r == '\n' {
				b = append(b, '\\')
			}
			b = append(b, string(r)...)
		case r == '\\':
			escaped = true
		case r < 0x80 && strings.IndexByte(formatChars, byte(r)) >= 0:
			var err error
			if b, err = m.append(b, byte(r), known); err != nil {
				return "", err
			}
		default:
			b = append(b, string(r)...)
		}
	}
	if escaped {
		b = append(b, '\\')
	}
	return string(b), nil
}

// formatSteps are the steps that each format character takes.
var formatSteps = func() (steps [utf8.RuneSelf]uint8) {
	for i := range len(formatChars) {
		steps[formatChars[i]] = 1
	}
	for chars, n := range map[string]uint8{"bEfNPt": 2, "eIOTZ": 3, "r": 5, "c": 11} {
		for i := range len(chars) {
			steps[chars[i]] = n
		}
	}
	return steps
}()

// append appends what one format character stands for.
func (m moment) append(b []byte, c byte, known string) ([]byte, error) {
	if err := m.meter.Spend(int(formatSteps[c])); err != nil {
		return nil, err
	}
	if m.hasDate && !m.hasTime && strings.IndexByte(timeChars, c) >= 0 {
		return nil, errTimeInDate
	}
	if strings.IndexByte(known, c) < 0 {
		return nil, errNoAttribute
	}
	if (c == 'r' || c == 'U') && !m.hasDate {
		return nil, errNoDate // Django first combines the value with midnight
	}
	if strings.IndexByte("eITOZ", c) >= 0 {
		return m.appendZone(b, c), nil
	}
	isTime := strings.IndexByte(timeChars, c) >= 0
	if isTime && !m.hasTime || !isTime && !m.hasDate && (c != 'c' || !m.hasTime) {
		return nil, errNoAttribute
	}
	t := m.t
	switch c {
	case 'a', 'A':
		b = append(b, m.locale.gettext(halfOfDay(t.Hour(), c == 'A'))...)
	case 'b':
		b = append(b, m.locale.gettext(strings.ToLower(t.Month().String()[:3]))...)
	case 'c':
		b = m.appendISO(b)
	case 'd':
		b = appendPadded(b, t.Day(), 2)
	case 'D':
		b = append(b, m.locale.gettext(t.Weekday().String()[:3])...)
	case 'E':
		b = append(b, m.locale.gettext("alt. month\x04"+t.Month().String())...)
	case 'F':
		b = append(b, m.locale.gettext(t.Month().String())...)
	case 'f':
		b = appendShortTime(b, t)
	case 'g':
		b = appendPadded(b, hour12(t), 1)
	case 'G':
		b = appendPadded(b, t.Hour(), 1)
	case 'h':
		b = appendPadded(b, hour12(t), 2)
	case 'H':
		b = appendPadded(b, t.Hour(), 2)
	case 'i':
		b = appendPadded(b, t.Minute(), 2)
	case 'j':
		b = appendPadded(b, t.Day(), 1)
	case 'l':
		b = append(b, m.locale.gettext(t.Weekday().String())...)
	case 'L':
		b = append(b, python.StrOf(python.Bool(isLeap(t.Year())))...)
	case 'm':
		b = appendPadded(b, int(t.Month()), 2)
	case 'M':
		if m.locale == nil {
			return append(b, t.Month().String()[:3]...), nil
		}
		b = append(b, python.Title(m.locale.gettext(strings.ToLower(t.Month().String()[:3])))...)
	case 'n':
		b = appendPadded(b, int(t.Month()), 1)
	case 'N':
		b = append(b, m.locale.gettext("abbrev. month\x04"+monthsAP[t.Month()-1])...)
	case 'o':
		year, _ := t.ISOWeek()
		b = appendPadded(b, year, 1)
	case 'P':
		switch {
		case t.Minute() != 0 || t.Hour()%12 != 0:
			b = append(appendShortTime(b, t), ' ')
			b = append(b, m.locale.gettext(halfOfDay(t.Hour(), false))...)
		case t.Hour() == 0:
			b = append(b, m.locale.gettext("midnight")...)
		default:
			b = append(b, m.locale.gettext("noon")...)
		}
	case 'r':
		b = t.AppendFormat(b, "Mon, 02 Jan 2006 15:04:05 -0700")
	case 's':
		b = appendPadded(b, t.Second(), 2)
	case 'S':
		b = append(b, ordinalSuffix(t.Day())...)
	case 't':
		b = appendPadded(b, time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day(), 2)
	case 'u':
		b = appendPadded(b, t.Nanosecond()/1000, 6)
	case 'U':
		b = strconv.AppendInt(b, t.Unix(), 10)
	case 'w':
		b = appendPadded(b, int(t.Weekday()), 1)
	case 'W':
		_, week := t.ISOWeek()
		b = appendPadded(b, week, 1)
	case 'y':
		b = appendPadded(b, t.Year()%100, 2)
	case 'Y':
		b = appendPadded(b, t.Year(), 4)
	case 'z':
		b = appendPadded(b, t.YearDay(), 1)
	}
	return b, nil
}

// appendZone appends information about the time zone. Only a datetime has one; a naive one
// has that of Django's settings, UTC.
func (m moment) appendZone(b []byte, c byte) []byte {
	if !m.hasDate || !m.hasTime || m.aware && isAmbiguous(m.t) {
		return b
	}
	_, offset := m.t.Zone()
	switch c {
	case 'e':
		if m.aware {
			b = append(b, zoneName(m.t)...)
		}
	case 'I':
		if m.t.IsDST() {
			return append(b, '1')
		}
		b = append(b, '0')
	case 'T':
		b = append(b, zoneName(m.t)...)
	case 'O':
		sign := byte('+')
		if offset < 0 {
			sign, offset = '-', -offset
		}
		b = appendPadded(append(b, sign), offset/3600, 2)
		b = appendPadded(b, offset/60%60, 2)
	case 'Z':
		b = strconv.AppendInt(b, int64(offset), 10)
	}
	return b
}

// isAmbiguous reports whether the clocks of t's zone show the time twice, because they are
// put back. Django then doesn't print the zone.
func isAmbiguous(t time.Time) bool {
	if t.Location() == time.UTC {
		return false
	}
	if putBack(t) > 0 {
		return true
	}
	_, end := t.ZoneBounds()
	if end.IsZero() {
		return false
	}
	_, offset := t.Zone()
	_, after := end.Zone()
	return end.Sub(t) <= time.Duration(offset-after)*time.Second
}

// putBack returns by how much clocks were put back if they show t's time the second time, or 0.
func putBack(t time.Time) time.Duration {
	if t.Location() == time.UTC {
		return 0
	}
	start, _ := t.ZoneBounds()
	if start.IsZero() {
		return 0
	}
	_, offset := t.Zone()
	_, before := start.Add(-1).Zone()
	if back := time.Duration(before-offset) * time.Second; t.Sub(start) < back {
		return back
	}
	return 0
}

// zoneName implements Python's tzname(): a fixed offset without a name is its own name.
func zoneName(t time.Time) string {
	name, offset := t.Zone()
	if name != "" && name[0] != '+' && name[0] != '-' {
		return name
	}
	if name != "" && t.Location().String() != name && t.Location().String() != "" {
		return name // a zone of the IANA database that has no abbreviation
	}
	if offset == 0 {
		return "UTC"
	}
	return "UTC" + formatOffset(offset)
}

// formatOffset returns ±HH:MM, with :SS if there are seconds.
func formatOffset(offset int) string {
	sign := '+'
	if offset < 0 {
		sign, offset = '-', -offset
	}
	s := fmt.Sprintf("%c%02d:%02d", sign, offset/3600, offset/60%60)
	if offset%60 != 0 {
		s += fmt.Sprintf(":%02d", offset%60)
	}
	return s
}

// appendISO appends isoformat().
func (m moment) appendISO(b []byte) []byte {
	if m.hasDate {
		b = appendPadded(b, m.t.Year(), 4)
		b = m.t.AppendFormat(b, "-01-02")
		if m.hasTime {
			b = append(b, 'T')
		}
	}
	if m.hasTime {
		b = m.t.AppendFormat(b, "15:04:05")
		if micro := m.t.Nanosecond() / 1000; micro != 0 {
			b = appendPadded(append(b, '.'), micro, 6)
		}
		if m.aware {
			_, offset := m.t.Zone()
			b = append(b, formatOffset(offset)...)
		}
	}
	return b
}

func halfOfDay(hour int, upper bool) string {
	switch {
	case upper && hour > 11:
		return "PM"
	case upper:
		return "AM"
	case hour > 11:
		return "p.m."
	}
	return "a.m."
}

func hour12(t time.Time) int { return (t.Hour()+11)%12 + 1 }

// appendShortTime appends the hours and minutes of a 12-hour clock, without minutes that
// are zero.
func appendShortTime(b []byte, t time.Time) []byte {
	b = appendPadded(b, hour12(t), 1)
	if t.Minute() != 0 {
		b = appendPadded(append(b, ':'), t.Minute(), 2)
	}
	return b
}

func ordinalSuffix(n int) string {
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			return "st"
		case 2:
			return "nd"
		case 3:
			return "rd"
		}
	}
	return "th"
}

// appendPadded appends n >= 0 with at least width digits.
func appendPadded(b []byte, n, width int) []byte {
	for limit := 10; width > 1; width-- {
		if n < limit {
			b = append(b, '0')
		}
		limit *= 10
	}
	return strconv.AppendInt(b, int64(n), 10)
}

func isLeap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }
