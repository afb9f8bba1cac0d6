// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

// tokenKind is the kind of a token.
type tokenKind uint8

const (
	tokenText     tokenKind = iota
	tokenVariable           // {{ … }}
	tokenBlock              // {% … %}
	tokenComment            // {# … #}
)

// Token is a piece of a template's source: text, or a tag's contents.
type Token struct {
	Contents string // of a tag, without delimiters and surrounding space
	Line     int    // from 1
	kind     tokenKind
	pos      int32 // byte offset in the source
}

// lexer splits a source into tokens, one at a time. A tag can't span lines: the beginning
// of a tag that isn't closed on its line is text.
type lexer struct {
	src      string
	pos      int
	line     int
	verbatim string // the contents of the tag that ends {% verbatim %}, if within
	// The next tag, from openTag to tagEnd, which was found while searching for the end of
	// a text. Negative if not known yet.
	openTag, tagEnd int
	// lineEnd is where the line of the last tag ends, so that the rest of a long line is not
	// searched for its end at each tag.
	lineEnd int
	// dead[kind] is the end of a line that has no further closing delimiter of that kind,
	// so that a line of opening delimiters is read only once.
	dead [4]int
}

func newLexer(source string) lexer {
	return lexer{src: source, line: 1, openTag: -1}
}

// next returns the next token, or false at the end.
func (l *lexer) next() (Token, bool) {
	if l.pos >= len(l.src) {
		return Token{}, false
	}
	if l.openTag < 0 {
		l.openTag, l.tagEnd = l.findTag(l.pos)
	}
	if l.openTag > l.pos {
		return l.text(l.openTag), true
	}
	raw := l.src[l.openTag:l.tagEnd]
	l.openTag = -1
	tok := Token{Contents: trimSpace(raw[2 : len(raw)-2]), Line: l.line, pos: int32(l.pos)}
	isBlock := raw[1] == '%'
	if l.verbatim != "" {
		if !isBlock || tok.Contents != l.verbatim {
			return l.text(l.pos + len(raw)), true
		}
		l.verbatim = ""
	}
	l.pos += len(raw)
	switch raw[1] {
	case '{':
		tok.kind = tokenVariable
	case '%':
		tok.kind = tokenBlock
		if tok.Contents == "verbatim" || strings.HasPrefix(tok.Contents, "verbatim ") {
			l.verbatim = "end" + tok.Contents
		}
	default:
		tok.kind = tokenComment
	}
	return tok, true
}

// text returns a text token up to end.
func (l *lexer) text(end int) Token {
	tok := Token{Contents: l.src[l.pos:end], Line: l.line, kind: tokenText, pos: int32(l.pos)}
	l.line += strings.Count(tok.Contents, "\n")
	l.pos = end
	return tok
}

// findTag returns the bounds of the first tag at or after from; both are the end of the
// source if there is none.
func (l *lexer) findTag(from int) (start, end int) {
	for i := from; ; {
		n := strings.IndexByte(l.src[i:], '{')
		if n < 0 || i+n+4 > len(l.src) {
			return len(l.src), len(l.src)
		}
		i += n
		var kind tokenKind
		var closing string
		switch l.src[i+1] {
		case '%':
			kind, closing = tokenBlock, "%}"
		case '{':
			kind, closing = tokenVariable, "}}"
		case '#':
			kind, closing = tokenComment, "#}"
		default:
			i++
			continue
		}
		if i < l.dead[kind] {
			i++
			continue
		}
		if i >= l.lineEnd {
			l.lineEnd = len(l.src)
			if n := strings.IndexByte(l.src[i:], '\n'); n >= 0 {
				l.lineEnd = i + n
			}
		}
		if end := strings.Index(l.src[i+2:l.lineEnd], closing); end >= 0 {
			return i, i + 2 + end + 2
		}
		l.dead[kind] = l.lineEnd
		i++
	}
}

// trimSpace is str.strip with a fast path for ASCII.
func trimSpace(s string) string {
	for s != "" && s[0] == ' ' {
		s = s[1:]
	}
	for s != "" && s[len(s)-1] == ' ' {
		s = s[:len(s)-1]
	}
	if s != "" && (s[0] <= ' ' || s[0] >= 0x80 || s[len(s)-1] <= ' ' || s[len(s)-1] >= 0x80) {
		return python.Strip(s)
	}
	return s
}

// name returns the tag's first word.
func (t *Token) name() string {
	for i := 0; i < len(t.Contents); i++ {
		if t.Contents[i] <= ' ' || t.Contents[i] >= 0x80 {
			if spaceAt(t.Contents, i) > 0 {
				return t.Contents[:i]
			}
		}
	}
	return t.Contents
}

// Split returns the words of a tag. Quoted text and _("…") are one word. Like Django, it fails
// if a word starts with _(" and neither it nor a later word ends with ").
func (t *Token) Split() ([]string, error) {
	words := smartSplit(t.Contents)
	joined := words[:0]
	for i := 0; i < len(words); i++ {
		word := words[i]
		if strings.HasPrefix(word, `_("`) || strings.HasPrefix(word, `_('`) {
			first, end := i, word[2:3]+")"
			for !strings.HasSuffix(words[i], end) {
				if i++; i == len(words) {
					return nil, python.Errorf(stopIteration, `within a tag, the text in _("…") can't have a filter; assign it to a variable with {%% translate %%}`)
				}
			}
			word = strings.Join(words[first:i+1], " ")
		}
		joined = append(joined, word)
	}
	return joined, nil
}

// smartSplit splits at white space outside quotes. A word may hold quoted
// parts; a quote that is never closed is a character like any other.
func smartSplit(s string) []string {
	words := make([]string, 0, 8)
	var dead [2]bool // quotes known to be unclosed from here to the end
	for i := 0; i < len(s); {
		if n := spaceAt(s, i); n > 0 {
			i += n
			continue
		}
		start, closed := i, false
		for i < len(s) && spaceAt(s, i) == 0 {
			if c := s[i]; c == '"' || c == '\'' {
				end := -1
				if which := int(c & 1); !dead[which] {
					end = quoteEnd(s, i)
					dead[which] = end < 0
				}
				if end < 0 {
					break
				}
				i, closed = end, true
				continue
			}
			i++
		}
		// A quote without an end is part of a word without quoted parts, and
		// ends one that has some.
		for !closed && i < len(s) && spaceAt(s, i) == 0 {
			i++
		}
		words = append(words, s[start:i])
	}
	return words
}

// spaceAt returns the length of the white space character at s[i], or 0.
func spaceAt(s string, i int) int {
	c := s[i]
	if c < 0x80 {
		if c == ' ' || c <= ' ' && python.IsSpace(rune(c)) {
			return 1
		}
		return 0
	}
	for n, r := range s[i:] {
		if n > 0 {
			return n
		}
		if !python.IsSpace(r) {
			return 0
		}
	}
	return len(s) - i
}

// quoteEnd returns the position after the quoted text that starts at s[i], or -1 if
// its closing quote is missing. A backslash protects the next character.
func quoteEnd(s string, i int) int {
	quote := s[i]
	for j := i + 1; j < len(s); j++ {
		switch s[j] {
		case '\\':
			j++
		case quote:
			return j + 1
		}
	}
	return -1
}
