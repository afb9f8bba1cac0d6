// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"slices"
	"strings"
)

// maxNesting bounds the parser's recursion. The evaluator's own bound, which is
// simpleeval's, is lower.
const maxNesting = 1000

// slotClass is what kind of literal the data of a slot is. It is all that a
// tree depends on besides the shape.
type slotClass byte

const (
	classUnknown slotClass = iota
	classEmpty             // nothing, or white space
	classNumber            // a number without a sign
	classMinus             // a number after a minus
	classPlus              // a number after a plus
	classString            // joins with string literals beside it
	classOther             // True, False, None, a list, tuple or dict
)

// parser builds a tree from tokens, by the grammar of Python 3.11's expressions
// and simple statements.
type parser struct {
	tokens []token
	pos    int
	depth  int
	// classes of the slots by index; those inside literals are not looked at.
	classes []slotClass
}

// parse parses a whole shape: the tree is that of the first statement, but the
// others have to be right as well.
func parse(tokens []token, classes []slotClass) (node, error) {
	p := &parser{classes: classes}
	if err := p.place(tokens); err != nil {
		return nil, err
	}
	return p.file()
}

// place puts tokens where the slots are: none for empty data, a sign of its
// own for a signed number (so that -5 ** 2 is -25), a string for a string.
func (p *parser) place(tokens []token) error {
	out := make([]token, 0, len(tokens)+2)
	for _, t := range tokens {
		if t.kind != tokSlot {
			out = append(out, t)
			continue
		}
		switch p.classes[t.slot.index] {
		case classEmpty:
			continue
		case classMinus, classPlus:
			if n := len(out); n > 0 && out[n-1].endsValue() {
				return faultf(DataRefused, t.pos, "an operator is missing before the data; a sign in data is not one")
			}
			sign := "-"
			if p.classes[t.slot.index] == classPlus {
				sign = "+"
			}
			out = append(out, token{kind: tokOp, pos: t.pos, text: sign})
		case classString:
			part := textPart{slot: t.slot.index, whole: true}
			t = token{kind: tokString, pos: t.pos, str: &strToken{parts: []textPart{part}}}
		}
		out = append(out, t)
	}
	p.tokens = out
	return nil
}

// endsValue reports whether a value may end with the token, so that a sign after it would
// be a binary operator.
func (t token) endsValue() bool {
	switch t.kind {
	case tokName, tokNumber, tokString, tokSlot:
		return true
	case tokKeyword:
		return t.text == "True" || t.text == "False" || t.text == "None"
	case tokOp:
		return t.text == ")" || t.text == "]" || t.text == "}" || t.text == "..."
	}
	return false
}

func (p *parser) peek() *token { return &p.tokens[p.pos] }

func (p *parser) next() *token {
	t := &p.tokens[p.pos]
	if t.kind != tokEnd {
		p.pos++
	}
	return t
}

func (p *parser) isOp(op string) bool {
	t := p.peek()
	return t.kind == tokOp && t.text == op
}

func (p *parser) takeOp(op string) bool {
	if p.isOp(op) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) isKeyword(word string) bool {
	t := p.peek()
	return t.kind == tokKeyword && t.text == word
}

func (p *parser) takeKeyword(word string) bool {
	if p.isKeyword(word) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) expectOp(op string) error {
	if !p.takeOp(op) {
		return p.unexpected("'" + op + "'")
	}
	return nil
}

// unexpected describes the token that was found instead of the expected one.
func (p *parser) unexpected(want string) error {
	t := p.peek()
	if t.kind == tokName && isSpelledOperator(t.text) {
		return faultf(SyntaxError, t.pos, "write '%s' in lower case", strings.ToLower(t.text))
	}
	if p.pos > 0 {
		if before := &p.tokens[p.pos-1]; before.kind == tokName && isSpelledOperator(before.text) {
			return faultf(SyntaxError, before.pos, "write '%s' in lower case", strings.ToLower(before.text))
		}
	}
	if hint := foreignWords[strings.ToLower(t.text)]; hint != "" && t.kind == tokName {
		return faultf(SyntaxError, t.pos, "%s ('%s' is not an operator)", hint, t.text)
	}
	if p.pos > 0 && want == "an operator" {
		if before := &p.tokens[p.pos-1]; before.kind == tokName && foreignWords[strings.ToLower(before.text)] != "" {
			return faultf(SyntaxError, before.pos, "%s ('%s' is not an operator)", foreignWords[strings.ToLower(before.text)], before.text)
		}
	}
	if hint := p.unexpectedHint(t, want); hint != "" {
		return faultf(SyntaxError, t.pos, "%s", hint)
	}
	switch t.kind {
	case tokEnd:
		return faultf(SyntaxError, t.pos, "%s is missing at the end", want)
	case tokNewline:
		return faultf(SyntaxError, t.pos, "%s is missing at the end of the line", want)
	case tokString:
		return faultf(SyntaxError, t.pos, "%s was expected here, not a text in quotes", want)
	case tokSlot:
		return faultf(SyntaxError, t.pos, "%s was expected here, not data", want)
	}
	if t.kind == tokOp && t.text == "=" {
		return faultf(SyntaxError, t.pos, "write == to compare (a single = assigns)")
	}
	return faultf(SyntaxError, t.pos, "%s was expected here, not '%s'", want, t.text)
}

