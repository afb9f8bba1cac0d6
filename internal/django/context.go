// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"sync"
	"time"

	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/python"
)

// Context is a rendering in progress: the variables in scope, the output, the clock and the
// remaining limits. It is for one goroutine.
type Context struct {
	meter      meter.Meter // what is left of the limits on work and memory
	autoescape bool
	useTZ      bool           // {% localtime off %} turns it off
	l10n       l10nMode       // {% localize %}
	location   *time.Location // {% timezone %}; UTC by default
	language   string         // {% language %}; "" if translation is off
	locale     *locale        // of that language
	now        func() time.Time
	limits     Limits

	data   *python.Dict // the caller's data; nil within {% include … only %}
	owned  bool         // data is this render's own copy
	vars   []binding    // what tags have set, scope after scope
	scopes []scope      // the innermost last
	sets   int          // how often a variable was set in the current scopes

	buf     []byte // the output
	kept    int    // bytes in outer outputs while capturing
	marking bool   // keep data and the author's text apart
	marks   []mark
	nesting int // templates and blocks within each other
	// rawLoops makes variables return a *forLoop itself instead of its current values.
	rawLoops bool

	state   *renderState
	copies  map[templateCopy]*templateCopy
	dynamic *compiler // parses templates whose names depend on data
}

// binding is a variable that a tag has set. author means that its value contains no data.
type binding struct {
	name   string
	val    python.Value
	author bool
}

// mark is the start of a run of output that is data, or the author's text.
type mark struct {
	start int
	data  bool
}

// scope records where a scope starts in vars, and what was held and set before it.
type scope struct{ start, held, sets int }

// l10nMode is Django's use_l10n, which {% localize %} sets.
type l10nMode uint8

const (
	l10nDefault l10nMode = iota
	l10nOn
	l10nOff
)

// renderState is Django's render_context: the state of nodes while one template and those
// that it extends are rendered. An included template has its own.
type renderState struct {
	outer   *renderState // of the template that includes this one
	include *includeNode // that tag; nil at the top
	cycles  map[*cycleNode]int
	changed changedMemory
	blocks  blockQueues // nil unless a template of this render extends another
	history []string    // the names of templates that were extended
}

var contexts = sync.Pool{New: func() any { return new(Context) }}

// Autoescape reports whether autoescaping is on.
func (c *Context) Autoescape() bool { return c.autoescape }

// Now returns the injected clock's time in UTC.
func (c *Context) Now() time.Time { return c.now().UTC() }

// Location returns the current time zone.
func (c *Context) Location() *time.Location { return c.location }

// Step charges for n steps of work (see package meter). It fails if they are used up or the
// caller's context is done. Return its error unchanged.
func (c *Context) Step(n int) error { return c.meter.Spend(n) }

// Grow must be called before creating a text or list of n bytes or items, if the template
// or the data determines n. It fails if that is too much. Return its error unchanged.
func (c *Context) Grow(n int) error {
	if n > c.limits.String {
		return limitErrorf("a value would be longer than %d bytes", c.limits.String)
	}
	if n > 1024 {
		return c.meter.Spend(n >> 8)
	}
	return nil
}

// hold charges for a text that is kept in a variable.
func (c *Context) hold(text string) error {
	if len(text) < 64 {
		return nil
	}
	return c.meter.Hold(len(text))
}

// enter counts a nested template or block.
func (c *Context) enter() error {
	if c.nesting++; c.nesting > c.limits.Nesting {
		return limitErrorf("templates and blocks are nested more than %d deep", c.limits.Nesting)
	}
	return nil
}

func (c *Context) leave() { c.nesting-- }

// Get returns a variable by its name.
func (c *Context) Get(name string) (python.Value, bool) {
	v, _, ok := c.get(name)
	return v, ok
}

func (c *Context) get(name string) (v python.Value, author, ok bool) {
	if len(c.vars) > varsPerStep {
		c.oweForVariables(len(c.vars))
	}
	for i := len(c.vars) - 1; i >= 0; i-- {
		if b := &c.vars[i]; b.name == name {
			return b.val, b.author, true
		}
	}
	if c.data != nil {
		if v, ok := c.data.GetStr(name); ok {
			return v, false, true
		}
	}
	switch name {
	case "True":
		return python.True, true, true
	case "False":
		return python.False, true, true
	case "None":
		return python.None, true, true
	}
	return nil, false, false
}

// varsPerStep is how many variables are searched in the time of one step.
const varsPerStep = 32

// oweForVariables charges for a search among n variables. It is rare, and kept out of
// line so that the callers stay short.
//
//go:noinline
func (c *Context) oweForVariables(n int) { c.meter.Owe(n / varsPerStep) }

