// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"strings"

	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/expression"
	"github.com/rehive/extension-operator/internal/python"
)

// Trace explains how a rule reached its decision, for previews. It contains the event's
// data.
type Trace struct {
	// Verdict is the expression's result; nil if it wasn't evaluated.
	Verdict *bool
	// Expression is the trace of the expression.
	Expression expression.Trace
	// Failed are the expression or the templates that failed on this event. A failure in
	// the layout has the path of the rule's layoutRef, with the position and message of the
	// layout.
	Failed Problems
}

// failed records a failure if there is a trace.
func (e *Event) failed(path string, err error) {
	if e.Trace != nil {
		e.Trace.Failed = append(e.Trace.Failed, problemOf(path, err))
	}
}

// Missing returns up to 50 of the dotted paths that the event's data lacks. It does not
// look inside lists and texts, and treats computed as present.
func (e *Event) Missing(paths []string) []string {
	const most = 50
	var missing []string
	for _, path := range paths {
		if len(missing) < most && !e.has(path) {
			missing = append(missing, path)
		}
	}
	return missing
}

func (e *Event) has(path string) bool {
	if path == django.Any || readsComputed([]string{path}) {
		return true
	}
	data := e.data
	for key := range strings.SplitSeq(path, ".") {
		value, ok := data.GetStr(key)
		if !ok {
			return key == "items" || key == "keys" || key == "values" // methods of every object
		}
		inner, ok := value.(*python.Dict)
		if !ok {
			return true
		}
		data = inner
	}
	return true
}
