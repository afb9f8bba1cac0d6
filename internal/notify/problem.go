// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is one mistake in a rule, with its position.
type Problem struct {
	// Field is the path of the field in the rule, such as spec.email.html.
	Field string
	// Line and Column are the position in the field's text, counted from 1; 0 if the
	// mistake has none.
	Line, Column int
	// Message describes the mistake in one sentence.
	Message string
}

// Error describes the problem in one sentence with its position.
func (p Problem) Error() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.Field, p.Message)
	}
	return fmt.Sprintf("%s, line %d, column %d: %s", p.Field, p.Line, p.Column, p.Message)
}

// Text describes the problem without its field, for readers that show the field themselves.
func (p Problem) Text() string {
	if p.Line == 0 {
		return p.Message
	}
	return fmt.Sprintf("line %d, column %d: %s", p.Line, p.Column, p.Message)
}

// Problems are the mistakes of one rule, in the order of its fields.
type Problems []Problem

// Error describes all problems, separated by semicolons.
func (p Problems) Error() string {
	sentences := make([]string, len(p))
	for i := range p {
		sentences[i] = p[i].Error()
	}
	return strings.Join(sentences, "; ")
}

// Sentence returns a message with a full stop, unless it ends in a question mark. It
// returns nothing for an empty message.
func Sentence(message string) string {
	message = strings.TrimRight(strings.TrimSpace(message), ".")
	if message == "" || strings.HasSuffix(message, "?") {
		return message
	}
	return message + "."
}

// Capitalized returns a message that begins with a capital.
func Capitalized(message string) string {
	if message == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(message)
	return string(unicode.ToUpper(first)) + message[size:]
}
