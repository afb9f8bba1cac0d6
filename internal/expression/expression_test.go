// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/python"
)

func dataOf(t testing.TB, raw string) *python.Dict {
	t.Helper()
	v, err := python.FromJSON([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return v.(*python.Dict)
}

func TestEvaluate(t *testing.T) {
	const data = `{"status": "Complete", "tx_type": "credit", "amount": 150000, "fee": -2.5, "total": 12345678901234567890,
		"note": "it's \"quoted\" \\", "empty": "", "null": null, "yes": true, "tags": ["a", "it's"], "user": {"email": "joe@example.com", "groups": [{"name": "user"}]},
		"evil": "' or True or '", "first": "\\", "last": " or True #", "number": "1 or 1"}`
	for _, c := range []struct {
		source string
		send   bool
		fault  string
	}{
		{"", true, ""},
		{" \n ", true, ""},
		{"'{{ status }}' == 'Complete' and '{{ tx_type }}' == 'credit'", true, ""},
		{"'{{ status }}' != '{{ original_document.status }}'", true, ""},
		{"{{ amount }} > 100000", true, ""},
		{"{{ amount }} > 100000 and {{ fee }} < 0", true, ""},
		{"{{ total }} == 12345678901234567890", true, ""},
		{"{{ missing }} > 1000", false, "a value was expected here, not '>' (line 1, column 15)"},
		{"'{{ missing }}' == ''", true, ""},
		{"'{{ null }}' == 'None'", true, ""},
		{"{{ null }} is None and {{ yes }} is True", true, ""},
		{"'it' in '{{ note }}'", true, ""},
		{"'it\\'s' in {{ tags }}", true, ""},
		{"'{{ user.email }}'.endswith('@example.com')", true, ""},
		{"'user' in [{% for g in user.groups %}'{{ g.name }}',{% endfor %}]", true, ""},
		{"{% if amount > 5 %}True{% else %}False{% endif %}", true, ""},
		{"{% if amount < 5 %}True{% else %}False{% endif %}", false, ""},
		{"{% if amount < 5 %}True{% endif %}", false, "there is no expression: nothing came out but white space or a comment"},
		{"{# nothing #}", false, "there is no expression: nothing came out but white space or a comment"},
		{"'{{ evil }}' == 'x'", false, ""},
		{"'{{ first }}' == '{{ last }}'", false, ""},
		{"{{ number }} == 1", false, "data outside of quotes has to be one complete number, text in quotes, True, False, None, list or dict (line 1, column 1)"},
		{"{{ empty }}", false, "there is no expression: nothing came out but white space or a comment"},
		{"1{{ empty }}2 == 12", false, "an operator was expected here, not data (line 1, column 2)"},
		{"'{{ status }}' == foo", false, "'foo' is not defined; text needs quotes, and data braces, as in '{{ foo }}' (line 1, column 19)"},
		{"'a' == 'b' or\nfoo", false, "a value is missing at the end of the line (line 1, column 14)"},
		{"('{{ status }}' == 'b' or\n  foo)", false, "'foo' is not defined (line 2, column 3)"},
		{"{{ amount|add:1 }} == 150001", true, ""},
		{"'{{ status|lower }}' == 'complete'", true, ""},
		{"'{{ status|upper }}' == '{{ \"COMPLETE\" }}'", true, ""},
		{"{{ amount }}/100 == 1500.0", true, ""},
		{"int('{{ amount }}') // 1000 in [150]", true, ""},
		{"{{ amount|floatformat:2 }} == 150000", true, ""},
	} {
		x, err := Compile("rule", c.source, Options{})
		var v Verdict
		if err == nil {
			v = x.Evaluate(context.Background(), dataOf(t, data), EvaluateOptions{})
		} else if v.Fault = err.(*Fault); v.Fault == nil { //nolint:errorlint // documented
			t.Errorf("%q: %v", c.source, err)
		}
		fault := ""
		if v.Fault != nil {
			fault = v.Fault.Error()
		}
		if v.Send != c.send || fault != c.fault {
			t.Errorf("%q is %v, fault %q; want %v, %q", c.source, v.Send, fault, c.send, c.fault)
		}
	}
}

func TestCompileRefusesWhatFailsForAnyData(t *testing.T) {
	for source, want := range map[string]string{
		"'{{ status }}' == ":               "a value is missing at the end (line 1, column 18)",
		"'{{ status }}' = 'x'":             "write == to compare (a single = assigns) (line 1, column 16)",
		"'{{ status }}' === 'x'":           "write == (=== and !== are JavaScript) (line 1, column 16)",
		"'{{ status }}' !== 'x'":           "write != (=== and !== are JavaScript) (line 1, column 16)",
		"'{{ a }}' <> 'x'":                 "write != (<> is SQL) (line 1, column 11)",
		"\n'{{ status }}' && 'x'":          "write 'and' (&& is JavaScript) (line 2, column 16)",
		"{{ a }} || {{ b }}":               "write 'or' (|| is JavaScript) (line 1, column 9)",
		"!{{ user.temporary }}":            "write 'not' before the value ('!' is JavaScript) (line 1, column 1)",
		"{{ user.temporary }} == false":    "write False ('false' is not Python) (line 1, column 25)",
		"{{ a }} > 1 and {{ b }} == true":  "write True ('true' is not Python) (line 1, column 28)",
		"'{{ parent }}' == null":           "write None ('null' is not Python) (line 1, column 19)",
		"{{ a }} AND {{ b }}":              "write 'and' in lower case (line 1, column 9)",
		"{{ a }} > 1 Or {{ b }}":           "write 'or' in lower case (line 1, column 13)",
		"NOT {{ a }}":                      "write 'not' in lower case (line 1, column 1)",
		"NOT ({{ a }})":                    "write 'not' in lower case (line 1, column 1)",
		"'{{ a }}' IN ['x']":               "write 'in' in lower case (line 1, column 11)",
		"{{ a }} ≥ 5":                      "write >= instead of U+2265 (line 1, column 9)",
		"‘{{ a }}’ == 'x'":                 "write straight quotes (') instead of U+2018 (line 1, column 1)",
		"'{{ a }}' == ’x’":                 "write straight quotes (') instead of U+2019 (line 1, column 14)",
		"status == 'Complete'":             "'status' is not defined; text needs quotes, and data braces, as in '{{ status }}' (line 1, column 1)",
		"len('{{ a }}') > 5":               "write {{ name|length }}, the filter of Django (the function 'len' is not defined) (line 1, column 1)",
		"'{{ status }}":                    "this text is never closed: ' is missing (line 1, column 1)",
		"('{{ status }}' == 'x'":           "'(' was never closed (line 1, column 1)",
		"“{{ status }}” == 'x'":            "write straight quotes (' or \") instead of U+201C (line 1, column 1)",
		"'{{ status }}' == 'x' 'é' y":      "an operator was expected here, not 'y' (line 1, column 27)",
		"{{ a }} == {{ b }} {{ c }} 'x' y": "an operator was expected here, not data (line 1, column 20)",
		"'\\{{ x }}'":                      "data can't follow a backslash in a text (line 1, column 2)",
		"{{ x|nope }}":                     "",
		"{% if %}":                         "",
	} {
		_, err := Compile("rule", source, Options{})
		var f *Fault
		if !errors.As(err, &f) {
			t.Errorf("%q: %v", source, err)
			continue
		}
		if want != "" && f.Error() != want {
			t.Errorf("%q: %s, want %s", source, f, want)
		}
		if f.Line == 0 {
			t.Errorf("%q: no place: %s", source, f)
		}
	}
	for _, source := range []string{
		"True", "{{ x }}", "{{ x }} {{ y }}", "'a' {{ x }}", "True or foo", "{{ x }} > 5", "'{{ x }}'", "{% if x %}1 +{% endif %} 2", "{{ a }}{{ b }}",
		"{{ a }} + {{ b }} + {{ c }} + {{ d }} + {{ e }}",
	} {
		if _, err := Compile("rule", source, Options{}); err != nil {
			t.Errorf("%q: %v", source, err)
		}
	}
	if _, err := Compile("rule", strings.Repeat("1 ", 200_000), Options{}); err == nil {
		t.Error("a long source compiles")
	}
}

func TestVariables(t *testing.T) {
	x, err := Compile("rule", "'{{ user.email }}' == 'x' and {{ computed.fee }} > 0", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := x.Variables(); !slices.Equal(got, []string{"computed.fee", "user.email"}) {
		t.Error(got)
	}
	if x, err = Compile("rule", "", Options{}); err != nil || x.Variables() != nil {
		t.Error(err)
	}
}

// TestEmptyDataKeepsItsPosition checks that text around empty data is not joined.
func TestEmptyDataKeepsItsPosition(t *testing.T) {
	for _, source := range []string{
		"{% if 1 %}{% endif %}1{{ x }}2 == 12", `{% if 1 %}{% endif %}'\{{ x }}' or True or '`, "{% if 1 %}{% endif %}no{{ x }}t False",
		"{% if 1 %}1{% endif %}{% firstof x %}0 == 10", "{% if 1 %}1{% endif %}{% filter upper %}{{ x }}{% endfilter %}0 == 10",
	} {
		x, err := Compile("rule", source, Options{})
		if err != nil {
			t.Fatal(err)
		}
		segments, err := x.template.RenderSegments(context.Background(), dataOf(t, `{"x": ""}`), django.RenderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(segments) == 1 {
			t.Errorf("%q: data that is empty has no place", source)
			continue
		}
		if v := x.Evaluate(context.Background(), dataOf(t, `{"x": ""}`), EvaluateOptions{}); v.Send {
			t.Errorf("%q is %s", source, encoded(v.Result))
		}
	}
}

func TestTagsMarkTheirData(t *testing.T) {
	const evil = `{"x": "' or True or '", "list": ["' or True", " or '"], "y": "0 or True"}`
	opts := Options{Template: django.Options{Loader: func(string) (string, bool) { return "{{ x }}", true }}}
	for _, source := range []string{
		"'{% firstof x %}' == 'a'", "'{% cycle x 'b' %}' == 'a'", "'{% include 'other' %}' == 'a'", "'{% filter lower %}{{ x }}{% endfilter %}' == 'a'",
		"'{% with z=x %}{{ z }}{% endwith %}' == 'a'", "'{{ list|join:\"\" }}' == 'a'", "'{{ x|safe }}' == 'a'", "'{{ x|upper }}' == 'a'",
		"'{% for c in x %}{{ c }}{% endfor %}' == 'a'", "'{{ nothing|default:x }}' == 'a'", "'{{ x|default:\"b\" }}' == 'a'", "'{{ x|add:\"'\" }}' == 'a'",
		"'{% if x %}{{ x }}{% endif %}' == 'a'", "'{% autoescape on %}{{ x|safe }}{% endautoescape %}' == 'a'", "'{{ x|truncatechars:30 }}' == 'a'",
		"'{% spaceless %}{{ x }}{% endspaceless %}' == 'a'", "'{% regroup list by x as g %}{{ x }}{% for i in g %}{{ i.grouper }}{% endfor %}' == 'a'",
		"'{% ifchanged x %}{{ x }}{% endifchanged %}' == 'a'", "'{% load i18n %}{% blocktranslate %}{{ x }}{% endblocktranslate %}' == 'a'",
		"'{% load i18n %}{% translate x %}' == 'a'", "{% firstof y %} == 2", "{{ y }} == 2", "{{ y|upper }} == 2", "{% with z=y %}{{ z }}{% endwith %} == 2",
		"{{ y|cut:'0 ' }} == 2", "{{ list }} == 2", "{{ y|default:0 }} == 2", "{% cycle y 1 %} == 2", "{{ y|stringformat:'s' }} == 2", "'{{ x|center:30 }}' == 'a'",
		"'{{ x|wordwrap:3 }}' == 'a'", "'{{ list.0 }}{{ list.1 }}' == 'a'", "'{{ x|slice:\":20\" }}' == 'a'", "'{{ list|first }}{{ list|last }}' == 'a'",
	} {
		x, err := Compile("rule", source, opts)
		if err != nil {
			t.Errorf("%q: %v", source, err)
			continue
		}
		if v := x.Evaluate(context.Background(), dataOf(t, evil), EvaluateOptions{}); v.Send {
			t.Errorf("%q is %s", source, encoded(v.Result))
		}
	}
}

func TestConcurrentEvaluation(t *testing.T) {
	x, err := Compile("rule", "'{{ a }}' == 'x' and {{ b }} in [1, 'y'] {% if c %}or {{ c }}{% endif %}", Options{})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 200 {
				data := dataOf(t, `{"a": "x", "b": "'y'", "c": 0}`)
				want := true
				switch (i + j) % 4 {
				case 0:
					data.SetStr("b", python.Int(1))
				case 1:
					data.SetStr("b", python.Float(2.5))
					want = false
				case 2:
					data.SetStr("b", python.Int(-1))
					data.SetStr("c", python.True)
				}
				if v := x.Evaluate(context.Background(), data, EvaluateOptions{}); v.Send != want {
					t.Errorf("%d: %s", (i+j)%4, verdictText(v))
				}
			}
		})
	}
	group.Wait()
}

func TestDeadline(t *testing.T) {
	x, err := Compile("rule", "[1 for a in 'x'*99 for b in 'x'*99] and True", Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	if v := x.Evaluate(ctx, python.NewDict(0), EvaluateOptions{}); v.Fault == nil || v.Fault.Kind != Cancelled {
		t.Error(verdictText(v))
	}
}

const benchSource = "'{{ status }}' == 'Complete' and '{{ tx_type }}' == 'credit' and {{ amount }} >= 1000 and '{{ currency.code }}' in ['USD', 'EUR']"

const benchData = `{"status": "Complete", "tx_type": "credit", "amount": 5000, "currency": {"code": "EUR"}}`

func BenchmarkEvaluate(b *testing.B) {
	x, err := Compile("rule", benchSource, Options{})
	if err != nil {
		b.Fatal(err)
	}
	data := dataOf(b, benchData)
	b.ReportAllocs()
	for b.Loop() {
		if v := x.Evaluate(context.Background(), data, EvaluateOptions{}); !v.Send {
			b.Fatal(v.Fault)
		}
	}
}

func BenchmarkCompileAndEvaluate(b *testing.B) {
	data := dataOf(b, benchData)
	b.ReportAllocs()
	for b.Loop() {
		x, err := Compile("rule", benchSource, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if v := x.Evaluate(context.Background(), data, EvaluateOptions{}); !v.Send {
			b.Fatal(v.Fault)
		}
	}
}

func BenchmarkEvaluateText(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		EvaluateText(context.Background(), "'Complete' == 'Complete' and 'credit' == 'credit' and 5000 >= 1000 and 'EUR' in ['USD', 'EUR']", Limits{})
	}
}

// Python refuses to print a number of more than 4,300 digits. Such a result
// sends nothing; a comparison with such a number is as good as any other.
func TestResultTooLongToPrint(t *testing.T) {
	for source, send := range map[string]bool{
		"10**4299":       true,
		"10**4300":       false,
		"-(10**4300)":    false,
		"2**100000":      false,
		"2**100000 > 0":  true,
		"10**4300 - 1":   true,
		"10**20 ** 3":    false,
		"[10**4299] and": false,
	} {
		if v := EvaluateText(context.Background(), source, Limits{}); v.Send != send || !send && v.Fault == nil {
			t.Errorf("%s: %v, %v; want %v", source, v.Send, v.Fault, send)
		}
	}
}

// EvaluateText evaluates a text all of which its author wrote.
func EvaluateText(ctx context.Context, text string, limits Limits) Verdict {
	x := &Expression{limits: limits.withDefaults()}
	return x.evaluate(ctx, []django.Segment{{Text: text}}, nil)
}
