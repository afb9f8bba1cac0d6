// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"strings"

	"github.com/rehive/extension-operator/internal/python"
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

// parser makes a tree of tokens, by the grammar of Python 3.11's expressions
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
				return 0, false, p.unexpected("'in'")
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
		if t.kind != tokOp || !contains(levels[level], t.text) {
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

func contains(list []string, s string) bool {
	for _, it := range list {
		if it == s {
			return true
		}
	}
	return false
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

func (p *parser) primary() (node, error) {
	n, err := p.atom()
	if err != nil {
		return nil, err
	}
	for {
		t := p.peek()
		if t.kind != tokOp {
			return n, nil
		}
		switch t.text {
		case ".":
			p.pos++
			name := p.peek()
			if name.kind != tokName {
				return nil, p.unexpected("a name")
			}
			p.pos++
			n = &attributeNode{at(t.pos), n, name.text}
		case "(":
			p.pos++
			if n, err = p.call(n, t.pos); err != nil {
				return nil, err
			}
		case "[":
			p.pos++
			index, err := p.subscript()
			if err != nil {
				return nil, err
			}
			n = &subscriptNode{at(t.pos), n, index}
		default:
			return n, nil
		}
	}
}

func (p *parser) atom() (node, error) {
	t := p.peek()
	pos := at(t.pos)
	switch t.kind {
	case tokName:
		p.pos++
		return &nameNode{pos, t.text}, nil
	case tokNumber:
		p.pos++
		v, err := parseNumber(t.text)
		if err != nil {
			return nil, faultAt(err, t.pos)
		}
		return &constantNode{pos, v}, nil
	case tokSlot:
		p.pos++
		return &slotNode{pos, t.slot.index}, nil
	case tokString:
		return p.strings()
	case tokKeyword:
		var v python.Value
		switch t.text {
		case "True":
			v = python.True
		case "False":
			v = python.False
		case "None":
			v = python.None
		default:
			return nil, p.unexpected("a value")
		}
		p.pos++
		return &constantNode{pos, v}, nil
	case tokOp:
		switch t.text {
		case "...":
			p.pos++
			return &constantNode{pos, Ellipsis{}}, nil
		case "(":
			p.pos++
			return p.parenthesis(t.pos)
		case "[":
			p.pos++
			return p.list(t.pos)
		case "{":
			p.pos++
			return p.braces(t.pos)
		}
	}
	return nil, p.unexpected("a value")
}

// strings joins the literals that stand side by side.
func (p *parser) strings() (node, error) {
	first := p.peek()
	pos := at(first.pos)
	var parts []textPart
	joined, literal := false, true
	for p.peek().kind == tokString {
		t := p.next()
		if t.str.bytes != first.str.bytes {
			return nil, faultf(SyntaxError, t.pos, "strings and b'…' cannot be adjacent")
		}
		joined = joined || t.str.joined
		for _, part := range t.str.parts {
			if part.field != nil {
				f, err := p.field(part.field)
				if err != nil {
					return nil, err
				}
				part.field = f
			}
			literal = literal && part.slot < 0
			if n := len(parts); n > 0 && isPlain(part) && isPlain(parts[n-1]) {
				parts[n-1].text += part.text
				continue
			}
			parts = append(parts, part)
		}
	}
	switch {
	case joined:
		return &joinedNode{pos, parts}, nil
	case !literal && first.str.bytes:
		return &bytesNode{pos, parts}, nil
	case !literal:
		return &textNode{pos, parts}, nil
	}
	text := ""
	if len(parts) > 0 {
		text = parts[0].text
	}
	if first.str.bytes {
		return &constantNode{pos, Bytes(text)}, nil
	}
	return &constantNode{pos, python.Str(text)}, nil
}

func isPlain(part textPart) bool { return part.slot < 0 && part.field == nil }

// field parses the tokens of a field's value and spec.
func (p *parser) field(f *field) (*field, error) {
	raw, ok := f.value.(*unparsed)
	if !ok {
		return f, nil
	}
	sub := &parser{classes: p.classes, depth: p.depth}
	err := sub.place(raw.tokens)
	if err != nil {
		return nil, err
	}
	var value node
	if sub.isKeyword("yield") {
		value, err = sub.yield()
	} else if value, err = sub.namedOrTuple(); err == nil && sub.peek().kind != tokEnd {
		err = sub.unexpected("'}'")
	}
	if err != nil {
		return nil, err
	}
	out := &field{pos: f.pos, value: value}
	if f.spec != nil {
		spec := &joinedNode{at: f.spec.at}
		for _, part := range f.spec.parts {
			if part.field != nil {
				if part.field, err = p.field(part.field); err != nil {
					return nil, err
				}
			}
			spec.parts = append(spec.parts, part)
		}
		out.spec = spec
	}
	return out, nil
}

// namedOrTuple parses a value inside parentheses.
func (p *parser) namedOrTuple() (node, error) {
	if t := p.peek(); t.kind == tokName && p.tokens[p.pos+1].kind == tokOp && p.tokens[p.pos+1].text == ":=" {
		return p.namedExpression()
	}
	return p.starExpressions()
}

func (p *parser) yield() (node, error) {
	pos := p.next().pos
	if p.takeKeyword("from") {
		if _, err := p.expression(); err != nil {
			return nil, err
		}
	} else if p.startsExpression() {
		if _, err := p.starExpressions(); err != nil {
			return nil, err
		}
	}
	return &unsupportedNode{at: at(pos), what: "'yield'"}, nil
}

func (p *parser) parenthesis(pos int) (node, error) {
	if p.takeOp(")") {
		return &tupleNode{at: at(pos)}, nil
	}
	if p.isKeyword("yield") {
		n, err := p.yield()
		if err != nil {
			return nil, err
		}
		return n, p.expectOp(")")
	}
	star := p.isOp("*")
	first, err := p.starNamedExpression()
	if err != nil {
		return nil, err
	}
	switch {
	case p.isComprehension():
		if star {
			return nil, faultf(SyntaxError, pos, "'*' is not allowed in a comprehension")
		}
		return p.comprehension(pos, first, ")")
	case p.isOp(","):
		items, err := p.items([]node{first}, ")")
		return &tupleNode{at(pos), items}, err
	case star:
		return nil, faultf(SyntaxError, pos+1, "'*' is not allowed here")
	}
	if err := p.expectOp(")"); err != nil {
		return nil, err
	}
	return &groupNode{at(pos), first}, nil
}

// items reads the rest of a list, tuple or set.
func (p *parser) items(items []node, end string) ([]node, error) {
	for p.takeOp(",") {
		if p.isOp(end) {
			break
		}
		it, err := p.starNamedExpression()
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	if !p.takeOp(end) {
		return nil, p.unexpected("',' or '" + end + "'")
	}
	return items, nil
}

func (p *parser) list(pos int) (node, error) {
	if p.takeOp("]") {
		return &listNode{at: at(pos)}, nil
	}
	star := p.isOp("*")
	first, err := p.starNamedExpression()
	if err != nil {
		return nil, err
	}
	if p.isComprehension() {
		if star {
			return nil, faultf(SyntaxError, pos, "'*' is not allowed in a comprehension")
		}
		return p.comprehension(pos, first, "]")
	}
	items, err := p.items([]node{first}, "]")
	return &listNode{at: at(pos), items: items, whole: constantList(items)}, err
}

func constantList(items []node) *python.List {
	list := &python.List{Items: make([]python.Value, 0, len(items))}
	for _, it := range items {
		c, ok := it.(*constantNode)
		if !ok || checkLiteral(c.value) != nil {
			return nil
		}
		list.Items = append(list.Items, c.value)
	}
	return list
}

// braces parses a dict or a set.
func (p *parser) braces(pos int) (node, error) {
	if p.takeOp("}") {
		return &dictNode{at: at(pos)}, nil
	}
	if !p.isOp("**") {
		star := p.isOp("*")
		first, err := p.starNamedExpression()
		if err != nil {
			return nil, err
		}
		if !p.isOp(":") || star {
			if p.isComprehension() && !star {
				if _, err := p.comprehension(pos, first, "}"); err != nil {
					return nil, err
				}
				return &unsupportedNode{at: at(pos), what: "a comprehension in {…}"}, nil
			}
			items, err := p.items([]node{first}, "}")
			return &setNode{at(pos), items}, err
		}
		if u, ok := first.(*unsupportedNode); ok && u.what == "':='" {
			return nil, p.unexpected("'}'")
		}
		p.pos++
		value, err := p.expression()
		if err != nil {
			return nil, err
		}
		if p.isComprehension() {
			if _, err := p.comprehension(pos, value, "}"); err != nil {
				return nil, err
			}
			return &unsupportedNode{at: at(pos), what: "a comprehension in {…}"}, nil
		}
		return p.dict(pos, []node{first}, []node{value})
	}
	return p.dict(pos, nil, nil)
}

func (p *parser) dict(pos int, keys, values []node) (node, error) {
	for len(keys) == 0 || p.takeOp(",") {
		if len(keys) > 0 && p.isOp("}") {
			break
		}
		if p.takeOp("**") {
			v, err := p.binary(0)
			if err != nil {
				return nil, err
			}
			keys, values = append(keys, nil), append(values, v)
			continue
		}
		k, err := p.expression()
		if err != nil {
			return nil, err
		}
		if err := p.expectOp(":"); err != nil {
			return nil, err
		}
		v, err := p.expression()
		if err != nil {
			return nil, err
		}
		keys, values = append(keys, k), append(values, v)
	}
	if !p.takeOp("}") {
		return nil, p.unexpected("',' or '}'")
	}
	return &dictNode{at(pos), keys, values}, nil
}

func (p *parser) isComprehension() bool {
	if p.isKeyword("for") {
		return true
	}
	next := p.tokens[min(p.pos+1, len(p.tokens)-1)]
	return p.isKeyword("async") && next.kind == tokKeyword && next.text == "for"
}

func (p *parser) comprehension(pos int, element node, end string) (node, error) {
	c := &comprehensionNode{at: at(pos), element: element}
	for p.isComprehension() {
		p.takeKeyword("async")
		p.pos++
		target, err := p.targets()
		if err != nil {
			return nil, err
		}
		if !p.takeKeyword("in") {
			return nil, p.unexpected("'in'")
		}
		g := generator{target: target}
		if g.iter, err = p.or(); err != nil {
			return nil, err
		}
		for p.takeKeyword("if") {
			cond, err := p.or()
			if err != nil {
				return nil, err
			}
			g.conds = append(g.conds, cond)
		}
		c.generators = append(c.generators, g)
	}
	return c, p.expectOp(end)
}

// targets parses the targets between for and in.
func (p *parser) targets() (node, error) {
	pos := p.peek().pos
	var items []node
	comma := false
	for {
		var n node
		var err error
		if p.isOp("*") {
			n, err = p.starred()
		} else {
			n, err = p.binary(0)
		}
		if err != nil {
			return nil, err
		}
		items = append(items, n)
		if !p.takeOp(",") {
			break
		}
		comma = true
		if p.isKeyword("in") {
			break
		}
	}
	target := items[0]
	if comma {
		target = &tupleNode{at(pos), items}
	}
	if !isTarget(target) {
		return nil, faultf(SyntaxError, pos, "a name was expected between 'for' and 'in'")
	}
	return ungroup(target), nil
}

// groupNode is a value in round brackets while the parser needs to know.
type groupNode struct {
	at
	inner node
}

func ungroup(n node) node {
	for {
		g, ok := n.(*groupNode)
		if !ok {
			return n
		}
		n = g.inner
	}
}

// isTarget reports whether Python would allow an assignment to n.
func isTarget(n node) bool {
	switch n := ungroup(n).(type) {
	case *nameNode, *attributeNode, *subscriptNode:
		return true
	case *tupleNode:
		return allTargets(n.items)
	case *listNode:
		return allTargets(n.items)
	case *unsupportedNode:
		return n.inner != nil && isTarget(n.inner)
	}
	return false
}

func allTargets(items []node) bool {
	for _, it := range items {
		if !isTarget(it) {
			return false
		}
	}
	return true
}

// call reads the arguments up to the closing bracket.
func (p *parser) call(fn node, pos int) (node, error) {
	c := &callNode{at: at(pos), fn: fn}
	seenKeyword, seenDouble := false, false
	for !p.takeOp(")") {
		start := p.peek().pos
		switch {
		case p.isOp("**"):
			p.pos++
			v, err := p.expression()
			if err != nil {
				return nil, err
			}
			c.keywords = append(c.keywords, keyword{"", v, start})
			seenDouble = true
		case p.isOp("*"):
			if seenDouble {
				return nil, faultf(SyntaxError, start, "'*' can't follow '**' between the brackets of a call")
			}
			p.pos++
			v, err := p.expression()
			if err != nil {
				return nil, err
			}
			c.args = append(c.args, &unsupportedNode{at: at(start), what: "'*' before a value", inner: v})
		case p.peek().kind == tokName && p.tokens[p.pos+1].kind == tokOp && p.tokens[p.pos+1].text == "=":
			name := p.next().text
			p.pos++
			v, err := p.expression()
			if err != nil {
				return nil, err
			}
			c.keywords = append(c.keywords, keyword{name, v, start})
			seenKeyword = true
		default:
			v, err := p.namedExpression()
			if err != nil {
				return nil, err
			}
			if p.isComprehension() {
				if len(c.args)+len(c.keywords) > 0 {
					return nil, faultf(SyntaxError, start, "a comprehension beside other arguments needs brackets of its own")
				}
				v, err = p.comprehension(start, v, ")")
				if err != nil {
					return nil, err
				}
				c.args = append(c.args, v)
				return c, nil
			}
			if seenKeyword || seenDouble {
				return nil, faultf(SyntaxError, start, "a plain argument can't follow a named one")
			}
			c.args = append(c.args, v)
		}
		if p.takeOp(",") {
			continue
		}
		if !p.isOp(")") {
			return nil, p.unexpected("',' or ')'")
		}
	}
	return c, nil
}

// subscript reads up to the closing bracket.
func (p *parser) subscript() (node, error) {
	pos := p.peek().pos
	first, star, err := p.slice()
	if err != nil {
		return nil, err
	}
	if p.takeOp("]") {
		if star {
			first = &tupleNode{at(pos), []node{first}}
		}
		return first, nil
	}
	items := []node{first}
	for p.takeOp(",") {
		if p.isOp("]") {
			break
		}
		it, _, err := p.slice()
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	if !p.takeOp("]") {
		return nil, p.unexpected("']'")
	}
	return &tupleNode{at(pos), items}, nil
}

func (p *parser) slice() (n node, star bool, err error) {
	pos := p.peek().pos
	if p.isOp("*") {
		n, err = p.starred()
		return n, true, err
	}
	var lower node
	if !p.isOp(":") {
		if lower, err = p.namedExpression(); err != nil || !p.isOp(":") {
			return lower, false, err
		}
	}
	s := &sliceNode{at: at(pos), lower: lower}
	p.pos++
	bound := func() (node, error) {
		if p.isOp(":") || p.isOp("]") || p.isOp(",") {
			return nil, nil //nolint:nilnil // a bound that is left out
		}
		return p.expression()
	}
	if s.upper, err = bound(); err != nil {
		return nil, false, err
	}
	if p.takeOp(":") {
		if s.step, err = bound(); err != nil {
			return nil, false, err
		}
	}
	return s, false, nil
}

// lambda is read to know where it ends.
func (p *parser) lambda() (node, error) {
	pos := p.next().pos
	defaults, star, bareStar, slash := false, false, false, false
	for !p.isOp(":") {
		t := p.peek()
		switch {
		case p.takeOp("**"):
			if p.next().kind != tokName || bareStar {
				return nil, faultf(SyntaxError, t.pos, "there is something wrong in this lambda")
			}
			p.takeOp(",")
			if !p.isOp(":") {
				return nil, p.unexpected("':'")
			}
			continue
		case p.takeOp("*"):
			if star {
				return nil, faultf(SyntaxError, t.pos, "there is something wrong in this lambda")
			}
			star = true
			if p.peek().kind == tokName {
				p.pos++
			} else if bareStar = true; !p.isOp(",") {
				return nil, p.unexpected("a name")
			}
		case p.takeOp("/"):
			if star || slash || p.tokens[p.pos-2].kind == tokKeyword {
				return nil, faultf(SyntaxError, t.pos, "there is something wrong in this lambda")
			}
			slash = true
		case t.kind == tokName:
			p.pos++
			bareStar = false
			if p.takeOp("=") {
				if _, err := p.expression(); err != nil {
					return nil, err
				}
				defaults = true
			} else if defaults && !star {
				return nil, faultf(SyntaxError, t.pos, "there is something wrong in this lambda")
			}
		default:
			return nil, p.unexpected("a name or ':'")
		}
		if !p.takeOp(",") && !p.isOp(":") {
			return nil, p.unexpected("':'")
		}
	}
	if bareStar {
		return nil, p.unexpected("a name")
	}
	p.pos++
	if _, err := p.expression(); err != nil {
		return nil, err
	}
	return &unsupportedNode{at: at(pos), what: "'lambda'"}, nil
}
