// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"math/big"
	"math/rand/v2"
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/python"
)

// arguments are the arguments of one call.
type arguments struct {
	positional []python.Value
	names      []string
	named      []python.Value
}

// none rejects named arguments.
func (a arguments) none(fn string) error {
	if len(a.names) > 0 {
		return typeError("%s() takes no keyword arguments", fn)
	}
	return nil
}

// count rejects named arguments, and fewer than lo or more than hi others.
func (a arguments) count(fn string, lo, hi int) error {
	if err := a.none(fn); err != nil {
		return err
	}
	if n := len(a.positional); n < lo || n > hi {
		if lo == hi {
			return typeError("%s() takes %d argument(s), not %d", fn, lo, n)
		}
		return typeError("%s() takes %d to %d arguments, not %d", fn, lo, hi, n)
	}
	return nil
}

// spread returns the arguments in the order of params, with nil for missing ones.
func (a arguments) spread(fn string, params ...string) ([]python.Value, error) {
	if len(a.positional) > len(params) {
		return nil, typeError("%s() takes at most %d arguments, not %d", fn, len(params), len(a.positional))
	}
	out := make([]python.Value, len(params))
	copy(out, a.positional)
	for i, name := range a.names {
		found := false
		for j, p := range params {
			if p == name {
				if out[j] != nil {
					return nil, typeError("%s() got the argument '%s' twice", fn, name)
				}
				out[j], found = a.named[i], true
			}
		}
		if !found {
			return nil, typeError("%s() has no argument '%s'", fn, name)
		}
	}
	return out, nil
}

// functions are the names that expressions can use in addition to the constants.
var functions = map[string]python.Value{
	"int":     &class{"int"},
	"float":   &class{"float"},
	"str":     &class{"str"},
	"list":    &class{"list"},
	"tuple":   &class{"tuple"},
	"dict":    &class{"dict"},
	"set":     &class{"set"},
	"rand":    &builtin{function(random)},
	"randint": &builtin{function(randomInt)},
}

type function func(e *evaluator, args arguments) (python.Value, error)

func (f function) call(e *evaluator, args arguments) (python.Value, error) { return f(e, args) }

// call evaluates a call. As in simpleeval, only names in the list above and attributes can
// be called.
func (e *evaluator) call(n *callNode) (python.Value, error) {
	var fn python.Value
	switch f := ungroup(n.fn).(type) {
	case *attributeNode:
		var err error
		if fn, err = e.eval(f); err != nil {
			return nil, err
		}
	case *nameNode:
		var ok bool
		if fn, ok = functions[f.name]; !ok {
			return nil, faultf(FunctionNotDefined, f.offset(), "the function '%s' is not defined", f.name)
		}
	default:
		return nil, faultf(FeatureNotAvailable, n.offset(), "only functions and methods can be called")
	}
	var args arguments
	var err error
	if args.positional, err = e.items(n.args); err != nil {
		return nil, err
	}
	e.frames += 3
	for _, k := range n.keywords {
		v, err := e.eval(k.value)
		if err == nil {
			err = checkHashable(v, 0) // a side effect in simpleeval
		}
		if err == nil && k.name == "" {
			err = typeError("'**' in a call is not available")
		}
		if err != nil {
			return nil, faultAt(err, k.pos)
		}
		args.names = append(args.names, k.name)
		args.named = append(args.named, v)
	}
	e.frames -= 3
	return e.made(e.callValue(fn, args))
}

// numberNanos is the time of reading a number, in nanoseconds per byte.
const numberNanos = 40

func (e *evaluator) callValue(fn python.Value, args arguments) (python.Value, error) {
	if c, ok := fn.(*class); ok {
		for _, a := range args.positional { // parsing a number takes more than linear time
			n := python.Size(a)
			if n < 16 {
				continue
			}
			nanos := hashNanos
			if c.name == "int" || c.name == "float" {
				nanos = numberNanos
			}
			if err := e.meter.SpendBytes(n, nanos); err != nil {
				return nil, err
			}
		}
	}
	switch f := fn.(type) {
	case *builtin:
		return f.call(e, args)
	case *class:
		return e.construct(f.name, args)
	}
	return nil, typeError("'%s' object is not callable", fn.TypeName())
}

