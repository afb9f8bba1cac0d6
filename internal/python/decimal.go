// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// precision is the significant digits of decimal arithmetic, as in Python's
// default context.
const precision = 28

var ten = big.NewInt(10)

// pow10 returns 10**n for 0 <= n <= MaxIntBits/4.
func pow10(n int) *big.Int { return new(big.Int).Exp(ten, big.NewInt(int64(n)), nil) }

// maxExp limits exponents, so that aligning two decimals can't create huge numbers.
const maxExp = 20000

// ToDecimal returns decimal.Decimal(v) of an int, float, str or Decimal.
func ToDecimal(v Value) (*Decimal, error) {
	if kindOf(v) != notNumber {
		return asDecimal(v), nil
	}
	if s, ok := AsStr(v); ok {
		return ParseDecimal(s)
	}
	return nil, Errorf("TypeError", "conversion from %s to Decimal is not supported", v.TypeName())
}

// ParseDecimal returns decimal.Decimal(s). A bad text is an InvalidOperation.
func ParseDecimal(s string) (*Decimal, error) {
	bad := Errorf("InvalidOperation", "[<class 'decimal.ConversionSyntax'>]")
	if s = Strip(s); len(s) > maxNumberText {
		return nil, bad
	}
	s = strings.ReplaceAll(s, "_", "")
	s, ok := plainNumber(s)
	if !ok || s == "" || len(s) > maxExp {
		return nil, bad
	}
	d := &Decimal{Coef: new(big.Int)}
	switch s[0] {
	case '-':
		d.Neg = true
		s = s[1:]
	case '+':
		s = s[1:]
	}
	switch strings.ToLower(s) {
	case "inf", "infinity":
		d.Kind = Infinity
		return d, nil
	case "nan", "snan":
		d.Kind = NaN
		return d, nil
	}
	digits, exp, hasExp := s, "0", false
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		digits, exp, hasExp = s[:i], s[i+1:], true
	}
	if hasExp && (exp == "" || strings.Trim(strings.TrimLeft(exp[:1], "+-")+exp[1:], "0123456789") != "" || strings.Trim(exp, "+-") == "") {
		return nil, bad
	}
	whole, frac, _ := strings.Cut(digits, ".")
	if whole+frac == "" || strings.Trim(whole+frac, "0123456789") != "" {
		return nil, bad
	}
	n, err := strconv.Atoi(exp)
	if err != nil || n > 1e6 || n < -1e6 {
		return nil, Errorf("InvalidOperation", "the exponent is out of range")
	}
	d.Coef.SetString(whole+frac, 10)
	d.Exp = n - len(frac)
	return d, nil
}

// asDecimal converts a number exactly to a Decimal.
func asDecimal(v Value) *Decimal {
	switch v := v.(type) {
	case *Decimal:
		return v
	case Float:
		return decimalFromFloat(float64(v))
	}
	n, _ := AsBig(v)
	return &Decimal{Neg: n.Sign() < 0, Coef: new(big.Int).Abs(n)}
}

func decimalFromFloat(f float64) *Decimal {
	d := &Decimal{Neg: math.Signbit(f), Coef: new(big.Int)}
	switch {
	case math.IsNaN(f):
		return &Decimal{Kind: NaN, Coef: d.Coef}
	case math.IsInf(f, 0):
		d.Kind = Infinity
		return d
	case f == 0:
		return d
	}
	r := new(big.Rat).SetFloat64(math.Abs(f))
	k := r.Denom().BitLen() - 1 // the denominator is 2**k
	d.Coef.Mul(r.Num(), new(big.Int).Exp(big.NewInt(5), big.NewInt(int64(k)), nil))
	d.Exp = -k
	return d
}

// Float returns float(d).
func (d *Decimal) Float() float64 {
	f := math.NaN()
	switch d.Kind {
	case Infinity:
		f = math.Inf(1)
	case Finite:
		f, _ = strconv.ParseFloat(d.Coef.String()+"e"+strconv.Itoa(d.Exp), 64)
	}
	if d.Neg {
		return -f
	}
	return f
}

func (d *Decimal) negate() *Decimal {
	if d.Kind == Finite && d.Coef.Sign() == 0 {
		return &Decimal{Coef: d.Coef, Exp: d.Exp}
	}
	return &Decimal{Neg: !d.Neg, Coef: d.Coef, Exp: d.Exp, Kind: d.Kind}
}

