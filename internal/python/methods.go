// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/rehive/extension-operator/internal/meter"
)

// Attr returns an attribute that isn't a method, such as dt.year, td.days or one of an
// Object. ok is false if there is none.
func Attr(v Value, name string) (Value, bool) {
	switch v := v.(type) {
	case Object:
		return v.Attr(name)
	case Int, Bool, *Big:
		n, _ := ToInt(v)
		switch name {
		case "real", "numerator":
			return n, true
		case "imag":
			return Int(0), true
		case "denominator":
			return Int(1), true
		}
	case Float:
		switch name {
		case "real":
			return v, true
		case "imag":
			return Float(0), true
		}
	case *DateTime:
		switch name {
		case "hour":
			return Int(v.T.Hour()), true
		case "minute":
			return Int(v.T.Minute()), true
		case "second":
			return Int(v.T.Second()), true
		case "microsecond":
			return Int(v.T.Nanosecond() / 1000), true
		case "fold":
			return Int(0), true
		case "tzinfo":
			if v.Aware {
				return &TZInfo{v.T.Location()}, true
			}
			return None, true
		}
		return Attr(&Date{v.T.Year(), v.T.Month(), v.T.Day()}, name)
	case *Date:
		switch name {
		case "year":
			return Int(v.Year), true
		case "month":
			return Int(v.Month), true
		case "day":
			return Int(v.Day), true
		}
	case *Time:
		switch name {
		case "hour":
			return Int(v.Hour), true
		case "minute":
			return Int(v.Minute), true
		case "second":
			return Int(v.Second), true
		case "microsecond":
			return Int(v.Microsecond), true
		case "tzinfo":
			if v.Zone != nil {
				return &TZInfo{v.Zone}, true
			}
			return None, true
		case "fold":
			return Int(0), true
		}
	case *TimeDelta:
		switch name {
		case "days":
			return Int(v.Days), true
		case "seconds":
			return Int(v.Seconds), true
		case "microseconds":
			return Int(v.Microseconds), true
		}
	case *Decimal:
		switch name {
		case "real":
			return v, true
		case "imag":
			return &Decimal{Coef: new(big.Int)}, true
		}
	}
	return nil, false
}

// CallMethod calls a method of v with positional arguments. It supports the methods of str,
// dict, list, tuple, int, float and the datetime types that don't modify the object. ok is
// false if there is no such method. Templates call it without arguments. A wrong number or
// type of arguments is a TypeError.
//
// It is the only place that charges for methods: for the work before the call, by the size
// of the object and the arguments, and for the memory of the result. m may be nil.
func CallMethod(m *meter.Meter, v Value, name string, args []Value) (result Value, ok bool, err error) {
	if m != nil {
		if err := spendMethod(m, v, name, args); err != nil {
			return nil, true, err
		}
	}
	if result, ok, err = callMethod(m, v, name, args); err != nil || !ok || m == nil {
		return result, ok, err
	}
	return result, true, HoldMade(m, result)
}

func callMethod(m *meter.Meter, v Value, name string, args []Value) (result Value, ok bool, err error) {
	switch v := v.(type) {
	case Str:
		return strMethod(m, string(v), name, args)
	case SafeStr:
		return strMethod(m, string(v), name, args)
	case *Dict:
		return dictMethod(m, v, name, args)
	case *List:
		if name == "copy" {
			if err := m.Hold(len(v.Items) * ItemBytes); err != nil {
				return nil, true, err
			}
			return &List{append([]Value(nil), v.Items...)}, true, argCount("list.copy", args, 0, 0)
		}
		return itemsMethod(m, "list", v.Items, name, args)
	case *Tuple:
		return itemsMethod(m, "tuple", v.Items, name, args)
	case Int, *Big, Bool:
		return intMethod(v, name, args)
	case Float:
		return floatMethod(v, name, args)
	case *DateTime, *Date, *Time, *TimeDelta:
		result, ok = temporalMethod(v, name)
		if ok && len(args) > 0 {
			return nil, true, argCount(name, args, 0, 0)
		}
		return result, ok, nil
	case *Decimal:
		if name == "conjugate" {
			return v, true, argCount(name, args, 0, 0)
		}
	case *Set:
		if name == "copy" {
			if err := m.Spend(2 * v.Len()); err != nil {
				return nil, true, err
			}
			return setOp('|', v, v), true, argCount("set.copy", args, 0, 0)
		}
	}
	return nil, false, nil
}

