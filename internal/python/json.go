// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package python

import (
	"bytes"
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// FromJSON implements json.loads(raw): objects keep their order, a duplicate key keeps its
// first position and its last value, ints have any size, and 1.0 is a float. NaN, Infinity
// and more than 200 levels of nesting are errors. The error is a ValueError with the byte
// offset but without the contents.
func FromJSON(raw []byte) (Value, error) {
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\uFFFD"))
	}
	d := jsonDecoder{src: string(raw), open: make([]Value, 0, min(32, len(raw)/8))}
	v, err := d.value(0)
	if err != nil {
		return nil, err
	}
	d.space()
	if d.pos < len(d.src) {
		return nil, d.fail("end of text")
	}
	return v, nil
}

// jsonDecoder creates values whose texts share the memory of src.
type jsonDecoder struct {
	src string
	pos int
	// open holds the items of the lists, and the keys and values of the dicts, that are
	// being read, so that each is then allocated with its exact size.
	open []Value
}

func (d *jsonDecoder) fail(want string) error {
	return Errorf("ValueError", "invalid JSON: %s expected at byte %d", want, d.pos)
}

func (d *jsonDecoder) space() {
	for d.pos < len(d.src) {
		switch d.src[d.pos] {
		case ' ', '\n', '\r', '\t':
			d.pos++
		default:
			return
		}
	}
}

func (d *jsonDecoder) peek() byte {
	if d.pos < len(d.src) {
		return d.src[d.pos]
	}
	return 0
}

func (d *jsonDecoder) word(w string, v Value) (Value, error) {
	if strings.HasPrefix(d.src[d.pos:], w) {
		d.pos += len(w)
		return v, nil
	}
	return nil, d.fail("a value")
}

func (d *jsonDecoder) value(depth int) (Value, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	d.space()
	switch c := d.peek(); {
	case c == '{':
		return d.object(depth)
	case c == '[':
		return d.array(depth)
	case c == '"':
		s, err := d.text()
		return Str(s), err
	case c == 't':
		return d.word("true", True)
	case c == 'f':
		return d.word("false", False)
	case c == 'n':
		return d.word("null", None)
	case c == '-' || '0' <= c && c <= '9':
		return d.number()
	}
	return nil, d.fail("a value")
}

func (d *jsonDecoder) object(depth int) (Value, error) {
	d.pos++
	d.space()
	if d.peek() == '}' {
		d.pos++
		return &Dict{}, nil
	}
	begin := len(d.open)
	for {
		d.space()
		if d.peek() != '"' {
			return nil, d.fail("a quoted name")
		}
		key, err := d.text()
		if err != nil {
			return nil, err
		}
		d.space()
		if d.peek() != ':' {
			return nil, d.fail("a colon")
		}
		d.pos++
		val, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		d.open = append(d.open, Str(key), val)
		d.space()
		switch d.peek() {
		case ',':
			d.pos++
		case '}':
			d.pos++
			out := newDictOf(d.open[begin:])
			d.open = d.open[:begin]
			return out, nil
		default:
			return nil, d.fail("a comma or closing brace")
		}
	}
}

func (d *jsonDecoder) array(depth int) (Value, error) {
	d.pos++
	d.space()
	if d.peek() == ']' {
		d.pos++
		return &List{}, nil
	}
	begin := len(d.open)
	for {
		val, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		d.open = append(d.open, val)
		d.space()
		switch d.peek() {
		case ',':
			d.pos++
		case ']':
			d.pos++
			out := &List{Items: slices.Clone(d.open[begin:])}
			d.open = d.open[:begin]
			return out, nil
		default:
			return nil, d.fail("a comma or closing bracket")
		}
	}
}

