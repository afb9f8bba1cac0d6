// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import "github.com/rehive/extension-operator/internal/python"

func init() { builtins.AddTag("now", parseNow) }

// nowNode is {% now "format" [as name] %}.
type nowNode struct{ format, as string }

func parseNow(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	node := &nowNode{}
	if len(words) == 4 {
		words, node.as = cutAs(words)
	}
	if len(words) != 2 {
		return nil, p.Errorf("'now' statement takes one argument")
	}
	// The quotes are taken off unseen.
	if runes := []rune(words[1]); len(runes) > 2 {
		node.format = string(runes[1 : len(runes)-1])
	}
	if node.as != "" {
		p.bind(node.as)
	}
	return node, nil
}

func (n *nowNode) Render(c *Context) error {
	if err := c.meter.Spend(callSteps); err != nil {
		return err
	}
	v, err := date(c, &python.DateTime{T: c.Now().In(c.location), Aware: true, KeepZone: true}, python.Str(n.format))
	if err != nil {
		return err
	}
	if n.as != "" {
		c.Set(n.as, v, false)
		return nil
	}
	return c.WriteData(python.StrOf(v))
}