// foreignWords are operators of other languages that are spelled, in lower case, with hints.
// A hint never has the opposite meaning.
var foreignWords = map[string]string{
	"eq": "write ==", "equal": "write == or != to compare", "equals": "write == or != to compare", "to": "write == or != to compare",
	"ne": "write !=", "neq": "write !=", "isnt": "write !=", "doesnt": "write != to compare, or 'part' not in 'whole'", "does": "write == or != to compare, or 'part' in 'whole'", "xor": "write != between two conditions in parentheses", "nor": "write 'not' and parentheses around conditions with 'or'",
	"gt": "write >", "lt": "write <", "gte": "write >=", "ge": "write >=", "lte": "write <=", "le": "write <=",
	"contains": "write 'part' in 'whole'", "includes": "write 'part' in 'whole'", "has": "write 'part' in 'whole'", "contain": "write 'part' in 'whole'",
	"like": "write 'part' in 'whole' without placeholders such as %", "ilike": "write 'part' in 'whole' without placeholders such as %", "matches": "write 'part' in 'whole' without placeholders such as %",
	"than": "write > or < to compare", "greater": "write >", "less": "write <", "above": "write >", "below": "write <", "exists": "write '{{ name }}' != ''",
	"starts": "write 'whole'.startswith('part')", "ends": "write 'whole'.endswith('part')",
	"startswith": "write 'whole'.startswith('part')", "endswith": "write 'whole'.endswith('part')",
	"between": "write low <= value <= high", "mod": "write %", "div": "write //",
}

// negatedWords are the hints for foreignWords after "not".
var negatedWords = map[string]string{
	"eq": "write !=", "equal": "write !=", "equals": "write !=", "ne": "write ==", "neq": "write ==",
	"gt": "write <=", "greater": "write <=", "above": "write <=", "lt": "write >=", "less": "write >=", "below": "write >=", "gte": "write <", "ge": "write <", "lte": "write >", "le": "write >",
	"contains": "write 'part' not in 'whole'", "contain": "write 'part' not in 'whole'", "includes": "write 'part' not in 'whole'", "has": "write 'part' not in 'whole'",
	"like": "write 'part' not in 'whole' without placeholders such as %", "ilike": "write 'part' not in 'whole' without placeholders such as %", "matches": "write 'part' not in 'whole' without placeholders such as %",
	"startswith": "write not 'whole'.startswith('part')", "starts": "write not 'whole'.startswith('part')", "endswith": "write not 'whole'.endswith('part')", "ends": "write not 'whole'.endswith('part')",
	"between": "write not low <= value <= high", "exists": "write '{{ name }}' == ''",
}

