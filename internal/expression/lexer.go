// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"html"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// slotByte represents a piece of data in the lexer's input, the shape. Authors can't use
// it, because Python rejects it too.
const slotByte = 0

// maxBrackets is Python's limit on nested brackets.
const maxBrackets = 200

// maxFieldDepth limits nested f-strings. Python 3.11 can't nest more because there are no
// other quotes.
const maxFieldDepth = 4

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokNewline
	tokName
	tokKeyword
	tokNumber
	tokString
	tokOp
	tokSlot
)

type token struct {
	kind tokenKind
	pos  int
	text string     // name, keyword or operator, or the source of a number
	str  *strToken  // of tokString
	slot *slotToken // of tokSlot
}

// slotToken is data outside literals, with the adjacent characters.
type slotToken struct {
	index      int
	prev, next byte // the author's adjacent characters; ' ' at an edge
	brackets   bool // inside brackets, where line breaks are ignored
	first      bool // only white space before
	last       bool // only white space after
	lineStart  bool // begins a line that isn't the first
	inField    bool // inside the braces of an f-string
}

// insideKind is the kind of literal that contains data.
type insideKind uint8

const (
	outside insideKind = iota
	inText
	inRaw
	inBytes
	inFString
	inComment
)

// lexer splits a shape into tokens. Data is only a slot to it, so data can't move the
// boundaries of tokens.
type lexer struct {
	src     string
	base    int // offset of src in the shape
	pos     int
	slot    int  // index of the next slot
	inField bool // src is a value inside the braces of an f-string

	fieldDepth int

	inside   []insideKind // of each slot so far
	brackets []bracket
	tokens   []token
}

type bracket struct {
	char byte
	pos  int
}

var keywords = map[string]bool{}

func init() {
	for _, k := range strings.Fields(`False None True and as assert async await break class continue
		def del elif else except finally for from global if import in is lambda nonlocal
		not or pass raise return try while with yield`) {
		keywords[k] = true
	}
}

// lex reads all of src.
func (l *lexer) lex() error {
	fresh := true     // no token on this logical line yet
	indented := false // white space before the first token of this line
	anything := false // whether there was a token or comment before
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		switch c {
		case ' ', '\t':
			indented = indented || fresh
			l.pos++
			continue
		case '\f':
			indented = false
			l.pos++
			continue
		case '#':
			l.comment()
			anything = true
			continue
		case '\n':
			l.pos++
			if len(l.brackets) == 0 && !l.inField {
				if !fresh {
					l.add(token{kind: tokNewline, pos: l.base + l.pos - 1})
				}
				fresh, indented = true, false
			}
			continue
		case '\\':
			if l.pos+1 >= len(l.src) || l.src[l.pos+1] != '\n' {
				return l.fault(l.pos, "a backslash outside quotes has to end its line")
			}
			l.pos += 2
			if l.pos >= len(l.src) {
				return l.fault(l.pos-2, "the expression ends after a backslash")
			}
			anything = true // the next line's spaces belong to this one
			continue
		}
		if fresh && indented && anything && len(l.brackets) == 0 && !l.inField {
			return l.fault(l.pos, "this line begins with spaces that mean nothing here")
		}
		lineStart := fresh && anything
		fresh, anything = false, true
		if c == slotByte {
			l.slotOutside(lineStart)
			continue
		}
		if err := l.token(); err != nil {
			return err
		}
	}
	if n := len(l.brackets); n > 0 {
		return l.fault(l.brackets[n-1].pos, "'%c' was never closed", l.brackets[n-1].char)
	}
	for i := len(l.tokens) - 1; i >= 0; i-- {
		if t := l.tokens[i]; t.kind == tokSlot {
			t.slot.last = !l.inField
			break
		} else if t.kind != tokNewline {
			break
		}
	}
	l.add(token{kind: tokEnd, pos: l.base + len(l.src)})
	return nil
}

