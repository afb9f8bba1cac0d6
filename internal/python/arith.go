// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"math"
	"math/big"
	"math/bits"
	"time"
)

func unsupported(op string, a, b Value) error {
	return Errorf("TypeError", "unsupported operand type(s) for %s: '%s' and '%s'", op, qualified(a), qualified(b))
}

// kindOf returns the rank of a number's kind for arithmetic.
type numKind uint8

const (
	notNumber numKind = iota
	smallInt
	bigInt
	floating
	decimal
)

func kindOf(v Value) numKind {
	switch v.(type) {
	case Int, Bool:
		return smallInt
	case *Big:
		return bigInt
	case Float:
		return floating
	case *Decimal:
		return decimal
	}
	return notNumber
}

// pair returns the kind in which an operation on a and b is done.
func pair(a, b Value) numKind {
	x, y := kindOf(a), kindOf(b)
	if x == notNumber || y == notNumber {
		return notNumber
	}
	if x == decimal && y == floating || x == floating && y == decimal {
		return notNumber
	}
	return max(x, y)
}

func checkBig(n *big.Int) (Value, error) {
	if n.BitLen() > MaxIntBits {
		return nil, errTooLarge
	}
	return NewInt(n), nil
}

func checkLen(n int) error {
	if n > MaxLen {
		return errTooLong
	}
	return nil
}

// toFloat returns a number as a float; ints beyond its range are an OverflowError.
func toFloat(v Value) (float64, error) {
	switch v := v.(type) {
	case Float:
		return float64(v), nil
	case *Big:
		f, _ := new(big.Float).SetInt(v.n).Float64()
		if math.IsInf(f, 0) {
			return 0, Errorf("OverflowError", "int too large to convert to float")
		}
		return f, nil
	case *Decimal:
		return v.Float(), nil
	}
	n, _ := AsInt(v)
	return float64(n), nil
}

func floats(a, b Value) (x, y float64, err error) {
	if x, err = toFloat(a); err != nil {
		return 0, 0, err
	}
	y, err = toFloat(b)
	return x, y, err
}

func bigs(a, b Value) (x, y *big.Int) {
	x, _ = AsBig(a)
	y, _ = AsBig(b)
	return x, y
}

// Add returns a + b.
func Add(a, b Value) (Value, error) {
	switch pair(a, b) {
	case smallInt:
		x, _ := AsInt(a)
		y, _ := AsInt(b)
		if s := x + y; (s > x) == (y > 0) {
			return Int(s), nil
		}
		fallthrough
	case bigInt:
		x, y := bigs(a, b)
		return checkBig(new(big.Int).Add(x, y))
	case floating:
		x, y, err := floats(a, b)
		return Float(x + y), err
	case decimal:
		return addDecimal(asDecimal(a), asDecimal(b))
	}
	if s, ok := AsStr(a); ok {
		t, ok := AsStr(b)
		if !ok {
			return nil, Errorf("TypeError", `can only concatenate str (not "%s") to str`, b.TypeName())
		}
		if err := checkLen(len(s) + len(t)); err != nil {
			return nil, err
		}
		_, safe := a.(SafeStr)
		if _, also := b.(SafeStr); safe && also {
			return SafeStr(s + t), nil
		}
		return Str(s + t), nil
	}
	switch x := a.(type) {
	case *List:
		y, ok := b.(*List)
		if !ok {
			return nil, Errorf("TypeError", `can only concatenate list (not "%s") to list`, b.TypeName())
		}
		items, err := concat(x.Items, y.Items)
		return &List{items}, err
	case *Tuple:
		y, ok := b.(*Tuple)
		if !ok {
			return nil, Errorf("TypeError", `can only concatenate tuple (not "%s") to tuple`, b.TypeName())
		}
		items, err := concat(x.Items, y.Items)
		return &Tuple{items}, err
	}
	if v, ok, err := addTemporal(a, b); ok {
		return v, err
	}
	return nil, unsupported("+", a, b)
}

