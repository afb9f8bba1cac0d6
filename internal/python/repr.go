// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"fmt"
	"math"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// maxRepr is the length at which Repr, StrOf and AppendStr stop: larger than every limit of
// their callers, but small enough for lists that share their items many times over.
const maxRepr = 4 * MaxLen

// Repr returns repr(v).
func Repr(v Value) string { return string(appendRepr(nil, v, 0)) }

// StrOf returns str(v).
func StrOf(v Value) string {
	switch v := v.(type) {
	case Str:
		return string(v)
	case SafeStr:
		return string(v)
	case Bool:
		if v {
			return "True"
		}
		return "False"
	case NoneType:
		return "None"
	}
	var buf [64]byte
	return string(AppendStr(buf[:0], v))
}

// AppendStr appends str(v) to dst without an intermediate string.
func AppendStr(dst []byte, v Value) []byte {
	switch v := v.(type) {
	case Str:
		return append(dst, v...)
	case SafeStr:
		return append(dst, v...)
	case *Date, *Time, *DateTime, *TimeDelta, *Decimal:
		return append(dst, temporalStr(v)...)
	case interface{ Str() string }:
		return append(dst, v.Str()...)
	}
	return appendRepr(dst, v, 0)
}

func appendRepr(dst []byte, v Value, depth int) []byte {
	if depth > maxDepth || len(dst) > maxRepr {
		return append(dst, "..."...)
	}
	switch v := v.(type) {
	case NoneType:
		return append(dst, "None"...)
	case Bool:
		if v {
			return append(dst, "True"...)
		}
		return append(dst, "False"...)
	case Int:
		return strconv.AppendInt(dst, int64(v), 10)
	case *Big:
		return v.n.Append(dst, 10)
	case Float:
		return AppendFloat(dst, float64(v))
	case Str:
		return appendQuoted(dst, string(v), false)
	case SafeStr:
		return appendQuoted(dst, string(v), false)
	case *List:
		dst = append(dst, '[')
		dst = appendReprs(dst, v.Items, depth)
		return append(dst, ']')
	case *Tuple:
		dst = append(dst, '(')
		dst = appendReprs(dst, v.Items, depth)
		if len(v.Items) == 1 {
			dst = append(dst, ',')
		}
		return append(dst, ')')
	case *Dict:
		dst = append(dst, '{')
		for i, k := range v.keys {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendRepr(dst, k, depth+1)
			dst = append(dst, ": "...)
			dst = appendRepr(dst, v.vals[i], depth+1)
			if len(dst) > maxRepr {
				return dst
			}
		}
		return append(dst, '}')
	case *Set:
		if v.Len() == 0 {
			return append(dst, "set()"...)
		}
		dst = append(dst, '{')
		dst = appendReprs(dst, v.d.keys, depth)
		return append(dst, '}')
	case *DictView:
		dst = append(dst, v.TypeName()...)
		dst = append(dst, "(["...)
		for i := range v.Len() {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendRepr(dst, v.At(i), depth+1)
			if len(dst) > maxRepr {
				return dst
			}
		}
		return append(dst, "])"...)
	case *Date, *Time, *DateTime, *TimeDelta, *Decimal:
		return append(dst, temporalRepr(v)...)
	case Object:
		return append(dst, v.Repr()...)
	default:
		return append(append(append(dst, '<'), v.TypeName()...), '>')
	}
}

func appendReprs(dst []byte, items []Value, depth int) []byte {
	for i, it := range items {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendRepr(dst, it, depth+1)
		if len(dst) > maxRepr {
			return dst
		}
	}
	return dst
}

// ASCII returns ascii(v): repr with everything outside ASCII escaped.
func ASCII(v Value) string {
	if s, ok := AsStr(v); ok {
		return string(appendQuoted(nil, s, true))
	}
	text := Repr(v)
	out := make([]byte, 0, len(text))
	for _, r := range text {
		switch {
		case r < utf8.RuneSelf:
			out = append(out, byte(r))
		case r < 0x100:
			out = fmt.Appendf(out, `\x%02x`, r)
		case r < 0x10000:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = fmt.Appendf(out, `\U%08x`, r)
		}
	}
	return string(out)
}

func appendQuoted(dst []byte, s string, ascii bool) []byte {
	quote := byte('\'')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' {
			quote = '\''
			break
		}
		if s[i] == '\'' {
			quote = '"'
		}
	}
	const hex = "0123456789abcdef"
	dst = append(dst, quote)
	for i := 0; i < len(s); {
		b := s[i]
		if b < utf8.RuneSelf {
			i++
			switch {
			case b == quote || b == '\\':
				dst = append(dst, '\\', b)
			case b == '\n':
				dst = append(dst, '\\', 'n')
			case b == '\r':
				dst = append(dst, '\\', 'r')
			case b == '\t':
				dst = append(dst, '\\', 't')
			case b < ' ' || b == 0x7f:
				dst = append(dst, '\\', 'x', hex[b>>4], hex[b&15])
			default:
				dst = append(dst, b)
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if !ascii && IsPrintable(r) && (r != utf8.RuneError || n > 1) {
			dst = append(dst, s[i:i+n]...)
			i += n
			continue
		}
		i += n
		var width int
		switch {
		case r < 0x100:
			dst, width = append(dst, '\\', 'x'), 2
		case r < 0x10000:
			dst, width = append(dst, '\\', 'u'), 4
		default:
			dst, width = append(dst, '\\', 'U'), 8
		}
		for j := width - 1; j >= 0; j-- {
			dst = append(dst, hex[r>>(4*j)&15])
		}
	}
	return append(dst, quote)
}

// IsPrintable reports whether repr prints r unescaped.
func IsPrintable(r rune) bool { return unicode.IsPrint(r) }

// FloatRepr returns repr of a float.
func FloatRepr(f float64) string { return string(AppendFloat(nil, f)) }

// AppendFloat appends the repr of a float: the shortest digits that identify f, with an
// exponent below 1e-4 and from 1e16 on.
func AppendFloat(dst []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(dst, "inf"...)
	case math.IsInf(f, -1):
		return append(dst, "-inf"...)
	case math.IsNaN(f):
		return append(dst, "nan"...)
	}
	if abs := math.Abs(f); abs == 0 || abs >= 1e-4 && abs < 1e16 {
		n := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
		for _, c := range dst[n:] {
			if c == '.' {
				return dst
			}
		}
		return append(dst, ".0"...)
	}
	return strconv.AppendFloat(dst, f, 'e', -1, 64)
}
