// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

func init() {
	builtins.AddTag("cycle", parseCycle)
	builtins.AddTag("resetcycle", parseResetCycle)
}

// cycleNode is {% cycle a b c [as name [silent]] %}. {% cycle name %} uses the same node
// again.
type cycleNode struct {
	values []*Expression
	name   string
	silent bool
}

func parseCycle(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	if len(words) < 2 {
		return nil, p.Errorf("'cycle' tag requires at least two arguments")
	}
	if len(words) == 2 {
		if p.cycles == nil {
			return nil, p.Errorf("No named cycles in template. '%s' is not defined", words[1])
		}
		node, ok := p.cycles[words[1]]
		if !ok {
			return nil, p.Errorf("Named cycle '%s' does not exist", words[1])
		}
		return node, nil
	}
	node := &cycleNode{}
	values := words[1:]
	if n := len(words); n > 4 {
		if words[n-3] == "as" {
			if words[n-1] != "silent" {
				return nil, p.Errorf("Only 'silent' flag is allowed after cycle's name, not '%s'.", words[n-1])
			}
			node.name, node.silent, values = words[n-2], true, words[1:n-3]
		} else if words[n-2] == "as" {
			node.name, values = words[n-1], words[1:n-2]
		}
	}
	for _, w := range values {
		expr, err := p.CompileFilter(w)
		if err != nil {
			return nil, err
		}
		node.values = append(node.values, expr)
	}
	if node.name != "" {
		if p.cycles == nil {
			p.cycles = map[string]*cycleNode{}
		}
		p.cycles[node.name] = node
		p.bind(node.name)
	}
	p.lastCycle = node
	return node, nil
}

func (n *cycleNode) Render(c *Context) error {
	i := c.state.cycles[n]
	if c.state.cycles == nil {
		c.state.cycles = map[*cycleNode]int{}
	}
	c.state.cycles[n] = (i + 1) % len(n.values)
	held := c.meter.Held()
	v, author, _, err := n.values[i].resolve(c, emptyText, len(n.values[i].filters))
	if err != nil {
		return err
	}
	if n.name != "" {
		c.setUpward(n.name, v, author) // which may be an outer scope
		if err := c.meter.Keep(c.meter.Held() - held); err != nil {
			return err
		}
	}
	if n.silent {
		return nil
	}
	return c.WriteValue(v, author)
}

// resetCycleNode is {% resetcycle [name] %}.
type resetCycleNode struct{ cycle *cycleNode }

func parseResetCycle(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	switch {
	case len(words) > 2:
		return nil, p.Errorf("'resetcycle' tag accepts at most one argument.")
	case len(words) == 2:
		node, ok := p.cycles[words[1]]
		if !ok {
			return nil, p.Errorf("Named cycle '%s' does not exist.", words[1])
		}
		return &resetCycleNode{node}, nil
	case p.lastCycle == nil:
		return nil, p.Errorf("No cycles in template.")
	}
	return &resetCycleNode{p.lastCycle}, nil
}

func (n *resetCycleNode) Render(c *Context) error {
	delete(c.state.cycles, n.cycle)
	return nil
}