func concat(a, b []Value) ([]Value, error) {
	if err := checkLen(len(a) + len(b)); err != nil {
		return nil, err
	}
	items := make([]Value, 0, len(a)+len(b))
	return append(append(items, a...), b...), nil
}

// Sub returns a - b.
func Sub(a, b Value) (Value, error) {
	switch pair(a, b) {
	case smallInt:
		x, _ := AsInt(a)
		y, _ := AsInt(b)
		if d := x - y; (d < x) == (y > 0) {
			return Int(d), nil
		}
		fallthrough
	case bigInt:
		x, y := bigs(a, b)
		return checkBig(new(big.Int).Sub(x, y))
	case floating:
		x, y, err := floats(a, b)
		return Float(x - y), err
	case decimal:
		return addDecimal(asDecimal(a), asDecimal(b).negate())
	}
	if x, ok := a.(*Set); ok {
		if y, ok := b.(*Set); ok {
			return setOp('-', x, y), nil
		}
	}
	if v, ok, err := subTemporal(a, b); ok {
		return v, err
	}
	return nil, unsupported("-", a, b)
}

// Mul returns a * b.
func Mul(a, b Value) (Value, error) {
	switch pair(a, b) {
	case smallInt:
		x, _ := AsInt(a)
		y, _ := AsInt(b)
		if hi, lo := bits.Mul64(abs64(x), abs64(y)); hi == 0 && lo < 1<<63 {
			return Int(x * y), nil
		}
		fallthrough
	case bigInt:
		x, y := bigs(a, b)
		if x.BitLen()+y.BitLen() > MaxIntBits+1 {
			return nil, errTooLarge
		}
		return checkBig(new(big.Int).Mul(x, y))
	case floating:
		x, y, err := floats(a, b)
		return Float(x * y), err
	case decimal:
		return mulDecimal(asDecimal(a), asDecimal(b))
	}
	if kindOf(a) != notNumber {
		a, b = b, a
	}
	switch a.(type) {
	case Str, SafeStr, *List, *Tuple:
	default:
		return nil, unsupported("*", a, b)
	}
	switch b.(type) {
	case Int, Bool:
	case *Big:
		return nil, Errorf("OverflowError", "cannot fit 'int' into an index-sized integer")
	default:
		return nil, Errorf("TypeError", "can't multiply sequence by non-int of type '%s'", b.TypeName())
	}
	n, _ := AsInt(b)
	n = max(n, 0)
	if n > MaxLen {
		if l, _ := Len(a); l > 0 {
			return nil, errTooLong
		}
		n = 0
	}
	switch a := a.(type) {
	case Str:
		s, err := repeat(string(a), int(n))
		return Str(s), err
	case SafeStr:
		s, err := repeat(string(a), int(n))
		return Str(s), err
	case *List:
		items, err := repeatItems(a.Items, int(n))
		return &List{items}, err
	default:
		items, err := repeatItems(a.(*Tuple).Items, int(n))
		return &Tuple{items}, err
	}
}

