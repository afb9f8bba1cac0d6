// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"html"
	"strconv"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

// linebreaks converts text separated by blank lines to paragraphs, and other line breaks to
// <br>.
func linebreaks(text string, autoescape bool) string {
	text = normalizeNewlines(text)
	if autoescape {
		text = Escape(text)
	}
	var b strings.Builder
	b.Grow(len(text) + len("<p></p>"))
	b.WriteString("<p>")
	for i := 0; i < len(text); {
		end := strings.IndexByte(text[i:], '\n')
		if end < 0 {
			b.WriteString(text[i:])
			break
		}
		b.WriteString(text[i : i+end])
		i += end + 1
		if i == len(text) || text[i] != '\n' {
			b.WriteString("<br>")
			continue
		}
		for i < len(text) && text[i] == '\n' {
			i++
		}
		b.WriteString("</p>\n\n<p>")
	}
	b.WriteString("</p>")
	return b.String()
}

// Elements that are never closed, as Django knows them.
var emptyElements = map[string]bool{
	"br": true, "col": true, "link": true, "base": true, "img": true,
	"param": true, "area": true, "hr": true, "input": true,
}

// htmlPiece is a tag, or a character or word of text.
type htmlPiece struct {
	tag string // "<…>", or "" for text
	end int
}

// truncateHTML truncates HTML after length characters or words of text, not counting tags,
// and closes open tags.
func truncateHTML(c *Context, text string, length int, words bool) (string, error) {
	mark, keep := " "+ellipsis, length
	if words {
		if length <= 0 {
			return "", nil
		}
	} else {
		var err error
		if text, err = normalize(c, text); err != nil {
			return "", err
		}
		before, after := c.locale.truncated()
		mark = before + after
		keep = roomFor(mark, length)
	}
	var (
		open  []string // the innermost last
		count int
		cut   int
		scan  = htmlScanner{text: text}
	)
	for pos := 0; count <= length; {
		var piece htmlPiece
		var ok bool
		if words {
			piece, ok = scan.word(pos)
		} else {
			piece, ok = scan.char(pos)
		}
		if !ok {
			break
		}
		pos = piece.end
		if piece.tag == "" {
			count++
			if count == keep {
				cut = pos
			}
			continue
		}
		if count >= keep {
			continue
		}
		name, closing, selfClosing, ok := parseTag(piece.tag)
		switch {
		case !ok || selfClosing || emptyElements[name]:
		case !closing:
			open = append(open, name)
		case len(open) > 0 && open[len(open)-1] == name:
			open = open[:len(open)-1]
		}
	}
	if count <= length {
		return text, nil
	}
	var b strings.Builder
	b.WriteString(text[:cut])
	b.WriteString(mark)
	for i := len(open) - 1; i >= 0; i-- {
		b.WriteString("</" + open[i] + ">")
	}
	return b.String(), nil
}

// htmlScanner finds tags, characters and words. It remembers that there are no more ">",
// because a run of "<" would otherwise take quadratic time.
type htmlScanner struct {
	text      string
	noBracket bool
}

func (s *htmlScanner) bracket(i int) int {
	if s.noBracket {
		return -1
	}
	j := strings.IndexByte(s.text[i:], '>')
	if j < 0 {
		s.noBracket = true
		return -1
	}
	return i + j
}

func (s *htmlScanner) char(pos int) (htmlPiece, bool) {
	if pos == len(s.text) {
		return htmlPiece{}, false
	}
	if s.text[pos] == '<' {
		// "<>" is not a tag.
		if end := s.bracket(pos + 1); end > pos+1 {
			return htmlPiece{tag: s.text[pos : end+1], end: end + 1}, true
		}
	}
	end := pos + 1
	for end < len(s.text) && s.text[end]&0xC0 == 0x80 {
		end++
	}
	return htmlPiece{end: end}, true
}

