// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"context"
	"time"

	"github.com/rehive/extension-operator/internal/python"
)

// Loader finds the source of templates that {% extends %} and {% include %}
// name. ok is false if there is none of that name. It may be called while
// rendering, by many renders at once.
type Loader func(name string) (source string, ok bool)

// Options say how to parse.
type Options struct {
	// Loader may be nil: then no other template exists.
	Loader Loader
	Limits Limits
}

// RenderOptions say how to render.
type RenderOptions struct {
	// Autoescape escapes HTML in everything that isn't marked safe.
	Autoescape bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Segment is a piece of output: what the template's author wrote, or data.
type Segment struct {
	Text string
	Data bool
}

// Template is a parsed template. It is immutable.
type Template struct {
	name string
}

// Parse parses a template. The error is an *Error of PhaseParse.
func Parse(name, source string, opts Options) (*Template, error) { panic("todo") }

// Render renders with the data. The error is an *Error of PhaseRender, or of
// PhaseParse for a template that the loader brought.
func (t *Template) Render(ctx context.Context, data *python.Dict, opts RenderOptions) (string, error) {
	panic("todo")
}

// RenderSegments is Render with the author's text and data told apart. The
// segments' texts joined are what Render gives.
func (t *Template) RenderSegments(ctx context.Context, data *python.Dict, opts RenderOptions) ([]Segment, error) {
	panic("todo")
}

// Variables are the dotted paths that the template reads from its data,
// sorted. A path may end early where what follows isn't known.
func (t *Template) Variables() []string { panic("todo") }