func abs64(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

func repeat(s string, n int) (string, error) {
	if err := checkLen(len(s) * n); err != nil {
		return "", err
	}
	b := make([]byte, 0, len(s)*n)
	for range n {
		b = append(b, s...)
	}
	return string(b), nil
}

func repeatItems(items []Value, n int) ([]Value, error) {
	if err := checkLen(len(items) * n); err != nil {
		return nil, err
	}
	out := make([]Value, 0, len(items)*n)
	for range n {
		out = append(out, items...)
	}
	return out, nil
}

// TrueDiv returns a / b.
func TrueDiv(a, b Value) (Value, error) {
	switch pair(a, b) {
	case smallInt, bigInt:
		x, y := bigs(a, b)
		if y.Sign() == 0 {
			return nil, Errorf("ZeroDivisionError", "division by zero")
		}
		f, _ := new(big.Rat).SetFrac(x, y).Float64()
		if f == 0 && y.Sign() < 0 && x.Sign() >= 0 {
			f = math.Copysign(0, -1)
		}
		if math.IsInf(f, 0) {
			return nil, Errorf("OverflowError", "integer division result too large for a float")
		}
		return Float(f), nil
	case floating:
		x, y, err := floats(a, b)
		if err != nil {
			return nil, err
		}
		if y == 0 {
			return nil, Errorf("ZeroDivisionError", "float division by zero")
		}
		return Float(x / y), nil
	case decimal:
		return divDecimal(asDecimal(a), asDecimal(b))
	}
	return nil, unsupported("/", a, b)
}

// FloorDiv returns a // b.
func FloorDiv(a, b Value) (Value, error) {
	switch pair(a, b) {
	case smallInt, bigInt:
		q, _, err := intDivmod(a, b)
		return q, err
	case floating:
		q, _, err := floatDivmod(a, b, "float floor division by zero")
		return Float(q), err
	}
	return nil, unsupported("//", a, b)
}

// Mod returns a % b; of a str it is Format.
func Mod(a, b Value) (Value, error) {
	if s, ok := AsStr(a); ok {
		out, err := Format(nil, s, b)
		return Str(out), err
	}
	switch pair(a, b) {
	case smallInt, bigInt:
		_, r, err := intDivmod(a, b)
		return r, err
	case floating:
		_, r, err := floatDivmod(a, b, "float modulo")
		return Float(r), err
	}
	return nil, unsupported("%", a, b)
}

// intDivmod rounds the quotient down; the remainder has the sign of the divisor.
func intDivmod(a, b Value) (q, r Value, err error) {
	x, ok := AsInt(a)
	y, ok2 := AsInt(b)
	if ok && ok2 && y != 0 && y != -1 {
		q, r := x/y, x%y
		if r != 0 && (r < 0) != (y < 0) {
			q, r = q-1, r+y
		}
		return Int(q), Int(r), nil
	}
	m, n := bigs(a, b)
	if n.Sign() == 0 {
		return nil, nil, Errorf("ZeroDivisionError", "integer division or modulo by zero")
	}
	quo, rem := new(big.Int).QuoRem(m, n, new(big.Int))
	if rem.Sign() != 0 && rem.Sign() != n.Sign() {
		quo.Sub(quo, big.NewInt(1))
		rem.Add(rem, n)
	}
	return NewInt(quo), NewInt(rem), nil
}

func floatDivmod(a, b Value, byZero string) (q, r float64, err error) {
	x, y, err := floats(a, b)
	if err != nil {
		return 0, 0, err
	}
	if y == 0 {
		return 0, 0, Errorf("ZeroDivisionError", "%s", byZero)
	}
	r = math.Mod(x, y)
	div := (x - r) / y
	if r != 0 {
		if (y < 0) != (r < 0) {
			r += y
			div--
		}
	} else {
		r = math.Copysign(0, y)
	}
	if div != 0 {
		q = math.Floor(div)
		if div-q > 0.5 {
			q++
		}
	} else {
		q = math.Copysign(0, x/y)
	}
	return q, r, nil
}

// Pow returns a ** b.
func Pow(a, b Value) (Value, error) {
	kind := pair(a, b)
	switch kind {
	case notNumber:
		return nil, unsupported("** or pow()", a, b)
	case decimal:
		return powDecimal(asDecimal(a), asDecimal(b))
	case smallInt, bigInt:
		x, y := bigs(a, b)
		if y.Sign() >= 0 {
			if x.BitLen() <= 1 { // -1, 0 and 1 to any power stay small
				switch {
				case y.Sign() == 0 || x.Sign() > 0 || x.Sign() < 0 && y.Bit(0) == 0:
					return Int(1), nil
				}
				return NewInt(x), nil
			}
			if !y.IsInt64() || y.Int64() > MaxIntBits || int64(x.BitLen()-1)*y.Int64() > MaxIntBits {
				return nil, errTooLarge
			}
			return checkBig(new(big.Int).Exp(x, y, nil))
		}
	}
	x, y, err := floats(a, b)
	if err != nil {
		return nil, err
	}
	if x == 0 && y < 0 {
		return nil, Errorf("ZeroDivisionError", "0.0 cannot be raised to a negative power")
	}
	if x < 0 && y != math.Trunc(y) && !math.IsInf(x, 0) && !math.IsInf(y, 0) && !math.IsNaN(y) {
		return nil, Errorf("ValueError", "negative number cannot be raised to a fractional power")
	}
	f := floatPow(x, y)
	if math.IsInf(f, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) {
		return nil, Errorf("OverflowError", "(34, 'Numerical result out of range')")
	}
	return Float(f), nil
}

// floatPow is math.Pow, but correctly rounded for integers and halves as exponents. Unlike
// C's pow, math.Pow is off in the last digits.
func floatPow(x, y float64) float64 {
	f := math.Pow(x, y)
	twice := 2 * y
	if f == 0 || f == 1 || f-f != 0 || x-x != 0 || twice != math.Trunc(twice) || math.Abs(y) > 1024 {
		return f
	}
	const prec = 256
	base := new(big.Float).SetPrec(prec).SetFloat64(math.Abs(x))
	out := new(big.Float).SetPrec(prec).SetInt64(1)
	n := int(math.Abs(y))
	if twice != 2*math.Trunc(y) {
		out.Sqrt(base)
	}
	for square := base; n > 0; n >>= 1 {
		if n&1 == 1 {
			out.Mul(out, square)
		}
		square = new(big.Float).SetPrec(prec).Mul(square, square)
	}
	if y < 0 {
		out.Quo(new(big.Float).SetPrec(prec).SetInt64(1), out)
	}
	exact, _ := out.Float64()
	return math.Copysign(exact, f)
}

// Neg returns -a.
func Neg(a Value) (Value, error) {
	switch v := a.(type) {
	case Int, Bool, *Big:
		n, _ := AsBig(a)
		return NewInt(new(big.Int).Neg(n)), nil
	case Float:
		return -v, nil
	case *Decimal:
		return v.negate(), nil
	case *TimeDelta:
		return durationOf(new(big.Int).Neg(v.micros()))
	}
	return nil, Errorf("TypeError", "bad operand type for unary -: '%s'", qualified(a))
}

// Pos returns +a.
func Pos(a Value) (Value, error) {
	switch v := a.(type) {
	case Bool:
		n, _ := AsInt(v)
		return Int(n), nil
	case Int, *Big, Float, *Decimal, *TimeDelta:
		return a, nil
	}
	return nil, Errorf("TypeError", "bad operand type for unary +: '%s'", qualified(a))
}

// Invert returns ~a.
func Invert(a Value) (Value, error) {
	n, ok := AsBig(a)
	if !ok {
		return nil, Errorf("TypeError", "bad operand type for unary ~: '%s'", qualified(a))
	}
	return NewInt(new(big.Int).Not(n)), nil
}

// BitOp returns a & b, a | b, a ^ b, a << b or a >> b; op is '&', '|', '^', '<', '>'. Sets
// support & | ^, and dicts |.
func BitOp(op byte, a, b Value) (Value, error) {
	x, ok := AsBig(a)
	y, ok2 := AsBig(b)
	if ok && ok2 {
		_, bool1 := a.(Bool)
		_, bool2 := b.(Bool)
		n := new(big.Int)
		switch op {
		case '&':
			n.And(x, y)
		case '|':
			n.Or(x, y)
		case '^':
			n.Xor(x, y)
		default:
			return shift(op, x, y)
		}
		if bool1 && bool2 {
			return Bool(n.Sign() != 0), nil
		}
		return NewInt(n), nil
	}
	if s, ok := a.(*Set); ok && op != '<' && op != '>' {
		if t, ok := b.(*Set); ok {
			return setOp(op, s, t), nil
		}
	}
	if d, ok := a.(*Dict); ok && op == '|' {
		if e, ok := b.(*Dict); ok {
			return mergeDicts(d, e)
		}
	}
	name := string(op)
	if op == '<' || op == '>' {
		name += name
	}
	return nil, unsupported(name, a, b)
}

func shift(op byte, x, y *big.Int) (Value, error) {
	switch {
	case y.Sign() < 0:
		return nil, Errorf("ValueError", "negative shift count")
	case op == '>' && (!y.IsInt64() || y.Int64() > MaxIntBits):
		if x.Sign() < 0 {
			return Int(-1), nil
		}
		return Int(0), nil
	case op == '>':
		return NewInt(new(big.Int).Rsh(x, uint(y.Int64()))), nil
	case x.Sign() == 0:
		return Int(0), nil
	case !y.IsInt64() || y.Int64() > MaxIntBits:
		return nil, errTooLarge
	}
	return checkBig(new(big.Int).Lsh(x, uint(y.Int64())))
}

func setOp(op byte, a, b *Set) *Set {
	out := &Set{}
	for i := range a.Len() {
		in, _ := b.Has(a.At(i))
		if op == '|' || in == (op == '&') {
			_ = out.Add(a.At(i))
		}
	}
	if op == '|' || op == '^' {
		for i := range b.Len() {
			if in, _ := a.Has(b.At(i)); op == '|' || !in {
				_ = out.Add(b.At(i))
			}
		}
	}
	return out
}

func mergeDicts(a, b *Dict) (Value, error) {
	out := NewDict(a.Len() + b.Len())
	for _, d := range []*Dict{a, b} {
		for i := range d.Len() {
			if err := out.Set(d.At(i)); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// addTemporal returns a + b if one of them is a timedelta; ok is false if this doesn't
// apply.
func addTemporal(a, b Value) (v Value, ok bool, err error) {
	if _, isDelta := a.(*TimeDelta); isDelta {
		a, b = b, a
	}
	d, isDelta := b.(*TimeDelta)
	if !isDelta {
		return nil, false, nil
	}
	return shiftTemporal(a, d.micros())
}

func shiftTemporal(a Value, micros *big.Int) (Value, bool, error) {
	switch a := a.(type) {
	case *TimeDelta:
		v, err := durationOf(micros.Add(micros, a.micros()))
		return v, true, err
	case *DateTime:
		secs, rest := new(big.Int).DivMod(micros, big.NewInt(1e6), new(big.Int))
		if !secs.IsInt64() {
			return nil, true, Errorf("OverflowError", "date value out of range")
		}
		t := time.Unix(a.T.Unix()+secs.Int64(), int64(a.T.Nanosecond())+rest.Int64()*1000).In(a.T.Location())
		if y := t.Year(); y < 1 || y > 9999 {
			return nil, true, Errorf("OverflowError", "date value out of range")
		}
		return &DateTime{T: t, Aware: a.Aware}, true, nil
	case *Date:
		days := new(big.Int).Div(micros, big.NewInt(86400e6))
		if !days.IsInt64() || days.Int64() > 4e6 || days.Int64() < -4e6 {
			return nil, true, Errorf("OverflowError", "date value out of range")
		}
		d, err := dateOf(a.midnight().AddDate(0, 0, int(days.Int64())))
		return d, true, err
	}
	return nil, false, nil
}

func subTemporal(a, b Value) (Value, bool, error) {
	switch y := b.(type) {
	case *TimeDelta:
		return shiftTemporal(a, new(big.Int).Neg(y.micros()))
	case *DateTime:
		x, ok := a.(*DateTime)
		if !ok {
			return nil, false, nil
		}
		if x.Aware != y.Aware {
			return nil, true, Errorf("TypeError", "can't subtract offset-naive and offset-aware datetimes")
		}
		v, err := durationOf(big.NewInt(x.T.UnixMicro() - y.T.UnixMicro()))
		return v, true, err
	case *Date:
		x, ok := a.(*Date)
		if !ok {
			return nil, false, nil
		}
		v, err := durationOf(big.NewInt(x.midnight().UnixMicro() - y.midnight().UnixMicro()))
		return v, true, err
	}
	return nil, false, nil
}
