// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/term"
	"sigs.k8s.io/yaml"
)

// paint colors text for a terminal. Its zero value does not color.
type paint struct{ on bool }

func (p paint) wrap(code, text string) string {
	if !p.on {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p paint) red(text string) string    { return p.wrap("31", text) }
func (p paint) yellow(text string) string { return p.wrap("33", text) }
func (p paint) green(text string) string  { return p.wrap("32", text) }
func (p paint) bold(text string) string   { return p.wrap("1", text) }

// paint returns how to color the output. NO_COLOR turns colors off.
func (o *options) paint() (paint, error) {
	switch o.color {
	case "always":
		return paint{true}, nil
	case "never":
		return paint{}, nil
	case "auto":
		file, is := o.Out.(*os.File)
		return paint{is && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(file.Fd()))}, nil
	}
	return paint{}, fmt.Errorf("--color must be auto, always or never, not %q", o.color)
}

// encode prints a value as JSON or YAML. It returns false if format is neither.
func encode(out io.Writer, format string, value any) (bool, error) {
	var encoded []byte
	var err error
	switch format {
	case "json":
		encoded, err = json.MarshalIndent(value, "", "  ")
		encoded = append(encoded, '\n')
	case "yaml":
		encoded, err = yaml.Marshal(value)
	default:
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("encoding the output: %w", err)
	}
	_, err = out.Write(encoded)
	return true, err
}

// checkFormat checks the value of -o.
func checkFormat(format string, allowed ...string) error {
	if slices.Contains(allowed, format) {
		return nil
	}
	return fmt.Errorf("-o must be one of %q, not %q", allowed, format)
}
