// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/runenames"

	"github.com/rehive/extension-operator/internal/python"
)

// strToken is one string literal as written in the source.
type strToken struct {
	bytes, joined bool
	parts         []textPart
}

// string reads a literal whose quote is at l.pos; its prefix begins at start.
func (l *lexer) string(start int, prefix string) error {
	quote := l.src[l.pos : l.pos+1]
	triple := strings.HasPrefix(l.src[l.pos:], quote+quote+quote)
	if triple {
		quote = l.src[l.pos : l.pos+3]
	}
	l.pos += len(quote)
	body := l.pos
	for {
		if l.pos >= len(l.src) || !triple && l.src[l.pos] == '\n' {
			return l.unclosed(start, quote)
		}
		if l.src[l.pos] == '\\' {
			l.pos += 2
			if l.pos > len(l.src) {
				return l.unclosed(start, quote)
			}
			if l.src[l.pos-1] == slotByte { // counted below
				l.pos--
			}
			continue
		}
		if strings.HasPrefix(l.src[l.pos:], quote) {
			break
		}
		l.pos++
	}
	text := l.src[body:l.pos]
	l.pos += len(quote)

	s := &strToken{bytes: strings.Contains(prefix, "b"), joined: strings.Contains(prefix, "f")}
	// Without the data, the surrounding text would have a different meaning.
	between := func(c string) bool { return strings.Contains(text+quote[:1], c+string(rune(slotByte))+c) }
	if triple && between(quote[:1]) || s.joined && (between("{") || between("}")) ||
		text == string(rune(slotByte)) && strings.HasPrefix(l.src[l.pos:], quote) {
		return l.fault(start, "data in this string is not allowed between two quotes or braces")
	}
	raw := strings.Contains(prefix, "r")
	kind := inText
	switch {
	case s.joined || l.inField:
		kind = inFString
	case s.bytes:
		kind = inBytes
	case raw:
		kind = inRaw
	}
	var err error
	if s.joined {
		f := fstring{lexer: l, src: text, base: body, raw: raw}
		s.parts, err = f.parts(0)
	} else {
		s.parts, err = l.textParts(text, body, raw, s.bytes, kind)
	}
	if err != nil {
		return err
	}
	l.add(token{kind: tokString, pos: l.base + start, str: s})
	return nil
}

// textParts decodes the inside of a literal between its slots.
func (l *lexer) textParts(text string, pos int, raw, isBytes bool, kind insideKind) ([]textPart, error) {
	var parts []textPart
	for {
		i := strings.IndexByte(text, slotByte)
		author := text
		if i >= 0 {
			author = text[:i]
		}
		if author != "" {
			decoded, err := decode(author, raw, isBytes, i >= 0)
			if err != nil {
				return nil, faultf(SyntaxError, l.base+pos, "%s", err.Error())
			}
			parts = append(parts, textPart{text: decoded, slot: -1})
		}
		if i < 0 {
			return parts, nil
		}
		parts = append(parts, textPart{slot: l.takeSlot(kind)})
		text = text[i+1:]
		pos += i + 1
	}
}

var (
	errEscape     = errors.New("this text contains an invalid escape sequence")
	errBeforeData = errors.New("data can't follow a backslash in a text")
	errCharName   = errors.New("there is no character with the name in \\N{…}")
	errASCII      = errors.New("b'…' can only contain ASCII characters")
	errSurrogate  = errors.New("\\ud800 to \\udfff are not characters")
)

