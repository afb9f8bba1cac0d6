// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"encoding/hex"
	"math"
	"math/big"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/python"
)

// parameters are the names of the arguments of methods that accept keyword arguments.
var parameters = map[string][]string{
	"str.split":       {"sep", "maxsplit"},
	"str.rsplit":      {"sep", "maxsplit"},
	"str.splitlines":  {"keepends"},
	"str.expandtabs":  {"tabsize"},
	"str.encode":      {"encoding", "errors"},
	"bytes.decode":    {"encoding", "errors"},
	"int.to_bytes":    {"length", "byteorder", "signed"},
	"int.from_bytes":  {"bytes", "byteorder", "signed"},
	"bool.to_bytes":   {"length", "byteorder", "signed"},
	"bool.from_bytes": {"bytes", "byteorder", "signed"},
}

// defaults are the values of omitted arguments before a named argument.
var defaults = map[string]python.Value{"sep": python.None, "maxsplit": python.Int(-1)}

func (e *evaluator) callMethod(typ, name string, self python.Value, args arguments) (python.Value, error) {
	full := typ + "." + name
	if len(args.names) > 0 && full != "list.sort" && full != "dict.update" {
		spread, err := args.spread(full, parameters[full]...)
		if err != nil {
			return nil, err
		}
		for i := range spread {
			if spread[i] == nil {
				spread[i] = defaults[parameters[full][i]]
			}
		}
		for len(spread) > 0 && spread[len(spread)-1] == nil {
			spread = spread[:len(spread)-1]
		}
		args = arguments{positional: spread}
	}
	if err := e.chargeMethod(name, self, args.positional); err != nil {
		return nil, err
	}
	switch v := self.(type) {
	case python.Str:
		return e.textMethod(string(v), name, args.positional)
	case Bytes:
		return e.bytesMethod(v, name, args.positional)
	case *python.List:
		return e.listMethod(v, name, args)
	case *python.Dict:
		return e.dictMethod(v, name, args)
	case *python.Set:
		return e.setMethod(v, name, args)
	case *python.DictView:
		set, ok := e.viewSet(v).(*python.Set)
		if !ok {
			return nil, typeError("the dict holds what a set can't")
		}
		return e.setMethod(set, name, args)
	case Complex:
		return Complex(complex(real(v), -imag(v))), args.count(full, 0, 0)
	case nil:
		return e.classMethod(name, args.positional)
	}
	switch name {
	case "to_bytes":
		return toBytes(self, args.positional)
	case "from_bytes", "fromhex":
		return e.classMethod(name, args.positional)
	}
	return e.plainMethod(self, name, args.positional)
}

// plainMethod delegates the method to package python.
func (e *evaluator) plainMethod(self python.Value, name string, args []python.Value) (python.Value, error) {
	for i, a := range args {
		if a == nil {
			return nil, typeError("argument %d of %s() is missing", i+1, name)
		}
	}
	v, ok, err := python.CallMethod(&e.meter, self, name, args)
	if !ok {
		return nil, faultf(FeatureNotAvailable, -1, "the method '%s' is not available", name)
	}
	return v, err
}

// chargeMethod charges for the work of a method in advance.
func (e *evaluator) chargeMethod(name string, self python.Value, args []python.Value) error {
	if self == nil {
		self = python.None
	}
	switch name {
	case "append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse", "popitem", "setdefault", "update", "add", "discard",
		"difference_update", "intersection_update", "symmetric_difference_update":
		e.changes++
	}
	work := python.Size(self) / 32
	for _, a := range args {
		if a == nil {
			continue
		}
		n, err := python.Weigh(&e.meter, a)
		if err != nil {
			return err
		}
		if n >= 64 {
			work += n * hashNanos / int(meter.StepTime)
		}
	}
	return e.charge(work)
}

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

// translateNanos is the time for translating a byte, in nanoseconds.
const translateNanos = 120

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

func byteOrder(args []python.Value) (little, signed bool, err error) {
	if len(args) > 1 && args[1] != nil {
		switch args[1] {
		case python.Str("little"):
			little = true
		case python.Str("big"):
		default:
			return false, false, valueError("byteorder must be either 'little' or 'big'")
		}
	}
	return little, len(args) > 2 && args[2] != nil && truth(args[2]), nil
}

