// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/meter/metertest"
	"github.com/rehive/extension-operator/internal/python"
)

func parseJSON(tb testing.TB, text string) *python.Dict {
	tb.Helper()
	v, err := python.FromJSON([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	d, ok := v.(*python.Dict)
	if !ok {
		tb.Fatalf("%s is not an object", text)
	}
	return d
}

func mapLoader(templates map[string]string) Loader {
	return func(name string) (string, bool) {
		s, ok := templates[name]
		return s, ok
	}
}

func TestErrorPosition(t *testing.T) {
	tests := []struct {
		template     string
		line, column int
		phase        Phase
		msg          string
	}{
		{"a\nb {% if x %}\n", 2, 3, PhaseParse, "Unclosed tag on line 2: 'if'. Looking for one of: elif, else, endif."},
		{"é{{ x|nope }}", 1, 2, PhaseParse, "Invalid filter: 'nope'"},
		{"{% if x %}\n{{ y|upper:1 }}{% endif %}", 2, 1, PhaseParse, "the filter upper takes no argument"},
		{"\n\n  {{ n|first }}", 3, 3, PhaseRender, "TypeError: 'int' object is not subscriptable"},
		{"{% for i in n %}{% endfor %}", 1, 1, PhaseRender, "TypeError: 'int' object is not iterable"},
		{"ab{% include 'inner' %}", 2, 1, PhaseRender, "Invalid filter: 'nope'"},
		{"{{ x|default:missing }}", 1, 1, PhaseRender, "the variable missing, an argument of the filter default, does not exist"},
	}
	loader := mapLoader(map[string]string{"inner": "\n{{ x|nope }}"})
	for _, tt := range tests {
		tmpl, err := Parse("mail", tt.template, Options{Loader: loader})
		if err == nil {
			_, err = tmpl.Render(context.Background(), parseJSON(t, `{"n": 5, "x": ""}`), RenderOptions{})
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: got %v", tt.template, err)
			continue
		}
		if e.Line != tt.line || e.Column != tt.column || e.Phase != tt.phase || e.Msg != tt.msg {
			t.Errorf("%q: got %d:%d %s %q, want %d:%d %s %q", tt.template, e.Line, e.Column, e.Phase, e.Msg, tt.line, tt.column, tt.phase, tt.msg)
		}
	}
}

func TestVariables(t *testing.T) {
	loader := mapLoader(map[string]string{
		"inc":  "{{ a.b }}{{ shared }}{{ forloop.counter }}",
		"base": "{{ title }}{% block x %}{{ inbase }}{% endblock %}",
		"loop": "{{ z }}{% include 'loop' %}",
	})
	tests := []struct {
		template string
		want     []string
	}{
		{"text", []string{}},
		{"{{ computed.fee }}{{ user.email|default:user.id }}", []string{"computed.fee", "user.email", "user.id"}},
		{"{% if a == b and not c.d|length > e %}{% elif f in g %}{% endif %}", []string{"a", "b", "c.d", "e", "f", "g"}},
		{"{% for i in items %}{{ i.name }}{{ forloop.counter }}{{ other }}{% empty %}{{ i }}{% endfor %}", []string{"i", "items", "other"}},
		{"{% with u=user n=u %}{{ u.email }}{{ n }}{% endwith %}{{ u }}", []string{"u", "user"}},
		{"{% now 'Y' as y %}{{ y }}{% if 1 %}{% firstof a b as c %}{{ c }}{% endif %}{{ c }}", []string{"a", "b", "c"}},
		{"{% cycle a 'b' as c %}{{ c }}{% widthratio v m 100 as w %}{{ w }}", []string{"a", "m", "v"}},
		{"{% regroup l by k as g %}{% for x in g %}{{ x.list }}{% endfor %}", []string{"l"}},
		{"{% filter default:x %}{{ y }}{% endfilter %}{% ifchanged z %}{% endifchanged %}", []string{"x", "y", "z"}},
		{"{% include 'inc' %}", []string{"a.b", "forloop.counter", "shared"}},
		{"{% for a in l %}{% include 'inc' with shared=q %}{% endfor %}", []string{"l", "q"}},
		{"{% include 'inc' with a=p only %}", []string{"p"}},
		{"{% include 'loop' with z=1 %}", []string{}},
		{"{% include name %}", []string{Any, "name"}},
		{"{% include 'missing' %}", []string{}},
		{"{% extends 'base' %}{% block x %}{{ mine }}{{ block.super }}{% endblock %}", []string{"inbase", "mine", "title"}},
		{"{% comment %}{{ x }}{% endcomment %}{% verbatim %}{{ y }}{% endverbatim %}{# {{ z }} #}", []string{}},
		{"{{ True }}{{ None }}{{ 5 }}{{ 'x' }}{{ _('y') }}", []string{}},
	}
	for _, tt := range tests {
		tmpl, err := Parse("t", tt.template, Options{Loader: loader})
		if err != nil {
			t.Errorf("%q: %v", tt.template, err)
			continue
		}
		if got := tmpl.Variables(); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.template, got, tt.want)
		}
	}
}

