// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"math"
	"math/big"
	"strings"

	"github.com/rehive/extension-operator/internal/meter"
)

// Truth returns bool(v).
func Truth(v Value) bool {
	switch v := v.(type) {
	case NoneType:
		return false
	case Bool:
		return bool(v)
	case Int:
		return v != 0
	case Float:
		return v != 0
	case Str:
		return v != ""
	case SafeStr:
		return v != ""
	case Bytes:
		return v != ""
	case *List:
		return len(v.Items) > 0
	case *Tuple:
		return len(v.Items) > 0
	case *Dict:
		return v.Len() > 0
	case *Set:
		return v.Len() > 0
	case *DictView:
		return v.Len() > 0
	case *TimeDelta:
		return *v != TimeDelta{}
	case *Decimal:
		return v.Kind != Finite || v.Coef.Sign() != 0
	}
	return true
}

// compareBudget limits the items that one comparison visits.
const compareBudget = 1 << 21

type comparer struct {
	meter  *meter.Meter
	budget int // without a meter
}

func (c *comparer) spend(depth int) error {
	if c.budget--; c.budget < 0 {
		return errTooLong
	}
	if err := c.meter.Spend(1); err != nil {
		return err
	}
	if depth > maxDepth {
		return errTooDeep
	}
	return nil
}

// spendTexts charges for comparing texts.
func (c *comparer) spendTexts(s, t string) error {
	if n := min(len(s), len(t)); n >= 512 {
		return c.meter.Spend(n / 512)
	}
	return nil
}

// spendNumbers charges for comparing numbers that are larger than machine words.
func (c *comparer) spendNumbers(a, b Value) error {
	switch pair(a, b) {
	case bigInt, decimal:
		return SpendArithmetic(c.meter, "<", a, b)
	}
	return nil
}

// Equal returns a == b, or false if the comparison would take too long.
func Equal(a, b Value) bool {
	eq, err := TryEqual(nil, a, b)
	return eq && err == nil
}

// TryEqual returns a == b, or an error if the comparison would take too long (for lists
// that share their items many times over). It charges m, which may be nil.
func TryEqual(m *meter.Meter, a, b Value) (bool, error) {
	switch a := a.(type) { // what templates compare most
	case Str:
		switch b := b.(type) {
		case Str:
			if len(a) < 512 || len(a) != len(b) {
				return a == b, nil
			}
		case SafeStr:
			if len(a) < 512 || len(a) != len(b) {
				return string(a) == string(b), nil
			}
		}
	case Int:
		if b, ok := b.(Int); ok {
			return a == b, nil
		}
	}
	return (&comparer{m, compareBudget}).equal(a, b, 0)
}