func (d *jsonDecoder) number() (Value, error) {
	start := d.pos
	if d.peek() == '-' {
		d.pos++
	}
	digits := func() bool {
		from := d.pos
		for c := d.peek(); '0' <= c && c <= '9'; c = d.peek() {
			d.pos++
		}
		return d.pos > from
	}
	first := d.pos
	if !digits() {
		return nil, d.fail("a digit")
	}
	if d.src[first] == '0' && d.pos > first+1 {
		d.pos = first + 1
		return nil, d.fail("no digit after a leading zero")
	}
	isFloat := false
	if d.peek() == '.' {
		d.pos++
		isFloat = true
		if !digits() {
			return nil, d.fail("a digit")
		}
	}
	if c := d.peek(); c == 'e' || c == 'E' {
		d.pos++
		isFloat = true
		if c := d.peek(); c == '+' || c == '-' {
			d.pos++
		}
		if !digits() {
			return nil, d.fail("a digit")
		}
	}
	s := d.src[start:d.pos]
	if isFloat {
		f, _ := strconv.ParseFloat(s, 64) // out of range is an infinity, as in Python
		return Float(f), nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return Int(n), nil
	}
	if len(s) > maxDigits+1 {
		return nil, Errorf("ValueError", "invalid JSON: a number of more than %d digits at byte %d", maxDigits, start)
	}
	n, _ := new(big.Int).SetString(s, 10)
	return NewInt(n), nil
}

func (d *jsonDecoder) text() (string, error) {
	d.pos++
	start := d.pos
	for d.pos < len(d.src) {
		switch c := d.src[d.pos]; {
		case c == '"':
			s := d.src[start:d.pos]
			d.pos++
			return s, nil
		case c == '\\':
			return d.escapedText(start)
		case c < ' ':
			return "", d.fail("no control character")
		}
		d.pos++
	}
	return "", d.fail("a closing quote")
}

func (d *jsonDecoder) escapedText(start int) (string, error) {
	out := append([]byte(nil), d.src[start:d.pos]...)
	for d.pos < len(d.src) {
		c := d.src[d.pos]
		switch {
		case c == '"':
			d.pos++
			return string(out), nil
		case c < ' ':
			return "", d.fail("no control character")
		case c != '\\':
			out = append(out, c)
			d.pos++
			continue
		}
		d.pos++
		c = d.peek()
		if c == 'u' {
			r, ok := d.unicodeEscape()
			if !ok {
				return "", d.fail("four hexadecimal digits")
			}
			out = utf8.AppendRune(out, r)
			continue
		}
		i := bytes.IndexByte([]byte(`"\/bfnrt`), c)
		if i < 0 || c == 0 {
			return "", d.fail("an escape")
		}
		out = append(out, "\"\\/\b\f\n\r\t"[i])
		d.pos++
	}
	return "", d.fail("a closing quote")
}

// unicodeEscape reads what follows a backslash: u and four digits, and the
// second half of a surrogate pair. A lone half becomes U+FFFD.
func (d *jsonDecoder) unicodeEscape() (rune, bool) {
	r, ok := d.hex4()
	if !ok {
		return 0, false
	}
	if utf16.IsSurrogate(r) && d.peek() == '\\' && d.pos+1 < len(d.src) && d.src[d.pos+1] == 'u' {
		mark := d.pos
		d.pos++
		second, ok := d.hex4()
		if !ok {
			return 0, false
		}
		if pair := utf16.DecodeRune(r, second); pair != utf8.RuneError {
			return pair, true
		}
		d.pos = mark
	}
	return r, true
}

func (d *jsonDecoder) hex4() (rune, bool) {
	if d.pos+5 > len(d.src) {
		return 0, false
	}
	n, err := strconv.ParseUint(d.src[d.pos+1:d.pos+5], 16, 32)
	if err != nil {
		return 0, false
	}
	d.pos += 5
	return rune(n), true
}

// newDictOf returns a dict of alternating keys, which are texts, and values.
func newDictOf(pairs []Value) *Dict {
	n := len(pairs) / 2
	out := NewDict(n)
	if n > scanMax {
		out.strs = make(map[string]int32, n)
	}
	for i := 0; i < len(pairs); i += 2 {
		// Reuse the key, because boxing its text again would take more memory.
		key := string(pairs[i].(Str))
		if at := out.findStr(key); at >= 0 {
			out.vals[at] = pairs[i+1]
			continue
		}
		if out.strs != nil {
			out.strs[key] = int32(len(out.keys))
		}
		out.keys, out.vals = append(out.keys, pairs[i]), append(out.vals, pairs[i+1])
	}
	return out
}

