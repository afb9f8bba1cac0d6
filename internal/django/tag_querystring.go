// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"net/url"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

func init() { builtins.AddTag("querystring", parseQueryString) }

// queryStringNode is {% querystring object… key=value… [as name] %} as in Django 6.0, where it
// prints at least the question mark.
type queryStringNode struct {
	objects []*Expression
	with    []Keyword
	as      string
}

func parseQueryString(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	node := &queryStringNode{}
	words, node.as = cutAs(words[1:])
	for len(words) > 0 {
		if name, _ := cutKeyword(words[0]); name != "" {
			break
		}
		expr, err := p.CompileFilter(words[0])
		if err != nil {
			return nil, err
		}
		node.objects, words = append(node.objects, expr), words[1:]
	}
	given := len(words)
	if node.with, words, err = p.Keywords(words, false); err != nil {
		return nil, err
	}
	if len(words) > 0 {
		return nil, p.Errorf("'querystring' received some positional argument(s) after some keyword argument(s)")
	}
	if len(node.with) < given {
		return nil, p.Errorf("'querystring' received multiple values for a keyword argument")
	}
	if len(node.objects) == 0 {
		return nil, p.Errorf("'querystring' needs an object with parameters: a message has no request to take them from")
	}
	if node.as != "" {
		p.bind(node.as)
	}
	return node, nil
}

func (n *queryStringNode) Render(c *Context) error {
	if err := c.meter.Spend(callSteps); err != nil {
		return err
	}
	text, err := n.text(c)
	if err != nil {
		return err
	}
	if n.as != "" {
		c.Set(n.as, python.Str(text), false)
		return c.hold(text)
	}
	return c.WriteValue(python.Str(text), false)
}

// parameters are keys with their encoded values, in the order in which they were set.
type parameters struct {
	list   []*parameter
	byName map[string]*parameter
}

// parameter has no values after it was removed, or if it was set to an empty list.
type parameter struct {
	name   string
	values []string
}

// queryNanos is the time of encoding a byte of a parameter, in nanoseconds.
const queryNanos = 20

// set replaces the values of a parameter; None removes it.
func (p *parameters) set(c *Context, key string, value python.Value) error {
	if err := c.Grow(len(key) + 100); err != nil {
		return err
	}
	items := []python.Value{value}
	switch value.(type) {
	case python.NoneType:
		if removed, exists := p.byName[key]; exists {
			removed.values = nil
			delete(p.byName, key) // set again, it comes last
		}
		return nil
	case *python.List, *python.Tuple, *python.Dict:
		var err error
		if items, err = python.Items(&c.meter, value); err != nil {
			return err
		}
	}
	encoded := make([]string, 0, len(items))
	for _, item := range items {
		text, err := c.print(item, copyNanos)
		if err == nil {
			err = c.meter.SpendBytes(len(text)+len(key), queryNanos)
		}
		if err == nil {
			err = c.Grow(3 * (len(text) + len(key)))
		}
		if err != nil {
			return err
		}
		encoded = append(encoded, url.QueryEscape(text))
	}
	param, exists := p.byName[key]
	if !exists {
		param = &parameter{name: key}
		p.list = append(p.list, param)
		p.byName[key] = param
	}
	param.values = encoded
	return nil
}

func (n *queryStringNode) text(c *Context) (string, error) {
	p := &parameters{byName: map[string]*parameter{}}
	for _, expr := range n.objects {
		v, err := expr.Value(c)
		if err != nil {
			return "", err
		}
		object, is := v.(*python.Dict)
		if !is {
			return "", syntaxErrorf("querystring requires an object, and %s is none", expr.text)
		}
		for i := range object.Len() {
			key, value := object.At(i)
			name, is := python.AsStr(key)
			if !is {
				return "", syntaxErrorf("querystring requires names of parameters that are texts")
			}
			if err := p.set(c, name, value); err != nil {
				return "", err
			}
		}
	}
	var room [4]binding
	values, err := resolveKeywords(c, n.with, room[:0])
	if err != nil {
		return "", err
	}
	for _, b := range values {
		if err := p.set(c, b.name, b.val); err != nil {
			return "", err
		}
	}
	var out strings.Builder
	separator := byte('?')
	for _, param := range p.list {
		if len(param.values) == 0 {
			continue // nothing was charged for its name
		}
		encoded := url.QueryEscape(param.name)
		for _, value := range param.values {
			out.WriteByte(separator)
			out.WriteString(encoded + "=" + value)
			separator = '&'
		}
	}
	if out.Len() == 0 {
		return "?", nil
	}
	return out.String(), nil
}
