// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"math/big"
	"runtime"
	"strings"
	"testing"
)

// TestGrowth checks that operations with excessive results fail immediately.
func TestGrowth(t *testing.T) {
	huge := NewInt(new(big.Int).Lsh(big.NewInt(1), MaxIntBits-1))
	long := Str(strings.Repeat("x", MaxLen))
	call := func(v Value, name string, args ...Value) func() (Value, error) {
		return func() (Value, error) {
			out, _, err := CallMethod(nil, v, name, args)
			return out, err
		}
	}
	tests := map[string]func() (Value, error){
		"3999999**3999999":     func() (Value, error) { return Pow(Int(3999999), Int(3999999)) },
		"2**huge":              func() (Value, error) { return Pow(Int(2), huge) },
		"huge*huge":            func() (Value, error) { return Mul(huge, huge) },
		"1<<10**9":             func() (Value, error) { return BitOp('<', Int(1), Int(1e9)) },
		"'a'*10**9":            func() (Value, error) { return Mul(Str("a"), Int(1e9)) },
		"10**9*'ab'":           func() (Value, error) { return Mul(Int(1e9), Str("ab")) },
		"[0]*10**12":           func() (Value, error) { return Mul(NewList(Int(0)), Int(1e12)) },
		"long+long":            func() (Value, error) { return Add(long, long) },
		"long*3":               func() (Value, error) { return Mul(long, Int(3)) },
		"'a'.ljust(10**9)":     call(Str("a"), "ljust", Int(1e9)),
		"'a'.zfill(10**18)":    call(Str("a"), "zfill", Int(1e18)),
		"'a'.center(2**70)":    call(Str("a"), "center", NewInt(new(big.Int).Lsh(big.NewInt(1), 70))),
		"long.replace('',…)":   call(long, "replace", Str(""), long),
		"long.join(…)":         call(long, "join", NewList(Str("a"), Str("b"), Str("c"))),
		"'\\t'.expandtabs(…)":  call(Str("\t"), "expandtabs", Int(1e9)),
		"'%1000000000d' % 1":   func() (Value, error) { return Mod(Str("%1000000000d"), Int(1)) },
		"'%*d' % (10**9, 1)":   func() (Value, error) { return Mod(Str("%*d"), NewTuple(Int(1e9), Int(1))) },
		"'%.1000000000f' % 1":  func() (Value, error) { return Mod(Str("%.1000000000f"), Int(1)) },
		"Decimal('1e999999')+": func() (Value, error) { return Add(mustDecimal(t, "1e999999"), Int(1)) },
		"int(Decimal('1e9…'))": func() (Value, error) { return ToInt(mustDecimal(t, "1e999999")) },
		"int('9'*10000)":       func() (Value, error) { return ParseInt(strings.Repeat("9", 10000)) },
		"json of 9s":           func() (Value, error) { return FromJSON([]byte(strings.Repeat("9", 10000))) },
		"json nested":          func() (Value, error) { return FromJSON([]byte(strings.Repeat("[", 100000))) },
	}
	for name, op := range tests {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		v, err := op()
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: no error, but a %s", name, v.TypeName())
		}
		// An operation that fails immediately allocates no more than its input.
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 16<<20 {
			t.Errorf("%s: allocated %d bytes", name, allocated)
		}
	}
}

func mustDecimal(t *testing.T, s string) *Decimal {
	t.Helper()
	d, err := ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestSharedItems checks that operations end on lists that share their items, which are
// small but exponentially large when traversed.
func TestSharedItems(t *testing.T) {
	build := func() Value {
		var v Value = NewList(Int(1))
		for range 60 {
			v = NewList(v, v)
		}
		return v
	}
	a, b := build(), build()
	// Without a limit these would run until the test times out.
	if _, err := TryEqual(nil, a, b); err == nil {
		t.Error("equality: no error")
	}
	if _, err := Compare(nil, LT, a, b); err == nil {
		t.Error("order: no error")
	}
	if n := len(Repr(a)); n > 2*maxRepr {
		t.Errorf("repr of %d bytes", n)
	}
}

func TestDictKeys(t *testing.T) {
	d := NewDict(0)
	for _, k := range []Value{Int(1), Float(1), True, mustDecimal(t, "1.0"), Str("a"), SafeStr("a"), None, NewTuple(Int(1), Str("x")), NewTuple(Float(1), Str("x"))} {
		if err := d.Set(k, Str(Repr(k))); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := Repr(d), `{1: "Decimal('1.0')", 'a': "'a'", None: 'None', (1, 'x'): "(1.0, 'x')"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := d.Set(NewList(), None); !IsError(err, "TypeError") {
		t.Errorf("a list as key: %v", err)
	}
	for i := range 20 { // more than are searched one by one
		d.SetStr(strings.Repeat("k", i+1), Int(i))
	}
	if v, ok := d.GetStr("kkkk"); !ok || v != Int(3) {
		t.Errorf("got %v", v)
	}
	if v, ok, err := d.Get(Float(1)); !ok || err != nil || v != Str("Decimal('1.0')") {
		t.Errorf("got %v", v)
	}
}

// FuzzFromJSON checks that decoding ends, and that decoded values survive encoding and
// decoding.
func FuzzFromJSON(f *testing.F) {
	for _, s := range []string{`{"a": [1, 2.5, "x\u00e9\ud83d\ude00\n", null, true], "a": {}}`, `-0.0e-5`, `123456789012345678901234567890`, `"\ud800"`, `[[[`, `{"a"`, `1e999`, "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := FromJSON(raw)
		if err != nil {
			return
		}
		out, err := AppendJSON(nil, v)
		if err != nil {
			return // an infinity
		}
		again, err := FromJSON(out)
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if Repr(again) != Repr(v) {
			t.Fatalf("got %s, want %s", Repr(again), Repr(v))
		}
	})
}
