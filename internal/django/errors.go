// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rehive/extension-operator/internal/python"
)

// Phase is the phase in which an error occurred.
type Phase string

// The phases.
const (
	PhaseParse  Phase = "parse"
	PhaseRender Phase = "render"
)

// Error is an error in a template, with its position.
type Error struct {
	Template string // its name
	Line     int    // from 1; 0 if unknown
	Column   int    // in characters, from 1; 0 if unknown
	Phase    Phase
	Msg      string // the mistake and what was expected
	// Err is the cause: a *python.Error with the name of Django's or Python's
	// exception, or something that wraps ErrLimit or the context's error.
	Err error
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

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// The names of Django's exceptions.
const (
	templateSyntaxError  = "TemplateSyntaxError"
	templateDoesNotExist = "TemplateDoesNotExist"
	variableDoesNotExist = "VariableDoesNotExist"
	stopIteration        = "StopIteration" // from a bug in Django that templates can't work around
)

// syntaxErrorf returns an error of the template itself.
func syntaxErrorf(format string, args ...any) error {
	return python.Errorf(templateSyntaxError, format, args...)
}

// sentence returns an error's message without the name of Django's exception, and
// without data.
func sentence(err error) string {
	var e *python.Error
	if !errors.As(err, &e) {
		msg := err.Error()
		if rest, ok := strings.CutPrefix(msg, ErrLimit.Error()+": this "); ok {
			return "the template " + rest
		}
		return msg
	}
	switch e.Type {
	case templateSyntaxError, templateDoesNotExist, variableDoesNotExist, stopIteration, "LimitError":
		return e.Msg
	case "ValueError", "KeyError", "InvalidOperation":
		// Python quotes the value, which may be a customer's data.
		if msg, _, quotes := strings.Cut(e.Msg, ": "); quotes {
			return e.Type + ": " + msg
		}
		if e.Type == "KeyError" {
			return e.Type
		}
	}
	return e.Error()
}

// isFatalLimit reports whether an error comes from a limit or a context.
func isFatalLimit(err error) bool { return err != nil && isFatal(err) }

// isFatal distinguishes errors that always end a render from Python's exceptions, which
// {% if %} and others catch.
func isFatal(err error) bool {
	var e *python.Error
	return !errors.As(err, &e) || e.Type == "LimitError" || e.Type == "RecursionError" || errors.Is(err, ErrLimit)
}
