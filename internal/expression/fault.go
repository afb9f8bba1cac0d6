// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/python"
)

// FaultKind is the class of a fault: the name of simpleeval's or Python's exception.
type FaultKind string

// The kinds that don't come from Python's own operations.
const (
	SyntaxError         FaultKind = "SyntaxError"
	NameNotDefined      FaultKind = "NameNotDefined"
	FunctionNotDefined  FaultKind = "FunctionNotDefined"
	AttributeNotFound   FaultKind = "AttributeDoesNotExist"
	FeatureNotAvailable FaultKind = "FeatureNotAvailable"
	NumberTooHigh       FaultKind = "NumberTooHigh"
	IterableTooLong     FaultKind = "IterableTooLong"
	RecursionError      FaultKind = "RecursionError"

	// DataRefused means that data was used where only a complete literal is allowed, or
	// contained characters with a meaning in Python.
	DataRefused FaultKind = "DataRefused"
	// LimitExceeded means that the expression needs too much work or memory.
	LimitExceeded FaultKind = "LimitExceeded"
	// TemplateError means that the template could not be parsed or rendered.
	TemplateError FaultKind = "TemplateError"
	// Cancelled means that the context ended.
	Cancelled FaultKind = "Cancelled"
)

// Fault describes why an expression has no result. Its sentence may quote the expression,
// but never the data.
type Fault struct {
	Kind FaultKind
	// Msg is one sentence without a full stop.
	Msg string
	// Line and Column are counted in characters from 1 in the expression's source; 0 if the
	// position isn't known.
	Line, Column int
	// Err is the cause if it contains no data: an error of the context, a parse error of
	// the template, or ErrLimit, which means that the same data would fail again.
	Err error

	pos int // offset in the shape, -1 if unknown
}

func (f *Fault) Error() string {
	if f.Line > 0 {
		return fmt.Sprintf("%s (line %d, column %d)", f.Msg, f.Line, f.Column)
	}
	return f.Msg
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

func faultf(kind FaultKind, pos int, format string, args ...any) *Fault {
	f := &Fault{Kind: kind, Msg: fmt.Sprintf(format, args...), pos: pos}
	if kind == LimitExceeded {
		f.Err = meter.ErrLimit
	}
	return f
}

// limitSentence returns a sentence about the exhausted budget.
func limitSentence(err error) string {
	return "the expression" + strings.TrimPrefix(strings.TrimPrefix(err.Error(), meter.ErrLimit.Error()+": "), "this")
}

// isLimit reports whether an error ends the evaluation instead of one operation.
func isLimit(err error) bool {
	return err != nil && (errors.Is(err, meter.ErrLimit) || !python.IsError(err))
}

// faultAt converts an error to a fault, at pos unless the error has a position.
func faultAt(err error, pos int) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		if f.pos < 0 {
			f.pos = pos
		}
		return f
	}
	if !python.IsError(err) {
		switch {
		case errors.Is(err, meter.ErrLimit):
			return &Fault{Kind: LimitExceeded, Msg: limitSentence(err), Err: meter.ErrLimit, pos: pos}
		case errors.Is(err, context.Canceled):
			return cancelledAt(context.Canceled, pos)
		case errors.Is(err, context.DeadlineExceeded):
			return cancelledAt(context.DeadlineExceeded, pos)
		}
	}
	var p *python.Error
	if errors.As(err, &p) {
		if p.Type == "LimitError" {
			return faultf(LimitExceeded, pos, "%s", p.Msg)
		}
		return &Fault{Kind: FaultKind(p.Type), Msg: withoutValues(p), pos: pos}
	}
	return &Fault{Kind: internalError, Msg: "the evaluator failed", Err: err, pos: pos}
}

// withoutValues returns a Python exception's message if it can't contain data: that of a
// TypeError names types, that of a KeyError is the key itself.
func withoutValues(p *python.Error) string {
	switch p.Type {
	case "KeyError":
		return "the dict has no such key"
	case "ValueError":
		if strings.ContainsAny(p.Msg, `'":`) {
			return "a value is not what was expected here"
		}
		if strings.HasSuffix(p.Msg, "is not in list") {
			return "the value is not in the list"
		}
	}
	return p.Msg
}

// typeError returns a TypeError whose message contains no values.
func typeError(format string, args ...any) error {
	return faultf("TypeError", -1, format, args...)
}

func valueError(format string, args ...any) error {
	return faultf("ValueError", -1, format, args...)
}
