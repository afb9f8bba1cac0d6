// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDescriptions checks that every filter and tag is described, and that its signature
// is one that the parser accepts.
func TestDescriptions(t *testing.T) {
	known := map[string]bool{}
	check := func(kind string, all []Description, described map[string]description) {
		for _, d := range all {
			about, ok := described[d.Name]
			if !ok || d.Summary == "" || !strings.HasSuffix(d.Summary, ".") || strings.Count(d.Signature, d.Name) == 0 {
				t.Errorf("the %s %s is described as %+v", kind, d.Name, d)
			}
			if kind == "filter" && (about.syntax == "") != !strings.Contains(d.Signature, ":") {
				t.Errorf("the filter %s takes an argument, or none: %s", d.Name, d.Signature)
			}
			known[kind+d.Name] = true
		}
		for name := range described {
			if !known[kind+name] {
				t.Errorf("there is no %s %s", kind, name)
			}
		}
	}
	filters, tags := DescribeFilters(), DescribeTags()
	check("filter", filters, filterDescriptions)
	check("tag", tags, tagDescriptions)

	for _, d := range filters {
		source := "{{ " + strings.NewReplacer("[", "", "]", "").Replace(d.Signature) + " }}"
		parses(t, d, source)
	}
	brackets := regexp.MustCompile(`\[[^]]*\]`)
	for _, d := range tags {
		source := strings.ReplaceAll(brackets.ReplaceAllString(d.Signature, ""), "value value…", "value value")
		source = strings.NewReplacer("name=value…", "name=value", "library…", "humanize", "load ", "load ").Replace(source)
		if slices.Contains([]string{"extends", "include", "cycle", "resetcycle", "blocktranslate"}, d.Name) {
			continue // need another template, another tag or an option
		}
		parses(t, d, source)
	}
}

func parses(t *testing.T, d Description, source string) {
	t.Helper()
	if d.Library != "" {
		source = "{% load " + d.Library + " %}" + source
	}
	if _, err := Parse("signature", source, Options{}); err != nil {
		t.Errorf("%s: %v", source, err)
	}
}
