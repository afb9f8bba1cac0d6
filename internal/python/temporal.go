// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"fmt"
	"math/big"
	"strings"
	"time"
)

func (d *Date) midnight() time.Time {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC)
}

func dateOf(t time.Time) (*Date, error) {
	if y := t.Year(); y < 1 || y > 9999 {
		return nil, Errorf("OverflowError", "date value out of range")
	}
	return &Date{t.Year(), t.Month(), t.Day()}, nil
}

// NewTimeDelta converts a duration to a timedelta, rounded down to a microsecond.
func NewTimeDelta(d time.Duration) *TimeDelta {
	td, _ := durationOf(big.NewInt(d.Microseconds())) // always in range
	return td
}

// Micros is the length in microseconds.
func (d *TimeDelta) micros() *big.Int {
	n := big.NewInt(d.Days)
	n.Mul(n, big.NewInt(86400e6))
	return n.Add(n, big.NewInt(d.Seconds*1e6+d.Microseconds))
}

func durationOf(micros *big.Int) (*TimeDelta, error) {
	days, rest := new(big.Int).DivMod(micros, big.NewInt(86400e6), new(big.Int))
	if !days.IsInt64() || days.Int64() > 999999999 || days.Int64() < -999999999 {
		return nil, Errorf("OverflowError", "a duration must have a magnitude of at most 999999999 days")
	}
	us := rest.Int64()
	return &TimeDelta{days.Int64(), us / 1e6, us % 1e6}, nil
}

// cmpTemporal compares two values of one datetime type; ok is false if they can't be
// compared.
func cmpTemporal(a, b Value) (cmp int, ok bool) {
	switch x := a.(type) {
	case *DateTime:
		if y, ok := b.(*DateTime); ok && x.Aware == y.Aware {
			return x.T.Compare(y.T), true
		}
	case *Date:
		if y, ok := b.(*Date); ok {
			return x.midnight().Compare(y.midnight()), true
		}
	case *Time:
		if y, ok := b.(*Time); ok {
			xOffset, xAware := x.offset()
			yOffset, yAware := y.offset()
			return x.micros() - xOffset - y.micros() + yOffset, xAware == yAware
		}
	case *TimeDelta:
		if y, ok := b.(*TimeDelta); ok {
			return x.micros().Cmp(y.micros()), true
		}
	}
	return 0, false
}

func (t *Time) micros() int {
	return ((t.Hour*60+t.Minute)*60+t.Second)*1e6 + t.Microsecond
}

// temporalStr returns str() of a datetime type or a Decimal.
func temporalStr(v Value) string {
	switch v := v.(type) {
	case *Date:
		return fmt.Sprintf("%04d-%02d-%02d", v.Year, v.Month, v.Day)
	case *Time:
		s := fmt.Sprintf("%02d:%02d:%02d", v.Hour, v.Minute, v.Second)
		if v.Microsecond != 0 {
			s += fmt.Sprintf(".%06d", v.Microsecond)
		}
		if zone, fixed := v.fixed(); fixed {
			s += offset(zone)
		}
		return s
	case *DateTime:
		return v.ISOFormat(" ")
	case *TimeDelta:
		var b strings.Builder
		if v.Days != 0 {
			plural := "s"
			if v.Days == 1 || v.Days == -1 {
				plural = ""
			}
			fmt.Fprintf(&b, "%d day%s, ", v.Days, plural)
		}
		fmt.Fprintf(&b, "%d:%02d:%02d", v.Seconds/3600, v.Seconds/60%60, v.Seconds%60)
		if v.Microseconds != 0 {
			fmt.Fprintf(&b, ".%06d", v.Microseconds)
		}
		return b.String()
	case *Decimal:
		return v.String()
	}
	return Repr(v)
}

// ISOFormat returns dt.isoformat(sep).
func (d *DateTime) ISOFormat(sep string) string {
	t := d.T
	s := fmt.Sprintf("%04d-%02d-%02d%s%02d:%02d:%02d", t.Year(), t.Month(), t.Day(), sep, t.Hour(), t.Minute(), t.Second())
	if us := t.Nanosecond() / 1000; us != 0 {
		s += fmt.Sprintf(".%06d", us)
	}
	if d.Aware {
		s += offset(t)
	}
	return s
}

func offset(t time.Time) string {
	_, secs := t.Zone()
	sign := '+'
	if secs < 0 {
		sign, secs = '-', -secs
	}
	s := fmt.Sprintf("%c%02d:%02d", sign, secs/3600, secs/60%60)
	if secs%60 != 0 {
		s += fmt.Sprintf(":%02d", secs%60)
	}
	return s
}

