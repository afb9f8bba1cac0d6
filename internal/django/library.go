// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import "github.com/rehive/extension-operator/internal/python"

// FilterFunc is a filter's work. arg is nil if the template gives none.
type FilterFunc func(c *Context, in, arg python.Value) (python.Value, error)

// ArgRule says whether a filter takes an argument.
type ArgRule uint8

// The rules for a filter's argument.
const (
	NoArg ArgRule = iota
	OptionalArg
	RequiredArg
)

// Filter is one filter with the flags of Django's decorators.
type Filter struct {
	Name string
	Func FilterFunc
	Arg  ArgRule
	// String is @stringfilter: the input arrives as Str or SafeStr.
	String bool
	// IsSafe is is_safe=True: a safe input gives a safe output.
	IsSafe bool
	// NeedsAutoescape says the function takes autoescape; read c.Autoescape().
	NeedsAutoescape bool
	// ExpectsLocaltime is expects_localtime=True: an aware datetime arrives in
	// the current zone if time zones are in use.
	ExpectsLocaltime bool
	// CharWise says that the filter maps each character for itself, so that
	// what the author wrote and what is data stay apart in its output.
	CharWise bool
	// Choice says that the output, if it isn't the input, is the argument or a
	// piece of it: the author's if the argument was the author's.
	Choice bool
}

// TagParser makes the node of a tag, having consumed its closing tag if any.
type TagParser func(p *Parser, tok *Token) (Node, error)

// Library is a set of filters and tags, as {% load %} brings in.
type Library struct {
	filters map[string]*Filter
	tags    map[string]TagParser
}

// builtins is what every template has; libraries what it can load by name.
var (
	builtins  = newLibrary()
	libraries = map[string]*Library{}
)

func newLibrary() *Library {
	return &Library{filters: map[string]*Filter{}, tags: map[string]TagParser{}}
}

// library is the loadable library of that name, made if it is new. For init
// functions only.
func library(name string) *Library {
	l := libraries[name]
	if l == nil {
		l = newLibrary()
		libraries[name] = l
	}
	return l
}

// AddFilters adds filters; a later one of the same name replaces the earlier.
func (l *Library) AddFilters(filters ...*Filter) {
	for _, f := range filters {
		l.filters[f.Name] = f
	}
}

// AddTag adds a tag; a later one of the same name replaces the earlier.
func (l *Library) AddTag(name string, parse TagParser) { l.tags[name] = parse }
