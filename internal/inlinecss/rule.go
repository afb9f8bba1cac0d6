// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package inlinecss

import (
	"slices"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/css"
)

// How many bytes of memory a rule and a part of its selector take, approximately.
const ruleSize, compoundSize = 128, 160

// rule gives elements styles.
type rule struct {
	selector []compound // from the outermost to the element itself
	weight   int        // of the selector; the heaviest takes precedence
	styles   []declaration
}

// compound is the part of a selector that is about one element.
type compound struct {
	name, id string // empty: any
	classes  []string
	child    bool // the element is a child of the one before, not only within it
}

// declaration is one of a block, such as color: red.
type declaration struct {
	property  string // in lower case
	text      string
	important bool
}

// matches reports whether a selector is about the innermost open element.
func (d *document) matches(selector []compound) (bool, error) {
	return d.match(selector, len(d.open)-1)
}

// match reports whether a selector is about the open element at a depth.
func (d *document) match(selector []compound, depth int) (bool, error) {
	last := &selector[len(selector)-1]
	e := &d.open[depth]
	if err := d.meter.Spend(1 + len(last.classes)*len(e.classes)); err != nil {
		return false, err
	}
	if last.name != "" && last.name != e.name || last.id != "" && last.id != e.id {
		return false, nil
	}
	for _, class := range last.classes {
		if !slices.Contains(e.classes, class) {
			return false, nil
		}
	}
	rest := selector[:len(selector)-1]
	if len(rest) == 0 {
		return true, nil
	}
	for depth--; depth >= 0; depth-- {
		if matches, err := d.match(rest, depth); matches || err != nil || last.child {
			return matches, err
		}
	}
	return false, nil
}

// sheet reads the rules of a style sheet.
func (d *document) sheet(text string) error {
	lexer := css.NewLexer(parse.NewInputString(text))
	var head, current strings.Builder // the selectors; the current declaration
	var styles []declaration
	depth, parentheses, isAtRule := 0, 0, false
	end := func() {
		if one, ok := newDeclaration(current.String()); ok {
			styles = append(styles, one)
		}
		current.Reset()
	}
	for {
		kind, raw := lexer.Next()
		switch kind {
		case css.ErrorToken:
			return nil // a rule that isn't closed is not copied
		case css.CommentToken, css.CDOToken, css.CDCToken:
			continue
		case css.FunctionToken, css.LeftParenthesisToken:
			parentheses++
		case css.RightParenthesisToken:
			parentheses = max(parentheses-1, 0)
		default:
		}
		switch {
		case kind == css.LeftBraceToken:
			depth++
			parentheses = 0
		case kind == css.RightBraceToken && depth > 0:
			if depth--; depth > 0 {
				continue
			}
			if end(); !isAtRule && len(styles) > 0 {
				if err := d.add(head.String(), styles); err != nil {
					return err
				}
			}
			head.Reset()
			styles, isAtRule, parentheses = nil, false, 0
		case depth == 0 && kind == css.AtKeywordToken && strings.TrimSpace(head.String()) == "":
			isAtRule = true
		case depth == 0 && kind == css.SemicolonToken:
			head.Reset()
			isAtRule = false
		case depth == 0:
			head.Write(raw)
		case depth == 1 && !isAtRule && kind == css.SemicolonToken && parentheses == 0:
			end()
		case depth == 1 && !isAtRule:
			current.Write(raw)
		}
	}
}

// add adds a rule for each of its selectors.
func (d *document) add(selectors string, styles []declaration) error {
	for text := range strings.SplitSeq(selectors, ",") {
		selector, weight, ok := newSelector(text)
		if !ok {
			continue
		}
		if err := d.meter.Keep(ruleSize + len(selector)*compoundSize); err != nil {
			return err
		}
		d.rules = append(d.rules, rule{selector, weight, styles})
	}
	return nil
}

// newSelector reads a selector; ok is false if it has a part that isn't supported.
func newSelector(text string) (selector []compound, weight int, ok bool) {
	child := false
	for word := range strings.FieldsSeq(strings.ReplaceAll(text, ">", " > ")) {
		if word == ">" {
			if child || len(selector) == 0 {
				return nil, 0, false
			}
			child = true
			continue
		}
		one := compound{child: child}
		child = false
		for i := 0; i < len(word); {
			end := len(word)
			if n := strings.IndexAny(word[i+1:], ".#"); n >= 0 {
				end = i + 1 + n
			}
			part := word[i:end]
			name := strings.TrimLeft(part, ".#")
			if !isName(name) && part != "*" {
				return nil, 0, false
			}
			switch {
			case part == "*":
			case part[0] == '.':
				one.classes = append(one.classes, name)
				weight += 1 << 10
			case part[0] == '#':
				one.id = name
				weight += 1 << 20
			default:
				one.name = strings.ToLower(name)
				weight++
			}
			i = end
		}
		selector = append(selector, one)
	}
	return selector, weight, len(selector) > 0 && !child
}

// isName reports whether a text is the name of an element, class or identifier.
func isName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r < 0x80
	}) < 0
}

// newDeclaration reads a declaration; ok is false if the text isn't one.
func newDeclaration(text string) (one declaration, ok bool) {
	property, value, found := strings.Cut(text, ":")
	property = strings.ToLower(strings.TrimSpace(property))
	value = strings.TrimSpace(value)
	if !found || value == "" || !isName(property) {
		return one, false
	}
	compact := strings.Join(strings.Fields(value), " ")
	important := strings.HasSuffix(strings.ToLower(strings.ReplaceAll(compact, "! ", "!")), "!important")
	return declaration{property, property + ": " + compact, important}, true
}
