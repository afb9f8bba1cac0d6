// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"github.com/rehive/extension-operator/internal/python"
)

func init() { builtins.AddTag("include", parseInclude) }

// includeNode is {% include "name" [with a=b …] [only] %}.
type includeNode struct {
	template *Template // the one the tag is in
	name     *Expression
	parsed   *loaded // the template of a literal name
	with     []Keyword
	only     bool
}

func parseInclude(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	if len(words) < 2 {
		return nil, p.Errorf("'include' tag takes at least one argument: the name of the template to be included.")
	}
	node := &includeNode{template: p.template}
	rest := words[2:]
	for len(rest) > 0 {
		option := rest[0]
		rest = rest[1:]
		switch option {
		case "with":
			if node.with != nil {
				return nil, p.Errorf("The 'with' option was specified more than once.")
			}
			var err error
			if node.with, rest, err = p.Keywords(rest, false); err != nil {
				return nil, err
			}
			if len(node.with) == 0 {
				return nil, p.Errorf(`"with" in 'include' tag needs at least one keyword argument.`)
			}
		case "only":
			if node.only {
				return nil, p.Errorf("The 'only' option was specified more than once.")
			}
			node.only = true
		default:
			return nil, p.Errorf("Unknown argument for 'include' tag: %s.", quoted(option))
		}
	}
	names := make([]string, len(node.with))
	for i, kw := range node.with {
		names[i] = kw.Name
	}
	node.name, node.parsed, err = p.templateName(words[1], node.only, names...)
	return node, err
}

// find returns the template with a name, or the first existing one in a list of names.
func (n *includeNode) find(c *Context) (*Template, error) {
	if n.parsed != nil {
		return n.parsed.template, atRender(n.parsed.err)
	}
	v, err := n.name.Value(c)
	if err != nil {
		return nil, err
	}
	if name, ok := python.AsStr(v); ok && name != "" {
		return n.load(c, name)
	}
	if !python.Truth(v) {
		return nil, python.Errorf(templateDoesNotExist, "No template names provided")
	}
	names, err := python.Items(&c.meter, v)
	if err != nil {
		return nil, err
	}
	err = nil
	for _, item := range names {
		name, ok := python.AsStr(item)
		if !ok {
			return nil, python.Errorf("TypeError", "a template name must be text, not %s", item.TypeName())
		}
		var t *Template
		if t, err = n.load(c, name); err == nil || !python.IsError(err, templateDoesNotExist) {
			return t, err
		}
	}
	return nil, err
}

func (n *includeNode) load(c *Context, name string) (*Template, error) {
	if len(name) > maxTemplateName {
		return nil, python.Errorf(templateDoesNotExist, "there is no template of the name that %s gives", n.name.text)
	}
	full, err := relativeName(n.template.source.name, name)
	if err != nil {
		return nil, syntaxErrorf("the name that %s gives points to no other template", n.name.text)
	}
	return c.loadDynamic(n.template, n.name, full)
}

func (n *includeNode) Render(c *Context) error {
	t, err := n.find(c)
	if err != nil {
		return err
	}
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
	if err := c.meter.Spend(callSteps); err != nil {
		return err
	}
	state := c.state
	c.state = &renderState{outer: state, include: n}
	defer func() { c.state = state }()
	var room [4]binding
	values, err := resolveKeywords(c, n.with, room[:0])
	if err != nil {
		return err
	}
	if n.only {
		data, vars, scopes := c.data, c.vars, c.scopes
		c.data, c.vars, c.scopes = nil, nil, nil
		defer func() { c.data, c.vars, c.scopes = data, vars, scopes }()
	}
	c.Push()
	c.setAll(values)
	err = t.nodes.Render(c)
	c.Pop()
	return err
}

// templateCopy distinguishes included templates: each tag has its own copy, so that two
// tags with the same name in one loop don't share the state of the template's nodes.
type templateCopy struct {
	outer *templateCopy // the copy that the tag is in; nil if nothing is included
	tag   *includeNode
}

// copyOf returns the copy that a state belongs to, always as the same pointer.
func (c *Context) copyOf(s *renderState) *templateCopy {
	if s.include == nil {
		return nil
	}
	c.meter.Owe(1)
	key := templateCopy{c.copyOf(s.outer), s.include}
	found := c.copies[key]
	if found == nil {
		found = &key
		if c.copies == nil {
			c.copies = map[templateCopy]*templateCopy{}
		}
		c.copies[key] = found
	}
	return found
}
