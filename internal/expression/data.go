// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"math"
	"strings"

	"github.com/rehive/extension-operator/internal/meter"
	"github.com/rehive/extension-operator/internal/python"
)

// slotData is the data in one slot.
type slotData struct {
	text  string
	class slotClass    // outside of literals
	value python.Value // outside of literals; without its sign
}

// maxDataNesting limits the nesting of lists in data.
const maxDataNesting = 50

// literal parses one complete literal in data, in the form in which Django prints values: a
// number, a text in quotes, True, False, None, or a list, tuple or dict of those, with
// optional white space around it. Other Python syntax is not accepted (0x10, 1_0, 1e999,
// r'…', f'…', comments, adjacent texts).
func literal(m *meter.Meter, text string) (slotClass, python.Value, bool, error) {
	text = trimBlank(text)
	if text == "" {
		return classEmpty, nil, true, nil
	}
	if strings.IndexByte(text, slotByte) >= 0 {
		return classUnknown, nil, false, nil
	}
	d := dataReader{meter: m, text: text}
	class := classOther
	switch c := text[0]; {
	case c == '-' || c == '+':
		class = classMinus
		if c == '+' {
			class = classPlus
		}
		d.pos++
		if v, ok := d.number(); ok && d.pos == len(text) {
			return class, v, true, nil
		}
		return classUnknown, nil, false, nil
	case isDigit(c) || c == '.':
		class = classNumber
	case c == '\'' || c == '"':
		class = classString
	}
	v, ok := d.value(0)
	return class, v, ok && d.pos == len(text), d.err
}

// trimBlank removes the white space that Python's tokenizer skips.
func trimBlank(s string) string { return strings.Trim(s, " \t\f\r\n") }

type dataReader struct {
	meter *meter.Meter
	text  string
	pos   int
	err   error // of the meter
}

func (d *dataReader) peek() byte {
	if d.pos < len(d.text) {
		return d.text[d.pos]
	}
	return 0
}

func (d *dataReader) space() {
	for d.pos < len(d.text) && strings.IndexByte(" \t\f\r\n", d.text[d.pos]) >= 0 {
		d.pos++
	}
}

func (d *dataReader) value(depth int) (python.Value, bool) {
	if depth > maxDataNesting {
		return nil, false
	}
	if d.err = d.meter.Spend(2); d.err == nil {
		d.err = d.meter.Hold(itemBytes)
	}
	if d.err != nil {
		return nil, false
	}
	switch c := d.peek(); {
	case c == '-' || c == '+':
		d.pos++
		v, ok := d.number()
		if !ok {
			return nil, false
		}
		if c == '-' {
			n, err := python.Neg(v)
			return n, err == nil
		}
		return v, true
	case isDigit(c) || c == '.':
		return d.number()
	case c == '\'' || c == '"':
		return d.string(c)
	case c == '[':
		items, _, ok := d.items(']', depth)
		return &python.List{Items: items}, ok
	case c == '(':
		items, comma, ok := d.items(')', depth)
		return &python.Tuple{Items: items}, ok && (comma || len(items) != 1)
	case c == '{':
		return d.dict(depth)
	}
	for _, w := range [...]struct {
		name  string
		value python.Value
	}{{"True", python.True}, {"False", python.False}, {"None", python.None}} {
		if strings.HasPrefix(d.text[d.pos:], w.name) {
			d.pos += len(w.name)
			return w.value, !isNameByte(d.peek())
		}
	}
	return nil, false
}

// number reads digits, a fraction and an exponent, as printed by str().
func (d *dataReader) number() (python.Value, bool) {
	start := d.pos
	digits := func() int {
		n := d.pos
		for isDigit(d.peek()) {
			d.pos++
		}
		return d.pos - n
	}
	whole := digits()
	isInt := true
	fraction := 0
	if d.peek() == '.' {
		isInt = false
		d.pos++
		fraction = digits()
	}
	if whole+fraction == 0 {
		return nil, false
	}
	if c := d.peek(); c == 'e' || c == 'E' {
		isInt = false
		d.pos++
		if c := d.peek(); c == '+' || c == '-' {
			d.pos++
		}
		if digits() == 0 {
			return nil, false
		}
	}
	text := d.text[start:d.pos]
	if d.err = d.meter.SpendBytes(len(text), numberNanos); d.err != nil {
		return nil, false
	}
	if isNameByte(d.peek()) || d.peek() == '.' || len(text) > maxDigits {
		return nil, false
	}
	if isInt && text[0] == '0' && strings.Trim(text, "0") != "" {
		return nil, false
	}
	v, err := parseNumber(text)
	if f, ok := v.(python.Float); ok && math.IsInf(float64(f), 0) {
		return nil, false
	}
	return v, err == nil
}

func (d *dataReader) string(quote byte) (python.Value, bool) {
	d.pos++
	start := d.pos
	for ; d.pos < len(d.text); d.pos++ {
		switch d.text[d.pos] {
		case '\n', '\r':
			return nil, false
		case '\\':
			d.pos++
			if d.peek() == 'N' || d.peek() == '\n' || d.peek() == '\r' {
				return nil, false
			}
		case quote:
			if d.err = d.meter.SpendBytes(d.pos-start, decodeNanos); d.err != nil {
				return nil, false
			}
			s, err := decode(d.text[start:d.pos], false, false, false)
			d.pos++
			// Two adjacent quotes could begin a triple-quoted text.
			return python.Str(s), err == nil && d.peek() != '\'' && d.peek() != '"'
		}
	}
	return nil, false
}

