// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/internal/python"
)

// TestDocs renders the examples in docs/templates.md.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/templates.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```json\n")
	raw, rest, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the page has no data")
	}
	value, err := python.FromJSON([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	data, _ := value.(*python.Dict)
	rest, _, _ = strings.Cut(rest, "## Differences from Django")
	rows := regexp.MustCompile("(?m)^\\| `(.+)` \\| `(.*)` \\|$").FindAllStringSubmatch(rest, -1)
	if len(rows) < 50 {
		t.Fatalf("only %d examples found", len(rows))
	}
	for _, row := range rows {
		source, want := strings.ReplaceAll(row[1], `\|`, "|"), row[2]
		tpl, err := Parse("example", source, Options{})
		got := "error"
		if err == nil {
			if out, err := tpl.Render(context.Background(), data, RenderOptions{Autoescape: true}); err == nil {
				got = strings.TrimSpace(out)
			}
		}
		if got != want {
			t.Errorf("%s prints %q, but the page says %q", source, got, want)
		}
	}
}
