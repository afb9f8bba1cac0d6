// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"context"
	"errors"
	"math/big"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/python"
)

// Options configure compilation.
type Options struct {
	Limits Limits
	// Template are the options of the template of the expression.
	Template django.Options
}

// EvaluateOptions configure an evaluation.
type EvaluateOptions struct {
	// Now is the clock of {% now %}; nil means time.Now.
	Now func() time.Time
	// Trace, if not nil, is overwritten with a trace of the evaluation.
	Trace *Trace
}

// Verdict is the result of an expression.
type Verdict struct {
	// Send is the truth value of the result; false if there was a fault.
	Send bool
	// Result is the expression's value, nil if there was a fault.
	Result python.Value
	// Fault describes what went wrong; nil if nothing did.
	Fault *Fault
}

// Expression is a compiled expression. It is safe for concurrent use.
type Expression struct {
	empty    bool
	template *django.Template
	limits   Limits
	static   *shape // of a source without tags, nil otherwise
	// shapes are the shapes that renderings resulted in, newest last.
	shapes atomic.Pointer[[]*shape]
}

// Limits of what an Expression caches.
const (
	maxShapes = 16
	// maxShapeSource is how many bytes of source the cached shapes have in total.
	maxShapeSource = 4 << 10
	// maxKept is how many bytes of source the cached trees have in total.
	maxKept = 16 << 10
	// treeBytes is the approximate memory of tokens and a tree per byte of source.
	treeBytes = 60
)

// Size returns approximately how many bytes of memory the expression takes at most,
// including what it caches.
func (x *Expression) Size() int {
	switch {
	case x.empty:
		return 0
	case x.static == nil:
		return x.template.Size() + maxKept*treeBytes
	}
	return x.template.Size() + len(x.static.src)*x.static.variantsKept()*treeBytes
}

// Compile parses an expression: the template and, as far as it doesn't depend on data, the
// resulting Python. name is used in errors. The error is a *Fault with its position in the
// source.
func Compile(name, source string, opts Options) (*Expression, error) {
	x := &Expression{limits: opts.Limits.withDefaults()}
	if strings.TrimFunc(source, python.IsSpace) == "" {
		x.empty = true
		return x, nil
	}
	if err := tooLong(x.limits.Source, source); err != nil {
		return nil, err
	}
	t, err := django.Parse(name, source, opts.Template)
	if err != nil {
		return nil, templateFault(err)
	}
	x.template = t
	if x.static = staticShape(source); x.static == nil {
		return x, nil
	}
	if f := x.static.check(); f != nil {
		return nil, x.static.locate(f)
	}
	return x, nil
}

// tooLong returns a fault if the author's texts are too long in total.
func tooLong(limit int, texts ...string) *Fault {
	n := 0
	for _, s := range texts {
		n += utf8.RuneCountInString(s)
	}
	if n <= limit {
		return nil
	}
	return faultf(LimitExceeded, -1, "the expression is %d characters long; at most %d are allowed", n, limit)
}

var variableTag = regexp.MustCompile(`\{\{.*?\}\}`)

// staticShape returns the shape of a source whose only tags are variables, or nil if there
// are other tags or if a variable may print the author's text.
func staticShape(source string) *shape {
	if strings.Contains(source, "{%") || strings.Contains(source, "{#") {
		return nil
	}
	var authors []string
	var widths []int
	last := 0
	for _, m := range variableTag.FindAllStringIndex(source, -1) {
		if n := len(widths); n > 0 && last == m[0] { // renders as one piece of data
			widths[n-1] += m[1] - m[0]
		} else {
			authors = append(authors, source[last:m[0]])
			widths = append(widths, m[1]-m[0])
		}
		last = m[1]
	}
	s := newShape(append(authors, source[last:]))
	s.widths = widths
	if strings.IndexByte(source, '\r') < 0 {
		s.source = source
	}
	return s
}

// maxCheckedSlots and maxCheckedTokens bound the combinations that check tries, and the
// tokens that it parses for them: about a thousand take a millisecond on a busy machine.
const (
	maxCheckedSlots  = 4
	maxCheckedTokens = 50_000
)