// temporalRepr returns repr() of a datetime type or a Decimal.
func temporalRepr(v Value) string {
	switch v := v.(type) {
	case *Date:
		return fmt.Sprintf("datetime.date(%d, %d, %d)", v.Year, v.Month, v.Day)
	case *Time:
		s := "datetime.time(" + clockArgs(v.Hour, v.Minute, v.Second, v.Microsecond)
		if v.Zone != nil {
			s += ", tzinfo=" + zoneRepr(time.Unix(0, 0).In(v.Zone))
		}
		return s + ")"
	case *DateTime:
		t, class := v.T, "datetime.datetime"
		if v.KeepZone { // the class of what django.templatetags.tz returns
			class = "datetimeobject"
		}
		s := fmt.Sprintf("%s(%d, %d, %d, %s", class, t.Year(), t.Month(), t.Day(),
			clockArgs(t.Hour(), t.Minute(), t.Second(), t.Nanosecond()/1000))
		if v.Aware {
			s += ", tzinfo=" + zoneRepr(t)
		}
		return s + ")"
	case *TimeDelta:
		var args []string
		if v.Days != 0 {
			args = append(args, fmt.Sprintf("days=%d", v.Days))
		}
		if v.Seconds != 0 {
			args = append(args, fmt.Sprintf("seconds=%d", v.Seconds))
		}
		if v.Microseconds != 0 {
			args = append(args, fmt.Sprintf("microseconds=%d", v.Microseconds))
		}
		if args == nil {
			args = []string{"0"}
		}
		return "datetime.timedelta(" + strings.Join(args, ", ") + ")"
	case *Decimal:
		return "Decimal('" + v.String() + "')"
	}
	return ""
}

// zoneRepr returns repr(t.tzinfo): of a zone of the IANA database, of UTC, or of an offset
// with or without a name.
func zoneRepr(t time.Time) string {
	name, seconds := t.Zone()
	switch zone := t.Location(); {
	case zone == time.UTC:
		return "datetime.timezone.utc"
	case isNamedZone(zone):
		return "zoneinfo.ZoneInfo(key=" + Repr(Str(zone.String())) + ")"
	}
	offset := temporalRepr(NewTimeDelta(time.Duration(seconds) * time.Second))
	if name == "" || name[0] == '+' || name[0] == '-' {
		if seconds == 0 {
			return "datetime.timezone.utc"
		}
		return "datetime.timezone(" + offset + ")"
	}
	return "datetime.timezone(" + offset + ", " + Repr(Str(name)) + ")"
}

// isNamedZone reports whether a zone is one of the IANA database.
func isNamedZone(zone *time.Location) bool {
	return zone != time.UTC && strings.Contains(zone.String(), "/")
}

// fixed returns any time in the zone if its offset does not depend on a date.
func (t *Time) fixed() (zone time.Time, ok bool) {
	if t.Zone == nil || isNamedZone(t.Zone) {
		return time.Time{}, false
	}
	return time.Unix(0, 0).In(t.Zone), true
}

// IsAware reports whether the time has an offset from UTC.
func (t *Time) IsAware() bool {
	_, fixed := t.fixed()
	return fixed
}

// offset returns utcoffset() in microseconds; aware is false if it is None.
func (t *Time) offset() (micros int, aware bool) {
	zone, aware := t.fixed()
	_, secs := zone.Zone()
	return secs * 1e6, aware
}

// Attr implements Object.
func (z *TZInfo) Attr(name string) (Value, bool) {
	switch {
	case name == "key" && isNamedZone(z.Location):
		return Str(z.Location.String()), true
	case name == "utc" && !isNamedZone(z.Location):
		return &TZInfo{time.UTC}, true
	case name == "utcoffset", name == "tzname", name == "dst", name == "fromutc": // they need arguments
		return Str(""), true
	}
	return nil, false
}

// Str returns str(z).
func (z *TZInfo) Str() string {
	if isNamedZone(z.Location) {
		return z.Location.String()
	}
	name, _ := time.Unix(0, 0).In(z.Location).Zone()
	return name
}

// Repr implements Object.
func (z *TZInfo) Repr() string { return zoneRepr(time.Unix(0, 0).In(z.Location)) }

func clockArgs(h, m, s, us int) string {
	out := fmt.Sprintf("%d, %d", h, m)
	if s != 0 || us != 0 {
		out += fmt.Sprintf(", %d", s)
	}
	if us != 0 {
		out += fmt.Sprintf(", %d", us)
	}
	return out
}
