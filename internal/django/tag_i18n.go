// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"strings"
	"sync"

	"github.com/rehive/extension-operator/internal/python"
)

// {% load i18n %}. Of Django's catalogs, only the messages of filters are included. All
// other messages are their own translations, with English plurals.
func init() {
	i18n := library("i18n")
	i18n.AddTag("get_available_languages", parseGetAvailableLanguages)
	i18n.AddTag("get_current_language", parseGetCurrentLanguage)
	i18n.AddTag("get_current_language_bidi", parseGetCurrentLanguageBidi)
	i18n.AddTag("get_language_info", parseGetLanguageInfo)
	i18n.AddTag("get_language_info_list", parseGetLanguageInfoList)
	i18n.AddTag("language", parseLanguage)
	i18n.AddTag("trans", parseTranslate)
	i18n.AddTag("translate", parseTranslate)
	i18n.AddFilters(
		&Filter{Name: "language_bidi", Func: languageFilter(func(l language) python.Value { return python.Bool(l.rightToLeft) })},
		&Filter{Name: "language_name", Func: languageFilter(func(l language) python.Value { return python.Str(l.name) })},
		&Filter{Name: "language_name_local", Func: languageFilter(func(l language) python.Value { return python.Str(l.localName) })},
		&Filter{Name: "language_name_translated", Func: languageFilter(func(l language) python.Value { return python.Str(l.name) })},
	)
}

func parseGetAvailableLanguages(p *Parser, tok *Token) (Node, error) {
	return parseAsVariable(p, tok, func(*Context) python.Value { return availableLanguages() })
}

// availableLanguages is created once, because it takes kilobytes.
var availableLanguages = sync.OnceValue(func() python.Value {
	pairs := make([]python.Value, len(languages))
	for i, l := range languages {
		name := l.name
		if l.code == "nb" {
			name = "Norwegian Bokmål" // the only one that Django's settings spell differently
		}
		pairs[i] = python.NewTuple(python.Str(l.code), python.Str(name))
	}
	return python.NewList(pairs...)
})

func parseGetCurrentLanguage(p *Parser, tok *Token) (Node, error) {
	return parseAsVariable(p, tok, func(c *Context) python.Value {
		if c.language == "" {
			return python.None
		}
		return python.Str(c.language)
	})
}

func parseGetCurrentLanguageBidi(p *Parser, tok *Token) (Node, error) {
	return parseAsVariable(p, tok, func(c *Context) python.Value {
		return python.Bool(isRightToLeft(c.language))
	})
}

// languageFilter returns a filter for a property of the language with a code.
func languageFilter(fact func(language) python.Value) FilterFunc {
	return func(_ *Context, in, _ python.Value) (python.Value, error) {
		l, err := languageOf(in)
		if err != nil {
			return nil, err
		}
		return fact(l), nil
	}
}

func languageOf(code python.Value) (language, error) {
	s, ok := python.AsStr(code)
	if !ok {
		return language{}, python.Errorf("TypeError", "a language code must be text, not %s", code.TypeName())
	}
	if l, ok := findLanguage(s); ok {
		return l, nil
	}
	return language{}, python.Errorf("KeyError", "there is no language of that code")
}

// languageBytes is the memory that info takes.
const languageBytes = 1024

func (l language) info() python.Value {
	d := python.NewDict(5)
	d.SetStr("bidi", python.Bool(l.rightToLeft))
	d.SetStr("code", python.Str(l.code))
	d.SetStr("name", python.Str(l.name))
	d.SetStr("name_local", python.Str(l.localName))
	d.SetStr("name_translated", python.Str(l.name))
	return d
}

// languageInfoNode is {% get_language_info for code as name %}, or the tag for
// a list of codes.
type languageInfoNode struct {
	from *Expression
	name string
	list bool
}

func parseGetLanguageInfo(p *Parser, tok *Token) (Node, error) {
	return parseLanguageInfo(p, tok, false)
}

func parseGetLanguageInfoList(p *Parser, tok *Token) (Node, error) {
	return parseLanguageInfo(p, tok, true)
}

func parseLanguageInfo(p *Parser, tok *Token, list bool) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	if len(words) != 5 || words[1] != "for" || words[3] != "as" {
		what := "string"
		if list {
			what = "sequence"
		}
		return nil, p.Errorf("'%s' requires 'for %s as variable'", words[0], what)
	}
	from, err := p.CompileFilter(words[2])
	if err != nil {
		return nil, err
	}
	p.bind(words[4])
	return &languageInfoNode{from, words[4], list}, nil
}

func (n *languageInfoNode) Render(c *Context) error {
	v, author, _, err := n.from.resolve(c, emptyText, len(n.from.filters))
	if err != nil {
		return err
	}
	if !n.list {
		l, err := languageOf(v)
		if err != nil {
			return err
		}
		c.Set(n.name, l.info(), author)
		return c.meter.Hold(languageBytes)
	}
	codes, err := python.Items(&c.meter, v)
	if err != nil {
		return err
	}
	if err := c.Step(20 * len(codes)); err != nil {
		return err
	}
	if err := c.meter.Hold(len(codes) * languageBytes); err != nil {
		return err
	}
	infos := make([]python.Value, len(codes))
	for i, code := range codes {
		// A code, or a sequence such as (code, name).
		first, err := python.GetItem(code, python.Int(0))
		if err != nil {
			return err
		}
		if size, err := python.Len(first); err != nil {
			return err
		} else if size > 1 {
			code = first
		} else {
			text, err := c.print(code, copyNanos)
			if err != nil {
				return err
			}
			code = python.Str(text)
		}
		l, err := languageOf(code)
		if err != nil {
			return err
		}
		infos[i] = l.info()
	}
	c.Set(n.name, python.NewList(infos...), author)
	return nil
}