// check returns the mistakes in a shape that do not depend on data.
func (s *shape) check() *Fault {
	tree, fault := s.plausible()
	if tree != nil {
		fault = certainFault(tree)
	}
	if fault != nil {
		fault = s.explain(fault)
	}
	return fault
}

// plausible returns the tree for the first classes of data with which the shape parses, or
// the fault if it doesn't parse with any. Both are nil if not all were tried.
func (s *shape) plausible() (found node, fault *Fault) {
	if s.fault != nil {
		return nil, s.fault
	}
	var slots []int
	for i, t := range s.outside {
		if t != nil {
			slots = append(slots, i)
		}
	}
	choices := []slotClass{classOther, classString, classEmpty}
	classes := make([]slotClass, len(s.outside))
	var first *Fault
	try := func() bool {
		tree, err := parse(s.tokens, classes)
		if err == nil {
			found = tree
			return true
		}
		if first == nil {
			first = faultAt(err, -1)
		}
		return false
	}
	combinations := 1
	for range min(len(slots), maxCheckedSlots) {
		combinations *= len(choices)
	}
	if len(slots) > maxCheckedSlots || combinations*len(s.tokens) > maxCheckedTokens { // not all combinations then
		for _, c := range choices {
			for _, i := range slots {
				classes[i] = c
			}
			if try() {
				return found, nil
			}
		}
		return nil, nil
	}
	var all func(k int) bool
	all = func(k int) bool {
		if k == len(slots) {
			return try()
		}
		for _, c := range choices {
			classes[slots[k]] = c
			if all(k + 1) {
				return true
			}
		}
		return false
	}
	if all(0) {
		return found, nil
	}
	return nil, first
}

// Variables returns the dotted paths that the expression reads from its data.
func (x *Expression) Variables() []string {
	if x.empty {
		return nil
	}
	return x.template.Variables()
}

// Evaluate renders the expression with the data and evaluates what comes out.
// An empty expression says True; every fault says False.
func (x *Expression) Evaluate(ctx context.Context, data *python.Dict, opts EvaluateOptions) Verdict {
	if opts.Trace != nil {
		*opts.Trace = Trace{}
	}
	if x.empty {
		if opts.Trace != nil {
			opts.Trace.Result = shown(python.True)
		}
		return Verdict{Send: true, Result: python.True}
	}
	segments, err := x.template.RenderSegments(ctx, data, django.RenderOptions{Now: opts.Now})
	if err != nil {
		return Verdict{Fault: templateFault(err)}
	}
	if opts.Trace == nil {
		return x.evaluate(ctx, segments, nil)
	}
	opts.Trace.render(segments)
	verdict := x.evaluate(ctx, segments, opts.Trace)
	if verdict.Result != nil {
		opts.Trace.Result = shown(verdict.Result)
	}
	return verdict
}

// templateFault words a template's error. The error quotes only the author's template; if
// rendering raised an exception, only its name is kept, because Python's words may
// contain values.
func templateFault(err error) *Fault {
	f := &Fault{Kind: TemplateError, Msg: "the template can't be rendered", pos: -1}
	var e *django.Error
	if !errors.As(err, &e) {
		return f
	}
	f.Line, f.Column = e.Line, e.Column
	var p *python.Error
	switch {
	case e.Phase == django.PhaseParse:
		f.Msg, f.Err = e.Msg, err
	case errors.Is(err, context.Canceled):
		return cancelled(context.Canceled)
	case errors.Is(err, context.DeadlineExceeded):
		return cancelled(context.DeadlineExceeded)
	case errors.Is(err, django.ErrLimit):
		f.Kind, f.Msg, f.Err = LimitExceeded, e.Msg, django.ErrLimit
	case errors.As(err, &p):
		f.Msg = "rendering the template ended in a " + p.Type
	}
	return f
}

func (x *Expression) evaluate(ctx context.Context, segments []django.Segment, trace *Trace) (v Verdict) {
	defer func() {
		// The last belt: nothing is known to get here.
		if r := recover(); r != nil {
			v = Verdict{Fault: faultf(internalError, -1, "the evaluator failed")}
			if panicked != nil {
				panicked(r)
			}
		}
	}()
	s, data := x.shapeOf(segments)
	result, fault := x.run(ctx, s, data, trace)
	if fault != nil {
		return Verdict{Fault: s.locate(fault)}
	}
	if big, ok := result.(*python.Big); ok && tooLongToPrint(big.Int()) {
		return Verdict{Fault: faultf(LimitExceeded, -1, "the result is a number of more than %d digits", maxDigits)}
	}
	return Verdict{Send: truth(result), Result: result}
}

