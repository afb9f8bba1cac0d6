// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"path"
	"slices"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

func init() {
	builtins.AddTag("extends", parseExtends)
	builtins.AddTag("block", parseBlock)
}

// extendsNode is {% extends "base" %}, with the rest of its template.
type extendsNode struct {
	template *Template // the one that extends
	name     *Expression
	// parent is the template of a literal name, parsed already.
	parent *loaded
}

func parseExtends(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	if len(words) != 2 {
		return nil, p.Errorf("'extends' takes one argument")
	}
	node := &extendsNode{template: p.template}
	if node.name, node.parent, err = p.templateName(words[1], false); err != nil {
		return nil, err
	}
	again := p.template.extends
	p.template.extends = true
	if _, err := p.ParseUntil(); err != nil {
		return nil, err
	}
	if again {
		return nil, p.Errorf("'extends' cannot appear more than once in the same template")
	}
	return node, nil
}

// templateName compiles the name of a template to include or extend. A template with a
// literal name is parsed immediately, but an error is reported only when it is rendered.
func (p *Parser) templateName(word string, isolated bool, extra ...string) (*Expression, *loaded, error) {
	word, err := relativeName(p.template.source.name, word)
	if err != nil {
		return nil, nil, err
	}
	expr, err := p.CompileFilter(word)
	if err != nil {
		return nil, nil, err
	}
	literal, ok := expr.Literal()
	name, isText := "", false
	if ok {
		name, isText = python.AsStr(literal)
	}
	if !isText || name == "" {
		p.noteDraw(nil, isolated)
		return expr, nil, nil
	}
	t, err := p.compiler.load(name)
	if entry := p.compiler.templates[name]; entry != nil {
		if entry.template != nil {
			p.noteDraw(entry.template, isolated, extra...)
		}
		return expr, entry, nil
	}
	return expr, &loaded{t, err}, nil
}

// relativeName resolves ./name and ../name, quoted or not.
func relativeName(current, name string) (string, error) {
	plain := strings.Trim(name, `'"`)
	if !strings.HasPrefix(plain, "./") && !strings.HasPrefix(plain, "../") {
		return name, nil
	}
	current = strings.TrimLeft(current, "/")
	full := path.Join(path.Dir(current), plain)
	if strings.HasPrefix(full, "../") || full == ".." {
		return "", syntaxErrorf("The relative path '%s' points outside the file hierarchy that template '%s' is in.", name, current)
	}
	if full == current {
		return "", syntaxErrorf("The relative path '%s' was translated to template name '%s', the same template in which the tag appears.", name, full)
	}
	if quote := name[:1]; (quote == `"` || quote == `'`) && strings.HasSuffix(name, quote) {
		return `"` + full + `"`, nil
	}
	return full, nil
}

// maxTemplateName is longer than any template's name.
const maxTemplateName = 4096

// parseSteps is the cost of a template that is loaded during rendering.
const parseSteps = 100

// loadDynamic finds a template whose name depends on data. Errors do not contain the
// name.
func (c *Context) loadDynamic(from *Template, expr *Expression, name string) (*Template, error) {
	if len(name) > maxTemplateName {
		return nil, python.Errorf(templateDoesNotExist, "there is no template of the name that %s gives", expr.text)
	}
	if c.dynamic == nil {
		base := from.compiler
		c.dynamic = &compiler{loader: base.loader, limits: base.limits, nodes: base.limits.Nodes}
	}
	if c.dynamic.templates[name] == nil { // it has to be parsed
		if err := c.meter.Spend(parseSteps); err != nil {
			return nil, err
		}
	}
	t, err := c.dynamic.load(name)
	if t != nil {
		c.meter.Owe(1 + len(t.source.text)/8)
	}
	if python.IsError(err, templateDoesNotExist) {
		return nil, python.Errorf(templateDoesNotExist, "there is no template of the name that %s gives", expr.text)
	}
	return t, atRender(err)
}

