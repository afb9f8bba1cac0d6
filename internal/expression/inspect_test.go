// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/internal/python"
)

func TestRemarks(t *testing.T) {
	for source, want := range map[string]string{
		"'{{ status }}' == 'Complete'":                             "",
		"'{{ a }}' == 'x' and '{{ b }}' == 'x'":                    "",
		"'{{ a }}' == 'x' or '{{ a }}' == 'y'":                     "",
		"'{{ a|lower }}' == 'x' and '{{ a }}' == 'X'":              "",
		"('{{ a }}' or 'x') == 'x'":                                "",
		"'it' in '{{ note }}'":                                     "",
		"{{ amount }} > 100 and not {{ temporary }}":               "",
		"'{{ a }}' in ['x', 'y']":                                  "",
		"{{ x }} is None":                                          "",
		"' {{ a }} ' == ' x '":                                     "",
		"('{{ a }}' == 'x'\n or '{{ b }}' == 'y')":                 "",
		"'{{ a }}' == 'x';":                                        "",
		"'{{ status }}' == 'Complete' or 'Failed'":                 "1:33 a text by itself is always true: write '{{ status }}' in ['Complete', 'Failed']",
		"'a' and '{{ b }}' == 'x'":                                 "1:1 a text by itself is always true: compare it with something",
		"'{{ a }}' == 'x', '{{ b }}' == 'y'":                       "1:1 a comma makes a tuple, which is always true: write 'and' or 'or'",
		"{{ amount }} > 1,000":                                     "1:1 a comma makes a tuple, which is always true: write 1000 without the comma",
		"{{ amount }} > 2,500,000":                                 "1:1 a comma makes a tuple, which is always true: write 2500000 without the comma",
		"{{ amount }} > 1, 5":                                      "1:1 a comma makes a tuple, which is always true: write 'and' or 'or'",
		"status = 'Complete'":                                      "1:8 a single = assigns: write == to compare",
		"'{{ a }}' == 'x'\n'{{ b }}' == 'y'":                       "2:1 only the first statement counts: join them with 'and' or 'or'",
		"'{{ a }}' == 'x'; '{{ b }}' == 'y'":                       "1:19 only the first statement counts: join them with 'and' or 'or'",
		"'city' == 'Lisbon'":                                       "1:1 both sides are fixed, so that this is the same for every event: a variable needs braces, as in '{{ status }}'",
		"' {{ city }} ' == 'Lisbon'":                               "1:1 the spaces between the quotes and the braces count: write '{{ city }}'",
		"'{{ a }}' in ('x')":                                       "1:14 ('x') is a text, not a list: write ['x']",
		"'{{ a }}' is 'x'":                                         "1:1 'is' asks for the same object: write == to compare",
		"{{ a }} is not 5":                                         "1:1 'is not' asks for the same object: write != to compare",
		"'{{ a }}' == 'x' and '{{ a }}' == 'y'":                    "1:22 comparing a with both 'x' and 'y' is always false: the value can't be both. Write 'or', or 'in' and a list",
		"'{{ b }}' == '1' or '{{ a }}' != 'x' or '{{ a }}' != 'y'": "1:41 comparing a with both 'x' and 'y' is always true: the value always differs from one of them. Write 'and', or 'not in' and a list",
		"'{{ a }}' == 'x' or {{ b }} == null":                      "1:32 write None ('null' is not Python)",
		"{% if '{{ a }}' == 'x' %}True{% endif %}":                 "1:1 the text '{{ a }}' is not rendered: within a tag, write the name of a variable without quotes and braces",
		"{% ifequal a b %}True{% endifequal %}":                    "1:1 Django 5.0 has no {% ifequal %}: write {% if a == b %}",
	} {
		x, err := Compile("rule", source, Options{})
		if err != nil {
			t.Errorf("%q: %v", source, err)
			continue
		}
		var got []string
		for _, r := range x.Inspect().Remarks {
			got = append(got, fmt.Sprintf("%d:%d %s", r.Line, r.Column, r.Message))
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("%q: got\n%s\nwant\n%s", source, strings.Join(got, "\n"), want)
		}
	}
}

func TestInspect(t *testing.T) {
	x, err := Compile("rule", "'{{ status }}' == 'Complete' and ({{ amount }} > 100 or not {{ temporary }}) and\\\n '{{ a|lower }}' not in ['x', -2, None] and '{{ user.first_name }}' and 1 <= {{ n }} < 5", Options{})
	if err != nil {
		t.Fatal(err)
	}
	in := x.Inspect()
	var got []string
	show := func(s Side) string {
		out := s.Path
		if s.Filtered {
			out += "|"
		}
		if s.Quoted {
			out = "'" + out + "'"
		}
		if s.Literal != nil {
			out += python.Repr(s.Literal)
		}
		return fmt.Sprintf("%s@%d:%d", out, s.Line, s.Column)
	}
	for _, c := range in.Comparisons {
		got = append(got, fmt.Sprintf("%d %t: %s %s %s", c.Group, c.And, show(c.Left), c.Operator, show(c.Right)))
	}
	for _, c := range in.Conditions {
		got = append(got, show(c))
	}
	want := []string{
		"1 true: 'status'@1:1 == 'Complete'@1:19",
		"2 false: amount@1:35 > 100@1:50",
		"1 true: 'a|'@2:2 not in ['x', 2, None]@2:25",
		"0 false: 1@2:73 <= n@2:78",
		"0 false: n@2:78 < 5@2:88",
		"temporary@1:61",
		"'user.first_name'@2:45",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(in.Uses) != 6 || in.Uses[3].Path != "a" || in.Uses[3].Filter != "lower" || in.Uses[3].Line != 2 {
		t.Errorf("the uses are %v", in.Uses)
	}
	if empty, _ := Compile("rule", " ", Options{}); len(empty.Inspect().Uses) != 0 {
		t.Error("an empty expression reads something")
	}
}