// items reads up to the closing bracket; comma reports whether the last item was followed
// by one.
func (d *dataReader) items(end byte, depth int) (items []python.Value, comma, ok bool) {
	d.pos++
	for {
		d.space()
		if d.peek() == end {
			d.pos++
			return items, comma, true
		}
		if len(items) > 0 && !comma {
			return nil, false, false
		}
		v, ok := d.value(depth + 1)
		if !ok {
			return nil, false, false
		}
		items = append(items, v)
		d.space()
		if comma = d.peek() == ','; comma {
			d.pos++
		}
	}
}

// decodeNanos is the time for decoding a byte of a text, in nanoseconds.
const decodeNanos = 20

// entry charges for an entry of a dict.
func (d *dataReader) entry(key python.Value) bool {
	n, err := python.Weigh(d.meter, key)
	if err == nil {
		err = d.meter.Hold(python.EntryBytes + 2*n)
	}
	if err == nil {
		err = d.meter.SpendBytes(n+50, hashNanos)
	}
	d.err = err
	return err == nil
}

func (d *dataReader) dict(depth int) (python.Value, bool) {
	d.pos++
	out := python.NewDict(0)
	comma := true
	for {
		d.space()
		if d.peek() == '}' {
			d.pos++
			return out, true
		}
		if !comma {
			return nil, false
		}
		k, ok := d.value(depth + 1)
		if !ok {
			return nil, false
		}
		d.space()
		if d.peek() != ':' {
			return nil, false
		}
		d.pos++
		d.space()
		v, ok := d.value(depth + 1)
		if !ok || !d.entry(k) || out.Set(k, v) != nil {
			return nil, false
		}
		d.space()
		if comma = d.peek() == ','; comma {
			d.pos++
		}
	}
}

// placeData decides whether data is allowed in a slot outside literals, and its class. Data
// that would touch the author's text in a way that changes a token is refused, so the tree
// never depends on more than the class.
func placeData(m *meter.Meter, text string, t *slotToken) (slotData, *Fault) {
	refuse := func(why string) (slotData, *Fault) {
		return slotData{}, faultf(DataRefused, -1, "%s", why)
	}
	class, v, ok, err := literal(m, text)
	if err != nil {
		return slotData{}, faultAt(err, -1)
	}
	if !ok {
		return refuse("data outside of quotes has to be one complete number, text in quotes, True, False, None, list or dict")
	}
	body := trimBlank(text)
	before, after := text, ""
	if body != "" {
		i := strings.Index(text, body)
		before, after = text[:i], text[i+len(body):]
	}
	if !t.brackets {
		if strings.ContainsAny(before, "\r\n") && !t.first && (body != "" || !t.last) ||
			strings.ContainsAny(after, "\r\n") && !t.last {
			return refuse("a line break in data is not allowed here")
		}
		if t.lineStart && (before != "" || body == "") {
			return refuse("data that begins a line can't be empty or begin with a space")
		}
	}
	if t.inField && strings.ContainsAny(text, "'\"\\{}#\r\n") {
		return refuse("data in an f'…' text can't hold quotes, backslashes, braces or line breaks")
	}
	if class == classEmpty {
		if text == "" && !standsAlone(t.prev) && !standsAlone(t.next) {
			return refuse("there is no data between two pieces that must not touch")
		}
		return slotData{text: text, class: class}, nil
	}
	if before == "" && merges(t.prev, body[0]) || after == "" && merges(body[len(body)-1], t.next) {
		return refuse("data outside quotes must be separated from the surrounding text by a space")
	}
	return slotData{text: text, class: class, value: v}, nil
}

// standsAlone reports whether a character is never part of a longer token.
func standsAlone(c byte) bool { return strings.IndexByte(" \t\f\n()[]{},;#", c) >= 0 }

// merges reports whether two adjacent characters, one of them data, might be read as one
// token.
func merges(a, b byte) bool {
	word := func(c byte) bool { return isNameByte(c) || c == '\'' || c == '"' || c == '.' || c == slotByte }
	if a == '\\' || b == '\\' {
		return true
	}
	if b == '.' {
		return isDigit(a) || a == '.' || a == slotByte
	}
	return word(a) && word(b)
}

// insideFault returns why data is not allowed inside a literal of a kind.
func insideFault(text string, kind insideKind) *Fault {
	switch kind {
	case inRaw:
		if strings.ContainsAny(text, "'\"\\\r\n\x00") {
			return faultf(DataRefused, -1, "data in an r'…' text can't hold quotes, backslashes or line breaks")
		}
	case inBytes:
		if strings.ContainsAny(text, "'\"\\\r\n\x00") || strings.IndexFunc(text, func(r rune) bool { return r > 0x7e }) >= 0 {
			return faultf(DataRefused, -1, "data in a b'…' text can hold plain ASCII characters only")
		}
	case inFString:
		if strings.ContainsAny(text, "'\"\\{}\r\n\x00") {
			return faultf(DataRefused, -1, "data in an f'…' text can't hold quotes, backslashes, braces or line breaks")
		}
	}
	return nil
}
