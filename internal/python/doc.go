// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package python implements the part of Python's value model that is visible in templates
// and expressions: how values print, compare, add, hash and convert.
//
// A Value is one of the types below, and nothing else:
//
//	NoneType   None                 Bool      True, False
//	Int, *Big  int (see NewInt)     Float     float
//	Str        str                  SafeStr   Django's SafeString, a str subclass
//	*List      list                 *Tuple    tuple
//	*Dict      dict, ordered        *Set      set
//	*DictView  d.keys() and so on   *Date, *Time, *DateTime, *TimeDelta, *Decimal
//	Object     anything with attributes that a host brings (forloop, block, …)
//
// An int that fits into 64 bits is always an Int and never a *Big, so create ints with
// NewInt. Text is UTF-8 and is counted in code points. A value with identity (list, dict,
// set) is a pointer, so `is` is ==.
//
// Switch on the type where you need the kind; use AsStr to treat Str and
// SafeStr alike, and AsInt to treat Bool and Int alike. A Go nil is never a
// Value; where a function documents it, nil means "absent".
//
// Every error is an *Error with the name and message of Python's exception. Every operation
// that can grow its result (Add, Mul, Pow, shifts, Repeat, …) fails immediately if the
// result would exceed MaxLen or MaxIntBits.
//
// Values are safe for concurrent use as long as nobody modifies them.
package python
