// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"strings"

	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/expression"
	"github.com/rehive/extension-operator/internal/python"
)

// Trace says how a rule came to its decision, to people who try the rule. It holds the
// event's data.
type Trace struct {
	// Verdict is what the expression said; nil if it wasn't evaluated.
	Verdict *bool
	// Expression holds what the expression saw.
	Expression expression.Trace
	// Failed are the expression or the template that failed on this event. A layout's
	// has the path of the rule's layoutRef, and place and message are the layout's.
	Failed Problems
}

// failed records what failed if somebody wants to know.
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
