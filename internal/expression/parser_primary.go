// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

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
