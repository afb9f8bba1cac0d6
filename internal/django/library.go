// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"cmp"

	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/python"
)

// FilterFunc implements a filter. arg is nil if the template has none.
type FilterFunc func(c *Context, in, arg python.Value) (python.Value, error)

// Reach is how deeply a filter reads its input.
type Reach uint8

// The values of Reach.
const (
	ReadsAll   Reach = iota // everything, including the contents of items, like printing
	ReadsItems              // each item, but not its contents
	ReadsValue              // the value itself; the output is a part of it or nothing new
)

// ArgRule defines whether a filter takes an argument.
type ArgRule uint8

// The rules for a filter's argument.
const (
	NoArg ArgRule = iota
	OptionalArg
	RequiredArg
)

// Strict are flags for the values that Django passes to functions of Python that reject the
// lazy translation _("…"), such as int() or str.replace.
type Strict uint8

// The values that must not be lazy translations.
const (
	StrictInput Strict = 1 << iota
	StrictArg
)

// Filter is one filter with the flags of Django's decorators.
type Filter struct {
	Name string
	Func FilterFunc
	Arg  ArgRule
	// String is @stringfilter: the input arrives as Str or SafeStr.
	String bool
	// IsSafe is is_safe=True: the output of a safe input is safe.
	IsSafe bool
	// NeedsAutoescape is needs_autoescape=True; the function reads c.Autoescape().
	NeedsAutoescape bool
	// ExpectsLocaltime is expects_localtime=True: an aware datetime arrives in
	// the current zone if time zones are in use.
	ExpectsLocaltime bool
	// Strict are the values that must not be lazy translations.
	Strict Strict
	// CharWise means that the filter maps each character independently, so that the
	// author's text and data can be distinguished in the output.
	CharWise bool
	// Nanos is the time per byte of the input and the argument, in nanoseconds, for the
	// most expensive text; 0 means 10. WideNanos applies to text that is not ASCII, unless
	// it is 0. TestPrices checks these values.
	Nanos, WideNanos int
	// Reads is how deeply the filter reads the input.
	Reads Reach
	// Choice means that the output, if it isn't the input, is the argument or a part of it,
	// so it is the author's text if the argument is.
	Choice bool
}

const (
	// defaultNanos is the default of Filter.Nanos.
	defaultNanos = 10
	// callSteps are charged for each call of a filter or method, however small its input and
	// output are: those that parse and format numbers take about a microsecond.
	callSteps = 8
	// failureSteps are charged for an operation that fails, which creates an error.
	failureSteps = 10
)

// spend charges for a call of the filter in advance. Together with made it is the only
// place that charges for filters, except that a filter charges itself for work beyond a
// fixed time per byte of its input and argument.
func (f *Filter) spend(c *Context, in, arg python.Value) error {
	if s, ok := python.AsStr(in); ok && arg == nil && len(s) < 32 {
		return c.meter.Spend(callSteps)
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
		return c.meter.Spend(callSteps)
	}
	nanos := cmp.Or(f.Nanos, defaultNanos)
	if f.WideNanos > 0 {
		if s, _ := python.AsStr(in); !isASCII(s) {
			nanos = f.WideNanos
		}
	}
	return c.meter.Spend(callSteps + n*nanos/int(meter.StepTime))
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

// made charges for the filter's output.
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

// TagParser parses a tag, including its closing tag if it has one, and returns the node.
type TagParser func(p *Parser, tok *Token) (Node, error)

// Library is a set of filters and tags for {% load %}.
type Library struct {
	filters map[string]*Filter
	tags    map[string]TagParser
}

// builtins is the library of every template; libraries are those that it can load by name.
var (
	builtins  = newLibrary()
	libraries = map[string]*Library{}
)

func newLibrary() *Library {
	return &Library{filters: map[string]*Filter{}, tags: map[string]TagParser{}}
}

// library returns the loadable library with a name, and creates it if necessary. It is for
// init functions only.
func library(name string) *Library {
	l := libraries[name]
	if l == nil {
		l = newLibrary()
		libraries[name] = l
	}
	return l
}

// AddFilters adds filters. A filter replaces an earlier one with the same name.
func (l *Library) AddFilters(filters ...*Filter) {
	for _, f := range filters {
		l.filters[f.Name] = f
	}
}

// AddTag adds a tag. It replaces an earlier one with the same name.
func (l *Library) AddTag(name string, parse TagParser) { l.tags[name] = parse }