func (c *comparer) equal(a, b Value, depth int) (bool, error) {
	if err := c.spend(depth); err != nil {
		return false, err
	}
	if isNumber(a) && isNumber(b) {
		if err := c.spendNumbers(a, b); err != nil {
			return false, err
		}
		cmp, ordered := cmpNumbers(a, b)
		return ordered && cmp == 0, nil
	}
	switch a := a.(type) {
	case NoneType:
		_, ok := b.(NoneType)
		return ok, nil
	case Str, SafeStr:
		s, _ := AsStr(a)
		t, ok := AsStr(b)
		if !ok || len(s) != len(t) {
			return false, nil
		}
		return s == t, c.spendTexts(s, t)
	case *List:
		if b, ok := b.(*List); ok {
			return c.equalItems(a.Items, b.Items, depth)
		}
	case *Tuple:
		if b, ok := b.(*Tuple); ok {
			return c.equalItems(a.Items, b.Items, depth)
		}
	case *Dict:
		b, ok := b.(*Dict)
		if !ok || a.Len() != b.Len() {
			return false, nil
		}
		if a == b {
			return true, nil
		}
		for i, k := range a.keys {
			if err := c.spendKey(k, depth); err != nil {
				return false, err
			}
			bv, ok, err := b.Get(k)
			if !ok || err != nil {
				return false, err
			}
			if eq, err := c.equal(a.vals[i], bv, depth+1); !eq || err != nil {
				return false, err
			}
		}
		return true, nil
	case *Set:
		b, ok := b.(*Set)
		if !ok || a.Len() != b.Len() {
			return false, nil
		}
		return c.subset(a, b, depth)
	case *DictView:
		b, ok := b.(*DictView)
		if !ok || a.Kind != b.Kind || a.Kind == DictValues {
			return ok && a == b, nil
		}
		if a.Kind == DictItems {
			return c.equal(a.Dict, b.Dict, depth+1)
		}
		if a.Len() != b.Len() {
			return false, nil
		}
		for _, k := range a.Dict.keys {
			if err := c.spendKey(k, depth); err != nil {
				return false, err
			}
			if _, ok, err := b.Dict.Get(k); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	case *TZInfo:
		b, ok := b.(*TZInfo)
		return ok && a.Repr() == b.Repr(), nil
	case *Date, *Time, *DateTime, *TimeDelta:
		cmp, ok := cmpTemporal(a, b)
		return ok && cmp == 0, nil
	}
	return sameObject(a, b), nil
}

func (c *comparer) equalItems(a, b []Value, depth int) (bool, error) {
	if len(a) != len(b) {
		return false, nil
	}
	if len(a) > 0 && &a[0] == &b[0] {
		return true, nil
	}
	for i := range a {
		if eq, err := c.equal(a[i], b[i], depth+1); !eq || err != nil {
			return false, err
		}
	}
	return true, nil
}

// sameObject compares pointers; it is for types that are pointers.
func sameObject(a, b Value) bool {
	switch a.(type) {
	case NoneType, Bool, Int, Float, Str, SafeStr:
		return false
	}
	return a == b
}

// Is returns a is b. Numbers and texts of one type are identical if they are equal, as is
// mostly the case in CPython.
func Is(a, b Value) bool {
	switch a := a.(type) {
	case NoneType, Bool, Int, Float, Str, SafeStr:
		switch b.(type) {
		case NoneType, Bool, Int, Float, Str, SafeStr:
			return a == b
		}
		return false
	case *Big:
		b, ok := b.(*Big)
		return ok && a.n.Cmp(b.n) == 0
	}
	return sameObject(a, b)
}

// Op is an ordering comparison.
type Op uint8

// The ordering comparisons.
const (
	LT Op = iota
	LE
	GT
	GE
)

func (op Op) String() string { return [...]string{"<", "<=", ">", ">="}[op] }

func (op Op) holds(cmp int) bool {
	switch op {
	case LT:
		return cmp < 0
	case LE:
		return cmp <= 0
	case GT:
		return cmp > 0
	default:
		return cmp >= 0
	}
}

// Compare returns a < b, a <= b, a > b or a >= b. Values that can't be ordered are a
// TypeError. It charges m, which may be nil.
func Compare(m *meter.Meter, op Op, a, b Value) (bool, error) {
	return (&comparer{m, compareBudget}).compare(op, a, b, 0)
}

func (c *comparer) compare(op Op, a, b Value, depth int) (bool, error) {
	if err := c.spend(depth); err != nil {
		return false, err
	}
	if isNumber(a) && isNumber(b) {
		if err := c.spendNumbers(a, b); err != nil {
			return false, err
		}
		cmp, ordered := cmpNumbers(a, b)
		return ordered && op.holds(cmp), nil
	}
	if s, ok := AsStr(a); ok {
		if t, ok := AsStr(b); ok {
			return op.holds(strings.Compare(s, t)), c.spendTexts(s, t)
		}
	}
	switch a := a.(type) {
	case *List:
		if b, ok := b.(*List); ok {
			return c.compareItems(op, a.Items, b.Items, depth)
		}
	case *Tuple:
		if b, ok := b.(*Tuple); ok {
			return c.compareItems(op, a.Items, b.Items, depth)
		}
	case *Set:
		if b, ok := b.(*Set); ok {
			switch op {
			case LT, LE:
				if op == LT && a.Len() >= b.Len() {
					return false, nil
				}
				return c.subset(a, b, depth)
			default:
				if op == GT && b.Len() >= a.Len() {
					return false, nil
				}
				return c.subset(b, a, depth)
			}
		}
	case *DateTime:
		if b, ok := b.(*DateTime); ok && a.Aware != b.Aware {
			return false, Errorf("TypeError", "can't compare offset-naive and offset-aware datetimes")
		}
		if _, ok := b.(*Date); ok {
			return false, Errorf("TypeError", "can't compare datetime.datetime to datetime.date")
		}
	case *Date:
		if _, ok := b.(*DateTime); ok {
			return false, Errorf("TypeError", "can't compare datetime.datetime to datetime.date")
		}
	}
	if cmp, ok := cmpTemporal(a, b); ok {
		return op.holds(cmp), nil
	}
	return false, Errorf("TypeError", "'%s' not supported between instances of '%s' and '%s'", op, qualified(a), qualified(b))
}

func (c *comparer) compareItems(op Op, a, b []Value, depth int) (bool, error) {
	for i := range min(len(a), len(b)) {
		eq, err := c.equal(a[i], b[i], depth+1)
		if err != nil {
			return false, err
		}
		if !eq {
			return c.compare(op, a[i], b[i], depth+1)
		}
	}
	return op.holds(len(a) - len(b)), nil
}

// subset reports whether all of a is in b.
func (c *comparer) subset(a, b *Set, depth int) (bool, error) {
	for i := range a.Len() {
		if err := c.spendKey(a.At(i), depth); err != nil {
			return false, err
		}
		if ok, err := b.Has(a.At(i)); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// spendKey charges for looking a key up.
func (c *comparer) spendKey(k Value, depth int) error {
	if err := c.spend(depth); err != nil {
		return err
	}
	return spendKey(c.meter, k)
}

// spendKey charges for hashing a key.
func spendKey(m *meter.Meter, k Value) error {
	switch k := k.(type) {
	case Int, Bool, NoneType, Float:
		return nil
	case Str:
		if len(k) < 512 {
			return nil
		}
	}
	n, err := Weigh(m, k)
	if err != nil {
		return err
	}
	return m.SpendBytes(n, scanNanos)
}

// qualified returns the type's name as in Python's operator errors.
func qualified(v Value) string {
	switch v.(type) {
	case *Date, *Time, *DateTime, *TimeDelta:
		return "datetime." + v.TypeName()
	case *Decimal:
		return "decimal.Decimal"
	}
	return v.TypeName()
}

func isNumber(v Value) bool {
	switch v.(type) {
	case Int, Float, Bool, *Big, *Decimal:
		return true
	}
	return false
}

// cmpNumbers compares exactly; ordered is false if one of them is NaN.
func cmpNumbers(a, b Value) (cmp int, ordered bool) {
	if x, ok := AsInt(a); ok {
		if y, ok := AsInt(b); ok {
			switch {
			case x < y:
				return -1, true
			case x > y:
				return 1, true
			}
			return 0, true
		}
	}
	x, xf := a.(Float)
	y, yf := b.(Float)
	if xf && yf {
		switch {
		case x < y:
			return -1, true
		case x > y:
			return 1, true
		}
		return 0, x == y
	}
	if xf && math.IsNaN(float64(x)) || yf && math.IsNaN(float64(y)) {
		return 0, false
	}
	if xf && math.IsInf(float64(x), 0) {
		return infVs(float64(x), b)
	}
	if yf && math.IsInf(float64(y), 0) {
		cmp, ordered = infVs(float64(y), a)
		return -cmp, ordered
	}
	_, xd := a.(*Decimal)
	_, yd := b.(*Decimal)
	if xd || yd {
		d, e := asDecimal(a), asDecimal(b)
		if d.Kind == NaN || e.Kind == NaN {
			return 0, false
		}
		return cmpDecimal(d, e), true
	}
	return exact(a).Cmp(exact(b)), true
}

func infVs(inf float64, other Value) (int, bool) {
	sign := 1
	if inf < 0 {
		sign = -1
	}
	if d, ok := other.(*Decimal); ok {
		if d.Kind == NaN {
			return 0, false
		}
		if d.Kind == Infinity && d.Neg == (sign < 0) {
			return 0, true
		}
	}
	return sign, true
}

// exact returns a finite int or float as a fraction.
func exact(v Value) *big.Rat {
	if f, ok := v.(Float); ok {
		return new(big.Rat).SetFloat64(float64(f))
	}
	n, _ := AsBig(v)
	return new(big.Rat).SetInt(n)
}

// Contains returns `item in container`. It charges m, which may be nil.
func Contains(m *meter.Meter, container, item Value) (bool, error) {
	c := &comparer{m, compareBudget}
	var items []Value
	switch v := container.(type) {
	case Str, SafeStr:
		s, _ := AsStr(v)
		t, ok := AsStr(item)
		if !ok {
			return false, Errorf("TypeError", "'in <string>' requires string as left operand, not %s", item.TypeName())
		}
		if len(s) >= 64 {
			if err := m.SpendBytes(len(s)+len(t), scanNanos); err != nil {
				return false, err
			}
		}
		return strings.Contains(s, t), nil
	case *Dict:
		if err := spendKey(m, item); err != nil {
			return false, err
		}
		_, ok, err := v.Get(item)
		return ok, err
	case *Set:
		if err := spendKey(m, item); err != nil {
			return false, err
		}
		return v.Has(item)
	case *DictView:
		if err := spendKey(m, item); err != nil {
			return false, err
		}
		switch v.Kind {
		case DictKeys:
			_, ok, err := v.Dict.Get(item)
			return ok, err
		case DictValues:
			items = v.Dict.vals
		default:
			t, ok := item.(*Tuple)
			if !ok || len(t.Items) != 2 {
				return false, nil
			}
			val, ok, err := v.Dict.Get(t.Items[0])
			if !ok || err != nil {
				return false, err
			}
			return c.equal(val, t.Items[1], 0)
		}
	case *List:
		items = v.Items
	case *Tuple:
		items = v.Items
	case Sequence:
		for i := range v.Len() {
			if eq, err := c.equal(v.At(i), item, 0); eq || err != nil {
				return eq, err
			}
		}
		return false, nil
	default:
		return false, Errorf("TypeError", "argument of type '%s' is not iterable", container.TypeName())
	}
	for _, it := range items {
		if eq, err := c.equal(it, item, 0); eq || err != nil {
			return eq, err
		}
	}
	return false, nil
}
