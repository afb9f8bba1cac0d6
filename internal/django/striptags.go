// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/python"
)

// stripTags removes everything that Python's html.parser considers markup, repeatedly until
// a pass removes nothing, like django.utils.html.strip_tags. The result is not safe HTML.
func stripTags(m *meter.Meter, value string) (string, error) {
	if !strings.Contains(value, "<") || !strings.Contains(value, ">") {
		return value, nil
	}
	if unclosedTagsTooDense(value) {
		return "", errTooMuchMarkup
	}
	for depth := 0; strings.Contains(value, "<") && strings.Contains(value, ">"); depth++ {
		if depth >= maxStripTagsDepth {
			return "", errTooMuchMarkup
		}
		if err := m.SpendBytes(len(value), stripNanos); err != nil {
			return "", err
		}
		stripped, err := stripTagsOnce(m, value)
		if err != nil {
			return "", err
		}
		if strings.Count(value, "<") == strings.Count(stripped, "<") {
			break
		}
		value = stripped
	}
	return value, nil
}

// stripNanos is the cost of one pass in nanoseconds per byte, except for unclosed tags.
const stripNanos = 30

// errBadMarkup is wrapped by errors for markup that html.parser rejects.
var errBadMarkup = errors.New("striptags")

// Django's MAX_STRIP_TAGS_DEPTH.
const maxStripTagsDepth = 50

var errTooMuchMarkup = errors.New("striptags: the text contains too much unclosed or nested markup")

// unclosedTagsTooDense detects what Django rejects as suspicious: a tag that opens and runs
// for more than 1000 characters without a closing bracket while at least fifty others open
// inside it.
func unclosedTagsTooDense(value string) bool {
	for i := 0; i+1 < len(value); {
		if value[i] != '<' || !isASCIILetter(value[i+1]) {
			i++
			continue
		}
		end := strings.IndexByte(value[i:], '>')
		if end < 0 {
			end = len(value) - i
		}
		run := value[i : i+end]
		if utf8.RuneCountInString(run) < 1002 {
			// Too short for a match here; a later start in the same run is
			// shorter still.
			i += end
			continue
		}
		if strings.Count(run, "<") >= maxStripTagsDepth {
			return true
		}
		i += end
	}
	return false
}

// htmlStripper walks markup the way Python 3.11's html.parser.HTMLParser does
// with convert_charrefs off, keeping character data and references. Its
// leniency on broken markup is what users see, so the odd rules are kept:
// a first pass ("feed") stops where input may be incomplete, and the second
// ("close") carries on from there and forces the rest out as data.
type htmlStripper struct {
	meter  *meter.Meter
	raw    string
	out    strings.Builder
	cdata  string // "script" or "style" while inside one
	budget int    // bytes that tag scanning may still read

	noComment bool // no "-->" after the current position
	noBracket bool // no ">" after the current position
}

func stripTagsOnce(m *meter.Meter, value string) (string, error) {
	p := &htmlStripper{meter: m, raw: value, budget: 1<<20 + 64*len(value)}
	p.out.Grow(len(value))
	i, err := p.goAhead(0, false)
	if err != nil {
		return "", err
	}
	if _, err := p.goAhead(i, true); err != nil {
		return "", err
	}
	return p.out.String(), nil
}

// spend charges for reading n additional bytes.
func (p *htmlStripper) spend(n int) error {
	if p.budget -= n; p.budget < 0 {
		return errTooMuchMarkup
	}
	return p.meter.SpendBytes(n, 2)
}

