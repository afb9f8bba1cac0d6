// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"strings"
	"unicode/utf8"
)

// Storable returns a text without what PostgreSQL can't store: NUL and invalid UTF-8,
// which the platform or an author may send. Both databases must give the same answers.
func Storable(text string) string {
	if strings.IndexByte(text, 0) < 0 && utf8.ValidString(text) {
		return text
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// StorableArgs makes all texts among a statement's arguments [Storable], in place.
func StorableArgs(args []any) []any {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			if clean := Storable(text); clean != text {
				args[i] = clean
			}
		}
	}
	return args
}
