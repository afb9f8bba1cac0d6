// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"embed"
	"fmt"
	"io/fs"

	"sigs.k8s.io/yaml"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// DefaultRulesLabel is on every rule that a company was given at its
// activation.
const DefaultRulesLabel = "extensions.rehive.com/default-rule"

//go:embed defaultrules/*.yaml
var defaultRules embed.FS

// DefaultRules returns the rules that each company is given at its activation.
// Their names get the activation's name in front; spec.companyRef is set then.
func DefaultRules() ([]v1alpha1.NotificationRule, error) {
	files, err := fs.Glob(defaultRules, "defaultrules/*.yaml")
	if err != nil {
		return nil, err
	}
	rules := make([]v1alpha1.NotificationRule, len(files))
	for i, file := range files {
		raw, err := defaultRules.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := yaml.UnmarshalStrict(raw, &rules[i]); err != nil {
			return nil, fmt.Errorf("reading the default rule %s: %w", file, err)
		}
		rules[i].Labels = map[string]string{DefaultRulesLabel: rules[i].Name}
	}
	return rules, nil
}
