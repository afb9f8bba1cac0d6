// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// source is the source of nodes, for errors.
type source struct{ name, text string }

// at wraps an error with its position, unless it already has one.
func (s *source) at(err error, pos int32, phase Phase) error {
	var placed *Error
	if errors.As(err, &placed) {
		return err
	}
	before := s.text[:min(int(pos), len(s.text))]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	return &Error{Template: s.name, Line: line, Column: column, Phase: phase, Msg: sentence(err), Err: err}
}
