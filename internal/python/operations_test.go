// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"bufio"
	"errors"
	"os"
	"strings"
	"testing"
)

// TestOperations compares with CPython 3.11's answers.
func TestOperations(t *testing.T) {
	f, err := os.Open("testdata/operations.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	total, failed := 0, 0
	for lines.Scan() {
		v, err := FromJSON(lines.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		line, _ := v.(*Dict)
		field := func(name string) string {
			v, _ := line.GetStr(name)
			s, _ := AsStr(v)
			return s
		}
		list, _ := line.GetStr("args")
		var args []Value
		items, _ := Items(nil, list)
		for _, a := range items {
			args = append(args, decodeValue(t, a))
		}
		total++
		got, err := operate(field("op"), args)
		var pe *Error
		errors.As(err, &pe)
		switch {
		case field("error") != "" && pe == nil:
			t.Errorf("%s: got %s, want %s: %s", lines.Text(), Repr(got), field("error"), field("msg"))
		case field("msg") == "complex exponentiation": // there are no complex numbers here
			continue
		case field("error") != "" && pe.Type != field("error"):
			t.Errorf("%s: got %v, want %s: %s", lines.Text(), err, field("error"), field("msg"))
		case field("error") == "" && err != nil:
			t.Errorf("%s: got %v", lines.Text(), err)
		case field("error") == "" && Repr(got) != field("repr"):
			t.Errorf("%s: got %s", lines.Text(), Repr(got))
		default:
			continue
		}
		failed++
	}
	t.Logf("%d of %d agree with Python", total-failed, total)
}

func decodeValue(t *testing.T, v Value) Value {
	t.Helper()
	switch v := v.(type) {
	case *List:
		for i := range v.Items {
			v.Items[i] = decodeValue(t, v.Items[i])
		}
	case *Dict:
		k, x := v.At(0)
		s, _ := AsStr(x)
		switch StrOf(k) {
		case "$int":
			n, err := ParseInt(s)
			if err != nil {
				t.Fatal(err)
			}
			return n
		case "$float":
			f, err := ParseFloat(s)
			if err != nil {
				t.Fatal(err)
			}
			return Float(f)
		case "$tuple":
			items, _ := Items(nil, decodeValue(t, x))
			return NewTuple(items...)
		case "$dict":
			out := NewDict(0)
			pairs, _ := Items(nil, decodeValue(t, x))
			for _, p := range pairs {
				pair, _ := Items(nil, p)
				if err := out.Set(pair[0], pair[1]); err != nil {
					t.Fatal(err)
				}
			}
			return out
		}
	}
	return v
}

func operate(op string, args []Value) (Value, error) {
	if name, ok := strings.CutPrefix(op, "."); ok {
		v, found, err := CallMethod(nil, args[0], name, args[1:])
		if !found {
			return nil, Errorf("AttributeError", "no method %s", name)
		}
		return v, err
	}
	binary := map[string]func(a, b Value) (Value, error){
		"add": Add, "sub": Sub, "mul": Mul, "truediv": TrueDiv, "floordiv": FloorDiv, "mod": Mod, "pow": Pow, "getitem": GetItem,
		"format": Mod,
	}
	if f, ok := binary[op]; ok {
		return f(args[0], args[1])
	}
	truth := func(ok bool, err error) (Value, error) { return Bool(ok), err }
	switch op {
	case "eq":
		return truth(TryEqual(nil, args[0], args[1]))
	case "lt":
		return truth(Compare(nil, LT, args[0], args[1]))
	case "le":
		return truth(Compare(nil, LE, args[0], args[1]))
	case "gt":
		return truth(Compare(nil, GT, args[0], args[1]))
	case "ge":
		return truth(Compare(nil, GE, args[0], args[1]))
	case "contains":
		return truth(Contains(nil, args[0], args[1]))
	case "and":
		return BitOp('&', args[0], args[1])
	case "or":
		return BitOp('|', args[0], args[1])
	case "xor":
		return BitOp('^', args[0], args[1])
	case "lshift":
		return BitOp('<', args[0], args[1])
	case "rshift":
		return BitOp('>', args[0], args[1])
	case "neg":
		return Neg(args[0])
	case "pos":
		return Pos(args[0])
	case "invert":
		return Invert(args[0])
	case "repr":
		return Str(Repr(args[0])), nil
	case "str":
		return Str(StrOf(args[0])), nil
	case "ascii":
		if s, ok := AsStr(args[0]); ok {
			return Str(ASCII(Str(s))), nil
		}
		return Str(Repr(args[0])), nil
	case "bool":
		return Bool(Truth(args[0])), nil
	case "int":
		return ToInt(args[0])
	case "float":
		f, err := ToFloat(args[0])
		return Float(f), err
	case "len":
		n, err := Len(args[0])
		return Int(n), err
	case "iter":
		items, err := Items(nil, args[0])
		return NewList(items...), err
	case "hash":
		_, err := HashKey(args[0])
		return Int(1), err
	case "slice":
		return Slice(args[0], args[1], args[2], args[3])
	}
	return nil, Errorf("NotImplementedError", "%s", op)
}
