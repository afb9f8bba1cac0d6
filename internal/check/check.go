// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"slices"
	"strings"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/lint"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/ruletest"
)

// CompileLayout compiles a layout: [notify.CompileLayout], or a function that caches its
// results.
type CompileLayout func(*v1alpha1.NotificationLayout) (*notify.Layout, notify.Problems)

// Report is the result of checking one object.
type Report struct {
	// Compiled is set for rules and templates. The LayoutProblem of a template is nil:
	// its layout is looked up in the namespace of each rule that is created from it.
	Compiled notify.Compiled
	// Problems prevent the object from working.
	Problems notify.Problems
	// Warnings are about what is valid and probably a mistake.
	Warnings notify.Problems
	// Tests are the results of the object's tests, which run if it works otherwise.
	Tests ruletest.Result

	spec, layout any // the specs that the problems are in
}

// Rule checks a rule and runs its tests. The layout is nil if the rule names none, or one
// that does not exist.
func Rule(ctx context.Context, rule *v1alpha1.NotificationRule, layout *v1alpha1.NotificationLayout, compileLayout CompileLayout) *Report {
	r := &Report{spec: &rule.Spec, Compiled: notify.CompileRule(rule, layout, compileLayout)}
	if layout != nil {
		r.layout = &layout.Spec
	}
	r.finish(ctx, rule, rule.Spec.Tests)
	if layout != nil {
		r.Warnings = append(r.Warnings, lint.InLayout(rule, layout)...)
	}
	return r
}

// Template checks a template in the same way as the rules that are created from it, and
// runs its tests.
func Template(ctx context.Context, template *v1alpha1.NotificationTemplate) *Report {
	rule := &v1alpha1.NotificationRule{Spec: template.RuleSpec("company")}
	r := &Report{spec: &template.Spec, Compiled: notify.CompileRule(rule, nil, notify.CompileLayout)}
	r.Compiled.LayoutProblem = nil
	r.finish(ctx, rule, template.Spec.Tests)
	return r
}

// Message returns the warnings about the HTML of a rendered message that the report doesn't
// have.
func (r *Report) Message(html string) (warnings notify.Problems) {
	for _, w := range lint.Email("spec.email.html", html) {
		if !slices.ContainsFunc(r.Warnings, func(other notify.Problem) bool { return other.Message == w.Message }) {
			w.Line, w.Column = 0, 0 // the place in the template is not known
			warnings = append(warnings, w)
		}
	}
	return warnings
}

func (r *Report) finish(ctx context.Context, rule *v1alpha1.NotificationRule, tests []v1alpha1.RuleTest) {
	r.Problems = r.Compiled.Problems
	r.Warnings = lint.Rule(rule)
	r.Tests = ruletest.Run(ctx, tests, rule.Spec.Event, &r.Compiled)
}

// Layout checks a layout.
func Layout(layout *v1alpha1.NotificationLayout) *Report {
	_, problems := notify.CompileLayout(layout)
	return &Report{Problems: problems, Warnings: lint.Layout(layout), spec: &layout.Spec}
}

// All returns everything that prevents the object from being admitted: its problems, its
// layout's, and its tests that fail.
func (r *Report) All() notify.Problems {
	all := slices.Clone(r.Problems)
	if r.Compiled.LayoutProblem != nil {
		all = append(all, r.Compiled.LayoutProblem.Problem())
	}
	return append(all, r.FailedTests()...)
}

// FailedTests returns the tests that fail.
func (r *Report) FailedTests() notify.Problems {
	var failed notify.Problems
	for i := range r.Tests.Failures {
		failed = append(failed, r.Tests.Failures[i].Problem())
	}
	return failed
}

// Without returns a report without the findings that another report has too, because an
// edit did not cause those.
func (r *Report) Without(before *Report) *Report {
	rest, known := *r, before.All()
	rest.Problems = slices.DeleteFunc(slices.Clone(r.Problems), func(p notify.Problem) bool { return slices.Contains(known, p) })
	if p := r.Compiled.LayoutProblem; p != nil && slices.Contains(known, p.Problem()) {
		rest.Compiled.LayoutProblem = nil
	}
	rest.Tests.Failures = slices.DeleteFunc(slices.Clone(r.Tests.Failures), func(f ruletest.Failure) bool { return slices.Contains(known, f.Problem()) })
	return &rest
}

// Refusal returns why the object is not admitted, in one sentence that its condition Ready
// or TestsPassed has too; empty if it is admitted. The problem of a layout is left out if
// the object has problems of its own.
func (r *Report) Refusal() string {
	switch {
	case len(r.Problems) > 0:
		return notify.Sentence(r.Problems.Error())
	case r.Compiled.LayoutProblem != nil:
		return notify.Sentence(r.Compiled.LayoutProblem.Error())
	}
	return notify.Sentence(r.FailedTests().Error())
}

// maxExcerpts is for how many problems Explanation shows the line, and for how many tests
// the difference.
const maxExcerpts = 5

// Explanation returns the refusal and, below it, the lines that the problems are in, or the
// differences that tests found; empty if the object is admitted.
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
	if len(r.Problems) > 0 || r.Compiled.LayoutProblem != nil {
		return text
	}
	for i := range r.Tests.Failures {
		if f := &r.Tests.Failures[i]; f.Diff != "" && shown < maxExcerpts {
			shown++
			text += "\n" + ruletest.Field(f.Index) + ":\n" + Printable(f.Diff)
		}
	}
	return text
}

// Explanations returns the text of each of All and, below it, the line that the problem is in
// or the difference that the test found, without the fields.
func (r *Report) Explanations() (texts []string) {
	shown := 0
	add := func(p notify.Problem, details string) {
		text := p.Text()
		if details != "" && shown < maxExcerpts {
			shown++
			text += "\n" + details
		}
		texts = append(texts, text)
	}
	for i := range r.Problems {
		add(r.Problems[i], r.Excerpt(&r.Problems[i]))
	}
	if layout := r.Compiled.LayoutProblem; layout != nil {
		var lines []string
		for i := range min(len(layout.InLayout), maxExcerpts) {
			p := &layout.InLayout[i]
			if excerpt := Excerpt(fieldText(r.layout, p.Field), p.Line, p.Column); excerpt != "" {
				lines = append(lines, "layout "+p.Field+":\n"+excerpt)
			}
		}
		add(layout.Problem(), strings.Join(lines, "\n"))
	}
	for i := range r.Tests.Failures {
		add(r.Tests.Failures[i].Problem(), Printable(r.Tests.Failures[i].Diff))
	}
	return texts
}

// Excerpt returns the line that a problem of the report is in; empty if it has no place in
// the object.
func (r *Report) Excerpt(p *notify.Problem) string {
	if p.Line == 0 {
		return ""
	}
	return Excerpt(fieldText(r.spec, p.Field), p.Line, p.Column)
}

// IsKind reports whether the package checks objects of a kind.
func IsKind(kind string) bool {
	return kind == "NotificationRule" || kind == "NotificationLayout" || kind == "NotificationTemplate"
}
