// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/python"
)

// Attributes and methods that templates can use and expressions can't: those of classes,
// those that depend on the clock, and those that take no arguments in a template although
// they are made to take some.

// methodsWithArguments are the methods of Python 3.12 that need arguments, by type. Django
// calls a method without any, and if that fails uses "" instead.
var methodsWithArguments = map[string]string{
	"str":       " format_map maketrans translate ",
	"int":       " from_bytes ",
	"float":     " fromhex ",
	"list":      " append extend insert remove ",
	"dict":      " fromkeys pop setdefault ",
	"bytes":     " center count endswith find fromhex index join ljust maketrans partition removeprefix removesuffix replace rfind rindex rjust rpartition startswith translate zfill ",
	"date":      " fromisocalendar fromisoformat fromordinal fromtimestamp strftime ",
	"datetime":  " combine fromisocalendar fromisoformat fromordinal fromtimestamp strftime strptime utcfromtimestamp ",
	"time":      " fromisoformat strftime ",
	"timedelta": "",
	"Decimal": " compare compare_signal compare_total compare_total_mag copy_sign fma from_float logical_and logical_or logical_xor max max_mag min min_mag" +
		" next_toward quantize remainder_near rotate same_quantum scaleb shift ",
	"dict_keys":  " isdisjoint ",
	"dict_items": " isdisjoint ",
}

// typeName returns the type's key in methodsWithArguments.
func typeName(v python.Value) string {
	switch v.(type) {
	case python.SafeStr:
		return "str"
	case python.Bool:
		return "int"
	case *python.DateTime:
		return "datetime"
	case *python.Date:
		return "date"
	case *python.Time:
		return "time"
	case *python.TimeDelta:
		return "timedelta"
	case *python.Decimal:
		return "Decimal"
	}
	return v.TypeName()
}

func needsArguments(v python.Value, name string) bool {
	return !strings.Contains(name, " ") && strings.Contains(methodsWithArguments[typeName(v)], " "+name+" ")
}

// attribute returns an attribute that package python doesn't know. ok is false if there is
// none with the name.
func (c *Context) attribute(v python.Value, name string) (val python.Value, ok bool, err error) {
	switch v := v.(type) {
	case python.Str, python.SafeStr:
		val, err = c.textAttribute(v, name)
	case python.Bytes:
		val, err = c.bytesAttribute(v, name)
	case python.Int, *python.Big, python.Bool:
		val, err = intAttribute(v, name)
	case *python.DateTime:
		val = c.datetimeAttribute(v, name)
	case *python.Date:
		val = c.dateAttribute(v, name)
	case *python.Time:
		switch name {
		case "min":
			val = &python.Time{}
		case "max":
			val = lastTime
		case "resolution":
			val = python.NewTimeDelta(time.Microsecond)
		case "replace":
			val = v
		}
	case *python.TimeDelta:
		switch name {
		case "min":
			val = &python.TimeDelta{Days: -999999999}
		case "max":
			val = &python.TimeDelta{Days: 999999999, Seconds: 86399, Microseconds: 999999}
		case "resolution":
			val = python.NewTimeDelta(time.Microsecond)
		}
	}
	if val != nil || err != nil {
		return val, true, err
	}
	if needsArguments(v, name) {
		return emptyText, true, nil
	}
	return nil, false, nil
}

func (c *Context) textAttribute(v python.Value, name string) (python.Value, error) {
	text, _ := python.AsStr(v)
	switch name {
	case "encode":
		if err := c.meter.Hold(len(text)); err != nil {
			return nil, err
		}
		return python.Bytes(text), c.meter.SpendBytes(len(text), copyNanos)
	case "format":
		if err := c.meter.Hold(len(text)); err != nil {
			return nil, err
		}
		if err := c.meter.SpendBytes(len(text), escapeNanos); err != nil {
			return nil, err
		}
		if !strings.ContainsAny(text, "{}") {
			return v, nil
		}
		return formatWithoutArguments(text)
	}
	return nil, nil //nolint:nilnil // no such attribute
}

// formatWithoutArguments returns text.format(): without arguments, only doubled braces have
// a result.
func formatWithoutArguments(text string) (python.Value, error) {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		ch := text[i]
		switch {
		case ch != '{' && ch != '}':
			out.WriteByte(ch)
			continue
		case i+1 < len(text) && text[i+1] == ch:
			out.WriteByte(ch)
			i++
			continue
		case ch == '}' || i+1 == len(text):
			return nil, python.Errorf("ValueError", "Single '%c' encountered in format string", ch)
		}
		return nil, replacementError(text[i+1:])
	}
	return python.Str(out.String()), nil
}

