// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

func init() {
	builtins.AddTag("partialdef", parsePartialDef)
	builtins.AddTag("partial", parsePartial)
}

// partialDefNode is {% partialdef name [inline] %}…{% endpartialdef %}, of Django 6.0.
type partialDefNode struct {
	body   NodeList
	inline bool
}

func parsePartialDef(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	node := &partialDefNode{}
	switch {
	case len(words) == 1:
		return nil, p.Errorf("'partialdef' tag requires a name")
	case len(words) == 3 && words[2] == "inline":
		node.inline = true
	case len(words) == 3:
		return nil, p.Errorf("The 'inline' argument does not have any parameters; either use 'inline' or remove it completely.")
	case len(words) > 3:
		return nil, p.Errorf("'partialdef' tag takes at most 2 arguments")
	}
	name := words[1]
	p.inPartial++
	node.body, err = p.parseNamedBody("endpartialdef", name)
	p.inPartial--
	if err != nil {
		return nil, err
	}
	if p.partials[name] != nil {
		return nil, p.Errorf("Partial %s is already defined in the template.", quoted(name))
	}
	if p.partials == nil {
		p.partials = map[string]*partialDefNode{}
	}
	p.partials[name] = node
	return node, nil
}

func (n *partialDefNode) Render(c *Context) error {
	if !n.inline {
		return nil
	}
	return n.body.Render(c)
}

// partialNode is {% partial name %}.
type partialNode struct {
	name     string
	partials map[string]*partialDefNode // complete once the template is parsed
}

func parsePartial(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	if len(words) != 2 {
		return nil, p.Errorf("'partial' tag requires a single argument")
	}
	if p.partials == nil {
		p.partials = map[string]*partialDefNode{}
	}
	return &partialNode{words[1], p.partials}, nil
}

func (n *partialNode) Render(c *Context) error {
	partial := n.partials[n.name]
	if partial == nil {
		return syntaxErrorf("Partial %s is not defined in the current template.", quoted(n.name))
	}
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
	return partial.body.Render(c)
}
