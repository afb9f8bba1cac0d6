// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/rehive/extension-operator/internal/python"
)

const ellipsis = "…"

// truncateChars cuts text to length characters including the ellipsis, as
// Django's Truncator.chars: the text is normalised (NFC) and combining
// characters don't count.
func truncateChars(text string, length int) string {
	text = norm.NFC.String(text)
	room := length - 1
	count, cut := 0, -1
	for i, r := range text {
		if isCombining(r) {
			continue
		}
		count++
		if cut < 0 && count > room {
			cut = i
		}
		if count > length {
			return text[:max(cut, 0)] + ellipsis
		}
	}
	return text
}

func isCombining(r rune) bool {
	if r < 0x300 {
		return false
	}
	var buf [utf8.UTFMax]byte
	return norm.NFC.Properties(buf[:utf8.EncodeRune(buf[:], r)]).CCC() != 0
}

// truncateWords keeps the first length words, joined by single spaces. As with
// a Python slice, a negative length drops words from the end.
func truncateWords(text string, length int) string {
	words := python.Fields(text)
	if len(words) <= length {
		return strings.Join(words, " ")
	}
	if length < 0 {
		length = max(len(words)+length, 0)
	}
	return appendOnce(strings.Join(words[:length], " "), " "+ellipsis)
}

// appendOnce appends the truncation mark unless the text already ends in it.
func appendOnce(text, mark string) string {
	if strings.HasSuffix(text, mark) {
		return text
	}
	return text + mark
}

// normalizeNewlines makes \r\n and \r to \n.
func normalizeNewlines(s string) string {
	if strings.IndexByte(s, '\r') < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// wordWrap wraps each line of text at width characters, as Python's
// textwrap.TextWrapper without breaking long words or at hyphens. The caller
// has checked that width is positive.
func wordWrap(text string, width int) string {
	var out []string
	for _, line := range python.SplitLines(text, true) {
		out = wrapLine(out, expandTabs(line), width)
	}
	return strings.Join(out, "\n")
}

// wrapLine appends the lines that line wraps to. Chunks are alternately words
// and runs of ASCII white space. One blank chunk is dropped at either end of a
// line, except at the start of the very first.
func wrapLine(out []string, line string, width int) []string {
	line = strings.Map(func(r rune) rune {
		if isASCIISpace(r) {
			return ' '
		}
		return r
	}, line)
	before := len(out)
	for start := 0; start < len(line); {
		if chunk := nextChunk(line[start:]); len(out) > before && isBlank(chunk) {
			start += len(chunk)
		}
		end, length, last := start, 0, ""
		for end < len(line) {
			chunk := nextChunk(line[end:])
			size := runeCount(chunk)
			// A chunk that fits on no line has one to itself.
			if length+size > width && end > start {
				break
			}
			end += len(chunk)
			length += size
			last = chunk
		}
		next := end
		if isBlank(last) {
			end -= len(last)
		}
		if end > start {
			out = append(out, line[start:end])
		}
		start = next
	}
	return out
}

func nextChunk(s string) string {
	blank := s[0] == ' '
	i := 1
	for i < len(s) && (s[i] == ' ') == blank {
		i++
	}
	return s[:i]
}

func isBlank(s string) bool { return python.Strip(s) == "" }

func isASCIISpace(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }

// expandTabs is Python's str.expandtabs(8).
func expandTabs(s string) string {
	if strings.IndexByte(s, '\t') < 0 {
		return s
	}
	var b strings.Builder
	column := 0
	for _, r := range s {
		switch r {
		case '\t':
			n := 8 - column%8
			b.WriteString("        "[:n])
			column += n
		case '\n', '\r':
			b.WriteRune(r)
			column = 0
		default:
			b.WriteRune(r)
			column++
		}
	}
	return b.String()
}

// slugify keeps ASCII letters, digits, underscores and single hyphens.
func slugify(s string) string {
	var b strings.Builder
	dash := false
	for _, r := range norm.NFKD.String(s) {
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
	if dash {
		b.WriteByte('-')
	}
	return strings.Trim(b.String(), "-_")
}

func lowerASCII(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// isWord is \w of Python's regular expressions.
func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }

func runeCount(s string) int { return utf8.RuneCountInString(s) }
