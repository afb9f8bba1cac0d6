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
// Names that a tag sets are told to p.bind, so that Template.Variables leaves
// them out.
//
// # Text and data
//
// RenderSegments tells what the template's author wrote from data, so that a
// caller can see to it that data stays data. Whatever data took part in is data,
// with few and safe exceptions: a filter that picks one of the author's words
// (Filter.Choice), one that maps each character for itself (CharWise), and the
// separator of join.
//
// # Differences from Django
//
//   - There is no url, static or cache tag, and no catalogs of translations.
//   - Methods that change their object ({{ list.pop }}, {{ dict.clear }}) render
//     as nothing: data is only read. str.encode does, too: there are no bytes.
//   - str.count and others, for which Django with Python 3.11 raises a
//     ValueError because it finds no signature, render as nothing, as methods
//     that want arguments do.
//   - A tag's word _("…")|filter, at which Django raises a StopIteration, works
//     if it is the last word.
//   - Half of a surrogate pair, which a JSON text may escape, becomes U+FFFD.
//   - Sets keep the order of insertion.
//   - What Limits forbid is an error, also where Django would catch the error of
//     running out of something, as within {% if %}.
//   - lorem has words of its own after the common ones.
package django
