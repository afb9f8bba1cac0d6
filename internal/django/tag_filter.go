// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

func init() { builtins.AddTag("filter", parseFilter) }

// filterNode is {% filter lower|… %}…{% endfilter %}.
type filterNode struct {
	expr *Expression // of var, which holds the body's output
	body NodeList
}

func parseFilter(p *Parser, tok *Token) (Node, error) {
	rest := python.Strip(strings.TrimPrefix(tok.Contents, "filter"))
	if rest == "" {
		return nil, python.Errorf("ValueError", "'filter' tag requires at least one filter")
	}
	mark := p.bind("var")
	expr, err := p.CompileFilter("var|" + rest)
	p.unbind(mark)
	if err != nil {
		return nil, err
	}
	for _, f := range expr.filters {
		if name := f.filter.Name; name == "escape" || name == "safe" {
			return nil, p.Errorf(`"filter %s" is not permitted.  Use the "autoescape" tag instead.`, name)
		}
	}
	body, err := p.parseBody("endfilter")
	return &filterNode{expr: expr, body: body}, err
}

func (n *filterNode) Render(c *Context) error {
	body, err := c.Capture(n.body)
	if err != nil {
		return err
	}
	text, author, err := n.filter(c, body.Text, body.Author())
	if err != nil {
		return err
	}
	if c.marking && !author && n.charWise() {
		var parts Captured
		var joined strings.Builder
		for s := range body.segments {
			part, _, err := n.filter(c, s.Text, !s.Data)
			if err != nil {
				return err
			}
			parts.marks = append(parts.marks, mark{joined.Len(), s.Data})
			joined.WriteString(part)
		}
		parts.Text = joined.String()
		if parts.Text == text {
			return c.WriteCaptured(&parts)
		}
	}
	if author {
		return c.WriteText(text)
	}
	return c.WriteData(text)
}

func (n *filterNode) filter(c *Context, body string, bodyAuthor bool) (text string, author bool, err error) {
	c.Push()
	defer c.Pop()
	c.Set("var", python.SafeStr(body), bodyAuthor)
	v, author, _, err := n.expr.Resolve(c)
	if err != nil {
		return "", false, err
	}
	text, ok := python.AsStr(v)
	if !ok {
		// Django joins the results of the filters without converting them to text.
		return "", false, &joinError{v.TypeName()}
	}
	return text, author, nil
}

// joinError is the TypeError of a filter tag whose result is not text. Django only finds out
// when it joins the output of the nodes around the tag, after they are all rendered.
type joinError struct{ typeName string }

func (e *joinError) Error() string { return e.Unwrap().Error() }

func (e *joinError) Unwrap() error {
	return python.Errorf("TypeError", "sequence item 0: expected str instance, %s found", e.typeName)
}

func (n *filterNode) charWise() bool {
	for _, f := range n.expr.filters {
		if !f.filter.CharWise {
			return false
		}
	}
	return true
}
