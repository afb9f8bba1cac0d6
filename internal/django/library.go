// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"cmp"

	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/python"
)

// FilterFunc is a filter's work. arg is nil if the template gives none.
type FilterFunc func(c *Context, in, arg python.Value) (python.Value, error)

// Reach says how far a filter looks into its input.
type Reach uint8

// How far a filter looks.
const (
	ReadsAll   Reach = iota // all that the items hold, as printing does
	ReadsItems              // each item, but not what it holds
	ReadsValue              // the value itself; the output is a part of it or nothing new
)

// ArgRule says whether a filter takes an argument.
type ArgRule uint8

// The rules for a filter's argument.
const (
	NoArg ArgRule = iota
	OptionalArg
	RequiredArg
)

// Numbers says which values a filter passes to int(), as flags.
type Numbers uint8

// The values that a filter passes to int().
const (
	InputNumber Numbers = 1 << iota
	ArgNumber
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
	// Numbers says what has to be a number, and is passed to int() at once.
	Numbers Numbers
	// CharWise says that the filter maps each character for itself, so that
	// what the author wrote and what is data stay apart in its output.
	CharWise bool
	// Nanos is what the filter takes for a byte of its input and its argument, in
	// nanoseconds, on the text that is hardest for it; 0 means 10. WideNanos
	// holds instead for text that is not ASCII, unless it is 0. TestHostileWork holds
	// the filters to these.
	Nanos, WideNanos int
	// Reads says how far into the input the filter looks.
	Reads Reach
	// Choice says that the output, if it isn't the input, is the argument or a
	// piece of it: the author's if the argument was the author's.
	Choice bool
}

// defaultNanos is what a filter takes for a byte unless it says otherwise.
const defaultNanos = 10

// spend charges for a call of the filter before it is made. This and made are
// the one place where filters are charged; what a filter does beyond a fixed
// time for each byte of its input and its argument, it charges for itself.
func (f *Filter) spend(c *Context, in, arg python.Value) error {
	if s, ok := python.AsStr(in); ok && arg == nil && len(s) < 32 {
		return c.meter.Spend(1)
	}
	n, err := f.size(c, in)
	if err != nil {
		return err
	}
	if arg != nil {
		size, err := python.Weigh(&c.meter, arg)
		if err != nil {
			return err
		}
		n += size
	}
	if n < 32 {
		return c.meter.Spend(1)
	}
	nanos := cmp.Or(f.Nanos, defaultNanos)
	if f.WideNanos > 0 {
		if s, _ := python.AsStr(in); !isASCII(s) {
			nanos = f.WideNanos
		}
	}
	return c.meter.Spend(1 + n*nanos/int(meter.StepTime))
}

func (f *Filter) size(c *Context, in python.Value) (int, error) {
	switch f.Reads {
	case ReadsAll:
		return python.Weigh(&c.meter, in)
	case ReadsItems:
		return 8 * python.Size(in), nil
	}
	s, _ := python.AsStr(in)
	return len(s), nil
}

// made charges for what the filter has made.
func (f *Filter) made(c *Context, out python.Value) error {
	if s, ok := python.AsStr(out); ok {
		if len(s) < 64 {
			return nil
		}
		if len(s) > c.limits.String {
			return limitErrorf("a value would be longer than %d bytes", c.limits.String)
		}
	}
	if f.Reads == ReadsValue {
		return nil
	}
	return python.HoldMade(&c.meter, out)
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
