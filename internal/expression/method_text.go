// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/python"
)

func (e *evaluator) textMethod(s, name string, args []python.Value) (python.Value, error) {
	switch name {
	case "encode":
		if len(args) > 2 {
			return nil, typeError("encode() takes at most 2 arguments")
		}
		args = append(append([]python.Value(nil), args...), nil, nil)
		return encodeText(s, args[0], args[1])
	case "maketrans":
		return e.classMethod(name, args)
	case "translate":
		return e.translate(s, args)
	case "replace":
		// The result may be far longer than the input.
		if len(args) >= 2 {
			from, ok1 := python.AsStr(args[0])
			to, ok2 := python.AsStr(args[1])
			if ok1 && ok2 && len(to) > len(from) {
				if err := e.charge(min(len(s)*len(to), python.MaxLen) / 256); err != nil {
					return nil, err
				}
			}
		}
	}
	return e.plainMethod(python.Str(s), name, args)
}

func (e *evaluator) translate(s string, args []python.Value) (python.Value, error) {
	if len(args) != 1 {
		return nil, typeError("translate() takes one argument, not %d", len(args))
	}
	if err := e.meter.SpendBytes(len(s), translateNanos); err != nil {
		return nil, err
	}
	var b strings.Builder
	for i, r := range s {
		if i%(64<<10) == 0 {
			if err := e.meter.Look(); err != nil {
				return nil, err
			}
		}
		v, err := python.GetItem(args[0], python.Int(r))
		if python.IsError(err, "KeyError", "IndexError") {
			b.WriteRune(r)
			continue
		}
		if err != nil {
			return nil, err
		}
		switch v := v.(type) {
		case python.NoneType:
		case python.Int:
			if v < 0 || v > utf8.MaxRune {
				return nil, valueError("translate() got a number that is not a character")
			}
			b.WriteRune(rune(v))
		case python.Str:
			b.WriteString(string(v))
		default:
			return nil, typeError("character mapping must return integer, None or str")
		}
		if b.Len() > python.MaxLen {
			return nil, faultf(LimitExceeded, -1, "the text would become too long")
		}
	}
	return python.Str(b.String()), nil
}

// classMethod calls a method that needs no object.
func (e *evaluator) classMethod(name string, args []python.Value) (python.Value, error) {
	switch name {
	case "fromkeys":
		if len(args) < 1 || len(args) > 2 {
			return nil, typeError("fromkeys() takes 1 to 2 arguments, not %d", len(args))
		}
		keys, err := python.Items(&e.meter, args[0])
		if err != nil {
			return nil, err
		}
		if err := e.holdEntries(len(keys)); err != nil {
			return nil, err
		}
		val := python.None
		if len(args) == 2 {
			val = args[1]
		}
		d := python.NewDict(len(keys))
		for _, k := range keys {
			if err := e.chargeKey(k); err != nil {
				return nil, err
			}
			if err := d.Set(k, val); err != nil {
				return nil, err
			}
		}
		return d, nil
	case "maketrans":
		return e.makeTrans(args)
	case "from_bytes":
		return fromBytes(args)
	case "fromhex":
		if len(args) != 1 {
			return nil, typeError("fromhex() takes one argument, not %d", len(args))
		}
		s, ok := python.AsStr(args[0])
		if !ok {
			return nil, typeError("fromhex() argument must be str, not %s", args[0].TypeName())
		}
		s = strings.ToLower(python.Strip(s))
		digits := strings.TrimLeft(s, "+-")
		sign := s[:len(s)-len(digits)]
		if !strings.ContainsAny(digits, "inty") { // not inf, infinity or nan
			s = sign + "0x" + strings.TrimPrefix(digits, "0x")
			if !strings.Contains(s, "p") {
				s += "p0"
			}
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || len(sign) > 1 || strings.Contains(s, "_") {
			return nil, valueError("invalid hexadecimal floating-point string")
		}
		return python.Float(f), nil
	}
	return nil, faultf(FeatureNotAvailable, -1, "the method '%s' is not available", name)
}

func (e *evaluator) makeTrans(args []python.Value) (python.Value, error) {
	d := python.NewDict(0)
	if len(args) == 1 {
		from, ok := args[0].(*python.Dict)
		if !ok {
			return nil, typeError("if you give only one argument to maketrans it must be a dict")
		}
		if err := e.holdEntries(from.Len()); err != nil {
			return nil, err
		}
		for i := range from.Len() {
			k, v := from.At(i)
			if s, ok := python.AsStr(k); ok {
				r, n := utf8.DecodeRuneInString(s)
				if n == 0 || n != len(s) {
					return nil, valueError("string keys in translate table must be of length 1")
				}
				k = python.Int(r)
			}
			if err := e.chargeKey(k); err != nil {
				return nil, err
			}
			if err := d.Set(k, v); err != nil {
				return nil, err
			}
		}
		return d, nil
	}
	if len(args) < 2 || len(args) > 3 {
		return nil, typeError("maketrans() takes 1 to 3 arguments, not %d", len(args))
	}
	var texts [3][]rune
	for i, a := range args {
		s, ok := python.AsStr(a)
		if !ok {
			return nil, typeError("maketrans() argument %d must be str, not %s", i+1, a.TypeName())
		}
		if err := e.holdEntries(len(s)); err != nil {
			return nil, err
		}
		texts[i] = []rune(s)
	}
	if len(texts[0]) != len(texts[1]) {
		return nil, valueError("the first two maketrans arguments must have equal length")
	}
	for i, r := range texts[0] {
		_ = d.Set(python.Int(r), python.Int(texts[1][i]))
	}
	for _, r := range texts[2] {
		_ = d.Set(python.Int(r), python.None)
	}
	return d, nil
}
