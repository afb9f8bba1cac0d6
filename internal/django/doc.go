// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package django implements the Django template language: the same template and data
// render to the same bytes as with Django 5.0.
//
// Parse creates a Template, which is immutable and can be rendered concurrently. Values
// are those of package python; python.FromJSON creates the data from JSON.
//
// # Where things are
//
// lexer.go splits a source into tokens and parser.go turns them into nodes; expression.go
// is {{ value|filter:arg }}, variable.go the dotted lookup and smartif.go the operators
// of {% if %}. A tag is in tag_<name>.go and a filter in filter_<family>.go.
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
// Libraries for {% load %} are defined in the same way, with
// library("humanize").AddFilters(…). The flags of Filter correspond to Django's
// decorators, and the engine does what Django does for them: it counts arguments during
// parsing, converts the input of a String filter to text, and marks results as safe. A
// filter reads autoescaping from c.Autoescape() and the clock from c.Now(). It must call
// c.Grow before it builds something whose size the template or the data determines, and
// c.Step in loops whose length they determine.
//
// A filter returns an error only if Django's raises an exception (most catch theirs and
// return the value or ""): a *python.Error, with Python's words.
//
// # Adding a tag
//
//	func init() { builtins.AddTag("with", parseWith) }
//
//	func parseWith(p *Parser, tok *Token) (Node, error) { … }
//
// tok.Split() returns the words of the tag, p.CompileFilter compiles an Expression from a
// word, p.ParseUntil("endwith") parses the nodes up to the closing tag. A tag prints the
// author's text with c.WriteText and everything else with c.WriteData. Names that a tag
// sets are passed to p.bind, so that Template.Variables omits them.
//
// # Text and data
//
// RenderSegments distinguishes the author's text from data, so that a caller can ensure
// that data stays data. Any output that data contributed to is data, with a few safe
// exceptions: a filter that chooses one of the author's words (Filter.Choice), one that
// maps each character independently (CharWise), and the separator of join.
//
// # Differences from Django
//
//   - There are no url, static or cache tags. Of the translation catalogs, there are only
//     the texts of filters (locales.jsonl).
//   - Decimals have no methods, because JSON has no decimals.
//   - A text in _("…") is only translated lazily for the filters that it is the input or
//     argument of, not where a variable or an operator passes it on.
//   - Half of a surrogate pair, which a JSON text may escape, becomes U+FFFD.
//   - Sets keep the order of insertion.
//   - Exceeding Limits is an error, even where Django would catch the error of
//     running out of something, as within {% if %}.
//   - lorem has different words after the common ones.
package django