// languageNode is {% language "de" %} … {% endlanguage %}.
type languageNode struct {
	code *Expression
	body NodeList
}

func parseLanguage(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	if len(words) != 2 {
		return nil, p.Errorf("'%s' takes one argument (language)", words[0])
	}
	code, err := p.CompileFilter(words[1])
	if err != nil {
		return nil, err
	}
	n := &languageNode{code: code}
	n.body, err = p.parseBody("endlanguage")
	return n, err
}

// languageNanos is the time per byte of a language code, in nanoseconds: it is lowercased.
const languageNanos = 60

func (n *languageNode) Render(c *Context) error {
	v, err := n.code.Value(c)
	if err != nil {
		return err
	}
	defer func(language string, locale *locale) { c.language, c.locale = language, locale }(c.language, c.locale)
	if v == python.None {
		c.setLanguage("") // translation is off
	} else {
		code, err := c.print(v, copyNanos)
		if err != nil {
			return err
		}
		if err := c.meter.SpendBytes(len(code), languageNanos); err != nil {
			return err
		}
		if code != "" {
			c.setLanguage(code)
		}
	}
	return n.body.Render(c)
}

// translateNode is {% translate message noop as name %}.
type translateNode struct {
	message *Expression
	context *Expression
	noop    bool
	asName  string
}

func parseTranslate(p *Parser, tok *Token) (Node, error) {
	words, err := tok.Split()
	if err != nil {
		return nil, err
	}
	if len(words) < 2 {
		return nil, p.Errorf("'%s' takes at least one argument", words[0])
	}
	message, err := p.CompileFilter(words[1])
	if err != nil {
		return nil, err
	}
	if text, ok := message.base.literal.(python.SafeStr); ok && !strings.HasPrefix(message.text, "_(") {
		// Django removes the backslashes twice, the second time as if the message were in
		// single quotes.
		message.base.literal = python.SafeStr(unquote("'" + string(text) + "'"))
	}
	n := &translateNode{message: message}
	seen := map[string]bool{}
	for rest := words[2:]; len(rest) > 0; {
		option := rest[0]
		rest = rest[1:]
		if seen[option] {
			return nil, p.Errorf("The '%s' option was specified more than once.", option)
		}
		seen[option] = true
		switch option {
		case "noop":
			n.noop = true
			continue
		case "context", "as":
		default:
			return nil, p.Errorf("Unknown argument for '%s' tag: '%s'. The only options available are 'noop', 'context' \"xxx\", and 'as VAR'.", words[0], option)
		}
		if len(rest) == 0 {
			return nil, p.Errorf("No argument provided to the '%s' tag for the %s option.", words[0], option)
		}
		value := rest[0]
		rest = rest[1:]
		if option == "as" {
			n.asName = value
			p.bind(value)
			continue
		}
		if value == "as" || value == "noop" {
			return nil, p.Errorf("Invalid argument '%s' provided to the '%s' tag for the context option", value, words[0])
		}
		if n.context, err = p.CompileFilter(value); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *translateNode) Render(c *Context) error {
	context := ""
	if n.context != nil {
		v, err := n.context.Value(c)
		if err != nil {
			return err
		}
		context, _ = python.AsStr(v)
		if err := c.meter.SpendBytes(len(context), 4); err != nil { // it is copied
			return err
		}
		context += "\x04"
	}
	v, author, err := n.resolve(c, context)
	if err != nil {
		return err
	}
	s, err := c.PrintValue(v)
	if err != nil {
		return err
	}
	if err := c.hold(s); err != nil {
		return err
	}
	// Percent signs were doubled for gettext, also where filters saw them.
	s = strings.ReplaceAll(s, "%%", "%")
	if n.asName != "" {
		var out python.Value = python.Str(s)
		if c.Autoescape() {
			out = python.SafeStr(s)
		}
		c.Set(n.asName, out, author)
		return nil
	}
	if author {
		return c.WriteText(s)
	}
	return c.WriteData(s)
}

// resolve translates the message, then applies its filters. A context ends in U+0004.
func (n *translateNode) resolve(c *Context, context string) (v python.Value, author bool, err error) {
	v, author, ok, err := n.message.base.resolve(c)
	if err != nil {
		return nil, false, err
	}
	lazy := n.message.base.lazy
	switch {
	case !ok:
		v = emptyText
	case n.noop || strings.HasPrefix(n.message.text, "_("):
	default:
		text, isText := python.AsStr(v)
		if !isText {
			switch v.(type) {
			case *python.Date, *python.Time, *python.DateTime: // their replace takes numbers
				return nil, false, python.Errorf("TypeError", "'str' object cannot be interpreted as an integer")
			}
			return nil, false, noAttribute(v, "replace")
		}
		if err := c.meter.SpendBytes(len(text), 10); err != nil {
			return nil, false, err
		}
		if err := c.Grow(len(text)); err != nil {
			return nil, false, err
		}
		if n.context == nil {
			text = normalizeNewlines(text)
		}
		text = strings.ReplaceAll(c.locale.translate(context, text), "%", "%%")
		if isSafe(v) {
			v = python.SafeStr(text)
		} else {
			v = python.Str(text)
		}
		lazy = true
	}
	for i := range n.message.filters {
		if v, author, lazy, err = n.message.filters[i].apply(c, v, author, lazy); err != nil {
			return nil, false, err
		}
	}
	return v, author, nil
}
