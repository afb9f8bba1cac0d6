// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"testing"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/python"
)

// conformanceCase is a line of the files in testdata, with simpleeval's answer as recorded
// by hack/conformance.
type conformanceCase struct {
	Expr             string          `json:"expr"`
	Result           json.RawMessage `json:"result"`
	Truth            bool            `json:"truth"`
	Error            string          `json:"error"`
	Nondeterministic bool            `json:"nondeterministic"`
}

func readCases(t testing.TB, path string) []conformanceCase {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []conformanceCase
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var c conformanceCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, c)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestConformance compares results with simpleeval's. A verdict that is True only here is
// always a failure; other differences must be listed in docs/expressions.md. EXPRESSION_CASES
// names a file of other cases, such as those that hack/conformance/make_expressions.py generates.
func TestConformance(t *testing.T) {
	files, err := filepath.Glob("testdata/*.jsonl")
	if file := os.Getenv("EXPRESSION_CASES"); file != "" {
		files = []string{file}
	}
	if err != nil || len(files) == 0 {
		t.Fatal("no case files", err)
	}
	known := map[string]bool{}
	for _, e := range knownDifferences {
		known[e] = true
	}
	for _, file := range files {
		cases := readCases(t, file)
		results, verdicts := 0, 0
		for _, c := range cases {
			v := EvaluateText(context.Background(), c.Expr, Limits{})
			want := c.Error == "" && c.Truth
			if v.Send && !want {
				t.Errorf("%q is True, simpleeval says %s%s", short(c.Expr), c.Error, c.Result)
			}
			sameVerdict := v.Send == want
			sameResult := (v.Fault != nil) == (c.Error != "")
			if sameResult && v.Fault == nil && !c.Nondeterministic {
				sameResult = encoded(v.Result) == canonical(c.Result)
			}
			if sameVerdict {
				verdicts++
			}
			if sameResult {
				results++
			}
			if (!sameVerdict || !sameResult) && !known[c.Expr] {
				got := "fault: " + fmt.Sprint(v.Fault)
				if v.Fault == nil {
					got = encoded(v.Result)
				}
				t.Errorf("%q\n  gives   %s\n  instead %s%s", short(c.Expr), short(got), c.Error, short(canonical(c.Result)))
			}
		}
		t.Logf("%s: of %d cases %d results and %d verdicts agree", file, len(cases), results, verdicts)
	}
}

func short(s string) string {
	if len(s) > 200 {
		return s[:100] + "…" + s[len(s)-60:]
	}
	return s
}

// encoded encodes a value like the case files.
func encoded(v python.Value) string {
	b, err := json.Marshal(encode(v))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func encode(v python.Value) any {
	list := func(items []python.Value) []any {
		out := make([]any, len(items))
		for i, it := range items {
			out[i] = encode(it)
		}
		return out
	}
	switch v := v.(type) {
	case python.NoneType:
		return nil
	case python.Bool:
		return bool(v)
	case python.Int:
		if v <= 1<<53 && v >= -1<<53 {
			return float64(v)
		}
		return map[string]any{"$int": fmt.Sprint(int64(v))}
	case *python.Big:
		return map[string]any{"$int": v.Int().String()}
	case python.Float:
		return map[string]any{"$float": python.FloatRepr(float64(v))}
	case python.Str:
		if n := utf8.RuneCountInString(string(v)); n > 1000 {
			return map[string]any{"$longstr": float64(n)}
		}
		return string(v)
	case Bytes:
		return map[string]any{"$bytes": hex.EncodeToString([]byte(v))}
	case Complex:
		return map[string]any{"$complex": v.Repr()}
	case Ellipsis:
		return map[string]any{"$ellipsis": 1.0}
	case *python.List:
		return list(v.Items)
	case *python.Tuple:
		return map[string]any{"$tuple": list(v.Items)}
	case *python.Set:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = encoded(v.At(i))
		}
		sort.Strings(items)
		return map[string]any{"$set": items}
	case *python.Dict:
		pairs := make([]any, v.Len())
		for i := range pairs {
			k, val := v.At(i)
			pairs[i] = []any{encode(k), encode(val)}
		}
		return map[string]any{"$dict": pairs}
	}
	return map[string]any{"$object": v.TypeName()}
}

func canonical(raw json.RawMessage) string {
	if raw == nil {
		return ""
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(&v); err != nil {
		return err.Error()
	}
	v = canonicalValue(v)
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func canonicalValue(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = canonicalValue(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = canonicalValue(v[k])
		}
		if set, ok := v["$set"].([]any); ok {
			items := make([]string, len(set))
			for i, it := range set {
				b, _ := json.Marshal(it)
				items[i] = string(b)
			}
			sort.Strings(items)
			return map[string]any{"$set": items}
		}
	}
	return v
}

// knownDifferences are faults here but not in simpleeval, for reasons that
// docs/expressions.md lists.
var knownDifferences = []string{
	"2.5 ** 1j", // the last digit of a cosine
	"int.real",  // what isn't called has no further use
	`'\ud800'`,  // text is UTF-8, which has no half characters
	"f'{1j:5}'", // formats of complex numbers
}
