// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"fmt"
	"strings"
)

// Phase is when an error came to light.
type Phase string

// The phases.
const (
	PhaseParse  Phase = "parse"
	PhaseRender Phase = "render"
)

// Error says what is wrong with a template and where.
type Error struct {
	Template string // its name
	Line     int    // from 1; 0 if unknown
	Column   int    // in characters, from 1; 0 if unknown
	Phase    Phase
	Msg      string // what is wrong and what was expected
	Err      error  // the cause, if any: a *python.Error, ErrLimit, context.Canceled, …
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Template != "" {
		fmt.Fprintf(&b, "%s: ", e.Template)
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d, column %d: ", e.Line, e.Column)
	}
	b.WriteString(e.Msg)
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
