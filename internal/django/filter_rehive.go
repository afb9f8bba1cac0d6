// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"math/big"
	"strings"
	"time"

	"github.com/rehive/extension-operator/internal/python"
)

// The filters that Rehive adds to Django's.
func init() {
	builtins.AddFilters(
		&Filter{Name: "money", Func: money, Arg: RequiredArg, Strict: StrictInput | StrictArg, Nanos: 60},
		&Filter{Name: "timestamp", Func: timestamp, Strict: StrictInput, Nanos: 4},
	)
}

// Below these limits, a timestamp is in seconds or milliseconds, and otherwise in
// microseconds.
const (
	maxTimestampSeconds = 100_000_000_000
	maxTimestampMillis  = 100_000_000_000_000
)

// timestamp converts a Unix time, given as an integer or its digits, to a datetime in UTC.
// Rehive sends milliseconds; seconds and microseconds are recognized by their magnitude.
// Anything else renders as nothing. The datetime is aware, as in Django with time zones.
func timestamp(_ *Context, in, _ python.Value) (python.Value, error) {
	n, ok := integerOf(in)
	if !ok || !n.IsInt64() {
		return python.Str(""), nil
	}
	i := n.Int64()
	var t time.Time
	switch size := max(i, -i); {
	case size < maxTimestampSeconds:
		t = time.Unix(i, 0)
	case size < maxTimestampMillis:
		t = time.UnixMilli(i)
	default:
		t = time.UnixMicro(i)
	}
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
		return python.Str(""), nil
	}
	return &python.DateTime{T: t, Aware: true}, nil
}

// integerOf returns an int, or a text of digits only, as a number.
func integerOf(v python.Value) (*big.Int, bool) {
	switch v.(type) {
	case python.Int, *python.Big:
		return python.AsBig(v)
	}
	s, ok := python.AsStr(v)
	if !ok || s == "" || len(s) > 20 || strings.Trim(s, "0123456789") != "" {
		return nil, false
	}
	return new(big.Int).SetString(s, 10)
}

// maxDivisibility limits the decimals of a currency; Rehive's have at most 18.
const maxDivisibility = 1000

// money formats an amount in a currency's smallest unit with as many decimals as the
// currency has: 123456|money:2 is 1234.56. It is exact at any size, never groups digits,
// and returns "" if the value is not a number.
func money(c *Context, in, arg python.Value) (python.Value, error) {
	n, ok := amountOf(in)
	if !ok {
		return python.Str(""), nil
	}
	places, err := intArg(arg)
	if err != nil || places < 0 || places > maxDivisibility {
		return python.Str(""), nil //nolint:nilerr // by definition, a bad divisibility renders as nothing
	}
	n.exp -= places
	if n.exp > python.MaxLen || n.exp < -python.MaxLen {
		return python.Str(""), nil
	}
	if err := c.Grow(places + n.size()); err != nil {
		return nil, err
	}
	s, _ := n.fixed(places, halfEven)
	if n.neg {
		s = "-" + s
	}
	return python.Str(s), nil
}

// amountOf parses an int, float, Decimal or text.
func amountOf(v python.Value) (number, bool) {
	switch v.(type) {
	case python.Str, python.SafeStr:
		d, err := python.ToDecimal(v)
		if err != nil {
			return number{}, false
		}
		return numberOf(d)
	case python.Int, *python.Big, python.Float, *python.Decimal:
		return numberOf(v)
	}
	return number{}, false
}
