// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"time"

	"github.com/rehive/extension-operator/internal/python"
)

// Context is one render under way: the variables in scope, the output, the
// clock and what is left of the limits. It belongs to one goroutine.
type Context struct {
	autoescape bool
	useTZ      bool           // {% localtime on %}; time zones are off by default
	useL10N    bool           // {% localize on %}; off by default
	location   *time.Location // {% timezone %}; UTC by default
	now        func() time.Time
}

// Autoescape tells whether autoescaping is on here.
func (c *Context) Autoescape() bool { return c.autoescape }

// Now is the injected clock's time in UTC.
func (c *Context) Now() time.Time { return c.now().UTC() }

// Location is the current time zone.
func (c *Context) Location() *time.Location { return c.location }

// Step accounts for n units of work, such as n items or n*100 bytes handled. It
// fails when the steps are used up or the caller's context is done; return its
// error as it is.
func (c *Context) Step(n int) error { panic("todo") }

// Grow has to be called before making text or a list of n bytes or items, when
// the template or the data decides n. It fails if that is too much; return its
// error as it is.
func (c *Context) Grow(n int) error { panic("todo") }

// Get finds a variable by its plain name.
func (c *Context) Get(name string) (python.Value, bool) { panic("todo") }

// Set sets a variable in the innermost scope. author says that no data took
// part in the value.
func (c *Context) Set(name string, val python.Value, author bool) { panic("todo") }

// Push opens a scope and Pop closes it.
func (c *Context) Push() { panic("todo") }

// Pop closes the innermost scope.
func (c *Context) Pop() { panic("todo") }

// WriteText prints what the template's author wrote.
func (c *Context) WriteText(s string) error { panic("todo") }

// WriteData prints data.
func (c *Context) WriteData(s string) error { panic("todo") }

// WriteValue prints a value as {{ }} does: localised, escaped if need be. author
// says that no data took part in it.
func (c *Context) WriteValue(v python.Value, author bool) error { panic("todo") }

// Capture renders a node list without printing it: what {% blocktrans %} or
// {% localtime %} may need.
func (c *Context) Capture(n NodeList) (*Captured, error) { panic("todo") }

// Captured is output kept back, with its marks.
type Captured struct {
	Text string
}
