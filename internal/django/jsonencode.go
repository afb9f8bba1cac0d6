// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf16"

	"github.com/rehive/extension-operator/internal/python"
)

// maxJSONDepth bounds nesting.
const maxJSONDepth = 200

// encodeJSON implements json.dumps with Django's encoder: ASCII only, dates and durations
// in ISO form.
func encodeJSON(c *Context, v python.Value) (string, error) {
	var b strings.Builder
	if err := appendJSON(c, &b, v, 0); err != nil {
		return "", err
	}
	return b.String(), nil
}

func appendJSON(c *Context, b *strings.Builder, v python.Value, depth int) error {
	if depth > maxJSONDepth {
		return python.Errorf("RecursionError", "maximum recursion depth exceeded")
	}
	if err := c.Step(1); err != nil {
		return err
	}
	switch v := v.(type) {
	case python.Str:
		return appendJSONText(c, b, string(v))
	case python.SafeStr:
		return appendJSONText(c, b, string(v))
	case *python.List:
		return appendJSONItems(c, b, v.Items, depth)
	case *python.Tuple:
		return appendJSONItems(c, b, v.Items, depth)
	case interface{ Tuple() *python.Tuple }: // a named tuple
		return appendJSONItems(c, b, v.Tuple().Items, depth)
	case *python.Dict:
		return appendJSONDict(c, b, v, depth)
	case *python.DateTime, *python.Date, *python.Time:
		if t, isTime := v.(*python.Time); isTime && t.IsAware() {
			return python.Errorf("ValueError", "JSON can't represent timezone-aware times.")
		}
		b.WriteString(`"` + jsonTime(momentOf(v)) + `"`)
		return nil
	case *python.TimeDelta:
		b.WriteString(`"` + isoDuration(v) + `"`)
		return nil
	case *python.Decimal:
		b.WriteString(`"` + python.StrOf(v) + `"`)
		return nil
	}
	s, ok := jsonScalar(v)
	if !ok {
		return python.Errorf("TypeError", "Object of type %s is not JSON serializable", v.TypeName())
	}
	b.WriteString(s)
	return nil
}

func appendJSONItems(c *Context, b *strings.Builder, items []python.Value, depth int) error {
	b.WriteByte('[')
	for i, item := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := appendJSON(c, b, item, depth+1); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}

func appendJSONDict(c *Context, b *strings.Builder, d *python.Dict, depth int) error {
	b.WriteByte('{')
	for i := range d.Len() {
		key, val := d.At(i)
		name, ok := python.AsStr(key)
		if !ok {
			if name, ok = jsonScalar(key); !ok {
				return python.Errorf("TypeError", "keys must be str, int, float, bool or None, not %s", key.TypeName())
			}
		}
		if i > 0 {
			b.WriteString(", ")
		}
		if err := appendJSONText(c, b, name); err != nil {
			return err
		}
		b.WriteString(": ")
		if err := appendJSON(c, b, val, depth+1); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func jsonScalar(v python.Value) (string, bool) {
	switch v := v.(type) {
	case python.NoneType:
		return "null", true
	case python.Bool:
		if v {
			return "true", true
		}
		return "false", true
	case python.Int, *python.Big:
		return python.StrOf(v), true
	case python.Float:
		switch f := float64(v); {
		case math.IsNaN(f):
			return "NaN", true
		case math.IsInf(f, 1):
			return "Infinity", true
		case math.IsInf(f, -1):
			return "-Infinity", true
		default:
			return python.FloatRepr(f), true
		}
	}
	return "", false
}

func appendJSONText(c *Context, b *strings.Builder, s string) error {
	if n := b.Len() + len(s); n > c.limits.String {
		return c.Grow(n)
	}
	b.WriteByte('"')
	for i, r := range s {
		if i%4096 == 0 && b.Len() > c.limits.String {
			return c.Grow(b.Len())
		}
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ' && r <= '~':
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\f':
			b.WriteString(`\f`)
		case r == '\b':
			b.WriteString(`\b`)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			appendJSONEscape(b, high)
			appendJSONEscape(b, low)
		default:
			appendJSONEscape(b, r)
		}
	}
	b.WriteByte('"')
	return nil
}

func appendJSONEscape(b *strings.Builder, r rune) {
	b.WriteString(`\u`)
	for shift := 12; shift >= 0; shift -= 4 {
		b.WriteByte("0123456789abcdef"[r>>shift&15])
	}
}

// jsonTime returns the ISO form with milliseconds and "Z" for UTC.
func jsonTime(m moment) string {
	s := string(m.appendISO(nil))
	if m.t.Nanosecond() >= 1000 {
		dot := strings.IndexByte(s, '.')
		s = s[:dot+4] + s[dot+7:]
	}
	if m.aware && strings.HasSuffix(s, "+00:00") {
		s = strings.TrimSuffix(s, "+00:00") + "Z"
	}
	return s
}

func isoDuration(d *python.TimeDelta) string {
	sign, days, seconds, micros := "", d.Days, d.Seconds, d.Microseconds
	if days < 0 {
		sign = "-"
		days = -days
		if seconds != 0 || micros != 0 {
			days--
			total := 86400*1_000_000 - seconds*1_000_000 - micros
			seconds, micros = total/1_000_000, total%1_000_000
		}
	}
	fraction := ""
	if micros != 0 {
		fraction = fmt.Sprintf(".%06d", micros)
	}
	return fmt.Sprintf("%sP%dDT%02dH%02dM%02d%sS", sign, days, seconds/3600, seconds/60%60, seconds%60, fraction)
}