// goAhead parses from i and returns where it stopped.
func (p *htmlStripper) goAhead(i int, end bool) (int, error) {
	raw, n := p.raw, len(p.raw)
loop:
	for i < n {
		j := p.nextInteresting(i)
		if j < 0 {
			if p.cdata != "" {
				break
			}
			j = n
		}
		p.out.WriteString(raw[i:j])
		if i = j; i == n {
			break
		}
		rest := raw[i:]
		switch {
		case rest[0] == '<':
			if len(rest) == 1 {
				break loop
			}
			k, err := p.markup(i)
			if err != nil {
				return 0, err
			}
			if k < 0 {
				if !end {
					break loop
				}
				k = p.endOfBrokenTag(i)
				p.out.WriteString(raw[i:k])
			}
			i = k
		case strings.HasPrefix(rest, "&#"):
			if k := matchCharRef(rest); k > 0 {
				p.out.WriteString("&#" + rest[2:k] + ";")
				i += k
				if rest[k] == ';' {
					i++
				}
				continue
			}
			if strings.Contains(rest, ";") {
				p.out.WriteString("&#")
				i += 2
			}
			break loop
		default: // "&"
			k := 1
			if k < len(rest) && isASCIILetter(rest[k]) {
				for k < len(rest) && (isASCIIAlnum(rest[k]) || rest[k] == '-' || rest[k] == '.') {
					k++
				}
				// The name must be followed by something that is not part of
				// a name; a trailing "." or "-" can serve as that.
				name := k
				if name == len(rest) {
					for name--; name > 1 && isASCIIAlnum(rest[name]); name-- {
					}
				}
				if name > 1 {
					p.out.WriteString("&" + rest[1:name] + ";")
					i += name
					if name < len(rest) && rest[name] == ';' {
						i++
					}
					continue
				}
				if end && len(rest) == 2 {
					i++
				}
				break loop
			}
			if len(rest) == 1 {
				break loop
			}
			p.out.WriteByte('&')
			i++
		}
	}
	if end && i < n && p.cdata == "" {
		p.out.WriteString(raw[i:n])
		i = n
	}
	return i, nil
}

// nextInteresting finds the next place where something other than data may
// start: "<" or "&", or in a script or style its end tag. -1 if there is none.
func (p *htmlStripper) nextInteresting(i int) int {
	if p.cdata == "" {
		if j := strings.IndexAny(p.raw[i:], "<&"); j >= 0 {
			return i + j
		}
		return -1
	}
	for {
		j := strings.Index(p.raw[i:], "</")
		if j < 0 {
			return -1
		}
		i += j
		k := skipSpace(p.raw, i+2)
		if len(p.raw)-k >= len(p.cdata) && strings.EqualFold(p.raw[k:k+len(p.cdata)], p.cdata) {
			k = skipSpace(p.raw, k+len(p.cdata))
			if k < len(p.raw) && p.raw[k] == '>' {
				return i
			}
		}
		i += 2
	}
}

// markup handles "<" at i and returns the end of what it consumed, or -1 if
// the input looks incomplete.
func (p *htmlStripper) markup(i int) (int, error) {
	rest := p.raw[i:]
	switch {
	case isASCIILetter(rest[1]):
		return p.startTag(i)
	case rest[1] == '/':
		return p.endTag(i), nil
	case strings.HasPrefix(rest, "<!--"):
		return p.commentEnd(i + 4), nil
	case rest[1] == '?':
		return p.afterBracket(i + 2), nil
	case strings.HasPrefix(rest, "<!["):
		return p.markedSection(i)
	case rest[1] == '!': // a doctype, or what HTML 5 calls a bogus comment
		return p.afterBracket(i + 2), nil
	default:
		p.out.WriteByte('<')
		return i + 1, nil
	}
}

func (p *htmlStripper) endOfBrokenTag(i int) int {
	if k := p.afterBracket(i + 1); k >= 0 {
		return k
	}
	if k := strings.IndexByte(p.raw[i+1:], '<'); k >= 0 {
		return i + 1 + k
	}
	return i + 1
}

// afterBracket returns the position behind the next ">", or -1. That there is
// none stays true further on and is remembered, or a run of openings without
// an end would be searched once for each.
func (p *htmlStripper) afterBracket(i int) int {
	if p.noBracket || i > len(p.raw) {
		return -1
	}
	j := strings.IndexByte(p.raw[i:], '>')
	if j < 0 {
		p.noBracket = true
		return -1
	}
	return i + j + 1
}

// commentEnd returns the position behind the next "-- >" (with any white space
// between), or -1.
func (p *htmlStripper) commentEnd(i int) int {
	if p.noComment {
		return -1
	}
	for {
		j := strings.Index(p.raw[i:], "--")
		if j < 0 {
			p.noComment = true
			return -1
		}
		if k := skipSpace(p.raw, i+j+2); k < len(p.raw) && p.raw[k] == '>' {
			return k + 1
		}
		i += j + 1
	}
}