// TestSegments checks that all data is marked, and that the author's text is not.
func TestSegments(t *testing.T) {
	const data = `{"a": "A'", "b": "<b>", "n": 5, "yes": true, "l": ["x", "y'"], "e": ""}`
	tests := []struct{ template, want string }{ // data in ⟦⟧
		{"'{{ a }}' == 'x'", "'⟦A'⟧' == 'x'"},
		{"{{ a }}{{ n }}", "⟦A'5⟧"},
		{"{{ 'lit' }}{{ True }}{{ 5 }}", "litTrue5"},
		{"{{ e|default:'none' }}{{ e|default:a }}{{ a|default:'x' }}", "none⟦A'A'⟧"},
		{"{{ yes|yesno:'is,is not' }}", "is"},
		{"{{ n|add:1 }}", "⟦6⟧"},
		{"{{ 'x'|add:a }}", "⟦xA'⟧"},
		{"{% firstof e 'f' %}{% firstof e a %}", "f⟦A'⟧"},
		{"{% firstof a as x %}{{ x }}{% firstof 'q' as y %}{{ y }}", "⟦A'⟧q"},
		{"{% cycle 'c' a as z %}{% cycle z %}{{ z }}", "c⟦A'A'⟧"},
		{"{% now 'Y' %}", "⟦2023⟧"},
		{"{% widthratio n 10 100 %}", "⟦50⟧"},
		{"{% filter upper %}t{{ a }}s{% endfilter %}", "T⟦A'⟧S"},
		{"{% filter truncatechars:3 %}long{{ a }}{% endfilter %}", "⟦lo…⟧"},
		{"{% filter truncatechars:3 %}long{% endfilter %}", "lo…"},
		{"{% spaceless %} <p> {{ a }} </p> <i> {% endspaceless %}", "<p> ⟦A'⟧ </p><i>"},
		{"{% include 'inc' %}{% include 'inc' with a='lit' %}", "(⟦A'⟧)(lit)"},
		{"['{{ l|join:\"', '\" }}']", "['⟦x⟧', '⟦y'⟧']"},
		{"{{ l|join:b }}", "⟦x<b>y'⟧"},
		{"{% for x in l %}'{{ x }}',{% endfor %}", "'⟦x⟧','⟦y'⟧',"},
		{"{% with v=a w='w' %}{{ v }}{{ w }}{% endwith %}", "⟦A'⟧w"},
		{"{% ifchanged %}t{{ a }}{% endifchanged %}", "t⟦A'⟧"},
		{"{% block q %}t{{ a }}{% endblock %}", "t⟦A'⟧"},
		{"{% extends 'base' %}{% block q %}[{{ block.super }}]{% endblock %}", "[b⟦A'⟧]"},
		{"{% extends 'base' %}{% block q %}[{{ block.super|upper }}]{% endblock %}", "[⟦BA'⟧]"},
		{"{% lorem 2 w %}", "⟦lorem ipsum⟧"},
		{"{% templatetag openblock %}{% verbatim %}{{ a }}{% endverbatim %}", "{%{{ a }}"},
		{"{{ forloop }}{{ l }}{% regroup l by x as g %}{{ g }}", "⟦['x', \"y'\"][GroupedResult(grouper=None, list=['x', \"y'\"])]⟧"},
		{"{% load i18n %}{% blocktranslate %}t {{ a }} u{% endblocktranslate %}", "t ⟦A'⟧ u"},
		{"{% load i18n %}{% translate 'm' %}{% translate a %}", "m⟦A'⟧"},
		{"{% load l10n %}{% localize on %}{{ n }}{% endlocalize %}", "⟦5⟧"},
		{"{% autoescape on %}{{ b }}t{% endautoescape %}", "⟦&lt;b&gt;⟧t"},
	}
	loader := mapLoader(map[string]string{"inc": "({{ a }})", "base": "{% block q %}b{{ a }}{% endblock %}"})
	opts := RenderOptions{Now: func() time.Time { return time.Unix(1.7e9, 0) }}
	for _, tt := range tests {
		tmpl, err := Parse("t", tt.template, Options{Loader: loader})
		if err != nil {
			t.Errorf("%q: %v", tt.template, err)
			continue
		}
		segments, err := tmpl.RenderSegments(context.Background(), parseJSON(t, data), opts)
		if err != nil {
			t.Errorf("%q: %v", tt.template, err)
			continue
		}
		var b strings.Builder
		for _, s := range segments {
			if s.Data {
				b.WriteString("⟦" + s.Text + "⟧")
			} else {
				b.WriteString(s.Text)
			}
		}
		if b.String() != tt.want {
			t.Errorf("%q: got %s, want %s", tt.template, b.String(), tt.want)
		}
	}
}