// argCount checks the number of arguments.
func argCount(name string, args []Value, lo, hi int) error {
	switch {
	case len(args) >= lo && len(args) <= hi:
		return nil
	case hi == 0:
		return Errorf("TypeError", "%s() takes no arguments (%d given)", name, len(args))
	case lo == hi && lo == 1:
		return Errorf("TypeError", "%s() takes exactly one argument (%d given)", name, len(args))
	case len(args) < lo:
		return Errorf("TypeError", "%s expected at least %d argument%s, got %d", name, lo, plural(lo), len(args))
	}
	return Errorf("TypeError", "%s expected at most %d argument%s, got %d", name, hi, plural(hi), len(args))
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func dictMethod(m *meter.Meter, d *Dict, name string, args []Value) (Value, bool, error) {
	var view DictViewKind
	switch name {
	case "items":
		view = DictItems
	case "keys":
		view = DictKeys
	case "values":
		view = DictValues
	case "copy":
		if err := m.Hold(d.Len() * EntryBytes); err != nil {
			return nil, true, err
		}
		if err := m.Spend(d.Len()); err != nil {
			return nil, true, err
		}
		out, err := mergeDicts(d, NewDict(0))
		if err == nil {
			err = argCount("dict.copy", args, 0, 0)
		}
		return out, true, err
	case "get":
		if err := argCount("get", args, 1, 2); err != nil {
			return nil, true, err
		}
		val, ok, err := d.Get(args[0])
		switch {
		case err != nil:
			return nil, true, err
		case ok:
			return val, true, nil
		case len(args) == 2:
			return args[1], true, nil
		}
		return None, true, nil
	default:
		return nil, false, nil
	}
	if err := argCount("dict."+name, args, 0, 0); err != nil {
		return nil, true, err
	}
	return &DictView{d, view}, true, nil
}

func itemsMethod(m *meter.Meter, typ string, items []Value, name string, args []Value) (Value, bool, error) {
	if name != "count" && name != "index" {
		return nil, false, nil
	}
	if err := argCount(typ+"."+name, args, 1, 1); err != nil {
		return nil, true, err
	}
	c := &comparer{m, compareBudget}
	n := 0
	for i, it := range items {
		eq, err := c.equal(it, args[0], 0)
		if err != nil {
			return nil, true, err
		}
		if eq && name == "index" {
			return Int(i), true, nil
		}
		if eq {
			n++
		}
	}
	if name == "index" {
		if typ == "tuple" {
			return nil, true, Errorf("ValueError", "tuple.index(x): x not in tuple")
		}
		return nil, true, Errorf("ValueError", "the value is not in the list")
	}
	return Int(n), true, nil
}

func intMethod(v Value, name string, args []Value) (Value, bool, error) {
	n, _ := AsBig(v)
	var out Value
	switch name {
	case "bit_length":
		out = Int(n.BitLen())
	case "bit_count":
		count := 0
		for _, w := range n.Bits() {
			for ; w != 0; w &= w - 1 {
				count++
			}
		}
		out = Int(count)
	case "conjugate":
		out = NewInt(n)
	case "as_integer_ratio":
		out = NewTuple(NewInt(n), Int(1))
	default:
		return nil, false, nil
	}
	return out, true, argCount("int."+name, args, 0, 0)
}

func floatMethod(f Float, name string, args []Value) (Value, bool, error) {
	var out Value
	switch name {
	case "is_integer":
		out = Bool(f == Float(int64(f)) || f > 1<<62 || f < -1<<62)
		if f-f != 0 {
			out = False
		}
	case "conjugate":
		out = f
	case "hex":
		out = Str(floatHex(float64(f)))
	case "as_integer_ratio":
		if f != f {
			return nil, true, Errorf("ValueError", "cannot convert NaN to integer ratio")
		}
		if f-f != 0 {
			return nil, true, Errorf("OverflowError", "cannot convert Infinity to integer ratio")
		}
		r := new(big.Rat).SetFloat64(float64(f))
		out = NewTuple(NewInt(r.Num()), NewInt(r.Denom()))
	default:
		return nil, false, nil
	}
	return out, true, argCount("float."+name, args, 0, 0)
}

func floatHex(f float64) string {
	if f == 0 || f-f != 0 {
		if f == 0 {
			return map[bool]string{true: "-0x0.0p+0", false: "0x0.0p+0"}[strconv.FormatFloat(f, 'g', -1, 64) == "-0"]
		}
		return FloatRepr(f)
	}
	if bits := math.Float64bits(f); bits>>52&0x7ff == 0 { // subnormal
		sign := ""
		if math.Signbit(f) {
			sign = "-"
		}
		return fmt.Sprintf("%s0x0.%013xp-1022", sign, bits&(1<<52-1))
	}
	s := strconv.FormatFloat(f, 'x', 13, 64) // 0x1.8000000000000p+00
	i := len(s) - 1
	for s[i] != '+' && s[i] != '-' {
		i--
	}
	exp, _ := strconv.Atoi(s[i+1:])
	return s[:i+1] + strconv.Itoa(exp)
}

func temporalMethod(v Value, name string) (Value, bool) {
	switch v := v.(type) {
	case *DateTime:
		switch name {
		case "date":
			return &Date{v.T.Year(), v.T.Month(), v.T.Day()}, true
		case "time", "timetz":
			t := &Time{Hour: v.T.Hour(), Minute: v.T.Minute(), Second: v.T.Second(), Microsecond: v.T.Nanosecond() / 1000}
			if v.Aware && name == "timetz" {
				t.Zone = v.T.Location()
			}
			return t, true
		case "isoformat":
			return Str(v.ISOFormat("T")), true
		case "ctime":
			return Str(v.T.Format("Mon Jan _2 15:04:05 2006")), true
		case "timestamp":
			return Float(float64(v.T.UnixMicro()) / 1e6), true
		case "utcoffset":
			if !v.Aware {
				return None, true
			}
			_, secs := v.T.Zone()
			return NewTimeDelta(time.Duration(secs) * time.Second), true
		case "tzname":
			if !v.Aware {
				return None, true
			}
			zone, _ := v.T.Zone()
			return Str(zone), true
		case "dst":
			return None, true
		}
		return temporalMethod(&Date{v.T.Year(), v.T.Month(), v.T.Day()}, name)
	case *Date:
		t := v.midnight()
		switch name {
		case "isoformat":
			return Str(temporalStr(v)), true
		case "ctime":
			return Str(t.Format("Mon Jan _2 15:04:05 2006")), true
		case "weekday":
			return Int((t.Weekday() + 6) % 7), true
		case "isoweekday":
			return Int((t.Weekday()+6)%7 + 1), true
		case "toordinal":
			return Int(t.Unix()/86400 + 719163), true
		}
	case *Time:
		switch name {
		case "isoformat":
			return Str(temporalStr(v)), true
		case "utcoffset":
			if zone, fixed := v.fixed(); fixed {
				_, secs := zone.Zone()
				return NewTimeDelta(time.Duration(secs) * time.Second), true
			}
			return None, true
		case "tzname":
			if zone, fixed := v.fixed(); fixed {
				name, _ := zone.Zone()
				return Str(name), true
			}
			return None, true
		case "dst":
			return None, true
		}
	case *TimeDelta:
		if name == "total_seconds" {
			f, _ := new(big.Rat).SetFrac(v.micros(), big.NewInt(1e6)).Float64()
			return Float(f), true
		}
	}
	return nil, false
}
