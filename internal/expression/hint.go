// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/python"
)

// explain returns a fault that names the cause, if the fault is the consequence of a comment
// as other languages write it.
func (s *shape) explain(f *Fault) *Fault {
	if f.pos < 0 || f.Kind != SyntaxError && f.Kind != NameNotDefined {
		return f
	}
	line := strings.LastIndexByte(s.src[:f.pos], '\n') + 1
	first := true
	for i, t := range s.tokens {
		if t.pos < line {
			continue
		}
		if t.pos > f.pos {
			return f
		}
		if sign := commentSign(s.tokens[i:]); sign != "" && (first || s.wordFollows(t.pos+len(sign))) {
			return faultf(f.Kind, t.pos, "write # to begin a comment ('%s' is not Python)", sign)
		}
		first = false
	}
	return f
}

// commentSign returns what begins a comment in another language, if the tokens begin so.
func commentSign(tokens []token) string {
	isOp := func(i int, op string) bool {
		return i < len(tokens) && tokens[i].kind == tokOp && tokens[i].text == op
	}
	switch {
	case isOp(0, "//"):
		return "//"
	case isOp(0, "-") && isOp(1, "-") && tokens[1].pos == tokens[0].pos+1:
		return "--"
	case isOp(0, "/") && (isOp(1, "*") || isOp(1, "**")) && tokens[1].pos == tokens[0].pos+1:
		return "/*"
	}
	return ""
}

// wordFollows reports whether a word follows, rather than a value, so that the sign before it
// is not an operator.
func (s *shape) wordFollows(pos int) bool {
	word := strings.TrimLeft(s.src[pos:], "* \t")
	end := 0
	for end < len(word) && isNameByte(word[end]) {
		end++
	}
	word = word[:end]
	return word != "" && !isDigit(word[0]) && functions[word] == nil
}

// closingCurly is a curly quote where a text seems to end.
var closingCurly = regexp.MustCompile(`[‘’“”„«»]\s*(?:$|[=!<>)\],]|(?:and|or|not|in|is|if|else)\b)`)

// unclosed returns the fault of a text without an end.
func (l *lexer) unclosed(start int, quote string) error {
	end := len(l.src)
	if i := strings.IndexByte(l.src[start:], '\n'); i >= 0 && len(quote) == 1 {
		end = start + i
	}
	for _, from := range []int{start, 0} {
		if at := closingCurly.FindStringIndex(l.src[from:end]); at != nil {
			r, _ := utf8.DecodeRuneInString(l.src[from+at[0]:])
			return l.fault(from+at[0], "write straight quotes (%s) instead of U+%04X", quote, r)
		}
	}
	if start > 0 && isDigit(l.src[start-1]) && len(l.src) > start+1 && isDigit(l.src[start+1]) {
		return l.fault(start, "write a number without separators")
	}
	return l.fault(start, "this text is never closed: %s is missing", quote)
}

// unexpectedHint says what to write instead of a token that the parser didn't expect; "" if
// that isn't known.
func (p *parser) unexpectedHint(t *token, want string) string {
	before := token{kind: tokNewline}
	if p.pos > 0 {
		before = p.tokens[p.pos-1]
	}
	isWord := func(t *token, words ...string) bool {
		for _, w := range words {
			if t.text == w && (t.kind == tokKeyword || t.kind == tokOp) {
				return true
			}
		}
		return false
	}
	switch want {
	case "a value":
		_, compares := compareOps[t.text]
		compares = compares && t.kind == tokOp
		switch {
		case isWord(&before, "is") && isWord(t, "in"):
			return "write 'in' without 'is'"
		case isWord(&before, "not") && isWord(t, "in") && p.pos > 1 && isWord(&p.tokens[p.pos-2], "is"):
			return "write 'not in' without 'is'"
		case (compares || isWord(t, "in", "is")) && isWord(&before, "and", "or", "not"):
			return "what is compared is missing: write it again after '" + before.text + "'"
		case isWord(t, "not") && isWord(&before, "=="):
			return "write != instead of == not"
		case before.kind == tokNewline && p.pos > 0 && (compares || isWord(t, "and", "or", "in", "is")):
			return "a line is a whole expression: put parentheses around all of it"
		case isWord(t, "and", "or") && p.tokens[p.pos+1].kind == tokOp && p.tokens[p.pos+1].text == "(":
			return "write '" + t.text + "' between the conditions"
		case t.kind == tokOp && (t.text == "." || t.text == ":" || t.text == "@") && before.kind == tokNewline:
			return "data needs braces, as in '{{ name }}'"
		case isWord(&before, "%") && !compares && t.kind != tokOp:
			return "write the number without %, which is the remainder in Python"
		}
	case "an operator":
		switch {
		case before.kind == tokNumber && t.kind == tokNumber && t.pos == before.pos+len(before.text):
			return "write a number without separators"
		case before.kind == tokNumber && t.kind == tokNumber:
			return "write a number without spaces"
		case before.kind == tokNumber && t.kind == tokName:
			return "write the number alone, without '" + t.text + "'"
		case t.kind == tokOp && (t.text == ":=" || t.text == ":"):
			return "write == to compare ('" + t.text + "' is not Python)"
		case t.kind == tokOp && t.text == "~":
			return "write 'part' in 'whole' to search, or + to join texts ('~' is not for texts)"
		case before.kind == tokName && before.text == "unless":
			return "write 'not' and parentheses around the condition, instead of 'unless'"
		case before.kind == tokName && (before.text == "where" || before.text == "when" || before.text == "WHERE"):
			return "write the condition alone, without '" + before.text + "'"
		}
	}
	return ""
}

