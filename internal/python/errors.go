// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"errors"
	"fmt"

	"github.com/rehive/extension-operator/internal/meter"
)

// Error is a Python exception: the name of its type and its message.
type Error struct {
	Type string // "TypeError", "ValueError", "ZeroDivisionError", …
	Msg  string
}

func (e *Error) Error() string {
	if e.Msg == "" {
		return e.Type
	}
	return e.Type + ": " + e.Msg
}

// Errorf returns an Error of the given Python type.
func Errorf(typ, format string, args ...any) *Error {
	return &Error{Type: typ, Msg: fmt.Sprintf(format, args...)}
}

// Is makes errors.Is(err, meter.ErrLimit) true for results that are too long or too large.
func (e *Error) Is(target error) bool { return target == meter.ErrLimit && e.Type == "LimitError" }

// IsError reports whether err is, or wraps, a Python exception of one of the given types;
// without types, of any type.
func IsError(err error, types ...string) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	for _, t := range types {
		if e.Type == t {
			return true
		}
	}
	return len(types) == 0
}

// Limits on the result of one operation.
const (
	// MaxLen limits the bytes of a string and the items of a list or tuple.
	MaxLen = 1 << 20
	// MaxIntBits limits the size of an integer.
	MaxIntBits = 1 << 17
	// maxDepth limits the nesting in Repr, Equal, Compare and HashKey.
	maxDepth = 200
)

// errTooLong and errTooLarge have the type "LimitError", which doesn't exist in Python, so
// that nothing catches it by accident.
var (
	errTooLong  = &Error{Type: "LimitError", Msg: "the text or list would become too long"}
	errTooLarge = &Error{Type: "LimitError", Msg: "the number would become too large"}
	errTooDeep  = &Error{Type: "RecursionError", Msg: "maximum recursion depth exceeded"}
)
