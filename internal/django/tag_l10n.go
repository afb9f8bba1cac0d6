// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import "github.com/rehive/extension-operator/internal/python"

// {% load l10n %}. {% localize off %} prints floats as Python does, exponent and all, and
// dates in the formats of Django's settings, with the names of the current language.
func init() {
	l10n := library("l10n")
	l10n.AddTag("localize", parseLocalize)
	l10n.AddFilters(
		&Filter{Name: "localize", Func: localizeFilter},
		&Filter{Name: "unlocalize", Func: unlocalizeFilter},
	)
}

func localizeFilter(c *Context, in, _ python.Value) (python.Value, error) {
	if _, ok := python.AsStr(in); ok {
		return in, nil
	}
	return c.localized(in, l10nOn)
}

func unlocalizeFilter(c *Context, in, _ python.Value) (python.Value, error) {
	if _, ok := python.AsStr(in); ok {
		return in, nil
	}
	return c.localized(in, l10nOff)
}

// localized returns str(django.utils.formats.localize(v)). A formatted int is safe.
func (c *Context) localized(v python.Value, mode l10nMode) (python.Value, error) {
	switch v.(type) {
	case python.Int, *python.Big:
		if mode != l10nOff {
			return python.SafeStr(python.StrOf(v)), nil
		}
	case python.Float, *python.Decimal:
		if mode != l10nOff {
			s, err := plainNumber(v)
			return python.Str(c.locale.number(s, false)), err
		}
	case *python.DateTime:
		s, err := formatDate(c.momentOf(v), c.format("DATETIME_FORMAT", mode)) // it has all that this asks for
		return python.Str(s), err
	case *python.Date:
		s, err := formatDate(c.momentOf(v), c.format("DATE_FORMAT", mode))
		return python.Str(s), err
	case *python.Time:
		s, err := formatTime(c.momentOf(v), c.format("TIME_FORMAT", mode))
		return python.Str(s), err
	}
	return python.Str(python.StrOf(v)), nil
}

// localizeNode is {% localize on %} … {% endlocalize %}.
type localizeNode struct {
	mode l10nMode
	body NodeList
}

func parseLocalize(p *Parser, tok *Token) (Node, error) {
	on, err := parseOnOff(p, tok)
	if err != nil {
		return nil, err
	}
	n := &localizeNode{mode: l10nOff}
	if on {
		n.mode = l10nOn
	}
	n.body, err = p.parseBody("endlocalize")
	return n, err
}

// parseOnOff reads the argument of {% localize %} and {% localtime %}.
func parseOnOff(p *Parser, tok *Token) (on bool, err error) {
	words, err := tok.Split()
	if err != nil {
		return false, err
	}
	switch {
	case len(words) == 1:
		return true, nil
	case len(words) == 2 && (words[1] == "on" || words[1] == "off"):
		return words[1] == "on", nil
	}
	return false, p.Errorf("'%s' argument should be 'on' or 'off'", words[0])
}

func (n *localizeNode) Render(c *Context) error {
	defer func(before l10nMode) { c.l10n = before }(c.l10n)
	c.l10n = n.mode
	return n.body.Render(c)
}