func (p *parser) enter() error {
	if p.depth++; p.depth > maxNesting {
		return faultf(RecursionError, p.peek().pos, "the expression is nested too deeply")
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// namedExpression parses expression or name := expression.
func (p *parser) namedExpression() (node, error) {
	t := p.peek()
	if t.kind == tokName && p.tokens[p.pos+1].kind == tokOp && p.tokens[p.pos+1].text == ":=" {
		p.pos += 2
		if _, err := p.expression(); err != nil {
			return nil, err
		}
		return &unsupportedNode{at: at(t.pos), what: "':='"}, nil
	}
	return p.expression()
}

// starNamedExpression parses one item of a list, tuple or set.
func (p *parser) starNamedExpression() (node, error) {
	if p.isOp("*") {
		return p.starred()
	}
	return p.namedExpression()
}

func (p *parser) starred() (node, error) {
	pos := p.next().pos
	inner, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	return &unsupportedNode{at: at(pos), what: "'*' before a value", inner: inner}, nil
}

// starExpressions parses the value of a statement: one value, or a tuple without brackets.
func (p *parser) starExpressions() (node, error) {
	item := func() (node, error) {
		if p.isOp("*") {
			return p.starred()
		}
		return p.expression()
	}
	first, err := item()
	if err != nil || !p.isOp(",") {
		return first, err
	}
	items := []node{first}
	for p.takeOp(",") {
		if !p.startsExpression() {
			break
		}
		it, err := item()
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	return &tupleNode{at(first.offset()), items}, nil
}

// startsExpression reports whether a value may begin here, after a comma.
func (p *parser) startsExpression() bool {
	t := p.peek()
	switch t.kind {
	case tokEnd, tokNewline:
		return false
	case tokOp:
		switch t.text {
		case ")", "]", "}", "=", ":", ";", "+=", "-=", "*=", "/=", "//=", "%=", "@=", "&=", "|=", "^=", ">>=", "<<=", "**=":
			return false
		}
	case tokKeyword:
		return t.text != "in" && t.text != "for"
	}
	return true
}

func (p *parser) expression() (node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if p.isKeyword("lambda") {
		return p.lambda()
	}
	body, err := p.or()
	if err != nil || !p.isKeyword("if") {
		return body, err
	}
	p.pos++
	test, err := p.or()
	if err != nil {
		return nil, err
	}
	if !p.takeKeyword("else") {
		return nil, p.unexpected("'else'")
	}
	orelse, err := p.expression()
	if err != nil {
		return nil, err
	}
	return &ifNode{at(body.offset()), test, body, orelse}, nil
}

func (p *parser) or() (node, error) {
	return p.boolean("or", p.and)
}

func (p *parser) and() (node, error) {
	return p.boolean("and", p.not)
}

func (p *parser) boolean(word string, operand func() (node, error)) (node, error) {
	first, err := operand()
	if err != nil || !p.isKeyword(word) {
		return first, err
	}
	values := []node{first}
	for p.takeKeyword(word) {
		v, err := operand()
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return &boolNode{at(first.offset()), word == "and", values}, nil
}

func (p *parser) not() (node, error) {
	if !p.isKeyword("not") {
		return p.comparison()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	pos := p.next().pos
	operand, err := p.not()
	if err != nil {
		return nil, err
	}
	return &unaryNode{at(pos), "not", operand}, nil
}

var compareOps = map[string]compareOp{"==": opEq, "!=": opNotEq, "<": opLt, "<=": opLtE, ">": opGt, ">=": opGtE}

func (p *parser) compareOp() (compareOp, bool, error) {
	t := p.peek()
	switch t.kind {
	case tokOp:
		if op, ok := compareOps[t.text]; ok {
			p.pos++
			return op, true, nil
		}
	case tokKeyword:
		switch t.text {
		case "in":
			p.pos++
			return opIn, true, nil
		case "not":
			p.pos++
			if !p.takeKeyword("in") {
				return 0, false, p.lonelyNot(t)
			}
			return opNotIn, true, nil
		case "is":
			p.pos++
			if p.takeKeyword("not") {
				return opIsNot, true, nil
			}
			return opIs, true, nil
		}
	}
	return 0, false, nil
}

func (p *parser) comparison() (node, error) {
	first, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	c := &compareNode{at: at(first.offset()), first: first}
	for {
		op, ok, err := p.compareOp()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		right, err := p.binary(0)
		if err != nil {
			return nil, err
		}
		c.ops = append(c.ops, op)
		c.rest = append(c.rest, right)
	}
	if len(c.ops) == 0 {
		return first, nil
	}
	return c, nil
}

// levels are the binary operators that group from the left, loosest first.
var levels = [...][]string{{"|"}, {"^"}, {"&"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "//", "%", "@"}}

func (p *parser) binary(level int) (node, error) {
	if level == len(levels) {
		return p.factor()
	}
	left, err := p.binary(level + 1)
	if err != nil {
		return nil, err
	}
	for {
		t := p.peek()
		if t.kind != tokOp || !slices.Contains(levels[level], t.text) {
			return left, nil
		}
		p.pos++
		right, err := p.binary(level + 1)
		if err != nil {
			return nil, err
		}
		left = &binaryNode{at(t.pos), t.text, left, right}
	}
}

func (p *parser) factor() (node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	t := p.peek()
	if t.kind == tokOp && (t.text == "-" || t.text == "+" || t.text == "~") {
		p.pos++
		operand, err := p.factor()
		if err != nil {
			return nil, err
		}
		return &unaryNode{at(t.pos), t.text, operand}, nil
	}
	await := p.takeKeyword("await")
	base, err := p.primary()
	if err != nil {
		return nil, err
	}
	if await {
		base = &unsupportedNode{at: at(t.pos), what: "'await'"}
	}
	if !p.isOp("**") {
		return base, nil
	}
	pos := p.next().pos
	exponent, err := p.factor()
	if err != nil {
		return nil, err
	}
	return &binaryNode{at(pos), "**", base, exponent}, nil
}
