// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"reflect"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/internal/python"
)

func TestTrace(t *testing.T) {
	long := strings.Repeat("é", 5000)
	value, err := python.FromJSON([]byte(`{"amount": 500, "currency": "ZAR", "name": "` + long + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	data := value.(*python.Dict)
	for _, test := range []struct {
		source, text, result string
		comparisons          []Comparison
		more                 bool
	}{
		{"", "", "True", nil, false},
		{"{{ amount }} > 1000", "500 > 1000", "False", []Comparison{{"500", ">", "1000", false}}, false},
		{"'{{ currency }}' in ['ZAR', 'USD'] and 1 < {{ amount }} <= 500", "'ZAR' in ['ZAR', 'USD'] and 1 < 500 <= 500", "True", []Comparison{
			{"'ZAR'", "in", "['ZAR', 'USD']", true}, {"1", "<", "500", true}, {"500", "<=", "500", true},
		}, false},
		// Operands that were not evaluated are not in the trace.
		{"'{{ currency }}' == 'USD' and {{ amount }} > 1", "'ZAR' == 'USD' and 500 > 1", "False", []Comparison{{"'ZAR'", "==", "'USD'", false}}, false},
		// A fault has no result, but the text that it is about.
		{"{{ amount }} > 'a'", "500 > 'a'", "", nil, false},
		{"[1, [None]] == {'a': (2,)}", "[1, [None]] == {'a': (2,)}", "False", []Comparison{{"[1, [None]]", "==", "{'a': (2,)}", false}}, false},
	} {
		x, err := Compile("e", test.source, Options{})
		if err != nil {
			t.Fatal(test.source, err)
		}
		trace := Trace{Text: "from before"}
		got := x.Evaluate(t.Context(), data, EvaluateOptions{Trace: &trace})
		if want := x.Evaluate(t.Context(), data, EvaluateOptions{}); !reflect.DeepEqual(got.Send, want.Send) {
			t.Errorf("%s: the trace changed the verdict", test.source)
		}
		if want := (Trace{test.text, test.result, test.comparisons, test.more}); !reflect.DeepEqual(trace, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", test.source, trace, want)
		}
	}
}

// A trace is small, whatever the expression and the data are.
func TestTraceIsBounded(t *testing.T) {
	text := strings.Repeat("é", 40_000)
	value, err := python.FromJSON([]byte(`{"name": "` + text + `", "items": [` + strings.Repeat(`"`+text[:200]+`", `, 500) + `1]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{
		"'{{ name }}' == 'a'",
		"{{ items }} == 1",
		"[x == '{{ name }}' for x in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27," +
			" 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52]]",
	} {
		x, err := Compile("e", source, Options{})
		if err != nil {
			t.Fatal(source, err)
		}
		var trace Trace
		verdict := x.Evaluate(t.Context(), value.(*python.Dict), EvaluateOptions{Trace: &trace})
		if verdict.Fault != nil {
			t.Fatal(source, verdict.Fault)
		}
		size := len(trace.Text) + len(trace.Result)
		for _, c := range trace.Comparisons {
			size += len(c.Left) + len(c.Right)
		}
		if size == 0 || size > maxTracedText+(2*maxTraced+1)*(maxTracedValue+3)+3 {
			t.Errorf("%s: a trace of %d bytes", source[:20], size)
		}
		if trace.More != strings.HasPrefix(source, "[x") {
			t.Errorf("%s: more = %v with %d comparisons", source[:20], trace.More, len(trace.Comparisons))
		}
	}
}
