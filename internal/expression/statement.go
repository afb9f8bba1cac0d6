// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

// file parses all statements and returns the first, which is the one that simpleeval
// evaluates after parsing the whole text.
func (p *parser) file() (node, error) {
	var first node
	for {
		for p.peek().kind == tokNewline {
			p.pos++
		}
		if p.peek().kind == tokEnd {
			break
		}
		for {
			n, err := p.statement()
			if err != nil {
				return nil, err
			}
			if first == nil {
				first = n
			}
			semicolon := p.takeOp(";")
			if t := p.peek(); t.kind == tokNewline || t.kind == tokEnd {
				break
			}
			if !semicolon {
				return nil, p.unexpected("an operator")
			}
		}
	}
	if first == nil {
		return nil, faultf(SyntaxError, -1, "there is no expression: nothing came out but white space or a comment")
	}
	return first, nil
}

func (p *parser) statement() (node, error) {
	t := p.peek()
	if t.kind == tokKeyword {
		switch t.text {
		case "if":
			return nil, faultf(FeatureNotAvailable, t.pos, "write the condition alone ('if' statements are not available)")
		case "while", "for", "try", "with", "def", "class", "async":
			return nil, faultf(FeatureNotAvailable, t.pos, "'%s' statements are not available", t.text)
		case "pass", "break", "continue", "del", "assert", "raise", "return", "global", "nonlocal", "import", "from":
			p.pos++
			return &unsupportedNode{at: at(t.pos), what: "'" + t.text + "'"}, p.simple(t.text)
		}
	}
	if p.isOp("@") {
		return nil, faultf(FeatureNotAvailable, t.pos, "data needs braces, as in '{{ name }}' (decorators are not available)")
	}
	value, err := p.yieldOrExpressions()
	if err != nil {
		return nil, err
	}
	op := p.peek()
	if op.kind != tokOp {
		return value, nil
	}
	switch op.text {
	case "=":
		for p.takeOp("=") {
			if !isTarget(value) {
				return nil, faultf(SyntaxError, op.pos, "write == to compare (a single = assigns)")
			}
			if value, err = p.yieldOrExpressions(); err != nil {
				return nil, err
			}
		}
		return &assignNode{at(op.pos), value}, nil
	case "+=", "-=", "*=", "/=", "//=", "%=", "@=", "&=", "|=", "^=", ">>=", "<<=", "**=":
		if !isSingleTarget(value) {
			return nil, faultf(SyntaxError, op.pos, "'%s' is not allowed here", op.text)
		}
		p.pos++
		if value, err = p.yieldOrExpressions(); err != nil {
			return nil, err
		}
		return &assignNode{at(op.pos), value}, nil
	case ":":
		if !isSingleTarget(value) {
			return nil, faultf(SyntaxError, op.pos, "write == to compare (':' is not allowed here)")
		}
		p.pos++
		if _, err := p.expression(); err != nil {
			return nil, err
		}
		if p.takeOp("=") {
			if _, err := p.yieldOrExpressions(); err != nil {
				return nil, err
			}
		}
		return &unsupportedNode{at: at(op.pos), what: "a type annotation"}, nil
	}
	return value, nil
}

func (p *parser) yieldOrExpressions() (node, error) {
	if p.isKeyword("yield") {
		return p.yield()
	}
	return p.starExpressions()
}

func isSingleTarget(n node) bool {
	switch ungroup(n).(type) {
	case *nameNode, *attributeNode, *subscriptNode:
		return true
	}
	return false
}

// simple reads the rest of a statement that has no effect here.
func (p *parser) simple(word string) error {
	atEnd := func() bool {
		t := p.peek()
		return t.kind == tokEnd || t.kind == tokNewline || t.kind == tokOp && t.text == ";"
	}
	switch word {
	case "pass", "break", "continue":
		return nil
	case "return":
		if atEnd() {
			return nil
		}
		_, err := p.starExpressions()
		return err
	case "raise":
		if atEnd() {
			return nil
		}
		if _, err := p.expression(); err != nil {
			return err
		}
		if p.takeKeyword("from") {
			_, err := p.expression()
			return err
		}
		return nil
	case "assert":
		if _, err := p.expression(); err != nil {
			return err
		}
		if p.takeOp(",") {
			_, err := p.expression()
			return err
		}
		return nil
	case "del":
		pos := p.peek().pos
		n, err := p.starExpressions()
		if err != nil {
			return err
		}
		if _, star := ungroup(n).(*unsupportedNode); star || !isTarget(n) {
			return faultf(SyntaxError, pos, "this can't be deleted")
		}
		return nil
	case "global", "nonlocal":
		return p.names(false)
	case "import":
		return p.names(true)
	}
	// from … import …
	dots := false
	for p.isOp(".") || p.isOp("...") {
		p.pos++
		dots = true
	}
	if !dots || p.peek().kind == tokName {
		if err := p.dotted(); err != nil {
			return err
		}
	}
	if !p.takeKeyword("import") {
		return p.unexpected("'import'")
	}
	if p.takeOp("*") {
		return nil
	}
	open := p.takeOp("(")
	for {
		if err := p.name(); err != nil {
			return err
		}
		if p.takeKeyword("as") {
			if err := p.name(); err != nil {
				return err
			}
		}
		if !p.takeOp(",") {
			break
		}
		if open && p.isOp(")") {
			break
		}
	}
	if open {
		return p.expectOp(")")
	}
	return nil
}

func (p *parser) name() error {
	if p.peek().kind != tokName {
		return p.unexpected("a name")
	}
	p.pos++
	return nil
}

func (p *parser) dotted() error {
	for {
		if err := p.name(); err != nil {
			return err
		}
		if !p.takeOp(".") {
			return nil
		}
	}
}

// names reads a, b or, of modules, a.b as c, d.
func (p *parser) names(modules bool) error {
	for {
		if modules {
			if err := p.dotted(); err != nil {
				return err
			}
			if p.takeKeyword("as") {
				if err := p.name(); err != nil {
					return err
				}
			}
		} else if err := p.name(); err != nil {
			return err
		}
		if !p.takeOp(",") {
			return nil
		}
	}
}
