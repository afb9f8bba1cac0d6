// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import "testing"

// TestIfHints has operators of other languages in {% if %}.
func TestIfHints(t *testing.T) {
	for condition, want := range map[string]string{
		"a = b":         "write == to compare",
		"a === b":       "write == (=== and !== are JavaScript)",
		"a !== 'x'":     "write != (=== and !== are JavaScript)",
		"a <> b":        "write != (<> is SQL)",
		"a && b":        "write 'and' (&& is JavaScript)",
		"a || b":        "write 'or' (|| is JavaScript)",
		"! a":           "write 'not' (! is JavaScript)",
		"a AND b":       "write 'and' in lower case",
		"a == 'x' Or b": "write 'or' in lower case",
		"NOT a":         "write 'not' in lower case",
		"a IN b":        "write 'in' in lower case",
	} {
		_, err := Parse("main", "{% if "+condition+" %}{% endif %}", Options{})
		if want = "main: line 1, column 1: " + want; err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", condition, err, want)
		}
	}
	for _, condition := range []string{"NOT", "a == AND", "OR or IN"} { // variables
		if _, err := Parse("main", "{% if "+condition+" %}{% endif %}", Options{}); err != nil {
			t.Errorf("%s: %v", condition, err)
		}
	}
}
