// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"

	"github.com/rehive/extension-operator/internal/meter"
)

// IsSpace reports whether r is white space to str.isspace, strip and split.
func IsSpace(r rune) bool {
	switch {
	case r <= ' ':
		return r == ' ' || '\t' <= r && r <= '\r' || 0x1c <= r && r <= 0x1f
	case r < 0x80:
		return false
	}
	return unicode.IsSpace(r)
}

// Strip returns s.strip().
func Strip(s string) string { return strings.TrimFunc(s, IsSpace) }

// Fields returns s.split().
func Fields(s string) []string { return strings.FieldsFunc(s, IsSpace) }

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Upper returns s.upper(), with full mapping: 'ß' becomes 'SS'.
func Upper(s string) string {
	out, _ := upperText(nil, s)
	return out
}

func upperText(m *meter.Meter, s string) (string, error) {
	if isASCII(s) {
		return strings.ToUpper(s), nil
	}
	var b strings.Builder
	b.Grow(len(s))
	looks := looks{meter: m}
	for i, r := range s {
		if err := looks.at(i); err != nil {
			return "", err
		}
		if up, ok := longCases().uppers[r]; ok && r >= utf8.RuneSelf {
			b.WriteString(up)
		} else {
			b.WriteRune(unicode.ToUpper(r))
		}
	}
	return b.String(), nil
}

// Lower returns s.lower(), with full mapping and the final sigma.
func Lower(s string) string {
	out, _ := lowerText(nil, s)
	return out
}

