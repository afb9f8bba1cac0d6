// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/python"
)

// testCase is one line of testdata: an input with Django's answer.
type testCase struct {
	Name       string            `json:"name"`
	Templates  map[string]string `json:"templates"`
	Main       string            `json:"main"`
	Context    json.RawMessage   `json:"context"`
	Autoescape *bool             `json:"autoescape"`
	Now        string            `json:"now"`
	Expected   *string           `json:"expected"`
	Error      string            `json:"error"`
	Phase      Phase             `json:"phase"`
	Msg        string            `json:"msg"`
}

func (tc *testCase) options(t testing.TB) (Options, RenderOptions, *python.Dict) {
	t.Helper()
	opts := Options{Loader: func(name string) (string, bool) {
		s, ok := tc.Templates[name]
		return s, ok
	}}
	now := time.Date(2024, 5, 17, 14, 30, 45, 0, time.UTC)
	if tc.Now != "" {
		var err error
		if now, err = time.Parse(time.RFC3339Nano, tc.Now); err != nil {
			t.Fatal(err)
		}
	}
	data := python.NewDict(0)
	if len(tc.Context) > 0 {
		v, err := python.FromJSON(tc.Context)
		if err != nil {
			t.Fatalf("%s: %v", tc.Name, err)
		}
		data, _ = decode(t, v).(*python.Dict)
	}
	return opts, RenderOptions{
		Autoescape: tc.Autoescape == nil || *tc.Autoescape,
		Now:        func() time.Time { return now },
	}, data
}

// decode decodes the case files' representation of values that JSON doesn't have.
func decode(t testing.TB, v python.Value) python.Value {
	t.Helper()
	switch v := v.(type) {
	case *python.List:
		for i := range v.Items {
			v.Items[i] = decode(t, v.Items[i])
		}
	case *python.Dict:
		if v.Len() > 0 {
			k, x := v.At(0)
			if name := python.StrOf(k); strings.HasPrefix(name, "$") {
				out, err := decodeSpecial(t, name, x)
				if dt, ok := out.(*python.DateTime); ok && v.Len() > 1 { // aware
					offset, _ := v.GetStr("offset")
					seconds, _ := python.AsInt(offset)
					zone, _ := v.GetStr("tzname")
					y, mo, d := dt.T.Date()
					out = &python.DateTime{Aware: true, T: time.Date(y, mo, d, dt.T.Hour(), dt.T.Minute(), dt.T.Second(), dt.T.Nanosecond(),
						time.FixedZone(python.StrOf(zone), int(seconds)))}
				}
				if err != nil {
					t.Fatalf("%s %s: %v", name, python.Repr(x), err)
				}
				return out
			}
		}
		out := python.NewDict(v.Len())
		for i := range v.Len() {
			k, x := v.At(i)
			if err := out.Set(k, decode(t, x)); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	return v
}

func decodeSpecial(t testing.TB, name string, x python.Value) (python.Value, error) {
	s, _ := python.AsStr(x)
	switch name {
	case "$safe":
		return python.SafeStr(s), nil
	case "$bigint":
		return python.ParseInt(s)
	case "$float":
		if s == "" {
			s = python.StrOf(x)
		}
		f, err := python.ParseFloat(s)
		return python.Float(f), err
	case "$decimal":
		return python.ParseDecimal(s)
	case "$tuple":
		items, err := python.Items(nil, decode(t, x))
		return python.NewTuple(items...), err
	case "$date":
		d, err := time.Parse("2006-01-02", s)
		return &python.Date{Year: d.Year(), Month: d.Month(), Day: d.Day()}, err
	case "$time":
		d, err := time.Parse("15:04:05.999999", s)
		if err != nil {
			d, err = time.Parse("15:04", s)
		}
		return &python.Time{Hour: d.Hour(), Minute: d.Minute(), Second: d.Second(), Microsecond: d.Nanosecond() / 1000}, err
	case "$datetime":
		for _, layout := range []string{"2006-01-02T15:04:05.999999Z07:00", "2006-01-02 15:04:05.999999Z07:00"} {
			if d, err := time.Parse(layout, s); err == nil {
				return &python.DateTime{T: d, Aware: true}, nil
			}
		}
		d, err := time.Parse("2006-01-02T15:04:05.999999", strings.Replace(s, " ", "T", 1))
		return &python.DateTime{T: d}, err
	case "$timedelta":
		if n, err := python.ToFloat(x); err == nil {
			return python.NewTimeDelta(time.Duration(math.Round(n*1e6)) * time.Microsecond), nil
		}
		if d, ok := x.(*python.Dict); ok {
			get := func(key string) int64 {
				v, _ := d.GetStr(key)
				n, _ := python.AsInt(v)
				return n
			}
			total := time.Duration(get("days"))*24*time.Hour + time.Duration(get("seconds"))*time.Second + time.Duration(get("microseconds"))*time.Microsecond
			return python.NewTimeDelta(total), nil
		}
	}
	return nil, fmt.Errorf("unknown encoding %s", name)
}

// run returns the output of a case, or the name of the exception and its phase.
func (tc *testCase) run(t testing.TB) (out string, exception string, phase Phase, err error) {
	opts, ropts, data := tc.options(t)
	tmpl, err := Parse(tc.Main, tc.Templates[tc.Main], opts)
	if err == nil {
		out, err = tmpl.Render(context.Background(), data, ropts)
	}
	if err == nil {
		checkSegments(t, tc, tmpl, data, ropts, out)
		return out, "", "", nil
	}
	var de *Error
	if !errors.As(err, &de) {
		t.Errorf("%s: the error is not an *Error: %v", tc.Name, err)
		return "", err.Error(), "", err
	}
	if errors.Is(err, errPanic) {
		t.Errorf("%s: %v", tc.Name, de.Err)
	}
	var pe *python.Error
	if errors.As(err, &pe) {
		exception = pe.Type
	}
	return "", exception, de.Phase, err
}

// checkSegments checks the guarantees of RenderSegments.
func checkSegments(t testing.TB, tc *testCase, tmpl *Template, data *python.Dict, ropts RenderOptions, want string) {
	t.Helper()
	segments, err := tmpl.RenderSegments(context.Background(), data, ropts)
	if err != nil {
		t.Errorf("%s: segments: %v", tc.Name, err)
		return
	}
	var b strings.Builder
	for i, s := range segments {
		b.WriteString(s.Text)
		if s.Text == "" && !s.Data || i > 0 && segments[i-1].Data == s.Data {
			t.Errorf("%s: segment %d of %v is empty or not merged", tc.Name, i, segments)
		}
	}
	if b.String() != want && !strings.Contains(tc.Templates[tc.Main], "random") && !strings.Contains(tc.Templates[tc.Main], "lorem") {
		t.Errorf("%s: segments %q, render %q", tc.Name, b.String(), want)
	}
}

func readCases(t testing.TB, pattern string) []testCase {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no case files: %v", err)
	}
	var cases []testCase
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(raw))
		lines.Buffer(nil, 1<<22)
		for lines.Scan() {
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			var tc testCase
			if err := json.Unmarshal(lines.Bytes(), &tc); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			tc.Name = strings.TrimSuffix(filepath.Base(file), ".jsonl") + ": " + tc.Name
			cases = append(cases, tc)
		}
	}
	return cases
}

