// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/meter/metertest"
	"github.com/rehive/extension-operator/internal/python"
)

// fuzzLimits are low, so that slow inputs are easy to detect.
var fuzzLimits = Limits{Source: 16 << 10, Nodes: 2000, Steps: 20_000, Output: 64 << 10, String: 64 << 10}

// fuzzTime is far longer than the CPU time that any input may take under fuzzLimits.
const fuzzTime = 3 * time.Second

// cpuTime returns the CPU time that a test used before, on a thread that is its own.
func cpuTime(t *testing.T) time.Duration {
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	return metertest.CPU()
}

func seedTemplates(f *testing.F) {
	f.Helper()
	for i, tc := range readCases(f, "testdata/*.jsonl") {
		if i%7 == 0 || strings.HasPrefix(tc.Name, "tags_") {
			f.Add(tc.Templates[tc.Main])
		}
	}
}

// FuzzLexer checks that tokens cover the source, in order and without loss.
func FuzzLexer(f *testing.F) {
	seedTemplates(f)
	f.Fuzz(func(t *testing.T, src string) {
		if len(src) > fuzzLimits.Source {
			return
		}
		start := cpuTime(t)
		l := newLexer(src)
		at := 0
		for {
			tok, ok := l.next()
			if !ok {
				break
			}
			if int(tok.pos) != at || l.pos <= at {
				t.Fatalf("token at %d up to %d, expected at %d", tok.pos, l.pos, at)
			}
			raw := src[at:l.pos]
			if tok.kind == tokenText && tok.Contents != raw || !strings.Contains(raw, tok.Contents) {
				t.Fatalf("token %q of %q", tok.Contents, raw)
			}
			if want := strings.Count(src[:at], "\n") + 1; tok.Line != want {
				t.Fatalf("token %q on line %d, not %d", raw, tok.Line, want)
			}
			if tok.kind != tokenText && strings.Contains(raw, "\n") {
				t.Fatalf("tag %q contains a line break", raw)
			}
			if tok.kind == tokenBlock {
				_, _ = tok.Split()
			}
			at = l.pos
		}
		if at != len(src) {
			t.Fatalf("stopped at %d of %d", at, len(src))
		}
		if took := metertest.CPU() - start; took > fuzzTime*time.Duration(metertest.Slowdown) {
			t.Fatalf("took %s of CPU time", took)
		}
	})
}

// FuzzParse checks that a template parses or fails with an *Error that has a position.
func FuzzParse(f *testing.F) {
	seedTemplates(f)
	f.Fuzz(func(t *testing.T, src string) {
		start := cpuTime(t)
		tmpl, err := Parse("main", src, Options{Limits: fuzzLimits, Loader: mapLoader(map[string]string{"main": src, "x": "{% block x %}{{ x }}{% endblock %}"})})
		checkError(t, err)
		if err == nil {
			tmpl.Variables()
		}
		if took := metertest.CPU() - start; took > fuzzTime*time.Duration(metertest.Slowdown) {
			t.Fatalf("took %s of CPU time", took)
		}
	})
}

func checkError(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var e *Error
	if !errors.As(err, &e) || e.Msg == "" || e.Phase == "" {
		t.Fatalf("not a proper error: %#v", err)
	}
	if errors.Is(err, errPanic) {
		t.Fatal(e.Err)
	}
}

// FuzzRender checks that rendering ends soon, and that marks don't change the output.
func FuzzRender(f *testing.F) {
	for i, tc := range readCases(f, "testdata/*.jsonl") {
		if i%7 == 0 || strings.HasPrefix(tc.Name, "tags_") {
			f.Add(tc.Templates[tc.Main], string(tc.Context), i%2 == 0)
		}
	}
	now := func() time.Time { return time.Unix(1.7e9, 0) }
	f.Fuzz(func(t *testing.T, src, contextJSON string, autoescape bool) {
		if len(contextJSON) > 64<<10 {
			return
		}
		start := cpuTime(t)
		v, err := python.FromJSON([]byte(contextJSON))
		if err != nil {
			return
		}
		data, ok := v.(*python.Dict)
		if !ok {
			data = python.NewDict(1)
			data.SetStr("v", v)
		}
		before := python.Repr(data)
		tmpl, err := Parse("main", src, Options{Limits: fuzzLimits, Loader: mapLoader(map[string]string{"main": src, "x": "{% block x %}{{ x }}{% endblock %}"})})
		if err != nil {
			checkError(t, err)
			return
		}
		opts := RenderOptions{Autoescape: autoescape, Now: now}
		out, err := tmpl.Render(context.Background(), data, opts)
		checkError(t, err)
		segments, err2 := tmpl.RenderSegments(context.Background(), data, opts)
		checkError(t, err2)
		if took := metertest.CPU() - start; took > fuzzTime*time.Duration(metertest.Slowdown) {
			t.Fatalf("took %s of CPU time", took)
		}
		if python.Repr(data) != before {
			t.Fatal("rendering changed its data")
		}
		if strings.Contains(src, "random") || strings.Contains(src, "lorem") {
			return
		}
		if err == nil && err2 == nil {
			var b strings.Builder
			for _, s := range segments {
				b.WriteString(s.Text)
			}
			if b.String() != out {
				t.Fatalf("segments %q, render %q", b.String(), out)
			}
		}
	})
}
