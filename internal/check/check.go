// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"slices"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/lint"
	"github.com/rehive/extension-operator/internal/notify"
)

// CompileLayout compiles a layout: [notify.CompileLayout], or a function that remembers its
// results.
type CompileLayout func(*v1alpha1.NotificationLayout) (*notify.Layout, notify.Problems)

// Report is the result of checking one object.
type Report struct {
	// Compiled is set for rules and templates. The LayoutProblem of a template is nil:
	// its layout is looked up in the namespace of each rule that is created from it.
	Compiled notify.Compiled
	// Problems keep the object from working.
	Problems notify.Problems
	// Warnings are about what is valid and probably a mistake.
	Warnings notify.Problems

	spec, layout any // the specs that the problems are in
}

// Rule checks a rule. The layout is nil if the rule names none, or one that does not exist.
func Rule(rule *v1alpha1.NotificationRule, layout *v1alpha1.NotificationLayout, compileLayout CompileLayout) *Report {
	r := &Report{spec: &rule.Spec}
	r.Compiled = notify.CompileRule(rule, layout, compileLayout)
	r.Problems = r.Compiled.Problems
	if layout != nil {
		r.layout = &layout.Spec
	}
	r.Warnings = lint.Rule(rule)
	return r
}

// Template checks a template as the rules that are created from it will be.
func Template(template *v1alpha1.NotificationTemplate) *Report {
	rule := &v1alpha1.NotificationRule{Spec: template.RuleSpec("company")}
	r := Rule(rule, nil, notify.CompileLayout)
	r.Compiled.LayoutProblem = nil
	r.spec = &template.Spec
	return r
}

// Layout checks a layout.
func Layout(layout *v1alpha1.NotificationLayout) *Report {
	_, problems := notify.CompileLayout(layout)
	return &Report{Problems: problems, spec: &layout.Spec}
}

// All returns everything that keeps the object from working, the layout's problem last.
func (r *Report) All() notify.Problems {
	if r.Compiled.LayoutProblem == nil {
		return r.Problems
	}
	return append(slices.Clip(r.Problems), r.Compiled.LayoutProblem.Problem())
}

// Without returns a report without the problems that another report has, too: those that
// an edit did not cause.
func (r *Report) Without(before *Report) *Report {
	rest := *r
	rest.Problems = slices.DeleteFunc(slices.Clone(r.Problems), func(p notify.Problem) bool {
		return slices.Contains(before.Problems, p)
	})
	if a, b := r.Compiled.LayoutProblem, before.Compiled.LayoutProblem; a != nil && b != nil && a.Error() == b.Error() {
		rest.Compiled.LayoutProblem = nil
	}
	return &rest
}

// Refusal returns why the object does not work, in one sentence that is also the message
// of its condition Ready; empty if it works. The problem of a layout is left out if the
// object has problems of its own.
func (r *Report) Refusal() string {
	switch {
	case len(r.Problems) > 0:
		return notify.Sentence(r.Problems.Error())
	case r.Compiled.LayoutProblem != nil:
		return notify.Sentence(r.Compiled.LayoutProblem.Error())
	}
	return ""
}

// maxExcerpts is for how many problems Explanation shows the line.
const maxExcerpts = 5

// Explanation returns the refusal and, below it, the lines that the problems are in;
// empty if the object works.
func (r *Report) Explanation() string {
	text := r.Refusal()
	problems, spec, of := r.Problems, r.spec, ""
	if len(problems) == 0 && r.Compiled.LayoutProblem != nil {
		problems, spec, of = r.Compiled.LayoutProblem.InLayout, r.layout, "layout "
	}
	shown := 0
	for i := range problems {
		p := &problems[i]
		if p.Line == 0 || shown == maxExcerpts {
			continue
		}
		if excerpt := Excerpt(fieldText(spec, p.Field), p.Line, p.Column); excerpt != "" {
			shown++
			text += "\n" + of + p.Field + ":\n" + excerpt
		}
	}
	return text
}

// IsKind reports whether the package checks objects of a kind.
func IsKind(kind string) bool {
	return kind == "NotificationRule" || kind == "NotificationLayout" || kind == "NotificationTemplate"
}
