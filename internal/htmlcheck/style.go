// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package htmlcheck

import (
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/css"
)

// cssToken is a token of a style with its position in the text.
type cssToken struct {
	kind css.TokenType
	text string
	at   int
}

// cssBlock is a block in braces.
type cssBlock struct {
	// groups is set for blocks of rules, such as those of @media.
	groups bool
	// optional is set within @media and the like: nothing there is needed by clients that
	// don't support it.
	optional bool
	// declared are the properties that have a value already, which clients fall back to.
	declared map[string]bool
}

// style checks CSS: a style sheet, or the declarations of a style attribute. It skips parts
// that don't parse.
func (c *checker) style(from, to int, sheet bool) {
	lexer := css.NewLexer(parse.NewInputString(c.text[from:to]))
	blocks := []cssBlock{{groups: sheet}}
	var pending []cssToken // since the last semicolon or brace
	parentheses := 0
	for at := from; ; {
		kind, raw := lexer.Next()
		token := cssToken{kind, string(raw), at}
		at += len(raw)
		block := &blocks[len(blocks)-1]
		switch kind {
		case css.ErrorToken:
			c.statement(block, pending)
			return
		case css.WhitespaceToken, css.CommentToken, css.CDOToken, css.CDCToken:
			continue
		case css.FunctionToken, css.LeftParenthesisToken:
			parentheses++
		case css.RightParenthesisToken:
			parentheses = max(parentheses-1, 0)
		case css.SemicolonToken:
			if parentheses == 0 {
				c.statement(block, pending)
				pending = pending[:0]
				continue
			}
		case css.LeftBraceToken:
			if inner := c.prelude(block, pending); len(blocks) < maxNesting {
				blocks = append(blocks, inner)
			}
			pending, parentheses = pending[:0], 0
			continue
		case css.RightBraceToken:
			c.statement(block, pending)
			if len(blocks) > 1 {
				blocks = blocks[:len(blocks)-1]
			}
			pending, parentheses = pending[:0], 0
			continue
		default:
		}
		pending = append(pending, token)
	}
}

// maxNesting is how deeply blocks nest; those beyond are read as if they did not nest.
const maxNesting = 16

// prelude checks a selector or at-rule before a block.
func (c *checker) prelude(parent *cssBlock, tokens []cssToken) cssBlock {
	inner := cssBlock{optional: parent.optional}
	if len(tokens) == 0 {
		return inner
	}
	if first := tokens[0]; first.kind == css.AtKeywordToken {
		name := strings.ToLower(first.text)
		c.unless(parent.optional, first.at, "at:"+name, name)
		inner.groups = name != "@font-face" && name != "@page"
		inner.optional = true
		return inner
	}
	for i := 1; i < len(tokens); i++ {
		if t := tokens[i]; tokens[i-1].kind == css.ColonToken && (t.kind == css.IdentToken || t.kind == css.FunctionToken) {
			name := ":" + strings.ToLower(strings.TrimSuffix(t.text, "("))
			if i > 1 && tokens[i-2].kind == css.ColonToken {
				name = ":" + name
			}
			c.unless(parent.optional, tokens[i-1].at, "pseudo:"+name, name)
		}
	}
	return inner
}

// statement checks a declaration, or an at-rule without a block.
func (c *checker) statement(block *cssBlock, tokens []cssToken) {
	if len(tokens) == 0 {
		return
	}
	first := tokens[0]
	if first.kind == css.AtKeywordToken {
		name := strings.ToLower(first.text)
		c.unless(block.optional, first.at, "at:"+name, name)
		return
	}
	if block.groups || len(tokens) < 3 || first.kind != css.IdentToken || tokens[1].kind != css.ColonToken {
		return
	}
	property := strings.ToLower(first.text)
	c.unless(block.optional, first.at, "property:"+property, property)
	if block.declared[property] || harmless[property] {
		return
	}
	if block.declared == nil {
		block.declared = map[string]bool{}
	}
	block.declared[property] = true
	for _, t := range tokens[2:] {
		word := strings.ToLower(t.text)
		switch t.kind {
		case css.IdentToken:
			c.unless(block.optional, t.at, "value:"+property+":"+word, property+": "+word)
		case css.FunctionToken:
			c.unless(block.optional, t.at, "function:"+strings.TrimSuffix(word, "("), word+")")
		case css.DimensionToken:
			if unit := strings.TrimLeft(word, "+-.0123456789"); unit != "" {
				c.unless(block.optional, t.at, "unit:"+unit, "the unit "+unit)
			}
		case css.URLToken:
			if url := strings.Trim(strings.TrimPrefix(word, "url("), `"' `); strings.HasPrefix(url, "http:") {
				c.report(t.at, "the image isn't loaded securely, and some email clients don't show it: write https://")
			}
		default:
		}
	}
}

// unless reports a feature that clients don't support, unless it is optional.
func (c *checker) unless(optional bool, at int, feature, name string) {
	if !optional {
		c.feature(at, feature, name)
	}
}
