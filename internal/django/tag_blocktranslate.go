// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"regexp"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

func init() {
	i18n := library("i18n")
	i18n.AddTag("blocktrans", parseBlockTranslate)
	i18n.AddTag("blocktranslate", parseBlockTranslate)
}

// blockTranslateNode is {% blocktranslate with a=b count n=items|length %} one
// {% plural %} many {% endblocktranslate %}.
type blockTranslateNode struct {
	tag      string
	with     []Keyword
	count    *Keyword
	context  *Expression
	trimmed  bool
	asName   string
	singular []messagePart
	plural   []messagePart
}

// messagePart is text, or the plain name of a variable.
type messagePart struct {
	text     string
	variable bool
	broken   bool // Django builds a format from the name, and this one doesn't work
}

func parseBlockTranslate(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	n := &blockTranslateNode{tag: words[0]}
	if err := n.parseOptions(p, words[1:]); err != nil {
		return nil, err
	}
	var end Token
	n.singular, end = p.messageParts()
	if n.count != nil {
		if end.Contents != "plural" {
			return nil, p.Errorf("'%s' doesn't allow other block tags inside it", n.tag)
		}
		if n.plural, end = p.messageParts(); len(n.plural) == 0 {
			n.count = nil // with nothing between plural and the end, Django doesn't count
		}
	}
	if end.Contents != "end"+n.tag {
		return nil, p.Errorf("'%s' doesn't allow other block tags (seen '%s') inside it", n.tag, end.Contents)
	}
	mark := p.bind(n.names()...)
	for _, part := range append(append([]messagePart{}, n.singular...), n.plural...) {
		if part.variable && !strings.ContainsAny(part.text, ".|") && part.text != "" {
			p.noteRead(&variable{path: part.text, first: part.text}, "")
		}
	}
	p.unbind(mark)
	if n.asName != "" {
		p.bind(n.asName)
	}
	if n.trimmed {
		n.singular, n.plural = trimMessage(n.singular), trimMessage(n.plural)
	}
	return n, err
}

// names returns those that the tag sets for its message.
func (n *blockTranslateNode) names() []string {
	var names []string
	for _, kw := range n.with {
		names = append(names, kw.Name)
	}
	if n.count != nil {
		names = append(names, n.count.Name)
	}
	return names
}

func (n *blockTranslateNode) parseOptions(p *Parser, words []string) error {
	seen := map[string]bool{}
	for len(words) > 0 {
		option := words[0]
		words = words[1:]
		if seen[option] {
			return p.Errorf("The '%s' option was specified more than once.", option)
		}
		seen[option] = true
		var err error
		switch option {
		case "with":
			if n.with, words, err = p.Keywords(words, true); err != nil {
				return err
			}
			if len(n.with) == 0 {
				return p.Errorf("\"with\" in '%s' tag needs at least one keyword argument.", n.tag)
			}
		case "count":
			var count []Keyword
			if count, words, err = p.Keywords(words, true); err != nil {
				return err
			}
			if len(count) != 1 {
				return p.Errorf("\"count\" in '%s' tag expected exactly one keyword argument.", n.tag)
			}
			n.count = &count[0]
		case "context":
			if len(words) > 0 {
				n.context, err = p.CompileFilter(words[0])
			}
			if len(words) == 0 || err != nil {
				return p.Errorf("\"context\" in '%s' tag expected exactly one argument.", n.tag)
			}
			words = words[1:]
		case "trimmed":
			n.trimmed = true
		case "asvar":
			if len(words) == 0 {
				return p.Errorf("No argument provided to the '%s' tag for the asvar option.", n.tag)
			}
			n.asName, words = words[0], words[1:]
		default:
			return p.Errorf("Unknown argument for '%s' tag: '%s'.", n.tag, option)
		}
	}
	return nil
}

// messageParts reads text and variables up to any other tag, which it gives.
func (p *Parser) messageParts() (parts []messagePart, end Token) {
	for {
		tok, ok := p.next()
		switch {
		case !ok:
			return parts, end
		case tok.kind == tokenText:
			parts = append(parts, messagePart{text: tok.Contents})
		case tok.kind == tokenVariable:
			parts = append(parts, messagePart{text: tok.Contents, variable: true, broken: !balanced(tok.Contents)})
		default:
			return parts, tok
		}
	}
}

// balanced reports whether Python's % operator finds the end of %(name)s.
func balanced(name string) bool {
	depth := 0
	for i := range len(name) {
		switch name[i] {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth < 0 {
			return false
		}
	}
	return depth == 0
}

var lineEnds = regexp.MustCompile(`[\s\p{Z}\x{1c}-\x{1f}\x{85}\v]*\n[\s\p{Z}\x{1c}-\x{1f}\x{85}\v]*`)

// trimMessage strips the message and joins its lines by single spaces.
func trimMessage(parts []messagePart) []messagePart {
	for i := range parts {
		part := &parts[i]
		if part.variable {
			continue
		}
		if i == 0 {
			part.text = strings.TrimLeftFunc(part.text, python.IsSpace)
		}
		if i == len(parts)-1 {
			part.text = strings.TrimRightFunc(part.text, python.IsSpace)
		}
		part.text = lineEnds.ReplaceAllString(part.text, " ")
	}
	return parts
}

func (n *blockTranslateNode) Render(c *Context) error {
	if err := c.meter.Spend(callSteps); err != nil {
		return err
	}
	if n.asName == "" {
		return n.render(c)
	}
	out, err := c.capture(n.render)
	if err != nil {
		return err
	}
	c.Set(n.asName, python.SafeStr(out.Text), out.Author())
	return nil
}

func (n *blockTranslateNode) render(c *Context) error {
	if n.context != nil {
		if _, err := n.context.Value(c); err != nil {
			return err
		}
	}
	with, err := resolveKeywords(c, n.with, nil)
	if err != nil {
		return err
	}
	c.Push()
	defer c.Pop()
	c.setAll(with)
	parts := n.singular
	if n.count != nil {
		v, author, _, err := n.count.Value.resolve(c, emptyText, len(n.count.Value.filters))
		if err != nil {
			return err
		}
		switch v.(type) {
		case python.Int, *python.Big, python.Bool, python.Float, *python.Decimal:
		default:
			return python.Errorf("TemplateSyntaxError", "'%s' argument to '%s' tag must be a number.", n.count.Name, n.tag)
		}
		c.Set(n.count.Name, v, author)
		if !python.Equal(v, python.Int(1)) {
			parts = n.plural
		}
	}
	for _, part := range parts {
		if part.broken {
			return python.Errorf(templateSyntaxError, "'%s' is unable to format the text: the parentheses in {{ %s }} are not balanced", n.tag, part.text)
		}
	}
	for _, part := range parts {
		if err := n.write(c, part); err != nil {
			return err
		}
	}
	return nil
}

func (n *blockTranslateNode) write(c *Context, part messagePart) error {
	if !part.variable {
		text := part.text
		if n.count == nil && n.context == nil {
			text = normalizeNewlines(text) // as gettext does
		}
		return c.WriteText(text)
	}
	v, author, ok := c.get(part.text)
	if !ok {
		return nil
	}
	return c.WriteValue(v, author)
}