// decode returns the value of a literal's contents. beforeData means that data follows
// immediately, which must not become part of an escape sequence.
func decode(s string, raw, isBytes, beforeData bool) (string, error) {
	if isBytes {
		for i := range len(s) {
			if s[i] >= utf8.RuneSelf {
				return "", errASCII
			}
		}
	}
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	if raw {
		// With empty data, the backslash would escape the quote.
		if beforeData && (len(s)-len(strings.TrimRight(s, "\\")))%2 == 1 {
			return "", errBeforeData
		}
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		c := s[i]
		if c != '\\' {
			b.WriteByte(c)
			i++
			continue
		}
		i++
		if i >= len(s) {
			if beforeData {
				return "", errBeforeData
			}
			b.WriteByte('\\') // before a brace in an f-string
			break
		}
		c = s[i]
		i++
		if j := strings.IndexByte("\n\\'\"abfnrtv", c); j >= 0 {
			if j > 0 {
				b.WriteByte("\n\\'\"\a\b\f\n\r\t\v"[j])
			}
			continue
		}
		var width int
		switch {
		case c >= '0' && c <= '7':
			n := rune(c - '0')
			k := 1
			for ; k < 3 && i < len(s) && s[i] >= '0' && s[i] <= '7'; k++ {
				n = n*8 + rune(s[i]-'0')
				i++
			}
			if beforeData && k < 3 && i == len(s) {
				return "", errBeforeData
			}
			if isBytes {
				b.WriteByte(byte(n))
			} else {
				b.WriteRune(n)
			}
			continue
		case c == 'x':
			width = 2
		case c == 'u' && !isBytes:
			width = 4
		case c == 'U' && !isBytes:
			width = 8
		case c == 'N' && !isBytes:
			end := strings.IndexByte(s[i:], '}')
			if i >= len(s) || s[i] != '{' || end < 0 {
				return "", errEscape
			}
			r, ok := runeByName(s[i+1 : i+end])
			if !ok {
				return "", errCharName
			}
			b.WriteRune(r)
			i += end + 1
			continue
		default: // not an escape: both characters stay
			b.WriteByte('\\')
			b.WriteByte(c)
			continue
		}
		if i+width > len(s) {
			return "", errEscape
		}
		n, err := strconv.ParseUint(s[i:i+width], 16, 32)
		if err != nil || n > utf8.MaxRune {
			return "", errEscape
		}
		if n >= 0xd800 && n < 0xe000 {
			return "", errSurrogate
		}
		i += width
		if isBytes {
			b.WriteByte(byte(n))
		} else {
			b.WriteRune(rune(n))
		}
	}
	return b.String(), nil
}

// runesByName is created for the first \N{…}.
var runesByName = sync.OnceValue(func() map[string]rune {
	m := make(map[string]rune, 40_000)
	for r := rune(' '); r <= 0x1ffff; r++ {
		if name := runenames.Name(r); name != "" && name[0] != '<' {
			m[name] = r
		}
	}
	return m
})

// runeByName finds a character by its Unicode name, ignoring case.
func runeByName(name string) (rune, bool) {
	if len(name) > 100 {
		return 0, false
	}
	name = strings.ToUpper(name)
	if hex, ok := strings.CutPrefix(name, "CJK UNIFIED IDEOGRAPH-"); ok {
		n, err := strconv.ParseUint(hex, 16, 20)
		r := rune(n)
		return r, err == nil && len(hex) >= 4 && unicode.Is(unicode.Ideographic, r)
	}
	r, ok := runesByName()[name]
	return r, ok
}

// maxDigits is how many decimal digits Python converts to or from an int.
const maxDigits = 4300

// parseNumber returns the value of a number token.
func parseNumber(text string) (python.Value, error) {
	text = strings.ReplaceAll(text, "_", "")
	if len(text) > 2 && text[0] == '0' && !isDigit(text[1]) && text[1] != '.' {
		if base := strings.IndexByte("  b     o       x", text[1]|0x20); base > 0 {
			n, _ := new(big.Int).SetString(text[2:], base)
			if n.BitLen() > python.MaxIntBits {
				return nil, faultf(LimitExceeded, -1, "this number is too large")
			}
			return python.NewInt(n), nil
		}
	}
	imaginary := text[len(text)-1]|0x20 == 'j'
	if imaginary {
		text = text[:len(text)-1]
	}
	if !imaginary && strings.Trim(text, "0123456789") == "" {
		if len(text) < 19 {
			n, _ := strconv.ParseInt(text, 10, 64)
			return python.Int(n), nil
		}
		if len(text) > maxDigits {
			return nil, faultf(SyntaxError, -1, "a number can't have more than %d digits", maxDigits)
		}
		n, _ := new(big.Int).SetString(text, 10)
		return python.NewInt(n), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) {
		return nil, faultf(SyntaxError, -1, "invalid number")
	}
	if imaginary {
		return Complex(complex(0, f)), nil
	}
	return python.Float(f), nil
}
