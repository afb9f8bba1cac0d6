// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"regexp"
	"strings"
)

// addressLike is what the recipient before a comma has if it is meant to be one.
var addressLike = regexp.MustCompile(`(?i)@|mail|address|recipient|<`)

// recipients warns about a comma in a recipient's name, which separates recipients unless the
// name is in quotes.
func (l *linter) recipients(field, source string) {
	// A tag is data, whose commas are none of the author's.
	hidden := tags.ReplaceAllStringFunc(source, func(tag string) string { return strings.Repeat("\x00", len(tag)) })
	start, comma := 0, -1 // of the entry, and the comma before it
	quoted, angled := false, -1
	finish := func(end int) {
		if comma >= 0 && angled >= 0 {
			from := strings.LastIndexAny(hidden[:comma], ",;\n") + 1
			before := strings.TrimSpace(source[from:comma])
			name := strings.TrimSpace(source[start:angled])
			if before != "" && name != "" && !addressLike.MatchString(before) && !strings.Contains(source[from:end], `"`) {
				l.warnAt(field, source, comma, `the comma ends a recipient, so %s is one by itself: write "%s, %s" %s`,
					before, before, name, strings.TrimSpace(source[angled:end]))
			}
		}
		start, comma, angled = end+1, -1, -1
	}
	inside := false // angle brackets
	for i := range len(hidden) {
		switch c := hidden[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			inside, angled = true, i
		case c == '>':
			inside = false
		case inside:
		case c == ',' || c == ';' || c == '\n':
			finish(i)
			if c == ',' {
				comma = i
			}
		}
	}
	finish(len(hidden))
}
