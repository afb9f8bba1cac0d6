// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

func init() { builtins.AddTag("with", parseWith) }

// withNode is {% with a=b c=d %}…{% endwith %}, or {% with b as a %}.
type withNode struct {
	with []Keyword
	body NodeList
}

func parseWith(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	node := &withNode{}
	kw, rest, err := p.Keywords(words[1:], true)
	if err != nil {
		return nil, err
	}
	if len(kw) == 0 {
		return nil, p.Errorf("'with' expected at least one variable assignment")
	}
	if len(rest) > 0 {
		return nil, p.Errorf("'with' received an invalid token: %s", quoted(rest[0]))
	}
	node.with = kw
	mark := len(p.bound)
	for _, k := range kw {
		p.bind(k.Name)
	}
	node.body, err = p.parseBody("endwith")
	p.unbind(mark)
	return node, err
}

func (n *withNode) Render(c *Context) error {
	var room [4]binding
	values, err := resolveKeywords(c, n.with, room[:0])
	if err != nil {
		return err
	}
	c.Push()
	c.setAll(values)
	err = n.body.Render(c)
	c.Pop()
	return err
}

// resolveKeywords appends the values of name=value words. None of them sees
// another.
func resolveKeywords(c *Context, kw []Keyword, dst []binding) ([]binding, error) {
	for _, k := range kw {
		v, author, _, err := k.Value.resolve(c, emptyText, len(k.Value.filters))
		if err != nil {
			return nil, err
		}
		dst = append(dst, binding{k.Name, v, author})
	}
	return dst, nil
}

func (c *Context) setAll(values []binding) {
	for _, b := range values {
		c.Set(b.name, b.val, b.author)
	}
}