// String returns str(d).
func (d *Decimal) String() string {
	sign := ""
	if d.Neg {
		sign = "-"
	}
	switch d.Kind {
	case Infinity:
		return sign + "Infinity"
	case NaN:
		return sign + "NaN"
	}
	digits := d.Coef.String()
	left := d.Exp + len(digits) // digits before the point
	point := left
	if d.Exp > 0 || left <= -6 {
		point = 1
	}
	var out string
	switch {
	case point <= 0:
		out = "0." + strings.Repeat("0", -point) + digits
	case point >= len(digits):
		out = digits + strings.Repeat("0", point-len(digits))
	default:
		out = digits[:point] + "." + digits[point:]
	}
	if left != point {
		e := strconv.Itoa(left - point)
		if left > point {
			e = "+" + e
		}
		out += "E" + e
	}
	return sign + out
}

// normalized returns a text that is the same for equal decimals.
func (d *Decimal) normalized() string {
	if d.Kind != Finite {
		return d.String()
	}
	digits := strings.TrimRight(d.Coef.String(), "0")
	sign := ""
	if d.Neg {
		sign = "-"
	}
	return sign + digits + "e" + strconv.Itoa(d.Exp+len(d.Coef.String())-len(digits))
}

// integer returns the number if it is an integer of moderate size.
func (d *Decimal) integer() (*big.Int, bool) {
	if d.Kind != Finite || d.Exp > maxExp {
		return nil, false
	}
	n := new(big.Int).Set(d.Coef)
	switch {
	case d.Coef.Sign() == 0:
		n.SetInt64(0)
	case d.Exp > 0:
		n.Mul(n, pow10(d.Exp))
	case d.Exp < 0:
		if -d.Exp > len(n.String()) {
			return nil, false
		}
		var rest big.Int
		n.QuoRem(n, pow10(-d.Exp), &rest)
		if rest.Sign() != 0 {
			return nil, false
		}
	}
	if d.Neg {
		n.Neg(n)
	}
	return n, true
}

// truncate returns int(d).
func (d *Decimal) truncate() (Value, error) {
	switch d.Kind {
	case NaN:
		return nil, Errorf("ValueError", "cannot convert NaN to integer")
	case Infinity:
		return nil, Errorf("OverflowError", "cannot convert Infinity to integer")
	}
	if d.Exp > maxExp {
		return nil, errTooLarge
	}
	n := new(big.Int).Set(d.Coef)
	if d.Exp >= 0 {
		n.Mul(n, pow10(d.Exp))
	} else if -d.Exp > len(n.String()) {
		n.SetInt64(0)
	} else {
		n.Quo(n, pow10(-d.Exp))
	}
	if d.Neg {
		n.Neg(n)
	}
	return checkBig(n)
}

// Quantize rounds to exactly places decimals, halves to even (or away from
// zero with halfUp), without a limit of precision.
func (d *Decimal) Quantize(places int, halfUp bool) (*Decimal, error) {
	if d.Kind != Finite {
		return nil, Errorf("InvalidOperation", "[<class 'decimal.InvalidOperation'>]")
	}
	if d.Exp > maxExp || places > maxExp || places < -maxExp {
		return nil, errTooLarge
	}
	out := &Decimal{Neg: d.Neg, Exp: -places}
	drop := -places - d.Exp
	switch {
	case drop <= 0:
		out.Coef = new(big.Int).Mul(d.Coef, pow10(-drop))
	case drop > len(d.Coef.String())+1:
		out.Coef = new(big.Int)
	default:
		out.Coef = roundOff(d.Coef, drop, halfUp)
	}
	return out, nil
}

// roundOff drops the last digits of n.
func roundOff(n *big.Int, drop int, halfUp bool) *big.Int {
	unit := pow10(drop)
	q, r := new(big.Int).QuoRem(n, unit, new(big.Int))
	switch r.Lsh(r, 1).Cmp(unit) {
	case 1:
		q.Add(q, big.NewInt(1))
	case 0:
		if halfUp || q.Bit(0) == 1 {
			q.Add(q, big.NewInt(1))
		}
	}
	return q
}

// rounded applies the context's precision.
func (d *Decimal) rounded() *Decimal {
	for {
		drop := len(d.Coef.String()) - precision
		if drop <= 0 {
			return d
		}
		d = &Decimal{Neg: d.Neg, Coef: roundOff(d.Coef, drop, false), Exp: d.Exp + drop}
	}
}

// signed returns the coefficient with its sign.
func (d *Decimal) signed() *big.Int {
	if d.Neg {
		return new(big.Int).Neg(d.Coef)
	}
	return d.Coef
}

