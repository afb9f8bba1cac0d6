// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import "github.com/rehive/extension-operator/internal/python"

func init() { builtins.AddTag("autoescape", parseAutoescape) }

// autoescapeNode is {% autoescape on %}…{% endautoescape %}.
type autoescapeNode struct {
	on   bool
	body NodeList
}

func parseAutoescape(p *Parser, tok *Token) (Node, error) {
	words := python.Fields(tok.Contents)
	if len(words) != 2 {
		return nil, p.Errorf("'autoescape' tag requires exactly one argument.")
	}
	if words[1] != "on" && words[1] != "off" {
		return nil, p.Errorf("'autoescape' argument should be 'on' or 'off'")
	}
	body, err := p.parseBody("endautoescape")
	return &autoescapeNode{words[1] == "on", body}, err
}

func (n *autoescapeNode) Render(c *Context) error {
	old := c.autoescape
	c.autoescape = n.on
	err := n.body.Render(c)
	c.autoescape = old
	return err
}