func reverse(b []byte) {
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
}

func toBytes(self python.Value, args []python.Value) (python.Value, error) {
	if len(args) > 3 {
		return nil, typeError("to_bytes() takes at most 3 arguments")
	}
	n, _ := python.AsBig(self)
	length := int64(1)
	if len(args) > 0 && args[0] != nil {
		var ok bool
		if length, ok = python.AsInt(args[0]); !ok {
			return nil, typeError("to_bytes() wants a whole number as length")
		}
	}
	if length < 0 {
		return nil, valueError("length argument must be non-negative")
	}
	if length > python.MaxLen {
		return nil, faultf(LimitExceeded, -1, "the bytes would become too long")
	}
	little, signed, err := byteOrder(args)
	if err != nil {
		return nil, err
	}
	bits := n.BitLen()
	if signed {
		if n.Sign() < 0 {
			bits = new(big.Int).Not(n).BitLen()
		}
		bits++
	} else if n.Sign() < 0 {
		return nil, faultf("OverflowError", -1, "can't convert negative int to unsigned")
	}
	if n.Sign() != 0 && int64(bits) > 8*length {
		return nil, faultf("OverflowError", -1, "int too big to convert")
	}
	out := make([]byte, length)
	if n.Sign() < 0 {
		n = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*length)))
	}
	n.FillBytes(out)
	if little {
		reverse(out)
	}
	return Bytes(out), nil
}

func fromBytes(args []python.Value) (python.Value, error) {
	if len(args) < 1 || len(args) > 3 {
		return nil, typeError("from_bytes() takes 1 to 3 arguments")
	}
	b, ok := args[0].(Bytes)
	if !ok {
		return nil, typeError("from_bytes() wants bytes")
	}
	if len(b) > python.MaxIntBits/8 {
		return nil, faultf(LimitExceeded, -1, "the number would become too large")
	}
	little, signed, err := byteOrder(args)
	if err != nil {
		return nil, err
	}
	raw := []byte(b)
	if little {
		reverse(raw)
	}
	n := new(big.Int).SetBytes(raw)
	if signed && len(raw) > 0 && raw[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw))))
	}
	return python.NewInt(n), nil
}

// bytesMethod applies the methods of str to ASCII bytes.
func (e *evaluator) bytesMethod(b Bytes, name string, args []python.Value) (python.Value, error) {
	switch name {
	case "decode":
		if len(args) > 2 {
			return nil, typeError("decode() takes at most 2 arguments")
		}
		args = append(append([]python.Value(nil), args...), nil, nil)
		return decodeBytes(b, args[0], args[1])
	case "hex":
		if len(args) > 0 {
			return nil, faultf(FeatureNotAvailable, -1, "hex() with arguments is not available")
		}
		if err := e.grow(2 * len(b)); err != nil {
			return nil, err
		}
		return python.Str(hex.EncodeToString([]byte(b))), nil
	case "fromhex":
		if len(args) != 1 {
			return nil, typeError("fromhex() takes one argument, not %d", len(args))
		}
		s, _ := python.AsStr(args[0])
		out, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			return nil, valueError("non-hexadecimal number found in fromhex() arg")
		}
		return Bytes(out), nil
	}
	plain := func(b Bytes) bool {
		return strings.IndexFunc(string(b), func(r rune) bool { return r >= utf8.RuneSelf }) < 0
	}
	ok := plain(b)
	var toText func(v python.Value) (python.Value, error)
	toText = func(v python.Value) (python.Value, error) {
		switch v := v.(type) {
		case Bytes:
			ok = ok && plain(v)
			return python.Str(v), nil
		case python.Str:
			return nil, typeError("a bytes-like object is required, not 'str'")
		case *python.List, *python.Tuple:
			own, _ := python.Items(&e.meter, v)
			items := make([]python.Value, len(own))
			for i, it := range own {
				var err error
				if items[i], err = toText(it); err != nil {
					return nil, err
				}
			}
			if _, isList := v.(*python.List); isList {
				return &python.List{Items: items}, nil
			}
			return &python.Tuple{Items: items}, nil
		}
		return v, nil
	}
	texts := make([]python.Value, len(args))
	for i, a := range args {
		var err error
		if texts[i], err = toText(a); err != nil {
			return nil, err
		}
	}
	if !ok {
		return nil, faultf(FeatureNotAvailable, -1, "methods of bytes beyond ASCII are not available")
	}
	v, err := e.plainMethod(python.Str(b), name, texts)
	if err != nil {
		return nil, err
	}
	return asBytes(v), nil
}