// find returns the parent, which must not have been extended already.
func (n *extendsNode) find(c *Context) (*Template, error) {
	if c.state.history == nil {
		c.state.history = []string{n.template.source.name}
	}
	v, err := n.name.Value(c)
	if err != nil {
		return nil, err
	}
	name, ok := python.AsStr(v)
	if !ok || name == "" {
		if !python.Truth(v) {
			msg := "Invalid template name in 'extends' tag: it is empty."
			if _, literal := n.name.Literal(); !literal {
				msg += " Got this from the '" + n.name.text + "' variable."
			}
			return nil, syntaxErrorf("%s", msg)
		}
		if _, err := python.HashKey(v); err != nil {
			return nil, err
		}
		return nil, python.Errorf(templateDoesNotExist, "a template name must be text, not %s", v.TypeName())
	}
	if slices.Contains(c.state.history, name) {
		return nil, python.Errorf(templateDoesNotExist, "the template that %s names extends itself", n.name.text)
	}
	var t *Template
	if n.parent != nil {
		t, err = n.parent.template, atRender(n.parent.err)
	} else {
		t, err = c.loadDynamic(n.template, n.name, name)
	}
	if err != nil {
		return nil, err
	}
	c.state.history = append(c.state.history, name)
	return t, nil
}

// atRender converts a parse error of a template to an error of rendering.
func atRender(err error) error {
	if e, ok := err.(*Error); ok { //nolint:errorlint // exactly that, not what it wraps
		e := *e
		e.Phase = PhaseRender
		return &e
	}
	return err
}

func (n *extendsNode) Render(c *Context) error {
	parent, err := n.find(c)
	if err != nil {
		return err
	}
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
	if c.state.blocks == nil {
		c.state.blocks = blockQueues{}
	}
	if err := c.Step(3 * (len(n.template.blocks) + len(parent.blocks))); err != nil {
		return err
	}
	c.state.blocks.add(n.template.blocks)
	if !parent.extends {
		c.state.blocks.add(parent.blocks)
	}
	return parent.nodes.Render(c)
}

// blockQueues holds the nodes that define each block, starting with the outermost ancestor.
type blockQueues map[string][]*blockNode

func (q blockQueues) add(blocks map[string]*blockNode) {
	for name, b := range blocks {
		q[name] = slices.Insert(q[name], 0, b)
	}
}

// pop removes and returns the most derived definition.
func (q blockQueues) pop(name string) *blockNode {
	list := q[name]
	if len(list) == 0 {
		return nil
	}
	q[name] = list[:len(list)-1]
	return list[len(list)-1]
}

// blockNode is {% block name %}…{% endblock %}.
type blockNode struct {
	name string
	body NodeList
}

func parseBlock(p *Parser, tok *Token) (Node, error) {
	words := python.Fields(tok.Contents)
	if len(words) != 2 {
		return nil, p.Errorf("'block' tag takes only one argument")
	}
	node := &blockNode{name: words[1]}
	if _, twice := p.blocks[node.name]; twice {
		return nil, p.Errorf("'block' tag with name '%s' appears more than once", node.name)
	}
	if p.blocks == nil {
		p.blocks = map[string]*blockNode{}
		p.template.blocks = p.blocks
	}
	p.blocks[node.name] = node
	mark := p.bind("block")
	body, err := p.parseNamedBody("endblock", node.name)
	p.unbind(mark)
	if err != nil {
		return nil, err
	}
	node.body = body
	return node, nil
}

func (n *blockNode) Render(c *Context) error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
	c.Push()
	defer c.Pop()
	if c.state.blocks == nil {
		c.Set("block", &blockValue{block: n}, false)
		return n.body.Render(c)
	}
	taken := c.state.blocks.pop(n.name)
	block := taken
	if block == nil {
		block = n
	}
	c.Set("block", &blockValue{block: block, inherits: true}, false)
	err := block.body.Render(c)
	if taken != nil {
		c.state.blocks[n.name] = append(c.state.blocks[n.name], taken)
	}
	return err
}

// blockValue is the variable block within a block.
type blockValue struct {
	block    *blockNode
	inherits bool // the template extends another
}

// TypeName implements python.Value.
func (*blockValue) TypeName() string { return "BlockNode" }

// Repr implements python.Object.
func (b *blockValue) Repr() string { return "<Block Node: " + b.block.name + ">" }

// Attr implements python.Object. lookUp knows super, which has to render.
func (b *blockValue) Attr(name string) (python.Value, bool) {
	if name == "name" {
		return python.Str(b.block.name), true
	}
	return nil, false
}

// renderSuper renders the ancestor's block.
func (b *blockValue) renderSuper(c *Context) error {
	if !b.inherits {
		return syntaxErrorf("{{ block.super }} has no meaning in a template that extends no other.")
	}
	if len(c.state.blocks[b.block.name]) == 0 {
		return nil
	}
	return b.block.Render(c)
}

func (b *blockValue) super(c *Context) (python.Value, error) {
	out, err := c.capture(b.renderSuper)
	return python.SafeStr(out.Text), err
}
