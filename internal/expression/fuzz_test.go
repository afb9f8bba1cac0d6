// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/python"
)

func addCases(f *testing.F) {
	for _, c := range readCases(f, "testdata/sample.jsonl") {
		if len(c.Expr) < 500 {
			f.Add(c.Expr)
		}
	}
	for i, c := range readCases(f, "testdata/cases.jsonl") {
		if i%7 == 0 && len(c.Expr) < 500 {
			f.Add(c.Expr)
		}
	}
}

// FuzzParse checks for panics and positions outside the source.
func FuzzParse(f *testing.F) {
	addCases(f)
	f.Fuzz(func(t *testing.T, source string) {
		s := newShape(strings.Split(source, "\x00"))
		if s.fault != nil {
			if s.fault.pos > len(s.src) {
				t.Errorf("a fault at %d of %d: %s", s.fault.pos, len(s.src), s.fault)
			}
			return
		}
		for _, c := range []slotClass{classOther, classString, classEmpty, classMinus} {
			classes := make([]slotClass, len(s.outside))
			for i := range classes {
				classes[i] = c
			}
			if _, fault := s.tree(classes); fault != nil && fault.pos > len(s.src) {
				t.Errorf("a fault at %d of %d: %s", fault.pos, len(s.src), fault)
			}
		}
	})
}

// FuzzInspect checks for panics, and for remarks outside of the source.
func FuzzInspect(f *testing.F) {
	addCases(f)
	f.Add("# only a comment")
	f.Add("'\xff' == 1")
	f.Add("()")
	f.Add("'{{ a }}' == ('x' or 'y') and {{ b|upper }} in 'x', 'y' or {{ 'c' }} > 1,500.50")
	f.Fuzz(func(t *testing.T, source string) {
		x, err := Compile("rule", source, Options{})
		if err != nil {
			return
		}
		for _, r := range x.Inspect().Remarks {
			if r.Message == "" || r.Line < 1 || r.Line > strings.Count(source, "\n")+1 || r.Column < 1 || r.Column > len(source)+1 {
				t.Errorf("%q: %+v", source, r)
			}
		}
	})
}

// FuzzEvaluate checks for panics and evaluations that take too long.
func FuzzEvaluate(f *testing.F) {
	addCases(f)
	f.Fuzz(func(t *testing.T, text string) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		v := EvaluateText(ctx, text, Limits{})
		if ctx.Err() != nil {
			t.Errorf("%q takes too long", text)
		}
		switch {
		case v.Fault != nil && (v.Send || v.Result != nil):
			t.Errorf("%q has a fault and a result", text)
		case v.Fault == nil && (v.Result == nil || v.Send != truth(v.Result)):
			t.Errorf("%q has no result, or another truth than it", text)
		case v.Fault != nil && v.Fault.Kind == internalError:
			t.Errorf("%q: %s", text, v.Fault)
		}
		if v.Result != nil {
			python.StrOf(v.Result)
		}
	})
}

// FuzzSegments checks that data in quotes is only text, and that data outside quotes is a
// literal or a fault.
func FuzzSegments(f *testing.F) {
	for _, a := range attacks {
		for _, x := range a.data {
			f.Add(x, x)
			f.Add(x, " or True #")
		}
	}
	f.Add(`\`, ` or True #`)
	f.Add("a", "b")
	f.Fuzz(func(t *testing.T, a, b string) {
		data := map[string]string{"a": a, "b": b}
		if len(a)+len(b) < 50_000 {
			for _, template := range []string{
				"'{{ a }}' == '{{ b }}'", `"{{ a }}" == "{{ b }}"`, "'''{{ a }}''' == \"\"\"{{ b }}\"\"\"", "'x{{ a }}' == 'x' '{{ b }}' # {{ a }}",
				"'{{ a }}' in ['{{ b }}']", "{'{{ a }}': 1}.get('{{ b }}') == 1",
			} {
				if v := evaluateWith(template, data); v.Fault != nil || v.Send != (a == b) {
					t.Errorf("%q with %q and %q: %s", template, a, b, verdictText(v))
				}
			}
		}
		for _, template := range []string{"r'{{ a }}' == r'{{ b }}'", "f'{{ a }}' == f'{{ b }}'", "b'{{ a }}' == b'{{ b }}'"} {
			if v := evaluateWith(template, data); v.Send && a != b {
				t.Errorf("%q with %q and %q: %s", template, a, b, verdictText(v))
			}
		}
		// No value of a may make this true or refer to a name.
		for _, template := range []string{"False # {{ a }}", "[{{ a }}] == [rand]", "[{{ a }}] == [5000, 5000]", "[{{ a }}, {{ b }}] == [5]", "str({{ a }}) == 'forged' + '{{ b }}'"} {
			v := evaluateWith(template, data)
			if v.Send && (template[0] == 'F' || template[0] == '[') {
				t.Errorf("%q with %q and %q: %s", template, a, b, verdictText(v))
			}
		}
		// Outside quotes, the value is that of the literal, as in the rendered text.
		v := evaluateWith("[{{ a }}]", data)
		if v.Fault == nil && utf8.ValidString(a) {
			flatly := EvaluateText(context.Background(), "["+a+"]", Limits{})
			if flatly.Fault == nil && encoded(flatly.Result) != encoded(v.Result) || flatly.Fault != nil {
				t.Errorf("[%q]: %s, flat %s", a, verdictText(v), verdictText(flatly))
			}
		}
	})
}

// FuzzTemplate renders templates before evaluating them.
func FuzzTemplate(f *testing.F) {
	f.Add("'{{ x }}' == 'a' {% if y %}or {{ y }}{% endif %}", "a", "1")
	f.Add("{{ x }} > {{ y }}", "5", "-1")
	f.Fuzz(func(t *testing.T, source, x, y string) {
		e, err := Compile("rule", source, Options{Template: django.Options{Limits: django.Limits{Steps: 20_000}}})
		if err != nil {
			return
		}
		data := python.NewDict(2)
		data.SetStr("x", python.Str(x))
		data.SetStr("y", python.Str(y))
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		first := e.Evaluate(ctx, data, EvaluateOptions{})
		second := e.Evaluate(ctx, data, EvaluateOptions{})
		random := strings.Contains(source, "rand") || strings.Contains(source, "lorem") || strings.Contains(source, "now")
		if first.Send != second.Send && !random {
			t.Errorf("%q with %q and %q says both: %s, %s", source, x, y, verdictText(first), verdictText(second))
		}
	})
}
