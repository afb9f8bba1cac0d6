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
	"strings"
	"unicode/utf8"
)

// table is one table of figures. Each row has one sample for each column.
type table struct {
	// name is the name of its files.
	name  string
	title string
	// what is the heading of the rows' names.
	what    string
	columns []string
	rows    []row
	// chart is the column that the chart shows.
	chart int
	notes []string
}

type row struct {
	name    string
	samples []sample
}

func (t *table) add(name string, samples ...sample) {
	t.rows = append(t.rows, row{name: name, samples: samples})
}

func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// print writes the table as text.
func (t *table) print(w io.Writer) {
	cells := [][]string{append([]string{t.what}, t.columns...)}
	for _, r := range t.rows {
		line := []string{r.name}
		for _, s := range r.samples {
			line = append(line, s.String())
		}
		cells = append(cells, line)
	}
	widths := make([]int, len(t.columns)+1)
	for _, line := range cells {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	fmt.Fprintf(w, "\n%s\n\n", t.title)
	for _, line := range cells {
		var b strings.Builder
		for i, cell := range line {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString("  " + cell + space)
			} else {
				b.WriteString("   " + space + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	for _, note := range t.notes {
		fmt.Fprintf(w, "  - %s\n", note)
	}
}

// save writes the table as JSON and as a chart into a directory.
func (t *table) save(dir string, m machine) error {
	type figure struct {
		Column string    `json:"column"`
		Median float64   `json:"median"`
		Rounds []float64 `json:"rounds"`
	}
	type line struct {
		Name    string   `json:"name"`
		Figures []figure `json:"figures"`
	}
	content := struct {
		Title   string   `json:"title"`
		Machine machine  `json:"machine"`
		Rows    []line   `json:"rows"`
		Notes   []string `json:"notes,omitempty"`
	}{Title: t.title, Machine: m, Notes: t.notes}
	for _, r := range t.rows {
		l := line{Name: r.name}
		for i, s := range r.samples {
			if median := s.median(); !math.IsNaN(median) {
				l.Figures = append(l.Figures, figure{Column: t.columns[i], Median: median, Rounds: s})
			}
		}
		content.Rows = append(content.Rows, l)
	}
	text, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the table %s: %w", t.name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, t.name+".json"), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the table %s: %w", t.name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, t.name+".svg"), []byte(t.svg()), 0o600); err != nil {
		return fmt.Errorf("drawing the table %s: %w", t.name, err)
	}
	return nil
}