// Memory of values created from JSON, in bytes, rounded up; measured by TestJSONCost.
const (
	costOfText   = 24  // its header
	costOfNumber = 16  //
	costOfList   = 48  //
	costOfDict   = 80  //
	costOfItem   = 48  // in a list and in jsonDecoder.open
	costOfPair   = 176 // key and value in a dict, with the index of its keys
)

// JSONCost returns, without allocating, what FromJSON would create from a text: how many
// values and keys, and approximately how many bytes of memory they need at most in
// addition to the text. It reads each byte once and does not check the grammar: for
// invalid JSON, it returns at least what FromJSON creates before it fails.
func JSONCost(raw []byte) (values int, bytesOfMemory int64) {
	var cost int64
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"':
			end := i + 1
			for end < len(raw) && raw[end] != '"' {
				if raw[end] == '\\' {
					end++
				}
				end++
			}
			escaped := bytes.IndexByte(raw[i:min(end, len(raw))], '\\') >= 0
			values++
			cost += costOfText
			if escaped { // it is copied into a growing buffer
				cost += 2 * int64(end-i)
			}
			i = end
		case c == '{':
			values++
			cost += costOfDict
		case c == '[':
			values++
			cost += costOfList
		case c == ',':
			cost += costOfItem
		case c == ':':
			cost += costOfPair - costOfItem
		case c == '-' || '0' <= c && c <= '9':
			end := i + 1
			for end < len(raw) && isNumberByte(raw[end]) {
				end++
			}
			values++
			cost += costOfNumber
			if end-i > 18 { // it may not fit into an int64
				cost += 64 + int64(end-i)
			}
			i = end - 1
		case 'a' <= c && c <= 'z': // true, false and null
			values++
			for i+1 < len(raw) && 'a' <= raw[i+1] && raw[i+1] <= 'z' {
				i++
			}
		}
	}
	return values, cost + costOfItem
}

func isNumberByte(c byte) bool {
	return '0' <= c && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}

// Compile-time check that a Dict marshals itself: it has no exported fields, so
// encoding/json would print {}.
var _ json.Marshaler = (*Dict)(nil)

// MarshalJSON returns json.dumps(d, separators=(',', ':'), ensure_ascii=False).
func (d *Dict) MarshalJSON() ([]byte, error) { return AppendJSON(nil, d) }

// AppendJSON appends the value as JSON. Values without a JSON form are a TypeError.
func AppendJSON(dst []byte, v Value) ([]byte, error) { return appendJSON(dst, v, 0) }

func appendJSON(dst []byte, v Value, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	if len(dst) > maxRepr {
		return nil, errTooLong
	}
	var err error
	switch v := v.(type) {
	case NoneType:
		return append(dst, "null"...), nil
	case Bool:
		return strconv.AppendBool(dst, bool(v)), nil
	case Int, *Big:
		return AppendStr(dst, v), nil
	case Float:
		if float64(v)-float64(v) != 0 {
			return nil, Errorf("ValueError", "Out of range float values are not JSON compliant")
		}
		return AppendFloat(dst, float64(v)), nil
	case Str, SafeStr:
		s, _ := AsStr(v)
		b, err := marshalText(s)
		return append(dst, b...), err
	case *List, *Tuple:
		items, _ := Items(nil, v)
		dst = append(dst, '[')
		for i, it := range items {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendJSON(dst, it, depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case *Dict:
		dst = append(dst, '{')
		for i, k := range v.keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			b, err := marshalText(StrOf(k))
			if err != nil {
				return nil, err
			}
			dst = append(append(dst, b...), ':')
			if dst, err = appendJSON(dst, v.vals[i], depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	}
	return nil, Errorf("TypeError", "Object of type %s is not JSON serializable", v.TypeName())
}

func marshalText(s string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(s)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