func asBytes(v python.Value) python.Value {
	switch v := v.(type) {
	case python.Str:
		return Bytes(v)
	case *python.List:
		for i, it := range v.Items {
			v.Items[i] = asBytes(it)
		}
	case *python.Tuple:
		items := make([]python.Value, len(v.Items))
		for i, it := range v.Items {
			items[i] = asBytes(it)
		}
		return &python.Tuple{Items: items}
	}
	return v
}

func (e *evaluator) listMethod(l *python.List, name string, args arguments) (python.Value, error) {
	a := args.positional
	count := func(lo, hi int) error { return args.count("list."+name, lo, hi) }
	switch name {
	case "append":
		if err := count(1, 1); err != nil {
			return nil, err
		}
		if err := e.growItems(2); err != nil {
			return nil, err
		}
		l.Items = append(l.Items, a[0])
		return python.None, nil
	case "extend":
		if err := count(1, 1); err != nil {
			return nil, err
		}
		items, err := python.Items(&e.meter, a[0])
		if err != nil {
			return nil, err
		}
		if err := e.growList(l, len(items)); err != nil {
			return nil, err
		}
		l.Items = append(l.Items[:len(l.Items):len(l.Items)], items...)
		return python.None, nil
	case "insert", "pop":
		i := int64(len(l.Items) - 1)
		lo, hi := 2, 2
		if name == "pop" {
			lo, hi = 0, 1
		}
		if err := count(lo, hi); err != nil {
			return nil, err
		}
		if len(a) > 0 {
			var ok bool
			if i, ok = python.AsInt(a[0]); !ok {
				return nil, typeError("'%s' object cannot be interpreted as an integer", a[0].TypeName())
			}
			if i < 0 {
				i += int64(len(l.Items))
			}
		}
		if name == "insert" {
			i = max(min(i, int64(len(l.Items))), 0)
			if err := e.moveItems(len(l.Items)); err != nil {
				return nil, err
			}
			if err := e.growItems(2); err != nil {
				return nil, err
			}
			l.Items = slices.Insert(l.Items, int(i), a[1])
			return python.None, nil
		}
		if len(l.Items) == 0 {
			return nil, faultf("IndexError", -1, "pop from empty list")
		}
		if i < 0 || i >= int64(len(l.Items)) {
			return nil, faultf("IndexError", -1, "pop index out of range")
		}
		v := l.Items[i]
		l.Items = slices.Delete(l.Items, int(i), int(i)+1)
		return v, e.moveItems(len(l.Items))
	case "remove":
		if err := count(1, 1); err != nil {
			return nil, err
		}
		for i, it := range l.Items {
			eq, err := e.equal(it, a[0])
			if err != nil {
				return nil, err
			}
			if eq {
				l.Items = slices.Delete(l.Items, i, i+1)
				return python.None, e.moveItems(len(l.Items))
			}
		}
		return nil, valueError("list.remove(x): x not in list")
	case "clear":
		l.Items = nil
		return python.None, count(0, 0)
	case "reverse":
		if err := e.moveItems(len(l.Items)); err != nil {
			return nil, err
		}
		for i, j := 0, len(l.Items)-1; i < j; i, j = i+1, j-1 {
			l.Items[i], l.Items[j] = l.Items[j], l.Items[i]
		}
		return python.None, count(0, 0)
	case "sort":
		return e.sort(l, args)
	}
	if name == "index" && len(a) > 1 {
		return nil, faultf(FeatureNotAvailable, -1, "index() with a start is not available")
	}
	return e.plainMethod(l, name, a)
}

