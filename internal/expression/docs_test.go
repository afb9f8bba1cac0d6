// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDocs checks the examples in docs/expressions.md.
func TestDocs(t *testing.T) {
	raw, err := os.ReadFile("../../docs/expressions.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	examples := strings.Split(page, "```")[1]
	for _, source := range strings.Split(strings.TrimSpace(examples), "\n") {
		if _, err := Compile("docs", source, Options{}); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
	_, differences, ok := strings.Cut(page, "## Differences")
	if !ok {
		t.Fatal("no differences")
	}
	code := regexp.MustCompile("`([^`]+)`")
	faults := 0
	for _, line := range strings.Split(differences, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || strings.TrimSpace(cells[2]) != "fault" {
			continue
		}
		for _, m := range code.FindAllStringSubmatch(cells[1], -1) {
			faults++
			text := strings.ReplaceAll(m[1], `True\nif`, "True\nif")
			if v := EvaluateText(context.Background(), text, Limits{}); v.Fault == nil {
				t.Errorf("%s is %s", text, encoded(v.Result))
			}
		}
	}
	if faults < 10 {
		t.Errorf("only %d examples of faults", faults)
	}
}
