// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/rehive/extension-operator/internal/python"
)

const ellipsis = "…"

// truncateChars truncates text to length characters including the ellipsis, like Django's
// Truncator.chars: the text is normalized (NFC), and combining characters don't count.
func truncateChars(c *Context, text string, length int) (string, error) {
	before, after := c.locale.truncated()
	room := roomFor(before+after, length)
	count, cut := 0, -1
	var b strings.Builder
	for text != "" {
		n := normalPiece(text)
		if err := c.meter.SpendBytes(n, normNanos(text[:n])); err != nil {
			return "", err
		}
		start := b.Len()
		normal, err := toNFC(c, text[:n])
		if err != nil {
			return "", err
		}
		b.WriteString(normal)
		for i, r := range b.String()[start:] {
			if isCombining(r) {
				continue
			}
			count++
			if cut < 0 && count > room {
				cut = start + i
			}
			if count > length {
				return before + b.String()[:max(cut, 0)] + after, nil
			}
		}
		text = text[n:]
	}
	return b.String(), nil
}

// roomFor returns how many of length characters remain besides the truncation mark.
func roomFor(mark string, length int) int {
	for _, r := range mark {
		if !isCombining(r) {
			if length--; length == 0 {
				break
			}
		}
	}
	return length
}

// normalPiece returns the length of a prefix of text that can be normalized independently.
func normalPiece(text string) int {
	const size = 8 << 10
	for n := size; n < len(text); n++ {
		if utf8.RuneStart(text[n]) && norm.NFC.PropertiesString(text[n:]).BoundaryBefore() {
			return n
		}
	}
	return len(text)
}

// normNanos returns the time for normalizing a text, in nanoseconds per byte.
func normNanos(text string) int {
	if isASCII(text) {
		return 10
	}
	return 200
}

// normalize returns the text in NFC, checking the context in between.
func normalize(c *Context, text string) (string, error) {
	if isASCII(text) {
		return text, nil
	}
	var b strings.Builder
	for text != "" {
		n := normalPiece(text)
		if err := c.meter.SpendBytes(n, normNanos(text[:n])); err != nil {
			return "", err
		}
		normal, err := toNFC(c, text[:n])
		if err != nil {
			return "", err
		}
		b.WriteString(normal)
		text = text[n:]
	}
	return b.String(), nil
}

// toNFC returns the text in NFC. The library limits a character to 30 combining ones: it
// inserts a separator, which Python's unicodedata does not. Texts beyond 64 KiB keep it.
func toNFC(c *Context, text string) (string, error) {
	const (
		separator = "\u034f"
		maxLen    = 64 << 10
		nanos     = 1500
	)
	out := norm.NFC.String(text)
	if len(text) > maxLen || strings.Count(out, separator) == strings.Count(text, separator) {
		return out, nil
	}
	if err := c.meter.SpendBytes(len(text), nanos); err != nil {
		return "", err
	}
	var runes []rune // decomposed
	for i, r := range text {
		if parts := norm.NFD.PropertiesString(text[i:]).Decomposition(); parts != nil {
			runes = append(runes, []rune(string(parts))...)
		} else if unicode.Is(unicode.Hangul, r) {
			runes = append(runes, []rune(norm.NFD.String(string(r)))...)
		} else {
			runes = append(runes, r)
		}
	}
	for i := 0; i < len(runes); i++ { // in canonical order
		end := i
		for end < len(runes) && combiningClass(runes[end]) != 0 {
			end++
		}
		slices.SortStableFunc(runes[i:end], func(a, b rune) int { return combiningClass(a) - combiningClass(b) })
		i = end
	}
	composed := runes[:0]
	starter, last := -1, -1 // the position of the last starter, and the class of the character before
	for _, r := range runes {
		class := combiningClass(r)
		if starter >= 0 && (last < 0 || last < class) {
			pair := []rune(norm.NFC.String(string(composed[starter]) + string(r)))
			if len(pair) == 1 {
				composed[starter] = pair[0]
				continue
			}
		}
		if last = class; class == 0 {
			starter, last = len(composed), -1
		}
		composed = append(composed, r)
	}
	return string(composed), nil
}

func isCombining(r rune) bool {
	return combiningClass(r) != 0
}