// lonelyNot describes a "not" between two values that "in" doesn't follow.
func (p *parser) lonelyNot(not *token) error {
	next := p.peek()
	switch {
	case next.kind == tokName && negatedWords[strings.ToLower(next.text)] != "":
		return faultf(SyntaxError, not.pos, "%s ('not %s' is not Python)", negatedWords[strings.ToLower(next.text)], next.text)
	case next.kind == tokName && (isSpelledOperator(next.text) || foreignWords[strings.ToLower(next.text)] != ""):
		return p.unexpected("'in'")
	case next.text == "None" || next.kind == tokName && otherLanguages[next.text] == "None":
		return faultf(SyntaxError, not.pos, "write 'is not None'")
	}
	return faultf(SyntaxError, not.pos, "write != to compare, or 'not in'")
}

// foreignFunctions are functions of other languages and of Python that expressions don't have.
var foreignFunctions = map[string]string{
	"Decimal": "write float(…) or int(…)", "BigDecimal": "write float(…) or int(…)", "Number": "write float(…) or int(…)", "parseFloat": "write float(…)", "parseInt": "write int(…)",
	"String": "write str(…)", "bool": "write the value alone", "Boolean": "write the value alone",
	"len": "write {{ name|length }}, the filter of Django", "length": "write {{ name|length }}, the filter of Django", "count": "write {{ name|length }}, the filter of Django",
	"lower": "write 'text'.lower()", "LOWER": "write 'text'.lower()", "upper": "write 'text'.upper()", "UPPER": "write 'text'.upper()", "strip": "write 'text'.strip()", "trim": "write 'text'.strip()", "TRIM": "write 'text'.strip()",
	"startswith": "write 'whole'.startswith('part')", "startsWith": "write 'whole'.startswith('part')", "endswith": "write 'whole'.endswith('part')", "endsWith": "write 'whole'.endswith('part')",
	"contains": "write 'part' in 'whole'", "includes": "write 'part' in 'whole'",
	"iif": "write 'a if condition else b'", "between": "write low <= value <= high", "xor": "write != between two conditions in parentheses", "exact": "write == to compare",
	"eq": "write ==", "equals": "write ==", "ne": "write !=", "gt": "write >", "lt": "write <", "ge": "write >=", "gte": "write >=", "le": "write <=", "lte": "write <=",
	"any": "write 'or' between the conditions", "all": "write 'and' between the conditions", "isblank": "write '{{ name }}' == ''", "isempty": "write '{{ name }}' == ''",
	"coalesce": "write {{ name|default_if_none:'…' }}", "ifnull": "write {{ name|default_if_none:'…' }}", "nvl": "write {{ name|default_if_none:'…' }}",
	"exists": "write '{{ name }}' != ''", "isset": "write '{{ name }}' != ''", "defined": "write '{{ name }}' != ''", "empty": "write '{{ name }}' == ''", "isEmpty": "write '{{ name }}' == ''",
}

// emptyWords are names that authors take for a text without characters.
var emptyWords = map[string]bool{"empty": true, "Empty": true, "EMPTY": true, "blank": true, "Blank": true, "BLANK": true}

// emptiness returns the fault of a comparison with such a name; nil if it isn't one.
func emptiness(n *compareNode) *Fault {
	if len(n.rest) != 1 {
		return nil
	}
	name, is := ungroup(n.rest[0]).(*nameNode)
	if !is || !emptyWords[name.name] {
		return nil
	}
	write := "''"
	switch n.ops[0] {
	case opIs:
		write = "== ''"
	case opIsNot:
		write = "!= ''"
	case opEq, opNotEq:
	default:
		return nil
	}
	return faultf(NameNotDefined, name.offset(), "write %s ('%s' is not Python)", write, name.name)
}

// inNumber returns the fault of a value that is searched for in a number; nil if none is.
func inNumber(n *compareNode) *Fault {
	if len(n.rest) != 1 || n.ops[0] != opIn && n.ops[0] != opNotIn {
		return nil
	}
	number, is := ungroup(n.rest[0]).(*constantNode)
	if !is {
		return nil
	}
	switch number.value.(type) {
	case python.Int, python.Float, python.Bool:
	default:
		return nil
	}
	write := "=="
	if n.ops[0] == opNotIn {
		write = "!="
	}
	return faultf("TypeError", number.offset(), "write %s to compare with one value (a number has no parts)", write)
}
