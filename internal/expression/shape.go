// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/python"
)

// shape is the author's text with slots for data, which is the input of the lexer. Its
// tokens and trees are cached, because data can't change them.
type shape struct {
	authors []string // the author's texts around the slots, one more than there are slots
	src     string   // joined by slotByte
	tokens  []token
	inside  []insideKind // of each slot
	outside []*slotToken // of each slot, nil for those inside of literals
	fault   *Fault       // of the lexer

	// source and widths locate faults in the template's source if the shape is that of the
	// source: widths are the sizes of the slots there in bytes.
	source string
	widths []int

	// dynamic means that the shape is one of several that renderings resulted in.
	dynamic  bool
	variants atomic.Pointer[[]variant]
}

// variant is the tree for one choice of the classes of data.
type variant struct {
	classes string
	tree    node
	fault   *Fault
}

// variantsKept returns how many trees are cached for the shape. Each takes treeBytes for
// each byte of its source, so at most maxKept bytes of source are cached in total, but
// always at least one tree.
func (s *shape) variantsKept() int {
	if s.dynamic {
		return maxKept / maxShapeSource
	}
	return min(max(maxKept/max(len(s.src), 1), 1), 16)
}

// newShape lexes the author's texts.
func newShape(authors []string) *shape {
	s := &shape{authors: authors}
	lines := make([]string, len(authors))
	for i, a := range authors {
		if !utf8.ValidString(a) {
			s.fault = faultf(SyntaxError, -1, "the expression is not valid UTF-8")
			return s
		}
		if strings.IndexByte(a, slotByte) >= 0 {
			s.fault = faultf(SyntaxError, -1, "the expression holds a NUL character")
			return s
		}
		lines[i] = a
		if strings.IndexByte(a, '\r') >= 0 { // as Python reads its sources
			lines[i] = strings.ReplaceAll(strings.ReplaceAll(a, "\r\n", "\n"), "\r", "\n")
		}
	}
	s.src = strings.Join(lines, string(rune(slotByte)))
	n := len(authors) - 1
	s.inside = make([]insideKind, n)
	s.outside = make([]*slotToken, n)
	l := &lexer{inside: s.inside}
	text := strings.TrimLeftFunc(s.src, python.IsSpace)
	l.base = len(s.src) - len(text)
	l.src = strings.TrimRightFunc(text, python.IsSpace)
	err := l.lex()
	s.tokens = l.tokens
	if err != nil {
		s.fault = faultAt(err, -1)
		return s
	}
	s.note(l.tokens)
	return s
}

// note records the slots outside literals, including those in the fields of f-strings.
func (s *shape) note(tokens []token) {
	var parts func(ps []textPart)
	parts = func(ps []textPart) {
		for _, p := range ps {
			if p.field == nil {
				continue
			}
			if raw, ok := p.field.value.(*unparsed); ok {
				s.note(raw.tokens)
			}
			if p.field.spec != nil {
				parts(p.field.spec.parts)
			}
		}
	}
	for _, t := range tokens {
		if t.slot != nil {
			s.outside[t.slot.index] = t.slot
		}
		if t.str != nil {
			parts(t.str.parts)
		}
	}
}

// tree returns the parsed shape for data of these classes.
func (s *shape) tree(classes []slotClass) (node, *Fault) {
	known := s.variants.Load()
	if known != nil {
		for i := range *known {
			v := &(*known)[i]
			if sameClasses(v.classes, classes) {
				return v.tree, v.fault
			}
		}
	}
	v := variant{}
	key := make([]byte, len(classes))
	own := make([]slotClass, len(classes)) // so that the caller's slice can stay on its stack
	for i, c := range classes {
		key[i], own[i] = byte(c), c
	}
	v.classes = string(key)
	tree, err := parse(s.tokens, own)
	if err != nil {
		v.fault = faultAt(err, -1)
	} else {
		v.tree = tree
	}
	var list []variant
	if known != nil {
		list = append(list, *known...)
		if len(list) >= s.variantsKept() {
			list = list[1:]
		}
	}
	list = append(list, v)
	s.variants.CompareAndSwap(known, &list) // losing a race is fine
	return v.tree, v.fault
}

func sameClasses(key string, classes []slotClass) bool {
	if len(key) != len(classes) {
		return false
	}
	for i, c := range classes {
		if key[i] != byte(c) {
			return false
		}
	}
	return true
}

// locate returns a copy of a fault, which may be shared, with its line and column in the
// template's source.
func (s *shape) locate(f *Fault) *Fault {
	if f.pos < 0 || f.Line > 0 || s.source == "" {
		return f
	}
	pos := f.pos
	slots := strings.Count(s.src[:min(pos, len(s.src))], string(rune(slotByte)))
	for _, w := range s.widths[:slots] {
		pos += w - 1
	}
	out := *f
	out.Line, out.Column = lineColumn(s.source, pos)
	return &out
}

func lineColumn(source string, pos int) (line, column int) {
	before := source[:min(pos, len(source))]
	line = strings.Count(before, "\n") + 1
	return line, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
}

// layout splits output into the author's texts and the data between them.
func layout(segments []django.Segment) (authors, data []string) {
	authors = append(make([]string, 0, len(segments)/2+2), "")
	data = make([]string, 0, len(segments)/2+1)
	afterData := false
	for _, s := range segments {
		last := len(authors) - 1
		switch {
		case !s.Data && s.Text == "":
		case !s.Data:
			if authors[last] == "" {
				authors[last] = s.Text
			} else {
				authors[last] += s.Text
			}
			afterData = false
		case afterData:
			data[len(data)-1] += s.Text
		default:
			data = append(data, s.Text)
			authors = append(authors, "")
			afterData = true
		}
	}
	return authors, data
}

// align finds the slots of a known shape in output that has no marks for empty data. It
// fails if the output has another shape.
func align(authors []string, segments []django.Segment) ([]string, bool) {
	data := make([]string, len(authors)-1)
	at, rest := 0, authors[0] // the author's current text, and the rest of it
	for _, s := range segments {
		text := s.Text
		if !s.Data {
			for text != "" {
				for rest == "" { // the slot that follows was empty
					if at++; at >= len(authors) {
						return nil, false
					}
					rest = authors[at]
				}
				n := min(len(rest), len(text))
				if rest[:n] != text[:n] {
					return nil, false
				}
				rest, text = rest[n:], text[n:]
			}
			continue
		}
		if text == "" {
			continue
		}
		// Data fills the slot that comes next.
		for rest != "" {
			return nil, false
		}
		if at >= len(data) {
			return nil, false
		}
		data[at] += text
		at++
		rest = authors[at]
	}
	for rest == "" && at+1 < len(authors) {
		at++
		rest = authors[at]
	}
	return data, rest == "" && at == len(authors)-1
}