func lowerText(m *meter.Meter, s string) (string, error) {
	if isASCII(s) {
		return strings.ToLower(s), nil
	}
	var b strings.Builder
	b.Grow(len(s))
	looks := looks{meter: m}
	for i, r := range s {
		if err := looks.at(i); err != nil {
			return "", err
		}
		switch {
		case r == 'Σ' && afterCased(s[:i]) && finalSigma(s[i+len("Σ"):]):
			b.WriteRune('ς')
		case r == 'İ':
			b.WriteString(lowerRune(r))
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String(), nil
}

// titleRune returns the title case of one character, which may be several.
func titleRune(r rune) string {
	if unicode.IsTitle(r) {
		return string(r)
	}
	if t := unicode.ToTitle(r); r < utf8.RuneSelf || t != r {
		return string(t)
	}
	if t, ok := longCases().titles[r]; ok {
		return t
	}
	return string(r)
}

// longCases are the title and upper cases of characters that map to several, such as "Ss"
// and "SS" for "ß".
var longCases = sync.OnceValue(func() (long struct{ titles, uppers map[rune]string }) {
	long.titles, long.uppers = map[rune]string{}, map[rune]string{}
	upper := cases.Upper(language.Und)
	for _, block := range [...][2]rune{{0x80, 0x600}, {0x1e00, 0x2000}, {0xfb00, 0xfb20}} { // the blocks that contain them
		for r := block[0]; r < block[1]; r++ {
			up := upper.String(string(r))
			first, n := utf8.DecodeRuneInString(up)
			if n == len(up) {
				continue
			}
			long.uppers[r] = up
			if unicode.ToTitle(r) == r {
				long.titles[r] = string(first) + Lower(up[n:])
			}
		}
	}
	long.titles['ŉ'] = long.uppers['ŉ']
	return long
})

// lowerRune returns the lower case of one character.
func lowerRune(r rune) string {
	if r == 'İ' {
		return "i̇"
	}
	return string(unicode.ToLower(r))
}

func isCased(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r) ||
		unicode.Is(unicode.Other_Lowercase, r) || unicode.Is(unicode.Other_Uppercase, r)
}

// Title returns s.title(): a letter after something that isn't one becomes title case.
func Title(s string) string {
	out, _ := titleText(nil, s)
	return out
}

func titleText(m *meter.Meter, s string) (string, error) {
	var b strings.Builder
	b.Grow(len(s))
	prev := false
	looks := looks{meter: m}
	for i, r := range s {
		if err := looks.at(i); err != nil {
			return "", err
		}
		if r < utf8.RuneSelf {
			c := byte(r)
			letter := isCased(r)
			switch {
			case letter && prev:
				c |= 0x20
			case letter:
				c &^= 0x20
			}
			b.WriteByte(c)
			prev = letter
			continue
		}
		switch {
		case !prev:
			b.WriteString(titleRune(r))
		case r == 'Σ' && finalSigma(s[i+len("Σ"):]):
			b.WriteRune('ς')
		case r == 'İ':
			b.WriteString(lowerRune(r))
		default:
			b.WriteRune(unicode.ToLower(r))
		}
		prev = isCased(r)
	}
	return b.String(), nil
}

// finalSigma reports whether a sigma after a letter ends its word: no letter follows, not
// even after case-ignorable characters.
func finalSigma(rest string) bool {
	for _, r := range rest {
		if !isCaseIgnorable(r) {
			return !isCased(r)
		}
	}
	return true
}

// afterCased reports whether a letter precedes, ignoring case-ignorable characters.
func afterCased(before string) bool {
	for before != "" {
		r, n := utf8.DecodeLastRuneInString(before)
		if !isCaseIgnorable(r) {
			return isCased(r)
		}
		before = before[:len(before)-n]
	}
	return false
}

// isCaseIgnorable reports Unicode's property Case_Ignorable.
func isCaseIgnorable(r rune) bool {
	if r < utf8.RuneSelf {
		return r == '\'' || r == '.' || r == ':' || r == '^' || r == '`'
	}
	return unicode.In(r, unicode.Mn, unicode.Lm, unicode.Sk, unicode.Cf, unicode.Me) ||
		strings.ContainsRune("··՟״‘’․‧︓﹒﹕＇．：", r)
}

func capitalizeText(m *meter.Meter, s string) (string, error) {
	if s == "" {
		return "", nil
	}
	r, n := utf8.DecodeRuneInString(s)
	lower, err := lowerText(m, s)
	if err != nil {
		return "", err
	}
	return titleRune(r) + lower[len(Lower(s[:n])):], nil
}

func swapcaseText(m *meter.Meter, s string) (string, error) {
	var b strings.Builder
	b.Grow(len(s))
	afterLetter := false
	looks := looks{meter: m}
	for i, r := range s {
		if err := looks.at(i); err != nil {
			return "", err
		}
		if r < utf8.RuneSelf {
			c := byte(r)
			if afterLetter = isCased(r); afterLetter {
				c ^= 0x20
			}
			b.WriteByte(c)
			continue
		}
		switch {
		case r == 'Σ' && afterLetter && finalSigma(s[i+len("Σ"):]):
			b.WriteRune('ς')
		case isUpperLetter(r):
			b.WriteString(lowerRune(r))
		case isLowerLetter(r):
			b.WriteString(upperRune(r))
		default:
			b.WriteRune(r)
		}
		afterLetter = isCased(r)
	}
	return b.String(), nil
}

// upperRune returns the upper case of one character, which may be several.
func upperRune(r rune) string {
	if up, ok := longCases().uppers[r]; ok {
		return up
	}
	return string(unicode.ToUpper(r))
}

func casefoldText(m *meter.Meter, s string) (string, error) {
	if isASCII(s) {
		return strings.ToLower(s), nil
	}
	var b strings.Builder
	for fold := cases.Fold(); s != ""; {
		n := min(len(s), piece)
		for n < len(s) && !utf8.RuneStart(s[n]) {
			n++
		}
		if err := m.Look(); err != nil {
			return "", err
		}
		b.WriteString(strings.Map(foldCherokee, fold.String(s[:n])))
		s = s[n:]
	}
	return b.String(), nil
}

// foldCherokee maps the lower case of Cherokee to its upper case, to which Unicode folds it.
func foldCherokee(r rune) rune {
	switch {
	case 0xab70 <= r && r <= 0xabbf:
		return r - 0xab70 + 0x13a0
	case 0x13f8 <= r && r <= 0x13fd:
		return r - 8
	}
	return r
}

// SplitLines returns s.splitlines(), at every line boundary that Python knows. The caller has
// charged for it.
func SplitLines(m *meter.Meter, s string, keepEnds bool) ([]string, error) {
	var out []string
	for s != "" {
		if len(out)%itemsPerCheck == itemsPerCheck-1 {
			if err := m.Look(); err != nil {
				return nil, err
			}
		}
		i := strings.IndexFunc(s, IsLineEnd)
		if i < 0 {
			return append(out, s), nil
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
	return out, nil
}

// IsLineEnd reports whether r ends a line to str.splitlines.
func IsLineEnd(r rune) bool {
	switch r {
	case '\n', '\r', '\v', '\f', 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029:
		return true
	}
	return false
}
