// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The CRD and the flag --smtp-dkim-selectors must accept the same selectors. A marker can't refer
// to a constant, so the rule is written twice.
func TestDKIMSelector(t *testing.T) {
	text, err := os.ReadFile("../../config/crd/bases/extensions.rehive.com_deliveryproviders.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "dkimSelectors:\n")
	field, _, _ := strings.Cut(after, "expo:\n")
	for _, rule := range []string{
		"self.matches('" + dkimSelector.String() + "')", fmt.Sprintln("maxItems:", MaxDKIMSelectors), fmt.Sprintln("maxLength:", maxDKIMSelectorLength),
	} {
		if !strings.Contains(strings.Join(strings.Fields(field), " "), strings.TrimSpace(rule)) {
			t.Errorf("%q is missing in\n%s", rule, field)
		}
	}
	for selector, want := range map[string]bool{
		"s1": true, "k2._a": false, "google": true, "2026_11": true, "a-_b.c": true, strings.Repeat("a", 63): true,
		"": false, "_s": false, "s_": false, "a..b": false, "a.": false, "a b": false, "é": false, strings.Repeat("a", 64): false,
	} {
		if got := IsDKIMSelector(selector); got != want {
			t.Errorf("%q: %v", selector, got)
		}
	}
}