// tooLongToPrint says whether Python would refuse to print the number. A
// decision that nobody could be shown is none.
func tooLongToPrint(n *big.Int) bool {
	return n.CmpAbs(printable()) >= 0
}

// printable is the least number with one digit more than Python prints.
var printable = sync.OnceValue(func() *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(maxDigits), nil)
})

// internalError is a fault of this package, not of the expression.
const internalError FaultKind = "InternalError"

// panicked is set by tests, for which a recovered panic is a failure.
var panicked func(any)

// shapeOf finds or makes the shape of rendered segments.
func (x *Expression) shapeOf(segments []django.Segment) (*shape, []string) {
	if x.static != nil {
		if data, ok := align(x.static.authors, segments); ok {
			return x.static, data
		}
	}
	authors, data := layout(segments)
	known := x.shapes.Load()
	if known != nil {
		for _, s := range *known {
			if equalTexts(s.authors, authors) {
				return s, data
			}
		}
	}
	total := 0
	for _, a := range authors {
		total += len(a)
	}
	if total > x.limits.Source {
		if f := tooLong(x.limits.Source, authors...); f != nil {
			return &shape{authors: authors, fault: f}, data
		}
	}
	s := newShape(authors)
	s.dynamic = true
	if total <= maxShapeSource {
		var list []*shape
		if known != nil {
			list = append(list, *known...)
		}
		list = append(list, s)
		kept := 0
		for _, other := range list {
			kept += len(other.src)
		}
		for len(list) > maxShapes || kept > maxShapeSource && len(list) > 1 {
			kept -= len(list[0].src)
			list = list[1:]
		}
		x.shapes.CompareAndSwap(known, &list) // if another was faster, so be it
	}
	return s, data
}

func equalTexts(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// run puts the data into the slots and evaluates the tree.
func (x *Expression) run(ctx context.Context, s *shape, data []string, trace *Trace) (python.Value, *Fault) {
	if s.fault != nil {
		return nil, s.fault
	}
	e := evaluator{meter: meter.New(ctx, x.limits.Steps, x.limits.Memory), frames: 2}
	m := &e.meter
	if err := m.Look(); err != nil {
		return nil, faultAt(err, -1)
	}
	slots := make([]slotData, len(data))
	var few [16]slotClass
	classes := few[:]
	if len(data) > len(few) {
		classes = make([]slotClass, len(data))
	}
	classes = classes[:len(data)]
	for i, text := range data {
		if len(text) >= 16 {
			if err := m.SpendBytes(len(text), dataNanos); err != nil {
				return nil, faultAt(err, -1)
			}
		}
		if t := s.outside[i]; t != nil {
			d, fault := placeData(m, text, t)
			if fault != nil {
				fault.pos = s.slotPos(i)
				return nil, fault
			}
			slots[i], classes[i] = d, d.class
			continue
		}
		if fault := insideFault(text, s.inside[i]); fault != nil {
			fault.pos = s.slotPos(i)
			return nil, fault
		}
		slots[i].text = text
	}
	tree, fault := s.tree(classes)
	if fault != nil {
		return nil, fault
	}
	e.slots, e.trace = slots, trace
	v, err := e.eval(tree)
	if metered != nil {
		metered(m)
	}
	if err != nil {
		return nil, faultAt(err, -1)
	}
	return v, nil
}

// metered is set by tests, which compare what an evaluation was charged for with its time.
var metered func(*meter.Meter)

// dataNanos is what looking at a byte of data takes, in nanoseconds.
const dataNanos = 8

// slotPos returns where in the shape the i-th slot is.
func (s *shape) slotPos(i int) int {
	pos := -1
	for range i + 1 {
		pos += 1 + strings.IndexByte(s.src[pos+1:], slotByte)
	}
	return pos
}
