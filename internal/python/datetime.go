// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"math/big"
	"time"
)

// Date is a datetime.date.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// Time is a datetime.time.
type Time struct {
	Hour, Minute, Second, Microsecond int
	// Zone is its tzinfo, or nil. Without a date, only one with a fixed offset has an offset.
	Zone *time.Location
}

// TZInfo is a datetime.timezone or a zoneinfo.ZoneInfo.
type TZInfo struct{ Location *time.Location }

// DateTime is a datetime.datetime with the wall-clock time of T and a resolution of a
// microsecond. If Aware is false, it is naive: T is in UTC, and its zone is meaningless.
type DateTime struct {
	T     time.Time
	Aware bool
	// KeepZone is Django's convert_to_local_time = False: a filter has set the zone, and
	// printing must not convert the time to the current one.
	KeepZone bool
}

// TimeDelta is a datetime.timedelta, normalised as Python's: 0 <= Seconds <
// 86400, 0 <= Microseconds < 1e6, Days carries the sign.
type TimeDelta struct{ Days, Seconds, Microseconds int64 }

// Decimal is a finite decimal.Decimal, Coef * 10**Exp, negative if Neg (there is a -0).
// Kind distinguishes the special values, for which the rest is 0.
type Decimal struct {
	Neg  bool
	Coef *big.Int // never negative, must not be modified
	Exp  int
	Kind DecimalKind
}

// DecimalKind distinguishes finite numbers and special values.
type DecimalKind uint8

// The kinds of Decimal.
const (
	Finite DecimalKind = iota
	Infinity
	NaN
)

// TypeName implements Value.
func (*Date) TypeName() string { return "date" }

// TypeName implements Value.
func (*Time) TypeName() string { return "time" }

// TypeName implements Value.
func (z *TZInfo) TypeName() string {
	if isNamedZone(z.Location) {
		return "zoneinfo.ZoneInfo"
	}
	return "timezone"
}

// TypeName implements Value.
func (*DateTime) TypeName() string { return "datetime" }

// TypeName implements Value.
func (*TimeDelta) TypeName() string { return "timedelta" }

// TypeName implements Value.
func (*Decimal) TypeName() string { return "Decimal" }