func (e *evaluator) growList(l *python.List, n int) error {
	if len(l.Items)+n > python.MaxLen {
		return faultf(LimitExceeded, -1, "the list would become too long")
	}
	return e.growItems(len(l.Items) + n)
}

func (e *evaluator) sort(l *python.List, args arguments) (python.Value, error) {
	if len(args.positional) > 0 {
		return nil, typeError("sort() takes no positional arguments")
	}
	a, err := args.spread("sort", "key", "reverse")
	if err != nil {
		return nil, err
	}
	if err := e.growItems(3 * len(l.Items)); err != nil {
		return nil, err
	}
	items := append([]python.Value(nil), l.Items...)
	keys := items
	if a[0] != nil && a[0] != python.None {
		keys = make([]python.Value, len(items))
		for i, it := range items {
			if keys[i], err = e.made(e.callValue(a[0], arguments{positional: []python.Value{it}})); err != nil {
				return nil, err
			}
		}
	}
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	op := python.LT
	if a[1] != nil && truth(a[1]) {
		op = python.GT
	}
	var fault error
	sort.SliceStable(order, func(i, j int) bool {
		if fault != nil {
			return false
		}
		x, y := keys[order[i]], keys[order[j]]
		if fault = e.charge(1); fault != nil {
			return false
		}
		var less bool
		less, fault = python.Compare(&e.meter, op, x, y)
		return less
	})
	if fault != nil {
		return nil, fault
	}
	sorted := make([]python.Value, len(items))
	for i, j := range order {
		sorted[i] = items[j]
	}
	l.Items = sorted
	return python.None, nil
}

func (e *evaluator) dictMethod(d *python.Dict, name string, args arguments) (python.Value, error) {
	a := args.positional
	count := func(lo, hi int) error { return args.count("dict."+name, lo, hi) }
	switch name {
	case "fromkeys":
		return e.classMethod(name, a)
	case "clear":
		*d = *python.NewDict(0)
		return python.None, count(0, 0)
	case "pop":
		if err := count(1, 2); err != nil {
			return nil, err
		}
		v, ok, err := d.Get(a[0])
		switch {
		case err != nil:
			return nil, err
		case ok:
			return v, e.remove(d, a[0])
		case len(a) == 2:
			return a[1], nil
		}
		return nil, faultf("KeyError", -1, "the dict has no such key")
	case "popitem":
		if err := count(0, 0); err != nil {
			return nil, err
		}
		if d.Len() == 0 {
			return nil, faultf("KeyError", -1, "popitem(): dictionary is empty")
		}
		k, v := d.At(d.Len() - 1)
		return python.NewTuple(k, v), e.remove(d, k)
	case "setdefault":
		if err := count(1, 2); err != nil {
			return nil, err
		}
		v, ok, err := d.Get(a[0])
		if err != nil || ok {
			return v, err
		}
		val := python.None
		if len(a) == 2 {
			val = a[1]
		}
		if err := e.holdEntries(1); err != nil {
			return nil, err
		}
		if err := e.chargeKey(a[0]); err != nil {
			return nil, err
		}
		return val, d.Set(a[0], val)
	case "update":
		if len(a) > 1 {
			return nil, typeError("update expected at most 1 argument, got %d", len(a))
		}
		if len(a) == 1 {
			if err := e.update(d, a[0]); err != nil {
				return nil, err
			}
		}
		for i, name := range args.names {
			d.SetStr(name, args.named[i])
		}
		return python.None, nil
	}
	return e.plainMethod(d, name, a)
}

// remove removes a key, which package python doesn't support.
func (e *evaluator) remove(d *python.Dict, key python.Value) error {
	if err := e.charge(2 * d.Len()); err != nil {
		return err
	}
	keys, _ := python.Items(nil, d)
	if err := e.chargeKeys(keys); err != nil {
		return err
	}
	gone, err := python.HashKey(key)
	if err != nil {
		return err
	}
	out := python.NewDict(d.Len())
	for i := range d.Len() {
		k, v := d.At(i)
		if h, err := python.HashKey(k); err == nil && h == gone {
			continue
		}
		if err := out.Set(k, v); err != nil {
			return err
		}
	}
	*d = *out
	return nil
}

