// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"math"
	"math/cmplx"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/rehive/extension-operator/internal/python"
)

func (e *evaluator) unary(n *unaryNode) (python.Value, error) {
	if n.op == "~" {
		return nil, faultf(FeatureNotAvailable, n.offset(), "the operator '~' is not available")
	}
	v, err := e.eval(n.operand)
	if err != nil {
		return nil, err
	}
	if c, ok := v.(Complex); ok && n.op != "not" {
		if n.op == "-" {
			return -c, nil
		}
		return c, nil
	}
	switch n.op {
	case "not":
		return python.Bool(!truth(v)), nil
	case "-":
		if i, ok := v.(python.Int); ok && i != math.MinInt64 {
			return -i, nil
		}
		return e.made(python.Neg(v))
	}
	return python.Pos(v)
}

func (e *evaluator) binary(n *binaryNode) (python.Value, error) {
	switch n.op {
	case "&", "|", "^", "@":
		return nil, faultf(FeatureNotAvailable, n.offset(), "the operator '%s' is not available", n.op)
	}
	left, err := e.eval(n.left)
	if err != nil {
		return nil, err
	}
	right, err := e.eval(n.right)
	if err != nil {
		return nil, err
	}
	if err := python.SpendArithmetic(&e.meter, n.op, left, right); err != nil {
		return nil, err
	}
	return e.made(e.arithmetic(n.op, left, right))
}

func (e *evaluator) arithmetic(op string, a, b python.Value) (python.Value, error) {
	if x, y, ok := complexes(a, b); ok {
		return complexOp(op, x, y)
	}
	switch op {
	case "+":
		return e.add(a, b)
	case "-":
		if v, ok := a.(*python.DictView); ok && v.Kind != python.DictValues {
			return e.subtractView(v, b)
		}
		return python.Sub(a, b)
	case "*":
		return e.multiply(a, b)
	case "/":
		v, err := python.TrueDiv(a, b)
		if f, ok := v.(python.Float); ok && f == 0 {
			if x, ok := python.AsInt(a); ok && x == 0 && isNegativeInt(b) {
				return python.Float(math.Copysign(0, -1)), err
			}
		}
		return v, err
	case "//":
		return python.FloorDiv(a, b)
	case "%":
		return e.modulo(a, b)
	case "**":
		return power(a, b)
	}
	// << and >>
	if !isNumber(b) {
		return nil, typeError("bad operand type for abs(): '%s'", b.TypeName())
	}
	if tooHigh(b, maxShift) {
		return nil, faultf(NumberTooHigh, -1, "a number can't be shifted by more than %d places", maxShift)
	}
	return python.BitOp(op[0], a, b)
}

func (e *evaluator) add(a, b python.Value) (python.Value, error) {
	n, ok := length(a)
	m, ok2 := length(b)
	if !ok || !ok2 {
		return python.Add(a, b)
	}
	if n+m > maxString {
		return nil, faultf(IterableTooLong, -1, "the sum of the two would be longer than %d", maxString)
	}
	if x, ok := a.(Bytes); ok {
		y, ok := b.(Bytes)
		if !ok {
			return nil, typeError("can't concat %s to bytes", b.TypeName())
		}
		return x + y, nil
	}
	return python.Add(a, b)
}

func (e *evaluator) multiply(a, b python.Value) (python.Value, error) {
	n, ok := length(a)
	factor := b
	if !ok {
		if n, ok = length(b); ok {
			factor = a
		}
	}
	if !ok {
		return python.Mul(a, b)
	}
	if !isNumber(factor) {
		return nil, typeError("can't multiply sequence by non-int of type '%s'", factor.TypeName())
	}
	if n > 0 {
		// Compared without multiplying, which could be too large.
		over, err := python.Compare(nil, python.GT, factor, python.Int(maxString/n))
		if err != nil || over {
			return nil, faultf(IterableTooLong, -1, "the product would be longer than %d", maxString)
		}
	}
	for _, v := range [...]python.Value{a, b} {
		if s, ok := v.(Bytes); ok {
			times, ok := python.AsInt(factor)
			if !ok {
				return nil, typeError("can't multiply sequence by non-int of type '%s'", factor.TypeName())
			}
			return Bytes(strings.Repeat(string(s), int(max(times, 0)))), nil
		}
	}
	return python.Mul(a, b)
}

