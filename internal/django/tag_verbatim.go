// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

func init() { builtins.AddTag("verbatim", parseVerbatim) }

// verbatimNode is {% verbatim %}…{% endverbatim %}: the lexer has turned everything
// inside into text.
type verbatimNode struct{ body NodeList }

func parseVerbatim(p *Parser, _ *Token) (Node, error) {
	body, err := p.parseBody("endverbatim")
	return &verbatimNode{body}, err
}

func (n *verbatimNode) Render(c *Context) error { return n.body.Render(c) }
