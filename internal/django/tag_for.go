// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

func init() { builtins.AddTag("for", parseFor) }

// forNode is {% for x, y in list [reversed] %}…{% empty %}…{% endfor %}.
type forNode struct {
	vars     []string
	sequence *Expression
	reversed bool
	body     NodeList
	empty    NodeList
}

func parseFor(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	if len(words) < 4 {
		return nil, p.Errorf("'for' statements should have at least four words: %s", tok.Contents)
	}
	node := &forNode{reversed: words[len(words)-1] == "reversed"}
	in := len(words) - 2
	if node.reversed {
		in--
	}
	if words[in] != "in" {
		return nil, p.Errorf("'for' statements should use the format 'for x in y': %s", tok.Contents)
	}
	for name := range strings.SplitSeq(strings.Join(words[1:in], " "), ",") {
		name = strings.Trim(name, " ")
		if name == "" || strings.ContainsAny(name, ` "'|`) {
			return nil, p.Errorf("'for' tag received an invalid argument: %s", tok.Contents)
		}
		if node.vars = append(node.vars, name); len(node.vars) > maxNames {
			return nil, limitErrorf("a tag sets more than %d names", maxNames)
		}
	}
	if node.sequence, err = p.CompileFilter(words[in+1]); err != nil {
		return nil, err
	}
	mark := p.bind(append([]string{"forloop"}, node.vars...)...)
	node.body, err = p.ParseUntil("empty", "endfor")
	p.unbind(mark)
	if err != nil {
		return nil, err
	}
	if p.NextToken().Contents == "empty" {
		node.empty, err = p.parseBody("endfor")
	}
	return node, err
}

func (n *forNode) Render(c *Context) error {
	kept := c.meter.Kept()
	parent, _, ok := c.get("forloop")
	if !ok {
		parent = nil
	}
	c.Push()
	defer c.Pop()
	v, _, _, err := n.sequence.Resolve(c)
	if err != nil {
		return err
	}
	var items []python.Value
	if v != python.None {
		if items, err = python.Items(&c.meter, v); err != nil {
			return err
		}
	}
	if len(items) == 0 {
		return n.empty.Render(c)
	}
	if _, isSet := v.(*python.Set); isSet && n.reversed {
		return python.Errorf("TypeError", "'set' object is not reversible")
	}
	loop := &forLoop{parent: parent, n: len(items)}
	c.Set("forloop", loop, false)
	for i := range loop.n {
		at := i
		if n.reversed {
			at = loop.n - 1 - i
		}
		// As in Python, the loop sees what its body does to a list, such as {{ names.pop }}.
		if list, isList := v.(*python.List); isList {
			items = list.Items
		}
		if at >= len(items) {
			break
		}
		item := items[at]
		loop.i = i
		if err := c.Step(1); err != nil {
			return err
		}
		if len(n.vars) == 1 {
			c.Set(n.vars[0], item, false)
			err = n.body.Render(c)
		} else {
			err = n.renderUnpacked(c, item)
		}
		if err == nil {
			err = checkSize(v, loop.n)
		}
		if err != nil {
			return err
		}
	}
	return c.meter.Keep(kept - c.meter.Kept()) // ifchanged forgets what it saw in this loop
}

// checkSize returns Python's error for a dict that its loop has changed.
func checkSize(v python.Value, size int) error {
	switch v := v.(type) {
	case *python.Dict:
		if v.Len() == size {
			return nil
		}
	case *python.DictView:
		if v.Len() == size {
			return nil
		}
	default:
		return nil
	}
	return python.Errorf("RuntimeError", "dictionary changed size during iteration")
}

// renderUnpacked renders the body with the item's parts, in its own scope.
func (n *forNode) renderUnpacked(c *Context, item python.Value) error {
	size, err := python.Len(item)
	if err != nil {
		size = 1
	}
	if size != len(n.vars) {
		return python.Errorf("ValueError", "Need %d values to unpack in for loop; got %d. ", len(n.vars), size)
	}
	parts, err := python.Items(&c.meter, item)
	if err != nil {
		return err
	}
	c.Push()
	defer c.Pop()
	for i, name := range n.vars {
		c.Set(name, parts[i], false)
	}
	return n.body.Render(c)
}

// forLoop is the variable forloop.
type forLoop struct {
	parent  python.Value // the outer forloop, or nil
	i, n    int
	changed changedMemory
}

// TypeName implements python.Value: in Django it is a dict.
func (*forLoop) TypeName() string { return "dict" }

// Attr implements python.Object.
func (l *forLoop) Attr(name string) (python.Value, bool) {
	switch name {
	case "counter":
		return python.Int(l.i + 1), true
	case "counter0":
		return python.Int(l.i), true
	case "revcounter":
		return python.Int(l.n - l.i), true
	case "revcounter0":
		return python.Int(l.n - l.i - 1), true
	case "first":
		return python.Bool(l.i == 0), true
	case "last":
		return python.Bool(l.i == l.n-1), true
	case "length": // since Django 6.0; in 5.0 it prints nothing, so the dict doesn't list it
		return python.Int(l.n), true
	case "parentloop":
		if l.parent == nil {
			return python.NewDict(0), true
		}
		return l.parent, true
	}
	val, ok, err := python.CallMethod(nil, l.dict(), name, nil)
	return val, ok && err == nil
}

// dict returns the variable as Django's dict.
func (l *forLoop) dict() *python.Dict {
	d := python.NewDict(7)
	for _, name := range []string{"parentloop", "counter0", "counter", "revcounter", "revcounter0", "first", "last"} {
		v, _ := l.Attr(name)
		d.SetStr(name, v)
	}
	return d
}

// Repr implements python.Object.
func (l *forLoop) Repr() string { return python.Repr(l.dict()) }
