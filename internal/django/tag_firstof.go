// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import "github.com/rehive/extension-operator/internal/python"

func init() { builtins.AddTag("firstof", parseFirstOf) }

// firstOfNode is {% firstof a b "fallback" [as name] %}.
type firstOfNode struct {
	values []*Expression
	as     string
}

func parseFirstOf(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	words = words[1:]
	if len(words) == 0 {
		return nil, p.Errorf("'firstof' statement requires at least one argument")
	}
	node := &firstOfNode{}
	words, node.as = cutAs(words)
	for _, w := range words {
		expr, err := p.CompileFilter(w)
		if err != nil {
			return nil, err
		}
		node.values = append(node.values, expr)
	}
	if node.as != "" {
		p.bind(node.as)
	}
	return node, nil
}

// cutAs removes a trailing "as name".
func cutAs(words []string) (rest []string, name string) {
	if n := len(words); n >= 2 && words[n-2] == "as" {
		return words[:n-2], words[n-1]
	}
	return words, ""
}

func (n *firstOfNode) Render(c *Context) error {
	for _, expr := range n.values {
		v, author, _, err := expr.Resolve(c)
		if err != nil {
			return err
		}
		if !python.Truth(v) {
			continue
		}
		if n.as == "" {
			return c.WriteValue(v, author)
		}
		text, err := c.PrintValue(v)
		if err != nil {
			return err
		}
		c.setPrinted(n.as, text, author)
		return c.hold(text)
	}
	// The data decides that there is nothing to print.
	if n.as != "" {
		c.Set(n.as, emptyText, false)
		return nil
	}
	return c.WriteData("")
}

// setPrinted sets a variable to the text that {{ }} would print, which is already escaped
// if autoescaping is on.
func (c *Context) setPrinted(name, text string, author bool) {
	if c.autoescape {
		c.Set(name, python.SafeStr(text), author)
	} else {
		c.Set(name, python.Str(text), author)
	}
}
