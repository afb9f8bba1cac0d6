// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"fmt"
	"time"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// Compiled is a NotificationRule and its layout, compiled. Code that checks, evaluates or
// previews a rule gets it from [CompileRule], so that all of it agrees on what the rule does.
type Compiled struct {
	// Disabled means that the rule sends nothing until it is enabled.
	Disabled bool
	// MutedUntil is the time until which the rule sends nothing; zero if it isn't muted. Muted
	// is a sentence about it, without a full stop.
	MutedUntil time.Time
	Muted      string
	// Rule is nil if there are Problems.
	Rule *Rule
	// Problems are the mistakes in the rule's own templates and expression.
	Problems Problems
	// LayoutProblem is nil if the rule has no layout or can use it. Otherwise the rule
	// evaluates its expression and then sends nothing.
	LayoutProblem *LayoutProblem
}

// Enabled returns the rule as if it were enabled and not muted, for previews and tests.
func (c *Compiled) Enabled() Compiled {
	enabled := *c
	enabled.Disabled, enabled.MutedUntil = false, time.Time{}
	return enabled
}

// LayoutProblem is why a rule can't use the layout that it names.
type LayoutProblem struct {
	// Missing means that the layout doesn't exist, or doesn't exist yet.
	Missing bool
	// InLayout are the mistakes in the layout, with the layout's fields and positions.
	InLayout Problems

	path, message string
}

// Error returns one sentence without a full stop. It begins with the path of the rule's
// layoutRef.
func (p *LayoutProblem) Error() string { return p.path + ": " + p.message }

// Problem returns the problem as a mistake in the rule's field layoutRef.
func (p *LayoutProblem) Problem() Problem { return Problem{Field: p.path, Message: p.message} }

// missingLayout returns the problem of a rule whose layout doesn't exist, or nil if it
// names none.
func missingLayout(rule *v1alpha1.NotificationRule) *LayoutProblem {
	name := rule.Spec.Layout()
	if name == "" {
		return nil
	}
	return &LayoutProblem{
		Missing: true,
		path:    "spec." + string(rule.Spec.Channel()) + ".layoutRef",
		message: fmt.Sprintf("the NotificationLayout %s does not exist in this namespace", name),
	}
}

// CompileRule compiles a rule and its layout, which is nil if the rule names none or the one
// that it names doesn't exist. CompileLayout is [CompileLayout], or remembers its results.
func CompileRule(rule *v1alpha1.NotificationRule, layout *v1alpha1.NotificationLayout, compileLayout func(*v1alpha1.NotificationLayout) (*Layout, Problems)) Compiled {
	c := Compiled{Disabled: !rule.IsEnabled(), Muted: rule.Spec.Muted()}
	if until := rule.Spec.MutedUntil; until != nil {
		c.MutedUntil = until.Time
	}
	c.Rule, c.Problems = Compile(rule)
	c.LayoutProblem = missingLayout(rule)
	if layout == nil || c.LayoutProblem == nil {
		return c
	}
	problem := *c.LayoutProblem
	problem.Missing = false
	if problem.message = misfit(rule, layout); problem.message == "" {
		compiled, problems := compileLayout(layout)
		if len(problems) == 0 {
			c.LayoutProblem = nil
			if c.Rule != nil {
				c.Rule = c.Rule.WithLayout(compiled)
			}
			return c
		}
		problem.InLayout, problem.message = problems, fmt.Sprintf("the NotificationLayout %s can't be used: %s", layout.Name, problems.Error())
	}
	c.LayoutProblem = &problem
	return c
}
