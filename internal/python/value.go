// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"math/big"
)

// Value is one Python object; the package comment lists the types.
type Value interface {
	// TypeName returns the name of the Python type: "int", "NoneType", "str", …
	TypeName() string
}

// Object is a value of the host program that isn't one of Python's own types.
type Object interface {
	Value
	// Attr returns the value of an attribute, or false if there is none with the name.
	Attr(name string) (Value, bool)
	// Repr returns the value's repr().
	Repr() string
}

type (
	// NoneType is the type of None.
	NoneType struct{}
	// Bool is True or False.
	Bool bool
	// Int is an int that fits into 64 bits.
	Int int64
	// Big is an int that doesn't fit into 64 bits. Its number must not be modified.
	Big struct{ n *big.Int }
	// Float is a float.
	Float float64
	// Str is a str.
	Str string
	// SafeStr is Django's SafeString: text that needs no HTML escaping.
	SafeStr string
	// List is a list. Only its owner may modify Items.
	List struct{ Items []Value }
	// Tuple is a tuple. Its items must not be modified.
	Tuple struct{ Items []Value }
)

// None, True and False.
var (
	None  Value = NoneType{}
	True  Value = Bool(true)
	False Value = Bool(false)
)

// TypeName implements Value.
func (NoneType) TypeName() string { return "NoneType" }

// TypeName implements Value.
func (Bool) TypeName() string { return "bool" }

// TypeName implements Value.
func (Int) TypeName() string { return "int" }

// TypeName implements Value.
func (*Big) TypeName() string { return "int" }

// TypeName implements Value.
func (Float) TypeName() string { return "float" }

// TypeName implements Value.
func (Str) TypeName() string { return "str" }

// TypeName implements Value.
func (SafeStr) TypeName() string { return "SafeString" }

// TypeName implements Value.
func (*List) TypeName() string { return "list" }

// TypeName implements Value.
func (*Tuple) TypeName() string { return "tuple" }

// NewInt returns an int of any size. It keeps n, which must not be modified.
func NewInt(n *big.Int) Value {
	if n.IsInt64() {
		return Int(n.Int64())
	}
	return &Big{n}
}

// Int returns the number; the caller must not change it.
func (b *Big) Int() *big.Int { return b.n }

// NewList returns a list of the items, which it keeps.
func NewList(items ...Value) *List { return &List{items} }

// NewTuple returns a tuple of the items, which it keeps.
func NewTuple(items ...Value) *Tuple { return &Tuple{items} }

// AsStr returns the text of a Str or SafeStr.
func AsStr(v Value) (string, bool) {
	switch v := v.(type) {
	case Str:
		return string(v), true
	case SafeStr:
		return string(v), true
	}
	return "", false
}

// AsInt returns the number of an Int or Bool; false for a *Big and everything else.
func AsInt(v Value) (int64, bool) {
	switch v := v.(type) {
	case Int:
		return int64(v), true
	case Bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// AsBig returns the number of an Int, *Big or Bool (an int in Python's sense). The caller
// must not modify it.
func AsBig(v Value) (*big.Int, bool) {
	if b, ok := v.(*Big); ok {
		return b.n, true
	}
	if i, ok := AsInt(v); ok {
		return big.NewInt(i), true
	}
	return nil, false
}