// Set sets a variable in the innermost scope. author means that the value contains no data.
func (c *Context) Set(name string, val python.Value, author bool) {
	from := 0
	if n := len(c.scopes); n > 0 {
		from = c.scopes[n-1].start
	}
	c.sets++
	if n := len(c.vars) - from; n > varsPerStep {
		c.oweForVariables(n)
	}
	for i := from; i < len(c.vars); i++ {
		if b := &c.vars[i]; b.name == name {
			b.val, b.author = val, author
			return
		}
	}
	c.vars = append(c.vars, binding{name, val, author})
}

// setUpward sets a variable in the scope that has it, or else in the innermost scope.
func (c *Context) setUpward(name string, val python.Value, author bool) {
	for i := len(c.vars) - 1; i >= 0; i-- {
		if b := &c.vars[i]; b.name == name {
			b.val, b.author = val, author
			return
		}
	}
	c.Set(name, val, author)
}

// Push opens a scope.
func (c *Context) Push() {
	c.scopes = append(c.scopes, scope{len(c.vars), c.meter.Held(), c.sets})
}

// Pop closes the innermost scope and releases what was held within it.
func (c *Context) Pop() {
	n := len(c.scopes) - 1
	s := c.scopes[n]
	clear(c.vars[s.start:])
	c.vars = c.vars[:s.start]
	c.scopes = c.scopes[:n]
	c.sets = s.sets
	c.meter.Release(s.held)
}

// WriteText prints what the template's author wrote.
func (c *Context) WriteText(s string) error {
	if c.marking {
		c.mark(false)
	}
	c.buf = append(c.buf, s...)
	return c.checkOutput()
}

// WriteData prints data.
func (c *Context) WriteData(s string) error {
	if c.marking {
		c.mark(true)
	}
	c.buf = append(c.buf, s...)
	return c.checkOutput()
}

// WriteValue prints a value as {{ }} does: localized, and escaped if necessary. author
// means that the value contains no data.
func (c *Context) WriteValue(v python.Value, author bool) error {
	if c.marking {
		c.mark(!author)
	}
	var err error
	if c.buf, err = c.appendValue(c.buf, v); err != nil {
		return err
	}
	return c.checkOutput()
}

// PrintValue returns what {{ }} prints for a value.
func (c *Context) PrintValue(v python.Value) (string, error) {
	if s, ok := v.(python.SafeStr); ok {
		return string(s), nil
	}
	b, err := c.appendValue(nil, v)
	if err == nil {
		err = c.Grow(len(b))
	}
	return string(b), err
}

// checkOutput is small enough to be inlined where each piece is printed.
func (c *Context) checkOutput() error {
	if len(c.buf)+c.kept <= c.limits.Output && len(c.marks) <= maxMarks {
		return nil
	}
	return c.outputError()
}

func (c *Context) outputError() error {
	if len(c.buf)+c.kept > c.limits.Output {
		return limitErrorf("the output would be longer than %d bytes", c.limits.Output)
	}
	return limitErrorf("the output changes more than %d times between the author's text and data", maxMarks)
}

// maxMarks bounds how often the output changes between author's text and data.
const maxMarks = 1 << 18

// appendValue implements Django's render_value_in_context.
func (c *Context) appendValue(dst []byte, v python.Value) ([]byte, error) {
	switch v := v.(type) {
	case python.SafeStr:
		if len(v) >= freeOutput {
			if err := c.spendOutput(len(v), copyNanos); err != nil {
				return dst, err
			}
		}
		return append(dst, v...), nil
	case python.Str:
		if len(v) >= freeOutput {
			return c.appendLong(dst, string(v))
		}
		if !c.autoescape {
			return append(dst, v...), nil
		}
		return appendEscaped(dst, string(v)), nil
	case python.Int, python.Bool, python.NoneType:
		return python.AppendStr(dst, v), nil
	case python.Float, *python.Decimal, *python.Date, *python.Time, *python.DateTime:
		s, err := c.localize(c.localTime(v))
		if c.locale != nil && c.autoescape { // names of other languages have apostrophes
			return appendEscaped(dst, s), err
		}
		return append(dst, s...), err
	}
	s, err := c.print(v, escapeNanos)
	if err != nil {
		return dst, err
	}
	if !c.autoescape {
		return append(dst, s...), nil
	}
	return appendEscaped(dst, s), nil
}

