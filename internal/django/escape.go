// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import "github.com/rehive/extension-operator/internal/python"

// Escape implements django.utils.html.escape: it replaces & < > " ' with character
// references. It does not allocate if there is nothing to escape.
func Escape(s string) string {
	n := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '&', '\'':
			n += 5
		case '<', '>':
			n += 4
		case '"':
			n += 6
		}
	}
	if n == 0 {
		return s
	}
	return string(appendEscaped(make([]byte, 0, len(s)+n), s))
}

// ConditionalEscape returns str(v), escaped unless v is a SafeStr.
func ConditionalEscape(v python.Value) python.SafeStr {
	if s, ok := v.(python.SafeStr); ok {
		return s
	}
	return python.SafeStr(Escape(python.StrOf(v)))
}

func appendEscaped(dst []byte, s string) []byte {
	last := 0
	for i := 0; i < len(s); i++ {
		var ref string
		switch s[i] {
		case '&':
			ref = "&amp;"
		case '<':
			ref = "&lt;"
		case '>':
			ref = "&gt;"
		case '"':
			ref = "&quot;"
		case '\'':
			ref = "&#x27;"
		default:
			continue
		}
		dst = append(dst, s[last:i]...)
		dst = append(dst, ref...)
		last = i + 1
	}
	return append(dst, s[last:]...)
}