func (e *evaluator) subtractView(v *python.DictView, other python.Value) (python.Value, error) {
	items, err := python.Items(&e.meter, other)
	if err != nil {
		return nil, err
	}
	remove, err := e.newSet(items)
	if err != nil {
		return nil, err
	}
	if err := e.holdEntries(v.Len()); err != nil {
		return nil, err
	}
	out, _ := python.NewSet()
	for i := range v.Len() {
		if err := e.chargeKey(v.At(i)); err != nil {
			return nil, err
		}
		has, err := remove.Has(v.At(i))
		if err != nil {
			return nil, err
		}
		if !has {
			if err := out.Add(v.At(i)); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (e *evaluator) modulo(a, b python.Value) (python.Value, error) {
	if f, ok := a.(Bytes); ok {
		return python.FormatBytes(&e.meter, f, b)
	}
	if s, ok := a.(python.Str); ok {
		// A width or precision is limited there, but each argument may be long.
		if err := e.printable(b); err != nil {
			return nil, err
		}
		if percentWithFlags(string(s)) {
			return nil, valueError("unsupported format character")
		}
		if _, ok := b.(Bytes); ok && strings.IndexByte(string(s), '%') < 0 {
			return s, nil // counts as a mapping, which may be unused
		}
		out, err := python.Format(&e.meter, string(s), b)
		return python.Str(out), err
	}
	return python.Mod(a, b)
}

// percentWithFlags finds a conversion with flags that ends in %, such as '%5%', which
// Python rejects.
func percentWithFlags(format string) bool {
	for {
		i := strings.IndexByte(format, '%')
		if i < 0 {
			return false
		}
		format = format[i+1:]
		if strings.HasPrefix(format, "%") {
			format = format[1:]
			continue
		}
		if strings.HasPrefix(format, "(") {
			if end := strings.IndexByte(format, ')'); end > 0 {
				format = format[end+1:]
			}
		}
		format = strings.TrimLeft(format, "-+ #0123456789.*hlL")
		if strings.HasPrefix(format, "%") {
			return true
		}
	}
}

// power implements simpleeval's power: both operands are limited, regardless of the result.
func power(a, b python.Value) (python.Value, error) {
	for _, v := range [...]python.Value{a, b} {
		if !isNumber(v) {
			return nil, typeError("bad operand type for abs(): '%s'", v.TypeName())
		}
		if tooHigh(v, maxPower) {
			return nil, faultf(NumberTooHigh, -1, "neither side of '**' can be higher than %d", maxPower)
		}
	}
	x, errX := python.ToFloat(a)
	y, errY := python.ToFloat(b)
	if errX == nil && errY == nil && x < 0 && y != math.Trunc(y) && !math.IsInf(x, 0) && !math.IsInf(y, 0) && !math.IsNaN(y) {
		return complexPower(complex(x, 0), complex(y, 0))
	}
	v, err := python.Pow(a, b)
	if f, ok := v.(python.Float); ok && err == nil {
		return python.Float(roundedPower(x, y, float64(f))), nil // see power.go
	}
	return v, err
}

func isNegativeInt(v python.Value) bool {
	n, ok := python.AsBig(v)
	return ok && n.Sign() < 0
}

func isNumber(v python.Value) bool {
	switch v.(type) {
	case python.Int, python.Bool, python.Float, *python.Big, Complex:
		return true
	}
	return false
}

// tooHigh returns abs(v) > limit.
func tooHigh(v python.Value, limit int64) bool {
	switch v := v.(type) {
	case python.Int:
		return int64(v) > limit || int64(v) < -limit
	case python.Float:
		return math.Abs(float64(v)) > float64(limit)
	case *python.Big:
		return true
	case Complex:
		return cmplx.Abs(complex128(v)) > float64(limit)
	}
	return false
}

// complexes converts both numbers to complex ones if one of them is complex.
func complexes(a, b python.Value) (x, y complex128, ok bool) {
	_, ca := a.(Complex)
	_, cb := b.(Complex)
	if !ca && !cb || !isNumber(a) || !isNumber(b) {
		return 0, 0, false
	}
	conv := func(v python.Value) (complex128, bool) {
		if c, ok := v.(Complex); ok {
			return complex128(c), true
		}
		f, err := python.ToFloat(v)
		return complex(f, 0), err == nil
	}
	x, okX := conv(a)
	y, okY := conv(b)
	return x, y, okX && okY
}

func complexOp(op string, x, y complex128) (python.Value, error) {
	switch op {
	case "+":
		return Complex(x + y), nil
	case "-":
		return Complex(x - y), nil
	case "*":
		return Complex(x * y), nil
	case "/":
		if y == 0 {
			return nil, faultf("ZeroDivisionError", -1, "complex division by zero")
		}
		return Complex(x / y), nil
	case "**":
		if cmplx.Abs(x) > maxPower || cmplx.Abs(y) > maxPower {
			return nil, faultf(NumberTooHigh, -1, "neither side of '**' can be higher than %d", maxPower)
		}
		return complexPower(x, y)
	}
	return nil, typeError("unsupported operand type(s) for %s: 'complex' and 'complex'", op)
}

// complexPower follows CPython's formula, so that the last digits agree.
func complexPower(x, y complex128) (python.Value, error) {
	switch {
	case y == 0:
		return Complex(1), nil
	case x == 0:
		if imag(y) != 0 || real(y) < 0 {
			return nil, faultf("ZeroDivisionError", -1, "0.0 to a negative or complex power")
		}
		return Complex(0), nil
	case imag(y) == 0 && real(y) == math.Trunc(real(y)) && math.Abs(real(y)) <= 100:
		n := int(real(y))
		out := complex(1, 0)
		for range max(n, -n) {
			out *= x
		}
		if n < 0 {
			out = 1 / out
		}
		return Complex(out), nil
	}
	abs := math.Hypot(real(x), imag(x))
	size := roundedPower(abs, real(y), math.Pow(abs, real(y)))
	angle := math.Atan2(imag(x), real(x))
	phase := angle * real(y)
	if imag(y) != 0 {
		size *= math.Exp(-angle * imag(y))
		phase += imag(y) * math.Log(math.Hypot(real(x), imag(x)))
	}
	if math.IsInf(size, 0) {
		return nil, faultf("OverflowError", -1, "complex exponentiation")
	}
	return Complex(complex(size*math.Cos(phase), size*math.Sin(phase))), nil
}

func (e *evaluator) compare(n *compareNode) (python.Value, error) {
	right, err := e.eval(n.first)
	if err != nil {
		return nil, err
	}
	result := true
	rightNode := n.first
	for i, op := range n.ops {
		left, leftNode := right, rightNode
		rightNode = n.rest[i]
		list, ok := rightNode.(*listNode)
		if last := i == len(n.ops)-1; ok && list.whole != nil && last && (op == opIn || op == opNotIn) && e.frames < maxFrames/2 {
			right = list.whole // it isn't visible elsewhere
		} else if right, err = e.eval(rightNode); err != nil {
			return nil, err
		}
		switch op {
		case opIs:
			result = same(left, right, leftNode, rightNode)
		case opIsNot:
			result = !same(left, right, leftNode, rightNode)
		default:
			if result, err = e.holds(op, left, right); err != nil {
				return nil, faultAt(err, rightNode.offset())
			}
		}
		if e.trace != nil {
			e.trace.compare(op, left, right, result)
		}
		if !result {
			break
		}
	}
	return python.Bool(result), nil
}

func (e *evaluator) holds(op compareOp, a, b python.Value) (bool, error) {
	if x, ok := a.(python.Str); ok && op <= opGtE { // most comparisons
		if y, ok := b.(python.Str); ok {
			switch op {
			case opEq:
				return x == y, nil
			case opNotEq:
				return x != y, nil
			}
		}
	}
	switch op {
	case opEq:
		return e.equal(a, b)
	case opNotEq:
		eq, err := e.equal(a, b)
		return !eq, err
	case opIn:
		return e.in(a, b)
	case opNotIn:
		has, err := e.in(a, b)
		return !has, err
	}
	order := [...]python.Op{opLt: python.LT, opLtE: python.LE, opGt: python.GT, opGtE: python.GE}[op]
	if x, ok := a.(Bytes); ok {
		if y, ok := b.(Bytes); ok {
			return python.Compare(nil, order, python.Int(strings.Compare(string(x), string(y))), python.Int(0))
		}
	}
	return python.Compare(&e.meter, order, a, b)
}

func (e *evaluator) equal(a, b python.Value) (bool, error) {
	if x, y, ok := complexes(a, b); ok {
		return x == y, nil
	}
	if v, ok := a.(*python.DictView); ok && v.Kind != python.DictValues {
		a = e.viewSet(v)
	}
	if v, ok := b.(*python.DictView); ok && v.Kind != python.DictValues {
		b = e.viewSet(v)
	}
	return python.TryEqual(&e.meter, a, b)
}

// viewSet converts a view to the set with which it is compared, if there is one.
func (e *evaluator) viewSet(v *python.DictView) python.Value {
	items, err := python.Items(&e.meter, v)
	if err != nil {
		return v
	}
	set, err := e.newSet(items)
	if err != nil {
		return v
	}
	return set
}

func (e *evaluator) in(item, container python.Value) (bool, error) {
	if s, ok := container.(Bytes); ok {
		if t, ok := item.(Bytes); ok {
			if err := e.meter.SpendBytes(len(s)+len(t), hashNanos); err != nil {
				return false, err
			}
			return strings.Contains(string(s), string(t)), nil
		}
		n, ok := python.AsInt(item)
		if !ok {
			return false, typeError("a bytes-like object is required, not '%s'", item.TypeName())
		}
		if n < 0 || n > 255 {
			return false, valueError("byte must be in range(0, 256)")
		}
		return strings.IndexByte(string(s), byte(n)) >= 0, nil
	}
	switch container.(type) {
	case *class:
		return false, typeError("argument of type 'type' is not iterable")
	case *python.Dict, *python.Set, *python.DictView:
		switch v := item.(type) {
		case Complex:
			if imag(v) == 0 {
				return python.Contains(&e.meter, container, python.Float(real(v)))
			}
		case Ellipsis, *class, *builtin: // never a member, see values.go
			return false, nil
		case *python.Set:
			if _, ok := container.(*python.Set); ok {
				return false, nil
			}
		}
	}
	return python.Contains(&e.meter, container, item)
}

// same returns `a is b`. Python shares small ints, None and so on, and texts of at most one
// Latin-1 character; otherwise, each literal creates a new object.
func same(a, b python.Value, aNode, bNode node) bool {
	x, aName := ungroup(aNode).(*nameNode)
	y, bName := ungroup(bNode).(*nameNode)
	if aName && bName && x.name == y.name {
		return true
	}
	switch v := a.(type) {
	case python.NoneType, python.Bool, Ellipsis:
		return a == b
	case python.Int:
		return a == b && v >= -5 && v <= 256
	case python.Str:
		w, ok := b.(python.Str)
		if !ok || v != w {
			return false
		}
		if r, n := utf8.DecodeRuneInString(string(v)); n == len(v) && (n == 0 || r < 0x100) {
			return true
		}
		// Two names for one text: only its address can distinguish them, and it is not
		// dereferenced.
		return !isLiteral(aNode) && !isLiteral(bNode) && unsafe.StringData(string(v)) == unsafe.StringData(string(w)) //nolint:gosec // see above
	case Bytes:
		return a == b && len(v) <= 1
	case *python.Tuple:
		w, ok := b.(*python.Tuple)
		return ok && (v == w || len(v.Items) == 0 && len(w.Items) == 0)
	case python.Float, *python.Big, Complex:
		return false
	}
	return a == b
}

func isLiteral(n node) bool {
	switch ungroup(n).(type) {
	case *constantNode, *textNode, *bytesNode, *joinedNode, *slotNode:
		return true
	}
	return false
}
