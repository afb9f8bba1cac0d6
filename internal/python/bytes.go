// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import "strings"

// Bytes is a bytes object. No event contains one, but expressions can write them, and
// str.encode returns one.
type Bytes string

// TypeName implements Value.
func (Bytes) TypeName() string { return "bytes" }

// Attr implements Object.
func (Bytes) Attr(string) (Value, bool) { return nil, false }

// Size makes the cost functions count bytes as one value.
func (b Bytes) Size() int { return len(b) }

// Len makes bytes a Sequence of ints.
func (b Bytes) Len() int { return len(b) }

// At returns the i-th byte.
func (b Bytes) At(i int) Value { return Int(b[i]) }

// Repr returns repr(b).
func (b Bytes) Repr() string {
	const hex = "0123456789abcdef"
	quote := byte('\'')
	if strings.IndexByte(string(b), '\'') >= 0 && strings.IndexByte(string(b), '"') < 0 {
		quote = '"'
	}
	out := []byte{'b', quote}
	for i := range len(b) {
		c := b[i]
		switch {
		case c == quote || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, `\n`...)
		case c == '\r':
			out = append(out, `\r`...)
		case c == '\t':
			out = append(out, `\t`...)
		case c < ' ' || c >= 0x7f:
			out = append(out, '\\', 'x', hex[c>>4], hex[c&15])
		default:
			out = append(out, c)
		}
	}
	return string(append(out, quote))
}
