// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ruletest

import "strings"

const (
	// shownLines is how many lines of each text a diff shows.
	shownLines = 10
	// shownLine is how many bytes of a line it shows.
	shownLine = 160
)

// split splits a text into lines, without trailing white space.
func split(text string) []string {
	text = strings.TrimRight(text, " \t\r\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// common returns how many lines two texts have in common at their beginnings.
func common(a, b []string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// firstDifference returns the first line that differs, counted from 1, in both texts.
func firstDifference(want, got string) (line int, expected, actual string) {
	a, b := split(want), split(got)
	n := common(a, b)
	if n < len(a) {
		expected = a[n]
	}
	if n < len(b) {
		actual = b[n]
	}
	return n + 1, expected, actual
}

// diff shows the lines between the common beginning and the common end of two texts.
func diff(want, got string) string {
	a, b := split(want), split(got)
	n := common(a, b)
	a, b = a[n:], b[n:]
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	var out strings.Builder
	show := func(mark string, lines []string) {
		for i, line := range lines {
			if i == shownLines {
				out.WriteString(mark + "…\n")
				return
			}
			if len(line) > shownLine {
				line = strings.ToValidUTF8(line[:shownLine], "") + "…"
			}
			out.WriteString(mark + line + "\n")
		}
	}
	show("- ", a)
	show("+ ", b)
	return strings.TrimSuffix(out.String(), "\n")
}
