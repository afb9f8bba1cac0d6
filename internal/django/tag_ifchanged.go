// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/python"
)

func init() { builtins.AddTag("ifchanged", parseIfChanged) }

// ifChangedNode is {% ifchanged [values] %}…{% else %}…{% endifchanged %}.
type ifChangedNode struct {
	values          []*Expression
	body, otherwise NodeList
}

// changedState is the last state of a node: its values, or else its output.
type changedState struct {
	values []python.Value
	text   string
	size   int // bytes that it keeps
}

// changedMemory holds the last states of the nodes of all copies of a template.
type changedMemory map[changedKey]changedState

type changedKey struct {
	node *ifChangedNode
	in   *templateCopy
}

func parseIfChanged(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	node := &ifChangedNode{}
	if node.body, err = p.ParseUntil("else", "endifchanged"); err != nil {
		return nil, err
	}
	if p.NextToken().Contents == "else" {
		if node.otherwise, err = p.parseBody("endifchanged"); err != nil {
			return nil, err
		}
	}
	for _, w := range words[1:] {
		expr, err := p.CompileFilter(w)
		if err != nil {
			return nil, err
		}
		node.values = append(node.values, expr)
	}
	return node, nil
}

func (n *ifChangedNode) Render(c *Context) error {
	if err := c.meter.Spend(callSteps); err != nil {
		return err
	}
	var now changedState
	var body *Captured
	held := c.meter.Held()
	for _, expr := range n.values {
		// A loop is a single object, so it equals itself.
		c.rawLoops = len(expr.filters) == 0
		v, _, _, err := expr.Resolve(c)
		c.rawLoops = false
		if err != nil {
			return err
		}
		now.values = append(now.values, v)
	}
	if len(n.values) == 0 {
		var err error
		if body, err = c.Capture(n.body); err != nil {
			return err
		}
		now.text = body.Text
	}
	// The memory belongs to the innermost loop, so that it is reset when an outer loop
	// advances; outside loops, it belongs to the template.
	memory := &c.state.changed
	if v, _, ok := c.get("forloop"); ok {
		if loop, ok := v.(*forLoop); ok {
			memory = &loop.changed
		}
	}
	key := changedKey{n, c.copyOf(c.state)}
	last, seen := (*memory)[key]
	if seen {
		same, err := last.equal(&c.meter, now)
		if err != nil {
			return err
		}
		if same {
			return n.otherwise.Render(c)
		}
	}
	if *memory == nil {
		*memory = changedMemory{}
	}
	now.size = c.meter.Held() - held
	if err := c.meter.Keep(now.size - last.size); err != nil {
		return err
	}
	(*memory)[key] = now
	if body != nil && body.Text != "" {
		return c.WriteCaptured(body)
	}
	return n.body.Render(c)
}

func (s changedState) equal(m *meter.Meter, other changedState) (bool, error) {
	for i, v := range s.values {
		if loop, ok := v.(*forLoop); ok {
			if other, ok := other.values[i].(*forLoop); ok && other == loop {
				continue
			}
			return false, nil
		}
		if eq, err := python.TryEqual(m, v, other.values[i]); !eq || err != nil {
			return false, err
		}
	}
	return s.text == other.text, nil
}
