// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"strings"
	"testing"
)

// TestCompileAcceptsPossiblyValid compiles expressions in which an unknown name may never
// be evaluated, exists after all, or is text.
func TestCompileAcceptsPossiblyValid(t *testing.T) {
	for _, source := range []string{
		"'{{ a }}' == 'x' and foo", "1 if {{ a }} else foo", "1 < {{ a }} < foo", "[null for null in ['{{ a }}']]", "[foo for x in []]",
		"'true' == '{{ a }}'", "'a && b' == '{{ a }}'", "'{{ a }}' != '!=='", "{% if a %}true{% endif %}", "f'{1!r}'", "str('{{ a }}') != ''",
		"'{{ a }}'.lower() == 'x'", "'{{ a }}' != '' or '{{ a }}'.length", "{{ a }}.length", "{{ a }} & 1", "'includes' in '{{ a }}'", "'{{ a }}'.startswith('?')", "[x.length for x in []]",
	} {
		if _, err := Compile("rule", source, Options{}); err != nil {
			t.Errorf("%q: %v", source, err)
		}
	}
}

// TestLengthIsInCharacters checks that the limit has the same unit as the API server's.
func TestLengthIsInCharacters(t *testing.T) {
	long := "'" + strings.Repeat("é", 50) + "' != ''"
	if _, err := Compile("rule", long, Options{Limits: Limits{Source: 58}}); err != nil {
		t.Errorf("of 58 characters: %v", err)
	}
	const want = "the expression is 58 characters long; at most 57 are allowed"
	if _, err := Compile("rule", long, Options{Limits: Limits{Source: 57}}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
