// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"strings"
)

// maxFields is how deeply fields may be nested in the specs of fields: one level.
const maxFields = 2

// fstring parses the contents of an f-string by the rules of Python 3.11: a field can't
// contain backslashes, comments or the string's own quotes (which would have ended it).
type fstring struct {
	*lexer
	src  string
	base int // offset of src in the lexer's source
	pos  int
	raw  bool
}

func (f *fstring) fault(pos int, format string, args ...any) error {
	return f.lexer.fault(f.base+pos, "in the f'…' text: "+format, args...)
}

// parts reads to the end or, in a spec, to the closing brace.
func (f *fstring) parts(depth int) ([]textPart, error) {
	var parts []textPart
	var text strings.Builder
	flush := func(beforeData bool) error {
		if text.Len() == 0 {
			return nil
		}
		s, err := decode(text.String(), f.raw, false, beforeData)
		if err != nil {
			return f.fault(f.pos, "%s", err.Error())
		}
		text.Reset()
		parts = append(parts, textPart{text: s, slot: -1})
		return nil
	}
	for f.pos < len(f.src) {
		c := f.src[f.pos]
		switch {
		case c == '\\' && !f.raw && strings.HasPrefix(f.src[f.pos:], `\N{`):
			end := strings.IndexByte(f.src[f.pos:], '}')
			if end < 0 {
				return nil, f.fault(f.pos, "%s", errEscape.Error())
			}
			text.WriteString(f.src[f.pos : f.pos+end+1])
			f.pos += end + 1
		case c == '\\' && !f.raw && f.pos+1 < len(f.src) && f.src[f.pos+1] != slotByte &&
			f.src[f.pos+1] != '{' && f.src[f.pos+1] != '}':
			text.WriteString(f.src[f.pos : f.pos+2])
			f.pos += 2
		case c == slotByte:
			if err := flush(true); err != nil {
				return nil, err
			}
			parts = append(parts, textPart{slot: f.takeSlot(inFString)})
			f.pos++
		case c == '{' || c == '}':
			if depth == 0 && f.pos+1 < len(f.src) && f.src[f.pos+1] == c {
				text.WriteByte(c)
				f.pos += 2
				continue
			}
			if err := flush(false); err != nil {
				return nil, err
			}
			if c == '}' {
				if depth == 0 {
					return nil, f.fault(f.pos, "a single '}' is not allowed")
				}
				return parts, nil
			}
			if depth >= maxFields {
				return nil, f.fault(f.pos, "braces within braces are nested too deeply")
			}
			more, err := f.field(depth)
			if err != nil {
				return nil, err
			}
			parts = append(parts, more...)
		default:
			text.WriteByte(c)
			f.pos++
		}
	}
	if depth > 0 {
		return nil, f.fault(f.pos, "'}' is missing")
	}
	return parts, flush(false)
}

// field reads {value=!r:spec}. For {value=} it includes the source text.
func (f *fstring) field(depth int) ([]textPart, error) {
	open := f.pos
	f.pos++
	start := f.pos
	if err := f.skipValue(); err != nil {
		return nil, err
	}
	end := f.pos
	slots := f.slot
	value, err := f.value(start, end)
	if err != nil {
		return nil, err
	}
	var parts []textPart
	if f.peek() == '=' {
		f.pos++
		for f.pos < len(f.src) && strings.IndexByte(" \t\n\f\r\v", f.src[f.pos]) >= 0 {
			f.pos++
		}
		for i, s := range strings.Split(f.src[start:f.pos], string(rune(slotByte))) {
			if i > 0 {
				parts = append(parts, textPart{slot: slots + i - 1})
			}
			if s != "" {
				parts = append(parts, textPart{text: s, slot: -1})
			}
		}
	}
	fd := &field{pos: f.lexer.base + f.base + start, value: value}
	if f.peek() == '!' {
		// The conversion must be valid, although the evaluator ignores it.
		if f.pos+1 >= len(f.src) || strings.IndexByte("sra", f.src[f.pos+1]) < 0 {
			return nil, f.fault(f.pos, "after '!' come 's', 'r' or 'a'")
		}
		f.pos += 2
	}
	if f.peek() == ':' {
		f.pos++
		at0 := f.lexer.base + f.base + f.pos
		spec, err := f.parts(depth + 1)
		if err != nil {
			return nil, err
		}
		fd.spec = &joinedNode{at: at(at0), parts: spec}
	}
	if f.peek() != '}' {
		return nil, f.fault(open, "'}' is missing")
	}
	f.pos++
	return append(parts, textPart{slot: -1, field: fd}), nil
}

func (f *fstring) peek() byte {
	if f.pos < len(f.src) {
		return f.src[f.pos]
	}
	return 0
}

// skipValue moves to the character that ends a field's value.
func (f *fstring) skipValue() error {
	var quote string
	var open []byte
	for ; f.pos < len(f.src); f.pos++ {
		c := f.src[f.pos]
		if c == '\\' {
			return f.fault(f.pos, "a backslash is not allowed between braces")
		}
		if quote != "" {
			if strings.HasPrefix(f.src[f.pos:], quote) {
				f.pos += len(quote) - 1
				quote = ""
			}
			continue
		}
		switch c {
		case '\'', '"':
			quote = string(c)
			if strings.HasPrefix(f.src[f.pos:], quote+quote+quote) {
				quote += quote + quote
			}
			f.pos += len(quote) - 1
			continue
		case '(', '[', '{':
			if len(open) >= maxBrackets {
				return f.fault(f.pos, "too many brackets within brackets")
			}
			open = append(open, c)
			continue
		case '#':
			return f.fault(f.pos, "'#' is not allowed between braces")
		}
		if len(open) > 0 {
			if c == ')' || c == ']' || c == '}' {
				if closing(open[len(open)-1]) != c {
					return f.fault(f.pos, "'%c' does not match '%c'", c, open[len(open)-1])
				}
				open = open[:len(open)-1]
			}
			continue
		}
		switch c {
		case '!', '=', '<', '>':
			if f.pos+1 < len(f.src) && f.src[f.pos+1] == '=' {
				f.pos++
				continue
			}
			if c == '<' || c == '>' {
				continue
			}
			return nil
		case ':', '}':
			return nil
		case ')', ']':
			return f.fault(f.pos, "unmatched '%c'", c)
		}
	}
	if quote != "" {
		return f.fault(f.pos, "a text between braces is never closed")
	}
	if len(open) > 0 {
		return f.fault(f.pos, "'%c' was never closed", open[len(open)-1])
	}
	return f.fault(f.pos, "'}' is missing")
}

// value parses the expression between start and end.
func (f *fstring) value(start, end int) (node, error) {
	src := f.src[start:end]
	if strings.Trim(src, " \t\n\f\r\v") == "" {
		return nil, f.fault(start, "there is nothing between the braces")
	}
	sub := &lexer{
		src: src, base: f.lexer.base + f.base + start,
		slot: f.slot, inField: true, inside: f.inside, fieldDepth: f.fieldDepth + 1,
	}
	if sub.fieldDepth > maxFieldDepth {
		return nil, f.fault(start, "texts within texts are nested too deeply")
	}
	if err := sub.lex(); err != nil {
		return nil, err
	}
	f.slot = sub.slot
	return &unparsed{at: at(sub.base), tokens: sub.tokens}, nil
}

// unparsed is the value of a field until the classes of data in its slots are known.
type unparsed struct {
	at
	tokens []token
}