// appendLong prints a text that has to be charged for.
func (c *Context) appendLong(dst []byte, s string) ([]byte, error) {
	if err := c.spendOutput(len(s), escapeNanos); err != nil {
		return dst, err
	}
	if !c.autoescape {
		return append(dst, s...), nil
	}
	for {
		n := min(len(s), escapePiece)
		if dst = appendEscaped(dst, s[:n]); n == len(s) {
			return dst, nil
		}
		s = s[n:]
		if len(dst) > c.limits.Output {
			return dst, limitErrorf("the output would be longer than %d bytes", c.limits.Output)
		}
	}
}

// escapePiece is how many bytes are escaped between two checks of the limit on output.
const escapePiece = 64 << 10

// Costs of printing, in nanoseconds per byte.
const (
	copyNanos   = 1
	escapeNanos = 6
	reprNanos   = 20
)

// freeOutput is the length from which text on its way to the output is charged for. The
// step that each node costs covers shorter text.
const freeOutput = 64

// spendOutput charges for text on its way to the output.
func (c *Context) spendOutput(n, nanos int) error {
	if n > c.limits.Output {
		return limitErrorf("the output would be longer than %d bytes", c.limits.Output)
	}
	return c.meter.SpendBytes(n, nanos)
}

// print returns str(v). It is charged for before it is created, with nanos for what the
// caller does with each byte.
func (c *Context) print(v python.Value, nanos int) (string, error) {
	switch v := v.(type) {
	case python.Str:
		return string(v), nil
	case python.SafeStr:
		return string(v), nil
	case python.Int, python.Bool, python.NoneType, python.Float:
		return python.StrOf(v), nil
	}
	n, err := python.Weigh(&c.meter, v)
	if err == nil {
		err = c.Grow(n)
	}
	if err == nil {
		err = c.meter.SpendBytes(n, reprNanos+nanos)
	}
	if err != nil {
		return "", err
	}
	return python.StrOf(v), nil
}

// localTime implements Django's template_localtime: it returns an aware datetime in the
// current zone if time zones are in use.
func (c *Context) localTime(v python.Value) python.Value {
	if c.useTZ {
		if dt, ok := v.(*python.DateTime); ok && dt.Aware && !dt.KeepZone && dt.T.Location() != c.location {
			return &python.DateTime{T: dt.T.In(c.location), Aware: true}
		}
	}
	return v
}

// mark records whether the following output is data.
func (c *Context) mark(data bool) {
	if n := len(c.marks); n > 0 {
		last := &c.marks[n-1]
		if last.data == data {
			return
		}
		// Empty text of the author is dropped. Empty data keeps its position: without it,
		// the author's text on both sides would be read as one word, so an empty value
		// would change the meaning.
		if last.start == len(c.buf) && !last.data {
			c.marks = c.marks[:n-1]
			c.mark(data)
			return
		}
	}
	c.marks = append(c.marks, mark{len(c.buf), data})
}

// Capture renders nodes without printing them.
func (c *Context) Capture(nodes NodeList) (*Captured, error) {
	return c.capture(nodes.Render)
}

func (c *Context) capture(render func(*Context) error) (*Captured, error) {
	buf, marks := c.buf, c.marks
	c.kept += len(buf)
	c.buf, c.marks = nil, nil
	err := render(c)
	out := &Captured{Text: string(c.buf), marks: c.marks}
	c.buf, c.marks = buf, marks
	c.kept -= len(buf)
	if err == nil {
		err = c.Step(len(out.Text)>>8 + len(out.marks)>>4)
	}
	if err == nil {
		err = c.hold(out.Text)
	}
	return out, err
}

// WriteCaptured prints captured output with its marks.
func (c *Context) WriteCaptured(out *Captured) error {
	if err := c.Step(len(out.marks) >> 3); err != nil {
		return err
	}
	for s := range out.segments {
		if s.Data {
			if err := c.WriteData(s.Text); err != nil {
				return err
			}
		} else if err := c.WriteText(s.Text); err != nil {
			return err
		}
	}
	return nil
}

// Captured is captured output with its marks.
type Captured struct {
	Text  string
	marks []mark
}

// Author reports whether the output contains no data. It is false if no marks were kept.
func (o *Captured) Author() bool {
	for _, m := range o.marks {
		if m.data {
			return false
		}
	}
	return len(o.marks) > 0 || o.Text == ""
}

// segments yields the runs of the output; without marks, it is a single run of data.
func (o *Captured) segments(yield func(Segment) bool) {
	if len(o.marks) == 0 {
		if o.Text != "" {
			yield(Segment{o.Text, true})
		}
		return
	}
	for i, m := range o.marks {
		end := len(o.Text)
		if i+1 < len(o.marks) {
			end = o.marks[i+1].start
		}
		if (m.start < end || m.data) && !yield(Segment{o.Text[m.start:end], m.data}) {
			return
		}
	}
}
