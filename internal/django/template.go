// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"context"
	"fmt"
	"time"

	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/python"
)

// Loader returns the source of a template that {% extends %} or {% include %} names. ok
// is false if there is none of that name. It is called during parsing for literal names,
// and during rendering, concurrently, for names that depend on data.
type Loader func(name string) (source string, ok bool)

// Options configure parsing.
type Options struct {
	// Loader may be nil if there are no other templates.
	Loader Loader
	Limits Limits
}

// RenderOptions configure rendering.
type RenderOptions struct {
	// Autoescape escapes HTML in everything that isn't marked safe.
	Autoescape bool
	// Language is the code of the language of dates and numbers, such as pt-br; "" means
	// English. Templates read it with {% get_current_language %}.
	Language string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Segment is a piece of output: either text of the template's author or data.
type Segment struct {
	Text string
	Data bool
}

// Template is a parsed template. It is immutable.
type Template struct {
	source   *source
	nodes    NodeList
	blocks   map[string]*blockNode
	extends  bool
	reads    reads
	compiler *compiler
}

// Parse parses a template, and those that it includes or extends by a literal
// name; of these, as in Django, a missing or faulty one is an error only when
// it is reached. The error is an *Error of PhaseParse.
func Parse(name, text string, opts Options) (t *Template, err error) {
	defer recovered(name, PhaseParse, &err)
	limits := opts.Limits.withDefaults()
	t = &Template{source: &source{name: name, text: text}}
	if err := (&compiler{loader: opts.Loader, limits: limits, nodes: limits.Nodes}).parse(t); err != nil {
		return nil, err
	}
	return t, nil
}

// Size returns approximately how many bytes of memory the parsed template takes, without
// its text.
func (t *Template) Size() int {
	const template, node, word = 1 << 10, 200, 160
	return template + (t.compiler.limits.Nodes-t.compiler.nodes)*node + t.compiler.words*word
}

// recovered converts a panic, which would be a bug in this package, to an error, so that a
// template can't crash the process. The fuzz tests check for it.
func recovered(name string, phase Phase, err *error) {
	if r := recover(); r != nil {
		*err = &Error{Template: name, Phase: phase, Msg: "the template engine failed", Err: fmt.Errorf("%w: %v", errPanic, r)}
	}
}

var errPanic = fmt.Errorf("defect in the template engine")

// Name returns the name that was passed to Parse.
func (t *Template) Name() string { return t.source.name }

// Render renders the template with the data, without modifying it. The error is an *Error
// of PhaseRender.
func (t *Template) Render(ctx context.Context, data *python.Dict, opts RenderOptions) (out string, err error) {
	defer recovered(t.source.name, PhaseRender, &err)
	c := t.newContext(ctx, data, opts)
	if err := t.run(c); err != nil {
		return "", err
	}
	out = string(c.buf)
	c.release()
	return out, nil
}

// RenderSegments is like Render, but distinguishes the author's text from data. The joined
// segments equal the result of Render, and their kinds alternate. Empty data is an empty
// segment; the author's text is never empty.
func (t *Template) RenderSegments(ctx context.Context, data *python.Dict, opts RenderOptions) (out []Segment, err error) {
	defer recovered(t.source.name, PhaseRender, &err)
	c := t.newContext(ctx, data, opts)
	c.marking = true
	if err := t.run(c); err != nil {
		return nil, err
	}
	for s := range (&Captured{Text: string(c.buf), marks: c.marks}).segments {
		out = append(out, s)
	}
	c.release()
	return out, nil
}

func (t *Template) newContext(ctx context.Context, data *python.Dict, opts RenderOptions) *Context {
	c, _ := contexts.Get().(*Context)
	*c = Context{
		meter:      meter.New(ctx, t.compiler.limits.Steps, t.compiler.limits.Memory),
		useTZ:      true,
		autoescape: opts.Autoescape, location: time.UTC, language: defaultLanguage, now: opts.Now,
		limits: t.compiler.limits, data: data,
		buf: c.buf[:0], vars: c.vars[:0], scopes: c.scopes[:0], marks: c.marks[:0],
	}
	if opts.Language != "" {
		c.setLanguage(opts.Language)
	}
	if c.now == nil {
		c.now = time.Now
	}
	return c
}

func (t *Template) run(c *Context) error {
	if err := c.meter.Look(); err != nil {
		return &Error{Template: t.source.name, Phase: PhaseRender, Msg: err.Error(), Err: err}
	}
	if t.compiler.alters {
		var err error
		if c.data, err = c.copyData(c.data); err != nil {
			return t.source.at(err, 0, PhaseRender)
		}
		c.owned = true
	}
	c.state = &renderState{}
	return t.nodes.Render(c)
}

// keptBuffer is the maximum size of a buffer that is reused.
const keptBuffer = 64 << 10

// release clears the Context and returns it to the pool.
func (c *Context) release() {
	clear(c.vars[:cap(c.vars)])
	buf := c.buf
	if cap(buf) > keptBuffer {
		buf = nil
	}
	*c = Context{buf: buf[:0], vars: c.vars[:0], scopes: c.scopes[:0], marks: c.marks[:0]}
	contexts.Put(c)
}