func (l *lexer) add(t token) { l.tokens = append(l.tokens, t) }

func (l *lexer) fault(pos int, format string, args ...any) error {
	return faultf(SyntaxError, l.base+pos, format, args...)
}

func (l *lexer) comment() {
	for l.pos < len(l.src) && l.src[l.pos] != '\n' {
		if l.src[l.pos] == slotByte {
			l.takeSlot(inComment)
		}
		l.pos++
	}
}

// takeSlot records the kind of literal that contains the current slot, and returns its
// index.
func (l *lexer) takeSlot(kind insideKind) int {
	l.inside[l.slot] = kind
	l.slot++
	return l.slot - 1
}

func (l *lexer) slotOutside(lineStart bool) {
	t := &slotToken{
		prev: ' ', next: ' ', brackets: len(l.brackets) > 0 || l.inField, inField: l.inField, lineStart: lineStart,
		first: !l.inField && strings.Trim(l.src[:l.pos], " \t\f\n") == "",
	}
	if l.pos > 0 {
		t.prev = l.src[l.pos-1]
	}
	if l.pos+1 < len(l.src) {
		t.next = l.src[l.pos+1]
	}
	t.index = l.takeSlot(outside)
	l.add(token{kind: tokSlot, pos: l.base + l.pos, slot: t})
	l.pos++
}

func (l *lexer) token() error {
	c := l.src[l.pos]
	next := byte(0)
	if l.pos+1 < len(l.src) {
		next = l.src[l.pos+1]
	}
	switch {
	case isNameStart(c):
		return l.nameOrString()
	case isDigit(c) || c == '.' && isDigit(next):
		return l.number()
	case c == '\'' || c == '"':
		return l.string(l.pos, "")
	}
	return l.operator()
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isNameStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

func isNameByte(c byte) bool { return isNameStart(c) || isDigit(c) }

func (l *lexer) nameOrString() error {
	start := l.pos
	for l.pos < len(l.src) && isNameByte(l.src[l.pos]) {
		l.pos++
	}
	word := l.src[start:l.pos]
	if l.pos < len(l.src) && (l.src[l.pos] == '\'' || l.src[l.pos] == '"') && isStringPrefix(word) {
		return l.string(start, strings.ToLower(word))
	}
	if keywords[word] {
		l.add(token{kind: tokKeyword, pos: l.base + start, text: word})
		return nil
	}
	for i, r := range word {
		if i == 0 && !isIdentifierStart(r) || i > 0 && !isIdentifierPart(r) {
			if hint, ok := foreignCharacters[r]; ok {
				return l.fault(start+i, "%s instead of U+%04X", hint, r)
			}
			if !unicode.IsPrint(r) {
				return l.fault(start+i, "invalid character U+%04X", r)
			}
			return l.fault(start+i, "invalid character '%c' (U+%04X)", r, r)
		}
	}
	l.add(token{kind: tokName, pos: l.base + start, text: norm.NFKC.String(word)})
	return nil
}

func isIdentifierStart(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.Is(unicode.Nl, r) || unicode.Is(unicode.Other_ID_Start, r)
}

func isIdentifierPart(r rune) bool {
	return isIdentifierStart(r) || unicode.In(r, unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc, unicode.Other_ID_Continue)
}

func isStringPrefix(word string) bool {
	switch strings.ToLower(word) {
	case "r", "b", "u", "f", "br", "rb", "fr", "rf":
		return true
	}
	return false
}

// number reads a number including underscores; parseNumber returns its value.
func (l *lexer) number() error {
	start := l.pos
	kind := "decimal"
	if l.src[l.pos] == '0' && l.pos+1 < len(l.src) {
		base := 0
		switch l.src[l.pos+1] | 0x20 {
		case 'x':
			base, kind = 16, "hexadecimal"
		case 'o':
			base, kind = 8, "octal"
		case 'b':
			base, kind = 2, "binary"
		}
		if base > 0 {
			l.pos += 2
			if !l.digits(base, true) || l.pos < len(l.src) && isDigit(l.src[l.pos]) {
				return l.fault(start, "invalid %s number", kind)
			}
			return l.endNumber(start, kind)
		}
	}
	isInt := true
	if l.src[l.pos] != '.' && !l.digits(10, false) {
		return l.fault(start, "invalid decimal number")
	}
	if l.pos < len(l.src) && l.src[l.pos] == '.' {
		isInt = false
		l.pos++
		if l.pos < len(l.src) && isDigit(l.src[l.pos]) && !l.digits(10, false) {
			return l.fault(start, "invalid decimal number")
		}
	}
	if l.pos < len(l.src) && l.src[l.pos]|0x20 == 'e' {
		p := l.pos + 1
		if p < len(l.src) && (l.src[p] == '+' || l.src[p] == '-') {
			p++
		}
		if p < len(l.src) && isDigit(l.src[p]) {
			isInt = false
			l.pos = p
			if !l.digits(10, false) {
				return l.fault(start, "invalid decimal number")
			}
		} else if p > l.pos+1 {
			return l.fault(start, "invalid decimal number")
		}
	}
	if l.pos < len(l.src) && l.src[l.pos]|0x20 == 'j' {
		isInt, kind = false, "imaginary"
		l.pos++
	}
	if isInt && l.src[start] == '0' && strings.Trim(l.src[start:l.pos], "0_") != "" {
		return l.fault(start, "a whole number can't begin with zeros")
	}
	return l.endNumber(start, kind)
}

// digits reads digits with single underscores between them.
func (l *lexer) digits(base int, underscoreFirst bool) bool {
	ok := false
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		if c == '_' {
			if !ok && !underscoreFirst {
				return false
			}
			l.pos++
			if l.pos >= len(l.src) || !isDigitOf(l.src[l.pos], base) {
				return false
			}
			continue
		}
		if !isDigitOf(c, base) {
			break
		}
		ok = true
		l.pos++
	}
	return ok
}