// replacementError returns the error for a replacement field, which has no argument; the text
// starts after its brace.
func replacementError(text string) error {
	end, inBrackets := 0, false
	for ; end < len(text) && (inBrackets || !strings.ContainsRune("}:!", rune(text[end]))); end++ {
		switch text[end] {
		case '{':
			return python.Errorf("ValueError", "unexpected '{' in field name")
		case '[':
			inBrackets = true
		case ']':
			inBrackets = false
		}
	}
	if end == len(text) {
		return python.Errorf("ValueError", "expected '}' before end of string")
	}
	field, rest := text[:end], text[end:]
	if rest[0] == '!' {
		_, size := utf8.DecodeRuneInString(rest[1:])
		if rest = rest[1+size:]; rest == "" || rest[0] != '}' && rest[0] != ':' {
			return python.Errorf("ValueError", "expected ':' after conversion specifier")
		}
	}
	for depth := 1; depth > 0; rest = rest[1:] {
		if rest == "" {
			return python.Errorf("ValueError", "unmatched '{' in format spec")
		}
		switch rest[0] {
		case '{':
			depth++
		case '}':
			depth--
		}
	}
	if i := strings.IndexAny(field, ".["); i >= 0 {
		field = field[:i]
	}
	if strings.Trim(field, "0123456789") == "" {
		return python.Errorf("IndexError", "Replacement index %s out of range for positional args tuple", field)
	}
	return python.Errorf("KeyError", "%s", python.Repr(python.Str(field)))
}

func intAttribute(v python.Value, name string) (python.Value, error) {
	switch name {
	case "is_integer":
		return python.True, nil
	case "to_bytes":
		switch n, small := python.AsInt(v); {
		case small && n < 0:
			return nil, python.Errorf("OverflowError", "can't convert negative int to unsigned")
		case small && n <= math.MaxUint8:
			return python.Bytes([]byte{byte(n)}), nil
		}
		if n, _ := python.AsBig(v); n.Sign() < 0 {
			return nil, python.Errorf("OverflowError", "can't convert negative int to unsigned")
		}
		return nil, python.Errorf("OverflowError", "int too big to convert")
	}
	return nil, nil //nolint:nilnil // no such attribute
}

// bytesAttribute calls a method of bytes without arguments.
func (c *Context) bytesAttribute(b python.Bytes, name string) (python.Value, error) {
	if err := c.meter.Hold(2 * len(b)); err != nil {
		return nil, err
	}
	if err := c.meter.SpendBytes(len(b), escapeNanos); err != nil {
		return nil, err
	}
	switch name {
	case "decode":
		if !utf8.ValidString(string(b)) {
			return nil, python.Errorf("UnicodeDecodeError", "the bytes are not valid UTF-8")
		}
		return python.Str(b), nil
	case "hex":
		return python.Str(hex.EncodeToString([]byte(b))), nil
	case "capitalize", "expandtabs", "isalnum", "isalpha", "isascii", "isdigit", "islower", "isspace", "istitle", "isupper",
		"lower", "lstrip", "rsplit", "rstrip", "split", "splitlines", "strip", "swapcase", "title", "upper":
	default:
		return nil, nil //nolint:nilnil // no such attribute
	}
	// The methods of text do the same, if everything beyond ASCII is a character without case.
	const private = 0xe000
	runes := make([]rune, len(b))
	for i := range len(b) {
		if runes[i] = rune(b[i]); b[i] >= utf8.RuneSelf || 0x1c <= b[i] && b[i] < ' ' {
			runes[i] += private
		}
	}
	v, _, err := python.CallMethod(&c.meter, python.Str(string(runes)), name, nil)
	if err != nil {
		return nil, err
	}
	toBytes := func(v python.Value) python.Value {
		text, isText := python.AsStr(v)
		if !isText {
			return v
		}
		out := make([]byte, 0, len(text))
		for _, r := range text {
			if r >= private {
				r -= private
			}
			out = append(out, byte(r))
		}
		return python.Bytes(out)
	}
	if l, isList := v.(*python.List); isList {
		for i, item := range l.Items {
			l.Items[i] = toBytes(item)
		}
		return l, nil
	}
	return toBytes(v), nil
}