// cmpDecimal compares two that are not NaN.
func cmpDecimal(a, b *Decimal) int {
	if a.Kind == Infinity || b.Kind == Infinity {
		rank := func(d *Decimal) int {
			switch {
			case d.Kind == Finite:
				return 0
			case d.Neg:
				return -1
			}
			return 1
		}
		return rank(a) - rank(b)
	}
	x, y := a.signed(), b.signed()
	if x.Sign() != y.Sign() || x.Sign() == 0 {
		return x.Sign() - y.Sign()
	}
	// Of two with the same sign, the one with more digits before the point is
	// the larger; only near ones need aligning.
	p, q := a.Exp+len(a.Coef.String()), b.Exp+len(b.Coef.String())
	if p != q {
		if p > q {
			return x.Sign()
		}
		return -x.Sign()
	}
	x, y = align(x, a.Exp, y, b.Exp)
	return x.Cmp(y)
}

// align brings two coefficients to the smaller exponent.
func align(x *big.Int, ex int, y *big.Int, ey int) (*big.Int, *big.Int) {
	switch {
	case ex > ey:
		x = new(big.Int).Mul(x, pow10(ex-ey))
	case ey > ex:
		y = new(big.Int).Mul(y, pow10(ey-ex))
	}
	return x, y
}

func notFinite(ds ...*Decimal) error {
	for _, d := range ds {
		if d.Kind != Finite {
			return Errorf("InvalidOperation", "[<class 'decimal.InvalidOperation'>]")
		}
		if d.Exp > maxExp || d.Exp < -maxExp {
			return errTooLarge
		}
	}
	return nil
}

func fromSigned(n *big.Int, exp int) *Decimal {
	return (&Decimal{Neg: n.Sign() < 0, Coef: new(big.Int).Abs(n), Exp: exp}).rounded()
}

func addDecimal(a, b *Decimal) (Value, error) {
	if err := notFinite(a, b); err != nil {
		return nil, err
	}
	x, y := align(a.signed(), a.Exp, b.signed(), b.Exp)
	return fromSigned(new(big.Int).Add(x, y), min(a.Exp, b.Exp)), nil
}

func mulDecimal(a, b *Decimal) (Value, error) {
	if err := notFinite(a, b); err != nil {
		return nil, err
	}
	d := fromSigned(new(big.Int).Mul(a.signed(), b.signed()), a.Exp+b.Exp)
	d.Neg = a.Neg != b.Neg
	return d, nil
}

func divDecimal(a, b *Decimal) (Value, error) {
	if err := notFinite(a, b); err != nil {
		return nil, err
	}
	if b.Coef.Sign() == 0 {
		if a.Coef.Sign() == 0 {
			return nil, Errorf("InvalidOperation", "[<class 'decimal.DivisionUndefined'>]")
		}
		return nil, Errorf("DivisionByZero", "[<class 'decimal.DivisionByZero'>]")
	}
	// Compute two digits more than the precision, the last one odd if the quotient is
	// inexact, so that rounding takes the remainder into account. An exact quotient gets
	// its zeros back, down to the ideal exponent.
	shift := max(len(b.Coef.String())-len(a.Coef.String())+precision+2, 0)
	q, r := new(big.Int).QuoRem(new(big.Int).Mul(a.Coef, pow10(shift)), b.Coef, new(big.Int))
	exp := a.Exp - b.Exp - shift
	if r.Sign() != 0 {
		if last := new(big.Int).Mod(q, big.NewInt(5)); last.Sign() == 0 {
			q.Add(q, big.NewInt(1))
		}
	} else {
		var rest big.Int
		for exp < a.Exp-b.Exp {
			t, _ := new(big.Int).QuoRem(q, ten, &rest)
			if rest.Sign() != 0 {
				break
			}
			q = t
			exp++
		}
	}
	d := fromSigned(q, exp)
	d.Neg = a.Neg != b.Neg
	return d, nil
}

func powDecimal(a, b *Decimal) (Value, error) {
	n, ok := b.integer()
	if !ok || !n.IsInt64() || n.Int64() < 0 || n.Int64() > 10000 {
		return nil, errTooLarge
	}
	var out Value = &Decimal{Coef: big.NewInt(1)}
	for range n.Int64() {
		var err error
		if out, err = mulDecimal(out.(*Decimal), a); err != nil {
			return nil, err
		}
	}
	return out, nil
}