// combiningClass returns the canonical combining class of a character.
func combiningClass(r rune) int {
	if r < 0x300 {
		return 0
	}
	var buf [utf8.UTFMax]byte
	return int(norm.NFC.Properties(buf[:utf8.EncodeRune(buf[:], r)]).CCC())
}

// truncateWords keeps the first length words, joined by single spaces. As with
// a Python slice, a negative length drops words from the end.
func truncateWords(c *Context, text string, length int) (string, error) {
	held := c.meter.Held()
	if err := c.meter.Hold(8 * len(text)); err != nil { // a word for every other byte
		return "", err
	}
	defer c.meter.Release(held)
	words := python.Fields(text)
	if len(words) <= length {
		return strings.Join(words, " "), nil
	}
	if length < 0 {
		length = max(len(words)+length, 0)
	}
	return appendOnce(strings.Join(words[:length], " "), " "+ellipsis), nil
}

// appendOnce appends the truncation mark unless the text already ends in it.
func appendOnce(text, mark string) string {
	if strings.HasSuffix(text, mark) {
		return text
	}
	return text + mark
}

// normalizeNewlines replaces \r\n and \r with \n.
func normalizeNewlines(s string) string {
	if strings.IndexByte(s, '\r') < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// wordWrap breaks lines at spaces so that they have at most width characters, except for
// longer words. It is that of Django 5.0.7: unbroken text stays unchanged.
func wordWrap(c *Context, text string, width int) (string, error) {
	var b strings.Builder
	b.Grow(len(text))
	for text != "" {
		if err := c.Step(1); err != nil {
			return "", err
		}
		line := text[:lineEnd(text)]
		text = text[len(line):]
		for {
			space := -1
			if width >= 0 {
				window := firstRunes(line, width)
				if len(window) == len(line) {
					break
				}
				_, next := utf8.DecodeRuneInString(line[len(window):])
				space = strings.LastIndexByte(line[:len(window)+next], ' ')
			} else if width < -1 && len(line) >= -width {
				// As a negative index in Python: all but the last characters. It has a
				// space at most once a line.
				space = strings.LastIndexByte(firstRunes(line, max(utf8.RuneCountInString(line)+width+1, 0)), ' ')
			}
			if space < 0 {
				space = strings.IndexByte(line, ' ')
			}
			if space < 0 {
				break
			}
			b.WriteString(line[:space])
			b.WriteByte('\n')
			line = line[space+1:]
		}
		b.WriteString(line)
	}
	return b.String(), nil
}

// lineEnd returns the length of the first line of a text, with its end.
func lineEnd(text string) int {
	end := strings.IndexFunc(text, python.IsLineEnd)
	if end < 0 {
		return len(text)
	}
	if strings.HasPrefix(text[end:], "\r\n") {
		return end + 2
	}
	_, n := utf8.DecodeRuneInString(text[end:])
	return end + n
}

// slugify keeps ASCII letters, digits, underscores and single hyphens.
func slugify(c *Context, s string) (string, error) {
	var b strings.Builder
	dash := false
	put := func(r rune) {
		switch {
		case r >= utf8.RuneSelf:
		case isASCIIAlnum(byte(r)) || r == '_':
			if dash {
				b.WriteByte('-')
				dash = false
			}
			b.WriteByte(lowerASCII(byte(r)))
		case r == '-' || python.IsSpace(r):
			dash = true
		}
	}
	for i, r := range s {
		if r < utf8.RuneSelf {
			put(r)
			continue
		}
		// Only the ASCII characters of the NFKD form count, so their order does not matter.
		parts := norm.NFKD.PropertiesString(s[i:]).Decomposition()
		if err := c.meter.Spend(len(parts) / 16); err != nil {
			return "", err
		}
		for _, part := range parts {
			if part < utf8.RuneSelf {
				put(rune(part))
			}
		}
		if b.Len() > c.limits.String {
			return "", c.Grow(b.Len())
		}
	}
	if dash {
		b.WriteByte('-')
	}
	return strings.Trim(b.String(), "-_"), nil
}

func lowerASCII(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// isWord reports whether r matches \w of Python's regular expressions.
func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }

func runeCount(s string) int { return utf8.RuneCountInString(s) }