func (e *evaluator) setMethod(s *python.Set, name string, args arguments) (python.Value, error) {
	a := args.positional
	lo, hi := 0, math.MaxInt
	switch name {
	case "add", "discard", "remove", "issubset", "issuperset", "isdisjoint", "symmetric_difference", "symmetric_difference_update":
		lo, hi = 1, 1
	case "clear", "copy", "pop":
		hi = 0
	}
	if err := args.count("set."+name, lo, hi); err != nil {
		return nil, err
	}
	switch name {
	case "add":
		if err := e.holdEntries(1); err != nil {
			return nil, err
		}
	default:
		if err := e.holdEntries(s.Len()); err != nil {
			return nil, err
		}
		if err := e.chargeKeys(members(s)); err != nil {
			return nil, err
		}
	}
	others := make([]*python.Set, 0, len(a))
	switch name {
	case "add":
		if err := e.chargeKey(a[0]); err != nil {
			return nil, err
		}
		return python.None, s.Add(a[0])
	case "clear":
		*s = python.Set{}
		return python.None, nil
	case "copy":
		return e.plainMethod(s, name, nil)
	case "pop":
		if s.Len() == 0 {
			return nil, faultf("KeyError", -1, "pop from an empty set")
		}
		if s.Len() > 1 {
			return nil, faultf(FeatureNotAvailable, -1, "which member pop() takes of a set is not defined")
		}
		v := s.At(0)
		return v, filterSet(s, func(m python.Value) (bool, error) { eq, err := e.equal(m, v); return !eq, err })
	case "discard", "remove":
		has, err := s.Has(a[0])
		if err != nil {
			return nil, err
		}
		if !has && name == "remove" {
			return nil, faultf("KeyError", -1, "the set has no such member")
		}
		return python.None, filterSet(s, func(m python.Value) (bool, error) { eq, err := e.equal(m, a[0]); return !eq, err })
	}
	for _, v := range a {
		items, err := python.Items(&e.meter, v)
		if err != nil {
			return nil, err
		}
		o, err := e.newSet(items)
		if err != nil {
			return nil, err
		}
		others = append(others, o)
	}
	inAll := func(o []*python.Set, want bool) func(python.Value) (bool, error) {
		return func(m python.Value) (bool, error) {
			for _, other := range o {
				if has, err := other.Has(m); err != nil || has != want {
					return false, err
				}
			}
			return true, nil
		}
	}
	out, err := python.NewSet(members(s)...)
	if err != nil {
		return nil, err
	}
	base, update := strings.CutSuffix(name, "_update")
	if name == "update" {
		base, update = "union", true
	}
	switch base {
	case "union":
		for _, o := range others {
			for _, m := range members(o) {
				if err := out.Add(m); err != nil {
					return nil, err
				}
			}
		}
	case "intersection":
		err = filterSet(out, inAll(others, true))
	case "difference":
		err = filterSet(out, inAll(others, false))
	case "symmetric_difference":
		extra, _ := python.NewSet(members(others[0])...)
		if err = filterSet(extra, inAll([]*python.Set{s}, false)); err == nil {
			err = filterSet(out, inAll(others, false))
		}
		for _, m := range members(extra) {
			_ = out.Add(m)
		}
	case "issubset":
		ok, err := python.Compare(&e.meter, python.LE, s, others[0])
		return python.Bool(ok), err
	case "issuperset":
		ok, err := python.Compare(&e.meter, python.GE, s, others[0])
		return python.Bool(ok), err
	case "isdisjoint":
		err = filterSet(out, inAll(others, true))
		return python.Bool(out.Len() == 0), err
	}
	if err != nil {
		return nil, err
	}
	if update {
		*s = *out
		return python.None, nil
	}
	return out, nil
}

func members(s *python.Set) []python.Value {
	out := make([]python.Value, s.Len())
	for i := range out {
		out[i] = s.At(i)
	}
	return out
}

func filterSet(s *python.Set, keep func(python.Value) (bool, error)) error {
	out, _ := python.NewSet()
	for _, m := range members(s) {
		ok, err := keep(m)
		if err != nil {
			return err
		}
		if ok {
			if err := out.Add(m); err != nil {
				return err
			}
		}
	}
	*s = *out
	return nil
}
