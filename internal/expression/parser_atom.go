// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"github.com/rehive/extension-operator/internal/python"
)

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