// random and randomInt are simpleeval's rand and randint.
func random(_ *evaluator, args arguments) (python.Value, error) {
	if err := args.count("rand", 0, 0); err != nil {
		return nil, err
	}
	return python.Float(rand.Float64()), nil
}

func randomInt(_ *evaluator, args arguments) (python.Value, error) {
	a, err := args.spread("randint", "top")
	if err != nil {
		return nil, err
	}
	if a[0] == nil {
		return nil, typeError("randint() needs one argument")
	}
	product, err := python.Mul(python.Float(rand.Float64()), a[0])
	if err != nil {
		return nil, err
	}
	return toInt(product)
}

func (e *evaluator) construct(name string, args arguments) (python.Value, error) {
	switch name {
	case "int":
		return e.makeInt(args)
	case "float":
		if err := args.count("float", 0, 1); err != nil {
			return nil, err
		}
		if len(args.positional) == 0 {
			return python.Float(0), nil
		}
		v := args.positional[0]
		if b, ok := v.(Bytes); ok {
			v = python.Str(b)
		}
		f, err := python.ToFloat(v)
		if python.IsError(err, "ValueError") {
			return nil, valueError("float() got a text that is not a number")
		}
		return python.Float(f), err
	case "str":
		return e.makeStr(args)
	case "dict":
		return e.makeDict(args)
	}
	if err := args.count(name, 0, 1); err != nil {
		return nil, err
	}
	var items []python.Value
	if len(args.positional) == 1 {
		own, err := python.Items(&e.meter, args.positional[0])
		if err != nil {
			return nil, err
		}
		if err := e.growItems(len(own)); err != nil {
			return nil, err
		}
		items = append(items, own...)
	}
	switch name {
	case "list":
		return &python.List{Items: items}, nil
	case "tuple":
		return &python.Tuple{Items: items}, nil
	}
	return e.newSet(items)
}

// toInt returns int(v), with faults that do not reveal v.
func toInt(v python.Value) (python.Value, error) {
	n, err := python.ToInt(v)
	if _, isText := v.(python.Str); isText && err != nil {
		return nil, valueError("int() got a text that is not a whole number")
	}
	return n, err
}

func (e *evaluator) makeInt(args arguments) (python.Value, error) {
	if len(args.names) > 0 && len(args.positional) == 0 {
		return nil, typeError("int() has no such argument")
	}
	a, err := args.spread("int", "", "base")
	if err != nil {
		return nil, err
	}
	if a[0] == nil {
		return python.Int(0), nil
	}
	v := a[0]
	if b, ok := v.(Bytes); ok {
		v = python.Str(b)
	}
	if a[1] == nil {
		return toInt(v)
	}
	text, ok := python.AsStr(v)
	if !ok {
		return nil, typeError("int() can't convert non-string with explicit base")
	}
	base, ok := python.AsInt(a[1])
	if !ok {
		return nil, typeError("'%s' object cannot be interpreted as an integer", a[1].TypeName())
	}
	if base != 0 && base < 2 || base > 36 {
		return nil, valueError("int() base must be >= 2 and <= 36, or 0")
	}
	if base == 10 {
		return toInt(v)
	}
	if err := e.meter.SpendBytes(len(text), numberNanos); err != nil {
		return nil, err
	}
	n, ok := parseBase(python.Strip(text), int(base))
	if !ok {
		return nil, valueError("int() got a text that is not a whole number")
	}
	return n, nil
}

