// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import "github.com/rehive/extension-operator/internal/python"

// Token is a piece of a template's source: text, or a tag's contents.
type Token struct {
	Contents string // of a tag, without delimiters and surrounding space
	Line     int
	Column   int
}

// Split gives the words of a tag. Quoted text and _("…") stay one word.
func (t *Token) Split() []string { panic("todo") }

// Parser makes nodes of tokens.
type Parser struct{}

// ParseUntil parses up to a tag of one of the names and stops before it. If
// the template ends first, the error says which tag is unclosed.
func (p *Parser) ParseUntil(names ...string) (NodeList, error) { panic("todo") }

// NextToken consumes the tag that ParseUntil stopped at.
func (p *Parser) NextToken() *Token { panic("todo") }

// CompileFilter makes the expression of value|filter:arg.
func (p *Parser) CompileFilter(word string) (*Expression, error) { panic("todo") }

// Keywords reads leading name=value words, and returns the remaining words. With
// legacy set it also understands "value as name" (with "and" between).
func (p *Parser) Keywords(words []string, legacy bool) (kw []Keyword, rest []string, err error) {
	panic("todo")
}

// Keyword is one name=value of a tag.
type Keyword struct {
	Name  string
	Value *Expression
}

// Errorf makes a parse error at the tag that is being parsed.
func (p *Parser) Errorf(format string, args ...any) error { panic("todo") }

// Expression is value|filter:arg|filter. It is immutable.
type Expression struct{}

// Resolve is the expression's value. ok is false, and the value None, if the
// variable does not exist (Django's ignore_failures). author is true if no data
// took part.
func (e *Expression) Resolve(c *Context) (v python.Value, author, ok bool, err error) { panic("todo") }

// Value is Resolve with a missing variable as "" (Django's string_if_invalid).
func (e *Expression) Value(c *Context) (python.Value, error) { panic("todo") }

// IsLiteral tells whether the expression is a single string or number literal
// without filters, and gives it.
func (e *Expression) IsLiteral() (python.Value, bool) { panic("todo") }