// TestConformance compares every case with Django's answer. DJANGO_CASES names a file of
// further cases, such as those that hack/conformance/make_cases.py generates.
func TestConformance(t *testing.T) {
	cases := readCases(t, "testdata/*.jsonl")
	if file := os.Getenv("DJANGO_CASES"); file != "" {
		cases = readCases(t, file)
	}
	failed := 0
	for i := range cases {
		tc := &cases[i]
		out, exception, phase, err := tc.run(t)
		var diff string
		switch {
		case tc.Expected != nil && err != nil:
			diff = fmt.Sprintf("error %v, want %q", err, *tc.Expected)
		case tc.Expected != nil && out != *tc.Expected:
			diff = fmt.Sprintf("\n  got  %q\n  want %q", out, *tc.Expected)
		case tc.Expected == nil && err == nil:
			diff = fmt.Sprintf("got %q, want %s: %s", out, tc.Error, tc.Msg)
		case tc.Expected == nil && (exception != tc.Error || phase != tc.Phase):
			diff = fmt.Sprintf("got %s in %s (%v), want %s in %s (%s)", exception, phase, err, tc.Error, tc.Phase, tc.Msg)
		}
		if diff != "" && knownDifferences[tc.Name] == "" {
			failed++
			t.Errorf("%s: %q: %s", tc.Name, tc.Templates[tc.Main], diff)
		}
	}
	t.Logf("%d of %d cases agree with Django", len(cases)-failed, len(cases))
}

// knownDifferences are the cases that differ on purpose, with the reason.
var knownDifferences = map[string]string{
	"tags_misc: misc#95": "static and cache load in every Django project, but not in the bare engine that was asked",
	"tags_misc: misc#96": "static and cache load in every Django project, but not in the bare engine that was asked",
}
