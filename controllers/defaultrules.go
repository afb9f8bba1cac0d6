// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/config/presets"
)

// DefaultRulesLabel is the label of the rules that a company received at its activation.
const DefaultRulesLabel = "extensions.rehive.com/default-rule"

// DefaultRules returns the rules that each company receives at its first activation: the
// presets that are marked as default. When they are created, their names are prefixed with
// the activation's name, and spec.companyRef is set.
func DefaultRules() ([]v1alpha1.NotificationRule, error) {
	templates, err := presets.Templates()
	if err != nil {
		return nil, fmt.Errorf("reading the default rules: %w", err)
	}
	var rules []v1alpha1.NotificationRule
	for i := range templates {
		if t := &templates[i]; t.Spec.Default {
			rule := v1alpha1.NotificationRule{Spec: t.RuleSpec("")}
			rule.Name, rule.Labels = t.Name, map[string]string{DefaultRulesLabel: t.Name}
			rule.Spec.TemplateRef = nil // the template may not be installed
			rules = append(rules, rule)
		}
	}
	return rules, nil
}