func isDigitOf(c byte, base int) bool {
	if base == 16 {
		return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f'
	}
	return c >= '0' && c < '0'+byte(base)
}

// endNumber allows only the same keywords as Python right after a number: 1if x else 2.
func (l *lexer) endNumber(start int, kind string) error {
	rest := l.src[l.pos:]
	if rest != "" && isNameByte(rest[0]) {
		ok := false
		for _, k := range [...]string{"and", "else", "for", "if", "in", "is", "or", "not"} {
			ok = ok || strings.HasPrefix(rest, k)
		}
		if !ok && kind == "decimal" {
			return l.fault(start, "write the number without letters; a text needs quotes")
		}
		if !ok {
			return l.fault(start, "invalid %s number", kind)
		}
	}
	l.add(token{kind: tokNumber, pos: l.base + start, text: l.src[start:l.pos]})
	return nil
}

var operators = [...]string{
	"**=", "//=", ">>=", "<<=", "...",
	"!=", "->", ":=", "==", "<=", ">=", "<<", ">>", "**", "//", "<>",
	"+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "@=",
	"+", "-", "*", "/", "%", "@", "&", "|", "^", "~", "<", ">",
	"(", ")", "[", "]", "{", "}", ",", ":", ".", ";", "=",
}

// foreignOperators are operators of other languages, longest first, with their equivalents
// for hints.
var foreignOperators = [...]struct{ text, hint string }{
	{"!==", "write != (=== and !== are JavaScript)"},
	{"===", "write == (=== and !== are JavaScript)"},
	{"&&", "write 'and' (&& is JavaScript)"},
	{"||", "write 'or' (|| is JavaScript)"},
	{"<>", "write != (<> is SQL)"},
	{"=>", "write >= for 'at least'"},
	{"=<", "write <= for 'at most'"},
	{"=!", "write != to compare"},
	{"=~", "write 'part' in 'whole' (=~ is for patterns)"},
	{"!~", "write 'part' not in 'whole' (!~ is for patterns)"},
}

