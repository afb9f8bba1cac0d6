// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command unfold joins the lines of each paragraph in the descriptions of CRDs, which
// controller-gen takes from comments of Go with their line ends: kubectl explain breaks lines
// by itself, and would show every other line ragged. Empty lines and lists stay.
//
// Its arguments are directories of CRDs.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	for _, directory := range os.Args[1:] {
		files, err := filepath.Glob(filepath.Join(directory, "*.yaml"))
		if err == nil && len(files) == 0 {
			err = fmt.Errorf("%s has no CRDs", directory)
		}
		for _, file := range files {
			if err == nil {
				err = unfold(file)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "unfold:", err)
			os.Exit(1)
		}
	}
}

func unfold(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading a CRD: %w", err)
	}
	if err := os.WriteFile(file, []byte(descriptions(string(raw))), 0o600); err != nil {
		return fmt.Errorf("writing a CRD: %w", err)
	}
	return nil
}

// descriptions joins the lines of the descriptions in a CRD, which are block scalars if they
// have several lines.
func descriptions(crd string) string {
	var joined []string
	block := -1 // the indentation of the description that the line belongs to
	for line := range strings.Lines(crd) {
		line = strings.TrimSuffix(line, "\n")
		text := strings.TrimLeft(line, " ")
		indentation := len(line) - len(text)
		switch {
		case block >= 0 && text != "" && indentation <= block:
			block = -1
		case block >= 0 && continues(joined[len(joined)-1], text):
			joined[len(joined)-1] += " " + text
			continue
		}
		if block < 0 && (text == "description: |-" || text == "- description: |-") {
			block = indentation + len(text) - len(strings.TrimPrefix(text, "- "))
		}
		joined = append(joined, line)
	}
	return strings.Join(joined, "\n") + "\n"
}

// continues reports whether a line of a description continues the paragraph of the line
// before.
func continues(before, text string) bool {
	before = strings.TrimSpace(before)
	return before != "" && !strings.HasSuffix(before, "description: |-") && text != "" && !strings.HasPrefix(text, "- ") && !strings.HasPrefix(text, "* ")
}
