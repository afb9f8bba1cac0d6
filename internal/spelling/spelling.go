// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package spelling finds the words that misspelled ones were probably meant to be.
package spelling

import (
	"slices"
	"strings"
)

// maxCompared is the longest word that is compared with others, in bytes.
const maxCompared = 100

// Nearest returns the one of words that a misspelled word was probably meant to be:
// the same word except for its case or the order of its parts, or with at most a third of
// its letters changed. It returns an empty string if none is close, or two are equally
// close.
func Nearest(word string, words []string) string {
	if word == "" || len(word) > maxCompared {
		return ""
	}
	lower, parts := strings.ToLower(word), sortedParts(word)
	for _, w := range words {
		if strings.EqualFold(w, word) && w != word {
			return w
		}
	}
	for _, w := range words {
		if w != word && len(parts) > 1 && slices.Equal(sortedParts(w), parts) {
			return w
		}
	}
	best, found, tie := min(2, len(word)/3)+1, "", false
	for _, w := range words {
		switch d := Distance(lower, strings.ToLower(w)); {
		case w == word:
		case d < best:
			best, found, tie = d, w, false
		case d == best && found != "":
			tie = true
		}
	}
	if tie {
		return ""
	}
	return found
}

// sortedParts are the parts of a name, such as deposit_manual, in alphabetical order.
func sortedParts(name string) []string {
	parts := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == '_' || r == '-' || r == ' ' })
	slices.Sort(parts)
	return parts
}

// Distance is how many letters must be inserted, deleted, replaced or swapped with
// their neighbour to make one word of the other. Its cost is the product of their lengths.
func Distance(a, b string) int {
	before, last, this := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		this[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			this[j] = min(last[j]+1, this[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				this[j] = min(this[j], before[j-2]+1)
			}
		}
		before, last, this = last, this, before
	}
	return last[len(b)]
}
