// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package spelling

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	words := []string{"deposit_manual", "email", "ljust", "rjust"}
	for word, want := range map[string]string{
		"emial": "email", "EMAIL": "email", "manual-deposit": "deposit_manual", "deposit_manuel": "deposit_manual",
		"email": "", "just": "", "mobile": "", "": "", strings.Repeat("email", 100): "",
	} {
		if got := Nearest(word, words); got != want {
			t.Errorf("%.20q: got %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for words, want := range map[[2]string]int{
		{"upper", "upper"}: 0, {"upper", "uper"}: 1, {"upper", "uppper"}: 1, {"upper", "uqper"}: 1, {"upper", "pupper"}: 1, {"upper", "uppre"}: 1,
		{"safe", "unsafe"}: 2, {"", "abc"}: 3,
	} {
		if got := Distance(words[0], words[1]); got != want {
			t.Errorf("%v: got %d, want %d", words, got, want)
		}
	}
}
