// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// How many characters of a line an excerpt shows before and after the place of a problem.
const (
	excerptBefore = 60
	excerptAfter  = 40
)

// Excerpt returns a line of a text with its number and, below it, a mark under a column.
// Both are counted from 1, columns in characters. Long lines are shortened, and characters
// that would disturb a terminal are replaced. It returns nothing if the text has no such
// line.
func Excerpt(text string, line, column int) string {
	for i := 1; i < line; i++ {
		_, rest, found := strings.Cut(text, "\n")
		if !found {
			return ""
		}
		text = rest
	}
	if line < 1 || text == "" {
		return ""
	}
	text, _, _ = strings.Cut(text, "\n")
	shown, before := window(strings.TrimSuffix(text, "\r"), max(column, 1)-1)
	number := fmt.Sprintf("%5d", line)
	excerpt := number + " | " + shown
	if column > 0 {
		excerpt += "\n" + strings.Repeat(" ", len(number)) + " | " + strings.Repeat(" ", before) + "^"
	}
	return excerpt
}

// window returns the part of a line around a position, in characters from 0, and how many
// of its characters are before the position.
func window(line string, position int) (shown string, before int) {
	var out strings.Builder
	i := 0
	for _, r := range line {
		switch {
		case i > position+excerptAfter:
			return out.String() + "…", before
		case i < position-excerptBefore:
		default:
			if i == position-excerptBefore && i > 0 {
				r = '…'
			}
			if i < position {
				before++
			}
			out.WriteRune(printable(r))
		}
		i++
	}
	return out.String(), before
}

// Printable replaces the characters of a text, other than line breaks, that would disturb a
// terminal.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		return printable(r)
	}, text)
}

func printable(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case !unicode.IsPrint(r) && r != ' ':
		return '·'
	}
	return r
}

// fieldText returns the text of a field, such as spec.email.html, of a spec.
func fieldText(spec any, field string) string {
	encoded, err := json.Marshal(map[string]any{"spec": spec})
	if err != nil {
		return ""
	}
	var value any
	if json.Unmarshal(encoded, &value) != nil {
		return ""
	}
	for name := range strings.SplitSeq(field, ".") {
		name, language, isItem := strings.Cut(strings.TrimSuffix(name, "]"), "[")
		object, _ := value.(map[string]any)
		if value = object[name]; isItem {
			value = translationOf(value, language)
		}
	}
	text, _ := value.(string)
	return text
}

// translationOf returns the item of a language.
func translationOf(list any, language string) any {
	items, _ := list.([]any)
	for _, item := range items {
		if object, _ := item.(map[string]any); object["language"] == language {
			return object
		}
	}
	return nil
}
