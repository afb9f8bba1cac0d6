// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// IsSpace tells whether r is white space to str.isspace, strip and split.
func IsSpace(r rune) bool {
	switch {
	case r <= ' ':
		return r == ' ' || '\t' <= r && r <= '\r' || 0x1c <= r && r <= 0x1f
	case r < 0x80:
		return false
	}
	return unicode.IsSpace(r)
}

// Strip is s.strip().
func Strip(s string) string { return strings.TrimFunc(s, IsSpace) }

// Fields is s.split().
func Fields(s string) []string { return strings.FieldsFunc(s, IsSpace) }

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Upper is s.upper(), with full mapping: 'ß' becomes 'SS'.
func Upper(s string) string {
	if isASCII(s) {
		return strings.ToUpper(s)
	}
	return cases.Upper(language.Und).String(s)
}

// Lower is s.lower(), with full mapping and the final sigma.
func Lower(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return cases.Lower(language.Und).String(s)
}

// titleRune is the title case of one character, which may be several.
func titleRune(r rune) string {
	if r < utf8.RuneSelf || unicode.ToTitle(r) != r {
		return string(unicode.ToTitle(r))
	}
	up := cases.Upper(language.Und).String(string(r))
	if r == 'ŉ' {
		return up
	}
	if utf8.RuneCountInString(up) > 1 {
		first, n := utf8.DecodeRuneInString(up)
		return string(first) + Lower(up[n:])
	}
	return string(r)
}

func isCased(r rune) bool {
	return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r) ||
		unicode.Is(unicode.Other_Lowercase, r) || unicode.Is(unicode.Other_Uppercase, r)
}

// Title is s.title(): a letter after something that isn't one becomes title case.
func Title(s string) string {
	var b strings.Builder
	prev := false
	for i, r := range s {
		switch {
		case !prev:
			b.WriteString(titleRune(r))
		case r == 'Σ' && finalSigma(s[i+len("Σ"):]):
			b.WriteRune('ς')
		case r < utf8.RuneSelf:
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteString(Lower(string(r)))
		}
		prev = isCased(r)
	}
	return b.String()
}

// finalSigma tells whether a sigma after a letter ends its word: what follows
// is no letter, not even after characters that have no say in it.
func finalSigma(rest string) bool {
	for _, r := range rest {
		if isCased(r) {
			return false
		}
		if !unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk) && !strings.ContainsRune("'.:·’", r) {
			return true
		}
	}
	return true
}

// Capitalize is s.capitalize().
func Capitalize(s string) string {
	if s == "" {
		return ""
	}
	r, n := utf8.DecodeRuneInString(s)
	return titleRune(r) + Lower(s)[len(Lower(s[:n])):]
}

// Swapcase is s.swapcase().
func Swapcase(s string) string {
	var b strings.Builder
	afterLetter := false
	for i, r := range s {
		switch {
		case r == 'Σ' && afterLetter && finalSigma(s[i+len("Σ"):]):
			b.WriteRune('ς')
		case unicode.IsUpper(r):
			b.WriteString(Lower(string(r)))
		case unicode.IsLower(r):
			b.WriteString(Upper(string(r)))
		default:
			b.WriteRune(r)
		}
		afterLetter = isCased(r)
	}
	return b.String()
}

// Casefold is s.casefold().
func Casefold(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return cases.Fold().String(s)
}

// SplitLines is s.splitlines(), at every line boundary that Python knows.
func SplitLines(s string, keepEnds bool) []string {
	var out []string
	for s != "" {
		i := strings.IndexFunc(s, isLineEnd)
		if i < 0 {
			return append(out, s)
		}
		_, n := utf8.DecodeRuneInString(s[i:])
		if s[i] == '\r' && i+1 < len(s) && s[i+1] == '\n' {
			n = 2
		}
		if keepEnds {
			out = append(out, s[:i+n])
		} else {
			out = append(out, s[:i])
		}
		s = s[i+n:]
	}
	return out
}

func isLineEnd(r rune) bool {
	switch r {
	case '\n', '\r', '\v', '\f', 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029:
		return true
	}
	return false
}