// markedSection handles "<![": SGML's marked sections and those of Microsoft
// Office. Python raises on other words, and so does the filter.
func (p *htmlStripper) markedSection(i int) (int, error) {
	start := i + 3
	if start == len(p.raw) {
		return -1, nil
	}
	k := start
	for k < len(p.raw) && (isASCIIAlnum(p.raw[k]) || k > start && strings.IndexByte("-_.", p.raw[k]) >= 0) {
		k++
	}
	if k == start || !isASCIILetter(p.raw[start]) {
		return 0, fmt.Errorf("%w: expected a name after <![ ", errBadMarkup)
	}
	name := strings.ToLower(p.raw[start:k])
	if skipSpace(p.raw, k) == len(p.raw) {
		return -1, nil
	}
	brackets := 1
	switch name {
	case "temp", "cdata", "ignore", "include", "rcdata":
		brackets = 2
	case "if", "else", "endif":
	default:
		return 0, fmt.Errorf("%w: unknown keyword in a marked section (<![ … ]]>)", errBadMarkup)
	}
	if err := p.spend(len(p.raw) - start); err != nil {
		return 0, err
	}
	for at := start; ; {
		j := strings.IndexByte(p.raw[at:], ']')
		if j < 0 {
			return -1, nil
		}
		at += j + 1
		k := skipSpace(p.raw, at)
		if brackets == 2 {
			if k >= len(p.raw) || p.raw[k] != ']' {
				continue
			}
			k = skipSpace(p.raw, k+1)
		}
		if k < len(p.raw) && p.raw[k] == '>' {
			return k + 1, nil
		}
		if err := p.spend(k - at); err != nil {
			return 0, err
		}
	}
}

func (p *htmlStripper) startTag(i int) (int, error) {
	before := p.budget
	end := p.wholeStartTag(i)
	used := before - p.budget
	p.budget = before
	if err := p.spend(used); err != nil {
		return 0, err
	}
	if end < 0 {
		return -1, nil
	}
	nameEnd := tagNameEnd(p.raw, i+1)
	k := skipSpaceAndSlash(p.raw, nameEnd)
	for k < end {
		next := p.attribute(k)
		if next < 0 {
			break
		}
		k = next
	}
	closing := ""
	if k < end {
		closing = python.Strip(p.raw[k:end])
	}
	switch closing {
	case "/>":
	case ">":
		if name := strings.ToLower(p.raw[i+1 : nameEnd]); name == "script" || name == "style" {
			p.cdata = name
		}
	default:
		p.out.WriteString(p.raw[i:end])
	}
	return end, nil
}

// wholeStartTag returns the end of the start tag at i, or -1 if it does not
// end within the input.
func (p *htmlStripper) wholeStartTag(i int) int {
	j := tagNameEnd(p.raw, i+1)
	for j < len(p.raw) {
		k := j
		if p.raw[k] == '/' {
			k++
		} else {
			k = skipSpace(p.raw, k)
		}
		if k == j {
			break
		}
		j = k
	}
	for {
		next := p.attribute(j)
		if next < 0 {
			break
		}
		j = next
	}
	j = skipSpace(p.raw, j)
	p.budget -= j - i
	if j == len(p.raw) {
		return -1
	}
	switch c := p.raw[j]; {
	case c == '>':
		return j + 1
	case c == '/':
		if strings.HasPrefix(p.raw[j:], "/>") {
			return j + 2
		}
		return -1
	case c == '=' || isASCIILetter(c):
		return -1
	}
	return j
}

