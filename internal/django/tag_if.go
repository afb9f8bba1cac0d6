// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

func init() {
	builtins.AddTag("if", parseIf)
	builtins.AddTag("ifequal", parseIfEqual)
	builtins.AddTag("ifnotequal", parseIfEqual)
}

// ifNode is {% if %}…{% elif %}…{% else %}…{% endif %}.
type ifNode struct {
	branches  []branch
	otherwise NodeList
}

type branch struct {
	condition condition
	body      NodeList
}

func parseIf(p *Parser, tok *Token) (Node, error) {
	node := &ifNode{branches: make([]branch, 0, 1)}
	for {
		words, err := tok.Split()
		if err != nil {
			return nil, err
		}
		cond, err := p.parseCondition(words[1:])
		if err != nil {
			return nil, err
		}
		body, err := p.ParseUntil("elif", "else", "endif")
		if err != nil {
			return nil, err
		}
		node.branches = append(node.branches, branch{cond, body})
		if tok = p.NextToken(); !strings.HasPrefix(tok.Contents, "elif") {
			break
		}
	}
	if tok.Contents == "else" {
		var err error
		if node.otherwise, err = p.ParseUntil("endif"); err != nil {
			return nil, err
		}
		tok = p.NextToken()
	}
	if tok.Contents != "endif" {
		return nil, p.Errorf("Malformed template tag at line %d: \"%s\"", tok.Line, tok.Contents)
	}
	return node, nil
}

func (n *ifNode) Render(c *Context) error {
	for i := range n.branches {
		b := &n.branches[i]
		v, err := b.condition.eval(c)
		if err != nil {
			if isMissing(err) { // of a filter's argument
				continue
			}
			return err
		}
		if python.Truth(v) {
			return b.body.Render(c)
		}
	}
	return n.otherwise.Render(c)
}

// ifEqualNode is {% ifequal a b %} and {% ifnotequal a b %}, which Django 4
// no longer has.
type ifEqualNode struct {
	a, b            *Expression
	negate          bool
	body, otherwise NodeList
}

func parseIfEqual(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	if len(words) != 3 {
		return nil, p.Errorf("'%s' takes two arguments", words[0])
	}
	node := &ifEqualNode{negate: words[0] == "ifnotequal"}
	op := "=="
	if node.negate {
		op = "!="
	}
	p.remark("Django 5.0 has no {% " + words[0] + " %}: write {% if " + words[1] + " " + op + " " + words[2] + " %}")
	end := "end" + words[0]
	if node.body, err = p.ParseUntil("else", end); err != nil {
		return nil, err
	}
	if p.NextToken().Contents == "else" {
		if node.otherwise, err = p.parseBody(end); err != nil {
			return nil, err
		}
	}
	p.at = tok.pos
	if node.a, err = p.CompileFilter(words[1]); err != nil {
		return nil, err
	}
	node.b, err = p.CompileFilter(words[2])
	return node, err
}

func (n *ifEqualNode) Render(c *Context) error {
	a, _, _, err := n.a.Resolve(c)
	if err != nil {
		return err
	}
	b, _, _, err := n.b.Resolve(c)
	if err != nil {
		return err
	}
	equal, err := python.TryEqual(&c.meter, a, b)
	if err != nil {
		return err
	}
	if equal != n.negate {
		return n.body.Render(c)
	}
	return n.otherwise.Render(c)
}
