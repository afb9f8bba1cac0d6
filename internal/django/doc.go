// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package django is the Django template language (3.2 to 4.x): the same
// template and data render to the same bytes as with Django.
//
// Parse makes a Template, which is immutable and renders concurrently. Values
// are those of package python; python.FromJSON makes the data from JSON.
//
// # Where things are
//
// lexer.go cuts a source into tokens and parser.go makes nodes of them;
// expression.go is {{ value|filter:arg }}, variable.go the dotted lookup and
// smartif.go the operators of {% if %}. A tag lives in tag_<name>.go and a
// filter in filter_<family>.go.
//
// # Adding a filter
//
// In its file, in an init function:
//
//	func init() {
//		builtins.AddFilters(
//			&Filter{Name: "lower", Func: lower, String: true, IsSafe: true, CharWise: true},
//			&Filter{Name: "join", Func: join, Arg: RequiredArg, IsSafe: true, NeedsAutoescape: true},
//		)
//	}
//
//	func lower(c *Context, in, _ python.Value) (python.Value, error) { … }
//
// Libraries that {% load %} brings in are made the same way, by
// library("humanize").AddFilters(…). The flags of Filter are the ones of
// Django's decorators, and the engine does what Django does for them: it
// counts arguments when parsing, turns the input of a String filter into text,
// and marks results safe. A filter sees autoescaping as c.Autoescape(), the
// clock as c.Now(), and has to call c.Grow before it builds something whose
// size the template or the data decides, and c.Step in loops whose length they
// decide.
//
// A filter returns an error only where Django's lets an exception out (most
// swallow theirs and return the value or ""): a *python.Error, with Python's words.
//
// # Adding a tag
//
//	func init() { builtins.AddTag("with", parseWith) }
//
//	func parseWith(p *Parser, tok *Token) (Node, error) { … }
//
// tok.Split() gives the words of the tag, p.CompileFilter makes an Expression
// of one, p.ParseUntil("endwith") the nodes up to the closing tag. A tag prints
// with c.WriteText what its author wrote and with c.WriteData everything else.
package django