// TestConcurrentRenders renders one template, with every stateful tag, in many goroutines.
func TestConcurrentRenders(t *testing.T) {
	loader := mapLoader(map[string]string{"base": "{% block x %}{% cycle 'a' 'b' as c %}{% endblock %}", "inc": "{% ifchanged n %}{{ n }}{% endifchanged %}"})
	tmpl, err := Parse("t", `{% extends "base" %}{% block x %}{{ block.super }}{% for i in l %}{% cycle 'x' i %}{% include 'inc' %}{% include name %}{% resetcycle %}{% endfor %}{% endblock %}`, Options{Loader: loader})
	if err != nil {
		t.Fatal(err)
	}
	data := parseJSON(t, `{"l": [1, 2, 3], "n": 5, "name": "inc"}`)
	want, err := tmpl.Render(context.Background(), data, RenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				got, err := tmpl.Render(context.Background(), data, RenderOptions{})
				if err != nil || got != want {
					t.Errorf("got %q, %v, want %q", got, err, want)
					return
				}
				tmpl.Variables()
			}
		})
	}
	wg.Wait()
}

// TestHostile checks that excessive templates and data soon fail with an error.
func TestHostile(t *testing.T) {
	nest := func(n int, open, closing string) string { return strings.Repeat(open, n) + strings.Repeat(closing, n) }
	templates := map[string]string{
		"main":      "",
		"recursive": "{% include 'recursive' %}",
		"double":    "{% include 'double' %}{% include 'double' %}",
		"a":         "{% extends n %}",
	}
	tests := map[string]string{
		"long source":        strings.Repeat("x", 300<<10),
		"many nodes":         strings.Repeat("{{x}}", 30000),
		"deep if":            nest(1000, "{% if 1 %}", "{% endif %}"),
		"deep for":           nest(60, "{% for x in l %}", "{% endfor %}"),
		"long loops":         nest(8, "{% for x in l %}", "{% endfor %}"),
		"printing loops":     strings.Repeat("{% for x in l %}", 4) + strings.Repeat("x", 1000) + strings.Repeat("{% endfor %}", 4),
		"captured loops":     "{% filter upper %}" + strings.Repeat("{% for x in l %}", 4) + strings.Repeat("x", 1000) + strings.Repeat("{% endfor %}", 4) + "{% endfilter %}",
		"recursive include":  "{% include 'recursive' %}",
		"doubling include":   "{% include 'double' %}",
		"dynamic recursion":  "{% include r %}",
		"wide":               "{{ x|ljust:100000000 }}",
		"wider":              "{{ x|center:99999999999999999999 }}",
		"growing":            "{% with a=x|ljust:900000 %}{% for i in l %}{{ a }}{% endfor %}{% endwith %}",
		"doubling":           strings.Repeat("{% with x=x|add:x %}", 40) + "{{ x|length }}" + strings.Repeat("{% endwith %}", 40),
		"format":             "{{ n|stringformat:'0100000000d' }}",
		"many ifs":           "{% if " + strings.Repeat("not ", 50000) + "x %}{% endif %}",
		"many ors":           "{% if " + strings.Repeat("x or ", 50000) + "x %}{% endif %}",
		"many words":         "{% cycle " + strings.Repeat(`"\" `, 50000) + " %}",
		"lorem":              "{% lorem 1000000000 w %}",
		"floatformat":        "{{ n|floatformat:1000000000 }}",
		"super":              "{% extends 'main' %}",
		"numbers":            "{{ " + strings.Repeat("9", 100000) + " }}{{ x.y|add:1 }}{% widthratio 1e308 1e-308 1 %}{{ big }}{% for i in 5 %}{% endfor %}",
		"openings":           strings.Repeat("{{", 100000) + "\n" + strings.Repeat("{%{#", 40000) + "{% if %}",
		"openings and lines": strings.Repeat("{{\n", 80000) + "{% if %}",
	}
	data := parseJSON(t, `{"l": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20], "x": "ab", "n": 5, "r": "recursive", "big": 1e308}`)
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			templates := map[string]string{"main": text, "recursive": templates["recursive"], "double": templates["double"]}
			var err error
			took := metertest.Measure(func() {
				var tmpl *Template
				if tmpl, err = Parse("main", text, Options{Loader: mapLoader(templates)}); err == nil {
					_, err = tmpl.Render(context.Background(), data, RenderOptions{Autoescape: true})
				}
			})
			if err == nil {
				t.Error("no error")
			}
			if errors.Is(err, errPanic) {
				t.Error(err, errors.Unwrap(err))
			}
			if took > 10*time.Second {
				t.Errorf("took %s of CPU time", took)
			}
			if len(err.Error()) > 1<<20 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestDeadline(t *testing.T) {
	tmpl, err := Parse("t", strings.Repeat("{% for a in l %}", 6)+strings.Repeat("{% endfor %}", 6), Options{Limits: Limits{Steps: 1 << 40}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err = tmpl.Render(ctx, parseJSON(t, `{"l": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`), RenderOptions{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := tmpl.Render(ctx, python.NewDict(0), RenderOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("rendering after the deadline: got %v", err)
	}
}

// TestMarksAreSound puts brackets around every text in the data of all cases. None may
// occur in the author's segments, whatever tags and filters do.
func TestMarksAreSound(t *testing.T) {
	rendered, withData := 0, 0
	for _, tc := range readCases(t, "testdata/*.jsonl") {
		opts, ropts, data := tc.options(t)
		tmpl, err := Parse(tc.Main, tc.Templates[tc.Main], opts)
		if err != nil {
			continue
		}
		bracketed, _ := bracket(data).(*python.Dict)
		segments, err := tmpl.RenderSegments(context.Background(), bracketed, ropts)
		if err != nil {
			continue
		}
		rendered++
		for _, s := range segments {
			if s.Data {
				withData++
			} else if strings.ContainsAny(s.Text, "⟪⟫") || strings.Contains(s.Text, "%E2%9F%A") || strings.Contains(s.Text, `\u27E`) {
				t.Errorf("%s: %q: data in the author's text %q", tc.Name, tc.Templates[tc.Main], s.Text)
			}
		}
	}
	if rendered < 1000 || withData < 1000 {
		t.Errorf("only %d cases rendered, with %d pieces of data", rendered, withData)
	}
}

func bracket(v python.Value) python.Value {
	switch v := v.(type) {
	case python.Str:
		return "⟪" + v + "⟫"
	case python.SafeStr:
		return "⟪" + v + "⟫"
	case *python.List:
		out := python.NewList()
		for _, it := range v.Items {
			out.Items = append(out.Items, bracket(it))
		}
		return out
	case *python.Dict:
		out := python.NewDict(v.Len())
		for i := range v.Len() {
			k, x := v.At(i)
			out.SetStr(python.StrOf(k), bracket(x))
		}
		return out
	}
	return v
}