// attribute matches one attribute with what follows it, up to the next one, at
// k. -1 if there is none. The odd cases are those of a regular expression that
// backtracks out of a quote nobody closed.
func (p *htmlStripper) attribute(k int) int {
	raw := p.raw
	if k >= len(raw) || k == 0 || !endsWithAttributeBreak(raw[:k]) {
		return -1
	}
	start := k
	for k < len(raw) && raw[k] != '/' && raw[k] != '>' && (k == start || raw[k] != '=') && spaceAt(raw, k) == 0 {
		_, size := utf8.DecodeRuneInString(raw[k:])
		k += size
	}
	if k == start {
		return -1
	}
	nameEnd := k
	k = skipSpace(raw, k)
	if k < len(raw) && raw[k] == '=' {
		equals := k
		for k < len(raw) && raw[k] == '=' {
			k++
		}
		afterEquals := k
		k = skipSpace(raw, k)
		quoteEnd := -1
		quoted := k < len(raw) && (raw[k] == '\'' || raw[k] == '"')
		if quoted {
			p.budget--
			if q := strings.IndexByte(raw[k+1:], raw[k]); q >= 0 {
				quoteEnd = k + 1 + q + 1
			} else {
				p.budget -= len(raw) - k
			}
		}
		switch {
		case quoteEnd >= 0:
			k = quoteEnd
		case !quoted:
			k = bareValueEnd(raw, k)
		case k > afterEquals:
			// White space before the open quote: the value is empty.
		case afterEquals-equals > 1:
			k = bareValueEnd(raw, afterEquals-1)
		default:
			k = nameEnd
		}
	} else {
		k = nameEnd
	}
	return skipSpaceAndSlash(raw, skipSpace(raw, k))
}

func (p *htmlStripper) endTag(i int) int {
	gt := p.afterBracket(i + 1)
	if gt < 0 {
		return -1
	}
	k := skipSpace(p.raw, i+2)
	nameStart := k
	for k < len(p.raw) && (isASCIIAlnum(p.raw[k]) || k > nameStart && strings.IndexByte("-.:_", p.raw[k]) >= 0) {
		k++
	}
	nameEnd := k
	k = skipSpace(p.raw, k)
	if nameEnd > nameStart && isASCIILetter(p.raw[nameStart]) && k < len(p.raw) && p.raw[k] == '>' {
		if p.cdata != "" && !strings.EqualFold(p.raw[nameStart:nameEnd], p.cdata) {
			p.out.WriteString(p.raw[i:gt])
			return gt
		}
		p.cdata = ""
		return gt
	}
	if p.cdata != "" {
		p.out.WriteString(p.raw[i:gt])
		return gt
	}
	if !isASCIILetter(p.raw[i+2]) {
		return p.afterBracket(i + 2)
	}
	nameEnd = skipSpaceAndSlash(p.raw, tagNameEnd(p.raw, i+2))
	if j := strings.IndexByte(p.raw[nameEnd:], '>'); j >= 0 {
		return nameEnd + j + 1
	}
	return -1
}

// matchCharRef returns where the digits of "&#…" end if something that is not
// a digit follows them, else 0.
func matchCharRef(s string) int {
	k := 2
	isDigit := isASCIIDigit
	if k < len(s) && (s[k] == 'x' || s[k] == 'X') {
		k++
		isDigit = isHexDigit
	}
	start := k
	for k < len(s) && isDigit(s[k]) {
		k++
	}
	// A decimal reference must be followed by something that is not a hex
	// digit either.
	if k == start || k == len(s) || isHexDigit(s[k]) {
		return 0
	}
	return k
}

// tagNameEnd returns the end of the tag name that starts with a letter at i.
func tagNameEnd(s string, i int) int {
	if j := strings.IndexAny(s[i:], "\t\n\r\f />\x00"); j >= 0 {
		return i + j
	}
	return len(s)
}

func bareValueEnd(s string, i int) int {
	for i < len(s) && s[i] != '>' && spaceAt(s, i) == 0 {
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return i
}

// skipSpaceAndSlash skips white space and slashes, except for one before ">".
func skipSpaceAndSlash(s string, i int) int {
	for i < len(s) {
		if s[i] == '/' {
			if i+1 < len(s) && s[i+1] == '>' {
				break
			}
			i++
			continue
		}
		size := spaceAt(s, i)
		if size == 0 {
			break
		}
		i += size
	}
	return i
}

func endsWithAttributeBreak(s string) bool {
	switch s[len(s)-1] {
	case '\'', '"', '/':
		return true
	}
	r, _ := utf8.DecodeLastRuneInString(s)
	return python.IsSpace(r)
}

func skipSpace(s string, i int) int {
	for i < len(s) {
		size := spaceAt(s, i)
		if size == 0 {
			break
		}
		i += size
	}
	return i
}

func isASCIILetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isASCIIDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isASCIIAlnum(c byte) bool  { return isASCIILetter(c) || isASCIIDigit(c) }
func isHexDigit(c byte) bool    { return isASCIIDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
