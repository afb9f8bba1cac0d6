// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"slices"
	"strings"
	"testing"
)

// TestIfHints checks the hints for operators of other languages in {% if %}.
func TestIfHints(t *testing.T) {
	for condition, want := range map[string]string{
		"a = b":              "write == to compare",
		"a === b":            "write == (=== and !== are JavaScript)",
		"a !== 'x'":          "write != (=== and !== are JavaScript)",
		"a <> b":             "write != (<> is SQL)",
		"a && b":             "write 'and' (&& is JavaScript)",
		"a || b":             "write 'or' (|| is JavaScript)",
		"! a":                "write 'not' (! is JavaScript)",
		"a AND b":            "write 'and' in lower case",
		"a == 'x' Or b":      "write 'or' in lower case",
		"NOT a":              "write 'not' in lower case",
		"a IN b":             "write 'in' in lower case",
		"a eq b":             "write == ('eq' is not an operator)",
		"a contains 'x'":     "write 'part' in whole ('contains' is not an operator)",
		"a not contains 'x'": "write 'part' not in whole ('not contains' is not an operator)",
		"a not gt 5":         "write <= ('not gt' is not an operator)",
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

// TestRemainderHints checks the hints for common mistakes in tags.
func TestRemainderHints(t *testing.T) {
	for source, want := range map[string]string{
		"{{ Cape Town }}":                     "a name has no spaces; text needs no braces, and within a tag it needs quotes",
		`{{ x|date:“Y” }}`:                    `write straight quotes (' or ")`,
		`{{ x|default:"{{ y }}" }}`:           "within a tag, write the name of a variable without braces",
		"{% if {{ x }} %}{% endif %}":         "within a tag, write the name of a variable without braces",
		"{% if a=='b' %}{% endif %}":          "comparisons need a space on both sides, and are allowed in {% if %} only",
		"{% if a='b' %}{% endif %}":           "write == to compare, with a space on both sides",
		"{% if a!=='b' %}{% endif %}":         "write != (=== and !== are JavaScript)",
		"{% if a&&b %}{% endif %}":            "write 'and' (&& is JavaScript)",
		"{% if !a %}{% endif %}":              "write 'not' (! is JavaScript)",
		"{{ user.groups[0].name }}":           "write .0 for [0]",
		"{{ user['name'] }}":                  "write .key for ['key']",
		"{% if a in ['x', 'y'] %}{% endif %}": "templates have no lists: compare with each value, and join the comparisons with 'or'",
		"{% if (a or b) and c %}{% endif %}":  "templates have no parentheses: put one {% if %} into another instead",
		"{% if len(a) > 5 %}{% endif %}":      "write value|length",
		`{{ created|date("Y-m-d") }}`:         "write the filter's argument after a colon, as in value|filter:argument",
		"{{ name.replace('a', 'b') }}":        "templates call no functions with arguments: use a filter",
		"{{ name || 'x' }}":                   "write a value for what is missing or empty as in name|default:'value'",
		"{{ name or 'x' }}":                   "write a value for what is missing or empty as in name|default:'value'",
		"{{ name ?? 'x' }}":                   "write a value for what is missing or empty as in name|default:'value'",
		"{{ user->name }}":                    "write . for ->",
		"{{!-- comment --}}":                  "write a comment as {# comment #}",
		"{{! comment }}":                      "write a comment as {# comment #}",
		"{{#if a}}x{{/if}}":                   "write {% if name %}…{% else %}…{% endif %}",
		"{{#each items}}x{{/each}}":           "write {% for item in items %}…{% endfor %}",
		"{{{ html }}}":                        "write two braces, as in {{ name }}",
		"{{- name -}}":                        "write {{ name }} without dashes",
		"{{ $name }}":                         "write the name alone, as in {{ name }}",
		"{{ name.upper() }}":                  "write the name without (): templates call it themselves",
		"{{ user?.name }}":                    "write . for ?.: a missing variable prints nothing",
		"{{ amount - fee }}":                  "templates don't calculate: use the filter add, or computed",
		"{{ amount*100 }}":                    "templates don't calculate: use the filter add, or computed",
		"{{ x|default:'a' 'b' }}":             "",
	} {
		_, err := Parse("main", source, Options{})
		if err == nil {
			t.Errorf("%s: no error", source)
			continue
		}
		if _, hint, _ := strings.Cut(err.Error(), "; "); hint != want {
			t.Errorf("%s: got %v, want the hint %q", source, err, want)
		}
	}
}

// TestFilterHints checks what is suggested for filters that don't exist: only what has the same
// meaning.
func TestFilterHints(t *testing.T) {
	for name, want := range map[string]string{
		"upcase": "write upper", "toUpperCase": "write upper", "Upper": "write upper", "uppper": "write upper", "downcase": "write lower", "defaultt": "write default",
		"strip": "write .strip after the name, as in {{ name.strip }}", "trim": "write .strip after the name, as in {{ name.strip }}",
		"size": "write length", "append": "write the text after the }}", "truncate": "write truncatechars", "truncate_chars": "write truncatechars",
		"strip_html": "write striptags", "nl2br": "write linebreaksbr", "e": "write escape", "raw": "write safe", "capitalize": "write lower|capfirst",
		"round": "write floatformat with the number of digits, as in floatformat:2", "intcomma": "write {% load humanize %} before it",
		// Something else in other languages, or with more than one candidate.
		"times": "", "list": "", "replace": "", "tojson": "", "sum": "", "unsafe": "", "unescape": "", "just": "", "default_filter": "", "x": "",
	} {
		_, err := Parse("main", "{{ x|"+name+" }}", Options{})
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if _, hint, _ := strings.Cut(err.Error(), "; "); hint != want {
			t.Errorf("%s: got %v, want the hint %q", name, err, want)
		}
	}
	for name := range foreignFilters {
		if builtins.filters[name] != nil {
			t.Errorf("%s is a filter of Django", name)
		}
	}
}

// TestUses checks variables with their filters and positions, and remarks.
func TestUses(t *testing.T) {
	template, err := Parse("main", "Grüß {{ user.name|upper }}\n {% if a == b %}{% for x in list %}{{ x }}{{ y|date:z }}{% endfor %}{% endif %}"+
		"{% ifequal c 'd' %}{% endifequal %}{% if e == '{{ f }}' %}{% endif %}", Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Use{
		{"user.name", "upper", 1, 6}, {"a", "", 2, 2}, {"b", "", 2, 2}, {"list", "", 2, 17}, {"y", "date", 2, 43}, {"z", "", 2, 43},
		{"c", "", 2, 80}, {"e", "", 2, 115},
	}
	got := template.Uses()
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	remarks := template.Remarks()
	if len(remarks) != 2 || remarks[0].Message != "Django 5.0 has no {% ifequal %}: write {% if c == 'd' %}" ||
		!strings.HasPrefix(remarks[1].Message, "the text '{{ f }}' is not rendered: ") {
		t.Errorf("got %v", remarks)
	}
}