func parseBase(s string, base int) (python.Value, bool) {
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 {
		return nil, false
	}
	prefixed := 0
	if len(digits) > 1 && digits[0] == '0' {
		prefixed = map[byte]int{'x': 16, 'o': 8, 'b': 2}[digits[1]|0x20]
	}
	if prefixed > 0 && (base == 0 || base == prefixed) {
		base = prefixed
		digits = strings.TrimPrefix(digits[2:], "_")
	} else if base == 0 {
		if strings.HasPrefix(digits, "0") && strings.Trim(digits, "0_") != "" {
			return nil, false
		}
		base = 10
	}
	if digits == "" || digits[0] == '_' || digits[len(digits)-1] == '_' || strings.Contains(digits, "__") ||
		digits[0] == '+' || digits[0] == '-' {
		return nil, false
	}
	digits = strings.ReplaceAll(digits, "_", "")
	if base&(base-1) != 0 && len(digits) > maxDigits || len(digits) > python.MaxIntBits/2 {
		return nil, false
	}
	n, ok := new(big.Int).SetString(digits, base)
	if !ok || n.BitLen() > python.MaxIntBits {
		return nil, false
	}
	if s[0] == '-' {
		n.Neg(n)
	}
	return python.NewInt(n), true
}

func (e *evaluator) makeStr(args arguments) (python.Value, error) {
	a, err := args.spread("str", "object", "encoding", "errors")
	if err != nil {
		return nil, err
	}
	for _, v := range a[1:] {
		if v == nil {
			continue
		}
		if _, ok := v.(python.Str); !ok {
			return nil, typeError("str() argument 'encoding' must be str, not %s", v.TypeName())
		}
	}
	switch {
	case a[0] == nil:
		return python.Str(""), nil
	case a[1] != nil || a[2] != nil:
		b, ok := a[0].(Bytes)
		if !ok {
			return nil, typeError("decoding to str: need a bytes-like object, %s found", a[0].TypeName())
		}
		return decodeBytes(b, a[1], a[2])
	}
	return e.str(a[0])
}

// str returns str(v).
func (e *evaluator) str(v python.Value) (python.Value, error) {
	if s, ok := v.(python.Str); ok {
		return s, nil
	}
	if err := e.printable(v); err != nil {
		return nil, err
	}
	out := python.StrOf(v)
	if len(out) > python.MaxLen {
		return nil, faultf(LimitExceeded, -1, "the text would become too long")
	}
	return python.Str(out), nil
}

// tooManyDigits is the smallest number that Python doesn't print.
var tooManyDigits = new(big.Int).Exp(big.NewInt(10), big.NewInt(maxDigits), nil)

// printable rejects numbers that Python doesn't print, and charges for printing.
func (e *evaluator) printable(v python.Value) error {
	n, err := python.Weigh(&e.meter, v)
	if err != nil {
		return err
	}
	if n > python.MaxLen {
		return faultf(LimitExceeded, -1, "the text would become too long")
	}
	if n >= 64 {
		if err := e.meter.SpendBytes(n, 3*deepNanos); err != nil {
			return err
		}
	}
	return checkDigits(v)
}

func checkDigits(v python.Value) error {
	var items []python.Value
	switch v := v.(type) {
	case *python.Big:
		if v.Int().CmpAbs(tooManyDigits) >= 0 {
			return valueError("a number has more than %d digits", maxDigits)
		}
	case *python.Dict:
		for i := range v.Len() {
			key, val := v.At(i)
			if err := checkDigits(key); err != nil {
				return err
			}
			if err := checkDigits(val); err != nil {
				return err
			}
		}
	case *python.DictView:
		return checkDigits(v.Dict)
	case *python.List:
		items = v.Items
	case *python.Tuple:
		items = v.Items
	case *python.Set:
		for i := range v.Len() {
			if err := checkDigits(v.At(i)); err != nil {
				return err
			}
		}
	}
	for _, it := range items {
		if err := checkDigits(it); err != nil {
			return err
		}
	}
	return nil
}

func (e *evaluator) makeDict(args arguments) (python.Value, error) {
	if len(args.positional) > 1 {
		return nil, typeError("dict expected at most 1 argument, got %d", len(args.positional))
	}
	d := python.NewDict(0)
	if len(args.positional) == 1 {
		if err := e.update(d, args.positional[0]); err != nil {
			return nil, err
		}
	}
	for i, name := range args.names {
		d.SetStr(name, args.named[i])
	}
	return d, nil
}

