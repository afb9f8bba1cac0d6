// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import "github.com/rehive/extension-operator/internal/python"

func init() { builtins.AddTag("regroup", parseRegroup) }

// regroupNode is {% regroup list by attribute as name %}.
type regroupNode struct {
	target *Expression
	by     *Expression // of name.attribute, with name set to each item in turn
	as     string
}

func parseRegroup(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	if len(words) != 6 {
		return nil, p.Errorf("'regroup' tag takes five arguments")
	}
	node := &regroupNode{as: words[5]}
	if node.target, err = p.CompileFilter(words[1]); err != nil {
		return nil, err
	}
	if words[2] != "by" {
		return nil, p.Errorf("second argument to 'regroup' tag must be 'by'")
	}
	if words[4] != "as" {
		return nil, p.Errorf("next-to-last argument to 'regroup' tag must be 'as'")
	}
	p.bind(node.as)
	node.by, err = p.CompileFilter(node.as + "." + words[3])
	return node, err
}

func (n *regroupNode) Render(c *Context) error {
	v, _, _, err := n.target.Resolve(c)
	if err != nil {
		return err
	}
	groups := python.NewList()
	if v != python.None {
		items, err := python.Items(&c.meter, v)
		if err != nil {
			return err
		}
		var last *groupedResult
		for _, item := range items {
			if err := c.Step(2); err != nil {
				return err
			}
			if err := c.meter.Hold(python.ItemBytes); err != nil {
				return err
			}
			c.Set(n.as, item, false)
			key, _, _, err := n.by.Resolve(c)
			if err != nil {
				return err
			}
			same := false
			if last != nil {
				if same, err = python.TryEqual(&c.meter, key, last.grouper); err != nil {
					return err
				}
			}
			if !same {
				if err := c.meter.Hold(groupBytes); err != nil {
					return err
				}
				last = &groupedResult{grouper: key, list: python.NewList()}
				groups.Items = append(groups.Items, last)
			}
			last.list.Items = append(last.list.Items, item)
		}
	}
	c.Set(n.as, groups, false)
	return nil
}

// groupBytes is what a group takes besides its items.
const groupBytes = 128

// groupedResult is one group, a named tuple in Django.
type groupedResult struct {
	grouper python.Value
	list    *python.List
}

// TypeName implements python.Value.
func (*groupedResult) TypeName() string { return "GroupedResult" }

// Attr implements python.Object.
func (g *groupedResult) Attr(name string) (python.Value, bool) {
	switch name {
	case "grouper":
		return g.grouper, true
	case "list":
		return g.list, true
	}
	return nil, false
}

// Repr implements python.Object.
func (g *groupedResult) Repr() string {
	return "GroupedResult(grouper=" + python.Repr(g.grouper) + ", list=" + python.Repr(g.list) + ")"
}

// Tuple makes it subscriptable, as a named tuple is.
func (g *groupedResult) Tuple() *python.Tuple { return python.NewTuple(g.grouper, g.list) }

// Len implements python.Sequence.
func (*groupedResult) Len() int { return 2 }

// At implements python.Sequence.
func (g *groupedResult) At(i int) python.Value {
	if i == 0 {
		return g.grouper
	}
	return g.list
}
