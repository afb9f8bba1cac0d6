// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/meter/metertest"
	"github.com/rehive/extension-operator/internal/python"
)

// TestNewerTags checks the tags and the variable that Django 5.0 lacks, as Django 6.0 documents
// them.
func TestNewerTags(t *testing.T) {
	value, err := python.FromJSON([]byte(`{"q": {"a": "1 & 2", "b": ["x", "é/"], "c": null, "d": 5}, "empty": {}, "items": [1, 2], "x": "top", "n": null, "bad": [1], "none": {"a": null}}`))
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{
		"{% for i in items %}{{ forloop.counter }} of {{ forloop.length }};{% endfor %}": "1 of 2;2 of 2;",
		"{% querystring q %}":             "?a=1+%26+2&amp;b=x&amp;b=%C3%A9%2F&amp;d=5",
		"{% querystring empty x=x y=1 %}": "?x=top&amp;y=1",
		"{% querystring q a=None b=n %}":  "?d=5",
		"{% querystring q empty a='z' b=items d=n as s %}{{ s }}{% autoescape off %}{{ s }}{% endautoescape %}": "?a=z&amp;b=1&amp;b=2?a=z&b=1&b=2",
		"{% querystring q none q %}":  "?b=x&amp;b=%C3%A9%2F&amp;d=5&amp;a=1+%26+2",
		"{% querystring empty %}":     "?",
		"{% querystring %}":           "error: 'querystring' needs an object",
		"{% querystring a=1 q %}":     "error: 'querystring' received some positional",
		"{% querystring q a=1 a=2 %}": "error: 'querystring' received multiple values for a keyword argument",
		"{% querystring bad %}":       "error: querystring requires an object, and bad is none",
		"{% partialdef p %}[{{ x }}]{% endpartialdef %}a{% partial p %}{% partial p %}":                      "a[top][top]",
		"{% partial p %}{% partialdef p inline %}{{ x }}{% endpartialdef p %}":                               "toptop",
		"{% partialdef row %}{{ i }},{% endpartialdef %}{% for i in items %}{% partial row %}{% endfor %}":   "1,2,",
		"{% for i in items %}{% partialdef p inline %}{{ i }}{% endpartialdef %}{% endfor %}{% partial p %}": "12",
		"{% partial nope %}":                                                         "error: Partial 'nope' is not defined in the current template.",
		"{% partialdef %}{% endpartialdef %}":                                        "error: 'partialdef' tag requires a name",
		"{% partialdef a outline %}{% endpartialdef %}":                              "error: The 'inline' argument does not have any parameters",
		"{% partialdef a b c %}{% endpartialdef %}":                                  "error: 'partialdef' tag takes at most 2 arguments",
		"{% partialdef a %}{% endpartialdef b %}":                                    "error: ",
		"{% partialdef a %}{% endpartialdef %}{% partialdef a %}{% endpartialdef %}": "error: Partial 'a' is already defined in the template.",
		"{% partial %}": "error: 'partial' tag requires a single argument",
		"{% partialdef a %}{% partial a %}{% endpartialdef %}{% partial a %}": "error: limit exceeded: templates and blocks are nested more than 50 deep",
	} {
		got := ""
		template, err := Parse("main", source, Options{})
		if err == nil {
			got, err = template.Render(t.Context(), value.(*python.Dict), RenderOptions{Autoescape: true})
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatal(err)
			}
			got = "error: " + e.Msg
		}
		if got != want && (!strings.HasPrefix(want, "error: ") || !strings.HasPrefix(got, want)) {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
	}
	template, err := Parse("main", "{% partialdef p %}{{ item.name }}{% endpartialdef %}{% for item in items %}{% partial p %}{% endfor %}", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if uses := template.Uses(); len(uses) != 1 || uses[0].Path != "items" {
		t.Errorf("uses: %v", uses)
	}
	if variables := template.Variables(); !slices.Equal(variables, []string{"item.name", "items"}) {
		t.Errorf("variables: %q", variables)
	}
}

// TestPartialsAreCharged doubles the work with each level.
func TestPartialsAreCharged(t *testing.T) {
	var source strings.Builder
	for i := range 40 {
		fmt.Fprintf(&source, "{%% partialdef p%d %%}{%% partial p%d %%}{%% partial p%d %%}{%% endpartialdef %%}", i, i+1, i+1)
	}
	template, err := Parse("main", source.String()+"{% partialdef p40 %}{% endpartialdef %}{% partial p0 %}", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := template.Render(t.Context(), python.NewDict(0), RenderOptions{}); !errors.Is(err, ErrLimit) {
		t.Errorf("got %v, want the limit of work", err)
	}
}

// TestQueryStringIsCharged sets a parameter with a long name to an empty list.
func TestQueryStringIsCharged(t *testing.T) {
	template, err := Parse("main", "{% for i in list %}{% querystring q as s %}{% endfor %}{{ s }}", Options{})
	if err != nil {
		t.Fatal(err)
	}
	name := python.Str(strings.Repeat("é/", 30<<10))
	q, data := python.NewDict(1), python.NewDict(2)
	data.Set(python.Str("q"), q)
	data.Set(python.Str("list"), &python.List{Items: slices.Repeat([]python.Value{python.None}, 2000)})
	q.Set(name, &python.List{})
	got, allowed := "", 200*time.Millisecond*time.Duration(metertest.Slowdown)
	took := metertest.MeasureWithin(allowed, func() { got, err = template.Render(t.Context(), data, RenderOptions{}) })
	if err != nil || got != "" || took > allowed {
		t.Errorf("got %q, %v in %s", got, err, took)
	}
}

// TestDocsSaySince compares the table of tags and filters in docs/templates.md with the engine.
func TestDocsSaySince(t *testing.T) {
	page, err := os.ReadFile("../../docs/templates.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## Since when\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var want []string
	add := func(kind string, all []Description) {
		for _, d := range all {
			library, since := d.Library, d.Since
			if since == "" {
				since = "before 5.0"
			}
			if d.Removed != "" {
				since += ", removed in " + d.Removed
			}
			if library != "" {
				library = "`" + library + "`"
			}
			want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s |", d.Name, kind, library, since))
		}
	}
	add("filter", DescribeFilters())
	add("tag", DescribeTags())
	var got []string
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| `") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if !found || !slices.Equal(got, want) {
		t.Errorf("the table in docs/templates.md should be\n%s", strings.Join(want, "\n"))
	}
}
