// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"context"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/django"
)

// checkPartAsData evaluates an expression with a part of it as data. If the evaluator
// accepts it, the result must equal that of the whole expression, unless the part is in
// quotes or a comment and contains special characters.
func checkPartAsData(t *testing.T, text string, i, j int) {
	t.Helper()
	segments := []django.Segment{{Text: text[:i]}, {Text: text[i:j], Data: true}, {Text: text[j:]}}
	x := &Expression{limits: Limits{}.withDefaults()}
	s, data := x.shapeOf(segments)
	if s.fault != nil || len(data) == 0 || i == j && strings.HasSuffix(text[:i], "\r") {
		return
	}
	kind := s.inside[0]
	if kind == inText && strings.ContainsAny(data[0], "'\"\\\r\n\x00") || kind == inComment && strings.ContainsAny(data[0], "\r\n\x00") {
		return
	}
	got := x.evaluate(context.Background(), segments, nil)
	if got.Fault != nil {
		return
	}
	want := EvaluateText(context.Background(), text, Limits{})
	if want.Fault != nil || encoded(got.Result) != encoded(want.Result) {
		t.Errorf("%q with %q as data: %s, flat %s", text, text[i:j], verdictText(got), verdictText(want))
	}
}

func TestAnyPartAsData(t *testing.T) {
	n := 0
	for _, file := range []string{"testdata/sample.jsonl", "testdata/cases.jsonl"} {
		for k, c := range readCases(t, file) {
			if k%3 != 0 || len(c.Expr) > 60 || strings.Contains(c.Expr, "rand") {
				continue
			}
			for i := range len(c.Expr) {
				for j := i; j <= min(i+7, len(c.Expr)); j++ {
					n++
					checkPartAsData(t, c.Expr, i, j)
				}
			}
		}
	}
	t.Logf("%d cuts", n)
}

// FuzzCut does the same with any text.
func FuzzCut(f *testing.F) {
	for i, c := range readCases(f, "testdata/cases.jsonl") {
		if i%11 == 0 && len(c.Expr) < 200 {
			f.Add(c.Expr, len(c.Expr)/3, len(c.Expr)*2/3)
		}
	}
	f.Fuzz(func(t *testing.T, text string, i, j int) {
		if i < 0 || j < i || j > len(text) || !utf8.ValidString(text) || strings.Contains(text, "rand") {
			return
		}
		checkPartAsData(t, text, i, j)
	})
}
