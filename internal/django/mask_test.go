// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	for source, want := range map[string]string{
		"":                              "",
		"a{{ b }}c":                     "a???????c",
		"{% if a %}b{% endif %}{# c #}": "          b                  ",
		"{{ a\n}}":                      "{{ a\n}}",
		"x{% comment %}a\n{{ b }}<c>{% endcomment %}y": "x             " + " \n" + strings.Repeat(" ", 7+3+16) + "y",
		"{% verbatim %}{{ a }}{% endverbatim %}":       strings.Repeat(" ", 14) + "{{ a }}" + strings.Repeat(" ", 17),
		"{% comment %}a":                               strings.Repeat(" ", 13) + "a",
	} {
		got, kept := Mask(source)
		if got = strings.ReplaceAll(got, string(MaskedVariable), "?"); got != want {
			t.Errorf("Mask(%q) is %q, want %q", source, got, want)
		}
		if kept > len(source) || kept < 0 {
			t.Errorf("Mask(%q) kept %d", source, kept)
		}
	}
	if _, kept := Mask("ab{{ c }}{% comment %}d{% endcomment %}"); kept != 2 {
		t.Errorf("kept %d", kept)
	}
}
