// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

// Node is a piece of a parsed template. It must not change while rendering.
type Node interface {
	// Render prints the node with c.WriteText, c.WriteData or c.WriteValue.
	Render(c *Context) error
}

// tagSteps are charged for each tag, besides what it does.
const tagSteps = 4

// NodeList is a list of nodes with their positions in the source.
type NodeList struct {
	nodes []Node
	pos   []int32
	src   *source
}

// Empty reports whether there are no nodes.
func (l NodeList) Empty() bool { return len(l.nodes) == 0 }

// Render prints the nodes one after another.
func (l NodeList) Render(c *Context) error {
	held, sets := c.meter.Held(), c.sets
	var deferred error
	for i, n := range l.nodes {
		text, isText := n.(*textNode)
		_, isVariable := n.(*variableNode)
		steps := tagSteps
		if isText || isVariable {
			steps = 1
		}
		err := c.meter.Spend(steps)
		if err == nil {
			if isText { // every other node is text, which holds no memory
				if err = c.WriteText(text.text); err == nil {
					continue
				}
			} else {
				err = n.Render(c)
			}
		}
		if err != nil {
			if join, ok := err.(*joinError); ok { //nolint:errorlint // not an enclosing list's
				if deferred == nil {
					deferred = l.src.at(join, l.pos[i], PhaseRender)
				}
				continue
			}
			return l.src.at(err, l.pos[i], PhaseRender)
		}
		if c.sets == sets { // no variable holds what the node has made
			c.meter.Release(held)
		} else {
			held, sets = c.meter.Held(), c.sets
		}
	}
	return deferred
}

// textNode is the text between tags.
type textNode struct{ text string }

func (n *textNode) Render(c *Context) error { return c.WriteText(n.text) }

// variableNode is {{ … }}.
type variableNode struct{ expr *Expression }

func (n *variableNode) Render(c *Context) error {
	if c.marking {
		if done, err := n.expr.renderMarked(c); done || err != nil {
			return err
		}
	}
	v, author, _, err := n.expr.resolve(c, emptyText, len(n.expr.filters))
	if err != nil {
		return err
	}
	return c.WriteValue(v, author)
}

// nothing is the node of a tag without output.
type nothing struct{}

func (nothing) Render(*Context) error { return nil }
