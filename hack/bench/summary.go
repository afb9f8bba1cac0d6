// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// bar is the target of a figure: a minimum or a maximum. The zero value means that there
// is no target.
type bar struct {
	least, most float64
}

func atLeast(x float64) bar { return bar{least: x} }
func atMost(x float64) bar  { return bar{most: x} }

// figure is one line of the summary.
type figure struct {
	What     string    `json:"what"`
	Unit     string    `json:"unit,omitempty"`
	Median   float64   `json:"median"`
	Rounds   []float64 `json:"rounds"`
	AimedAt  string    `json:"aimedAt,omitempty"`
	Met      *bool     `json:"met,omitempty"`
	measured string
}

// report adds a figure to the summary, with the unit after each number.
func (b *bench) report(what string, s sample, unit string, aim bar) {
	f := figure{What: what, Unit: strings.TrimSpace(unit), Median: s.median(), Rounds: s, measured: grouped(s.median()) + unit}
	if len(s) == 0 {
		return
	}
	if len(s) > 1 {
		f.measured += fmt.Sprintf(" (%s–%s)", grouped(slices.Min(s)), grouped(slices.Max(s)))
	}
	var met bool
	switch {
	case aim.least > 0:
		met, f.AimedAt, f.Met = f.Median >= aim.least, "at least "+grouped(aim.least)+unit, &met
	case aim.most > 0:
		met, f.AimedAt, f.Met = f.Median <= aim.most, "at most "+grouped(aim.most)+unit, &met
	}
	b.figures = append(b.figures, f)
}

// grouped formats a number like number, with thousands separators.
func grouped(x float64) string {
	text := number(x)
	if x == math.Trunc(x) {
		text = fmt.Sprintf("%.0f", x)
	}
	whole, fraction, found := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if found {
		whole += "." + fraction
	}
	return whole
}

// summarise prints the summary as the Markdown table of docs/performance.md, and
// writes it as JSON.
func (b *bench) summarise(w io.Writer) error {
	if len(b.figures) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\nSummary, on %s:\n\n| | measured | target | |\n|---|---:|---:|---|\n", b.machine)
	for _, f := range b.figures {
		verdict := ""
		if f.Met != nil {
			verdict = map[bool]string{true: "met", false: "missed"}[*f.Met]
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", f.What, f.measured, f.AimedAt, verdict)
	}
	text, err := json.MarshalIndent(struct {
		Machine machine  `json:"machine"`
		Figures []figure `json:"figures"`
	}{b.machine, b.figures}, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the summary: %w", err)
	}
	if err := os.WriteFile(filepath.Join(b.out, "summary.json"), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the summary: %w", err)
	}
	return nil
}