// foreignCharacters are those that word processors substitute for plain ones.
var foreignCharacters = map[rune]string{
	'‘': "write straight quotes (')", '’': "write straight quotes (')", '‚': "write straight quotes (')", '′': "write straight quotes (')",
	'“': `write straight quotes (' or ")`, '”': `write straight quotes (' or ")`, '„': `write straight quotes (' or ")`, '″': `write straight quotes (' or ")`,
	'«': `write straight quotes (' or ")`, '»': `write straight quotes (' or ")`,
	'×': "write *", '÷': "write /", '€': "write the number alone", '£': "write the number alone", '¥': "write the number alone",
	'≠': "write !=", '≤': "write <=", '≥': "write >=", '–': "write a plain minus (-)", '−': "write a plain minus (-)",
	'\u00a0': "write a plain space", '\u202f': "write a plain space",
}

// htmlEntity matches a character as a web page has it, from which it was copied.
var htmlEntity = regexp.MustCompile(`^&(?:quot|apos|amp|lt|gt|nbsp|#\d{1,4}|#x[0-9A-Fa-f]{1,4});`)

func (l *lexer) operator() error {
	rest := l.src[l.pos:]
	// Few operators have a second character that a foreign one has.
	if len(rest) > 1 && strings.IndexByte("=&|<>!~", rest[1]) >= 0 {
		for _, f := range foreignOperators {
			if strings.HasPrefix(rest, f.text) {
				return l.fault(l.pos, "%s", f.hint)
			}
		}
	}
	switch {
	case rest[0] == '!' && strings.HasPrefix(strings.TrimLeft(rest[1:], " "), "="):
		if rest[1] == ' ' {
			return l.fault(l.pos, "write != without a space")
		}
	case rest[0] == '?':
		return l.fault(l.pos, "write 'a if condition else b' ('?' is JavaScript)")
	case rest[0] == '$' && len(rest) > 1 && isDigit(rest[1]):
		return l.fault(l.pos, "write the number alone, without '$'")
	case rest[0] == '$':
		return l.fault(l.pos, "data needs braces, as in '{{ name }}' ('$' is not allowed here)")
	case rest[0] == '&' && htmlEntity.MatchString(rest):
		entity := htmlEntity.FindString(rest)
		return l.fault(l.pos, "write %s instead of %s", html.UnescapeString(entity), entity)
	case rest[0] == '`':
		return l.fault(l.pos, "write straight quotes (') instead of '`'")
	case rest[0] == '!':
		return l.fault(l.pos, "write 'not' before the value ('!' is JavaScript)")
	}
	for _, op := range operators {
		if !strings.HasPrefix(rest, op) {
			continue
		}
		switch op {
		case "(", "[", "{":
			if len(l.brackets) >= maxBrackets {
				return l.fault(l.pos, "too many brackets within brackets")
			}
			l.brackets = append(l.brackets, bracket{op[0], l.pos})
		case ")", "]", "}":
			n := len(l.brackets)
			if n == 0 {
				return l.fault(l.pos, "unmatched '%s'", op)
			}
			if open := l.brackets[n-1].char; closing(open) != op[0] {
				return l.fault(l.pos, "'%s' does not match '%c'", op, open)
			}
			l.brackets = l.brackets[:n-1]
		}
		l.add(token{kind: tokOp, pos: l.base + l.pos, text: op})
		l.pos += len(op)
		return nil
	}
	if c := rest[0]; c > ' ' && c < 0x7f {
		return l.fault(l.pos, "'%c' is not allowed here", c)
	}
	return l.fault(l.pos, "invalid character U+%04X", rest[0])
}

func closing(open byte) byte {
	switch open {
	case '(':
		return ')'
	case '[':
		return ']'
	}
	return '}'
}