var lastTime = &python.Time{Hour: 23, Minute: 59, Second: 59, Microsecond: 999999}

func (c *Context) datetimeAttribute(v *python.DateTime, name string) python.Value {
	switch name {
	case "min":
		return &python.DateTime{T: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)}
	case "max":
		return &python.DateTime{T: time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)}
	case "resolution":
		return python.NewTimeDelta(time.Microsecond)
	case "now", "today", "utcnow":
		return &python.DateTime{T: c.Now().Truncate(time.Microsecond)}
	case "replace":
		return v
	case "astimezone": // the system's time zone is UTC
		return &python.DateTime{T: v.T.UTC(), Aware: true}
	case "isocalendar":
		return isoCalendar(v.T)
	case "timetuple":
		dst := -1
		if v.Aware && hasDST(v.T.Location()) {
			if dst = 0; v.T.IsDST() {
				dst = 1
			}
		}
		return structTime(v.T, dst)
	case "utctimetuple":
		return structTime(v.T.UTC(), 0)
	}
	return nil
}

// hasDST reports whether a zone is one of the IANA database, which has rules for daylight
// saving time. Other zones only have an offset.
func hasDST(zone *time.Location) bool {
	return zone != time.UTC && strings.Contains(zone.String(), "/")
}

func (c *Context) dateAttribute(v *python.Date, name string) python.Value {
	switch name {
	case "min":
		return &python.Date{Year: 1, Month: 1, Day: 1}
	case "max":
		return &python.Date{Year: 9999, Month: 12, Day: 31}
	case "resolution":
		return &python.TimeDelta{Days: 1}
	case "today":
		now := c.Now()
		return &python.Date{Year: now.Year(), Month: now.Month(), Day: now.Day()}
	case "replace":
		return v
	case "isocalendar":
		return isoCalendar(time.Date(v.Year, v.Month, v.Day, 0, 0, 0, 0, time.UTC))
	case "timetuple":
		return structTime(time.Date(v.Year, v.Month, v.Day, 0, 0, 0, 0, time.UTC), -1)
	}
	return nil
}

// namedTuple is a tuple of ints whose items are also attributes.
type namedTuple struct {
	name   string
	fields []string
	tuple  *python.Tuple
}

func newNamedTuple(name, fields string, numbers ...int) *namedTuple {
	items := make([]python.Value, len(numbers))
	for i, n := range numbers {
		items[i] = python.Int(n)
	}
	return &namedTuple{name, strings.Fields(fields), python.NewTuple(items...)}
}

func isoCalendar(t time.Time) *namedTuple {
	year, week := t.ISOWeek()
	return newNamedTuple("datetime.IsoCalendarDate", "year week weekday", year, week, int(t.Weekday()+6)%7+1)
}

func structTime(t time.Time, dst int) *namedTuple {
	return newNamedTuple("time.struct_time", "tm_year tm_mon tm_mday tm_hour tm_min tm_sec tm_wday tm_yday tm_isdst",
		t.Year(), int(t.Month()), t.Day(), t.Hour(), t.Minute(), t.Second(), int(t.Weekday()+6)%7, t.YearDay(), dst)
}

// TypeName implements python.Value.
func (n *namedTuple) TypeName() string { return n.name }

// Attr implements python.Object.
func (n *namedTuple) Attr(name string) (python.Value, bool) {
	for i, field := range n.fields {
		if field == name {
			return n.tuple.Items[i], true
		}
	}
	if name == "count" || name == "index" { // they need arguments
		return emptyText, true
	}
	return nil, false
}

// Repr implements python.Object.
func (n *namedTuple) Repr() string {
	var b strings.Builder
	for i, field := range n.fields {
		fmt.Fprintf(&b, ", %s=%s", field, python.Repr(n.tuple.Items[i]))
	}
	return n.name + "(" + b.String()[2:] + ")"
}

// Tuple makes it subscriptable.
func (n *namedTuple) Tuple() *python.Tuple { return n.tuple }

// Len implements python.Sequence.
func (n *namedTuple) Len() int { return len(n.fields) }

// At implements python.Sequence.
func (n *namedTuple) At(i int) python.Value { return n.tuple.Items[i] }
