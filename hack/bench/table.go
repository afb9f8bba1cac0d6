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
	"text/tabwriter"
)

// table is one table of figures. Each row has one sample for each column.
type table struct {
	// name is the name of its file.
	name  string
	title string
	// what is the heading of the rows' names.
	what    string
	columns []string
	rows    []row
	notes   []string
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
	fmt.Fprintf(w, "\n%s\n\n", t.title)
	columns := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintf(columns, "%s\t%s\t\n", t.what, strings.Join(t.columns, "\t"))
	for _, r := range t.rows {
		fmt.Fprintf(columns, "%s\t", r.name)
		for _, s := range r.samples {
			fmt.Fprintf(columns, "%s\t", s)
		}
		fmt.Fprintln(columns)
	}
	_ = columns.Flush()
	for _, note := range t.notes {
		fmt.Fprintf(w, "  - %s\n", note)
	}
}

// save writes the table as JSON into a directory.
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
	return nil
}