// update implements d.update(from), with another dict or pairs.
func (e *evaluator) update(d *python.Dict, from python.Value) error {
	if other, ok := from.(*python.Dict); ok {
		e.changes++
		if err := e.holdEntries(other.Len()); err != nil {
			return err
		}
		for i := range other.Len() {
			key, val := other.At(i)
			if err := e.chargeKey(key); err != nil {
				return err
			}
			if err := d.Set(key, val); err != nil {
				return err
			}
		}
		return nil
	}
	pairs, err := python.Items(&e.meter, from)
	if err != nil {
		return err
	}
	e.changes++
	if err := e.holdEntries(len(pairs)); err != nil {
		return err
	}
	for i, p := range append([]python.Value(nil), pairs...) {
		pair, err := python.Items(&e.meter, p)
		if isLimit(err) {
			return err
		}
		if err != nil {
			return typeError("cannot convert dictionary update sequence element #%d to a sequence", i)
		}
		if len(pair) != 2 {
			return valueError("dictionary update sequence element #%d has length %d; 2 is required", i, len(pair))
		}
		if err := e.chargeKey(pair[0]); err != nil {
			return err
		}
		if err := d.Set(pair[0], pair[1]); err != nil {
			return err
		}
	}
	return nil
}

// decodeBytes returns b.decode(encoding, errors).
func decodeBytes(b Bytes, encoding, errors python.Value) (python.Value, error) {
	name, err := encodingName(encoding)
	if err != nil {
		return nil, err
	}
	strict := true
	if s, ok := errors.(python.Str); ok {
		strict = s == "strict"
	}
	if name == "latin-1" {
		runes := make([]rune, len(b))
		for i := range runes {
			runes[i] = rune(b[i])
		}
		return python.Str(string(runes)), nil
	}
	ok := utf8.ValidString(string(b))
	if name == "ascii" {
		ok = strings.IndexFunc(string(b), func(r rune) bool { return r >= utf8.RuneSelf }) < 0
	}
	if !ok {
		if strict {
			return nil, faultf("UnicodeDecodeError", -1, "these bytes are not %s", name)
		}
		return nil, faultf(FeatureNotAvailable, -1, "decoding with 'errors' is not available")
	}
	return python.Str(b), nil
}

// encodeText returns s.encode(encoding, errors).
func encodeText(s string, encoding, errors python.Value) (python.Value, error) {
	name, err := encodingName(encoding)
	if err != nil {
		return nil, err
	}
	if name == "utf-8" {
		return Bytes(s), nil
	}
	limit := rune(utf8.RuneSelf)
	if name == "latin-1" {
		limit = 0x100
	}
	out := make([]byte, 0, len(s))
	for _, r := range s {
		if r < limit {
			out = append(out, byte(r))
			continue
		}
		mode, _ := errors.(python.Str)
		switch mode {
		case "ignore":
		case "replace":
			out = append(out, '?')
		default:
			return nil, faultf("UnicodeEncodeError", -1, "a character can't be encoded as %s", name)
		}
	}
	return Bytes(out), nil
}

func encodingName(v python.Value) (string, error) {
	if v == nil {
		return "utf-8", nil
	}
	s, ok := v.(python.Str)
	if !ok {
		return "", typeError("argument 'encoding' must be str, not %s", v.TypeName())
	}
	switch strings.NewReplacer("_", "-", " ", "-").Replace(strings.ToLower(string(s))) {
	case "utf-8", "utf8", "u8":
		return "utf-8", nil
	case "ascii", "us-ascii":
		return "ascii", nil
	case "latin-1", "latin1", "iso-8859-1", "iso8859-1", "l1":
		return "latin-1", nil
	}
	return "", faultf("LookupError", -1, "this encoding is not available")
}