func (s *htmlScanner) word(pos int) (htmlPiece, bool) {
	for pos < len(s.text) {
		switch s.text[pos] {
		case '<':
			if end := s.bracket(pos + 1); end >= 0 {
				return htmlPiece{tag: s.text[pos : end+1], end: end + 1}, true
			}
			pos++
		case '>':
			pos++
		default:
			if size := spaceAt(s.text, pos); size > 0 {
				pos += size
				continue
			}
			end := strings.IndexFunc(s.text[pos:], func(r rune) bool {
				return r == '<' || r == '>' || python.IsSpace(r)
			})
			if end < 0 {
				return htmlPiece{end: len(s.text)}, true
			}
			return htmlPiece{end: pos + end}, true
		}
	}
	return htmlPiece{}, false
}

// parseTag splits "<…>". ok is false if it has no name.
func parseTag(tag string) (name string, closing, selfClosing, ok bool) {
	inner := tag[1 : len(tag)-1]
	if rest, found := strings.CutPrefix(inner, "/"); found {
		if name, selfClosing, ok = parseTagName(rest); ok {
			return python.Lower(name), true, selfClosing, true
		}
	}
	name, selfClosing, ok = parseTagName(inner)
	return python.Lower(name), false, selfClosing, ok
}

func parseTagName(s string) (name string, selfClosing, ok bool) {
	end := strings.IndexFunc(s, python.IsSpace)
	if end < 0 {
		end = len(s)
	}
	if end == 0 {
		return "", false, false
	}
	if rest := s[end:]; rest != "" {
		return s[:end], python.Strip(rest) == "/" && strings.HasSuffix(rest, "/"), true
	}
	if end > 1 && s[end-1] == '/' {
		return s[:end-1], true, true
	}
	return s[:end], false, true
}

// unescapeHTML implements Python's html.unescape. Go's differs in numeric references to
// characters that HTML does not allow, and agrees on named ones.
func unescapeHTML(s string) string {
	i := strings.IndexByte(s, '&')
	if i < 0 {
		return s
	}
	var b strings.Builder
	for i >= 0 {
		b.WriteString(s[:i])
		s = s[i:]
		n := numericRef(s)
		switch {
		case n > 0:
			b.WriteString(numericRefText(s[2:n]))
			s = s[n:]
		default:
			n = 1
			for n < len(s) && n <= 32 && isASCIIAlnum(s[n]) {
				n++
			}
			if n < len(s) && s[n] == ';' {
				n++
			}
			b.WriteString(html.UnescapeString(s[:n]))
			s = s[n:]
		}
		i = strings.IndexByte(s, '&')
	}
	b.WriteString(s)
	return b.String()
}

// numericRef returns the length of the "&#…;" or "&#x…;" that s starts with,
// or 0. The semicolon may be missing.
func numericRef(s string) int {
	if !strings.HasPrefix(s, "&#") {
		return 0
	}
	i, isDigit := 2, isASCIIDigit
	if i < len(s) && (s[i] == 'x' || s[i] == 'X') {
		i, isDigit = 3, isHexDigit
	}
	start := i
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	if i == start {
		return 0
	}
	if i < len(s) && s[i] == ';' {
		i++
	}
	return i
}

func numericRefText(digits string) string {
	digits = strings.TrimSuffix(digits, ";")
	base := 10
	if digits[0] == 'x' || digits[0] == 'X' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseInt(digits, base, 32)
	switch {
	case err != nil || n == 0 || n >= 0xd800 && n <= 0xdfff || n > 0x10ffff:
		return "\ufffd"
	case n >= 0x80 && n <= 0x9f:
		// The same table of Windows-1252 as HTML has.
		return html.UnescapeString("&#" + strconv.FormatInt(n, 10) + ";")
	case n == '\r':
		return "\r"
	case n < ' ' && n != '\t' && n != '\n' && n != '\f', n == 0x7f,
		n >= 0xfdd0 && n <= 0xfdef, n&0xfffe == 0xfffe:
		return ""
	}
	return string(rune(n))
}
