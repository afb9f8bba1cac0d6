// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
)

// Messages of Django REST Framework.
const (
	RequiredMessage    = "This field is required."
	NullMessage        = "This field may not be null."
	NotAStringMessage  = "Not a valid string."
	NotABooleanMessage = "Must be a valid boolean."

	blankMessage     = "This field may not be blank."
	notAnInteger     = "A valid integer is required."
	nullCharacters   = "Null characters are not allowed."
	surrogateMessage = "Surrogate characters are not allowed."
)

// Field is one member of a resource's JSON object. Create it with [Char], [Boolean] and so
// on, and refine it with its methods, which return a modified copy.
type Field[T any] struct {
	name        string
	description string

	readOnly, writeOnly bool
	required            bool
	nullable, blank     bool
	maxLength           int
	choices             []string

	// decode stores a JSON value that is not null; clear stores null.
	decode func(f *Field[T], t *T, value json.RawMessage) (message string)
	clear  func(t *T)
	// encode appends the JSON value.
	encode func(f *Field[T], t *T, b []byte) []byte
	schema func(f *Field[T], components openapi3.Schemas) *openapi3.SchemaRef
}

// Name returns the member's name.
func (f Field[T]) Name() string { return f.name }

// ReadOnly marks a field that is ignored in requests.
func (f Field[T]) ReadOnly() Field[T] { f.readOnly = true; return f }

// WriteOnly marks a field that answers omit.
func (f Field[T]) WriteOnly() Field[T] { f.writeOnly = true; return f }

// Required marks a field that a POST or PUT must set.
func (f Field[T]) Required() Field[T] { f.required = true; return f }

// Nullable marks a field that may be null. Answers show an empty text as null.
func (f Field[T]) Nullable() Field[T] { f.nullable = true; return f }

// Blank marks a text field that may be empty.
func (f Field[T]) Blank() Field[T] { f.blank = true; return f }

// MaxLength limits a text field, in characters.
func (f Field[T]) MaxLength(n int) Field[T] { f.maxLength = n; return f }

// Choices limits a text field to the given values.
func (f Field[T]) Choices(choices ...string) Field[T] { f.choices = choices; return f }

// Describe sets the field's description in the OpenAPI document.
func (f Field[T]) Describe(text string) Field[T] { f.description = text; return f }

// Char returns a text field (CharField). As in Django REST Framework, surrounding white space is
// dropped and a number is read as its digits.
func Char[T any](name string, at func(*T) *string) Field[T] {
	return Field[T]{
		name: name,
		decode: func(f *Field[T], t *T, value json.RawMessage) string {
			text, message := f.text(value, true)
			if message == "" {
				*at(t) = text
			}
			return message
		},
		clear:  func(t *T) { *at(t) = "" },
		encode: func(f *Field[T], t *T, b []byte) []byte { return f.appendText(b, *at(t)) },
		schema: func(f *Field[T], _ openapi3.Schemas) *openapi3.SchemaRef { return f.textSchema() },
	}
}

// Text returns a text field like [Char] that keeps surrounding white space, as templates need.
func Text[T any](name string, at func(*T) *string) Field[T] {
	f := Char(name, at)
	f.decode = func(f *Field[T], t *T, value json.RawMessage) string {
		text, message := f.text(value, false)
		if message == "" {
			*at(t) = text
		}
		return message
	}
	return f
}

// text reads a text like a CharField or a ChoiceField.
func (f *Field[T]) text(value json.RawMessage, trim bool) (text, message string) {
	switch Kind(value) {
	case "str":
		text = Unquote(value)
	case "int", "float":
		text = string(value)
	default:
		return "", NotAStringMessage
	}
	trimmed := strings.TrimSpace(text)
	if trim {
		text = trimmed
	}
	switch {
	case trimmed == "" && f.blank:
		return "", ""
	case trimmed == "":
		return "", blankMessage
	case f.choices != nil && !slices.Contains(f.choices, text):
		return "", fmt.Sprintf("%q is not a valid choice.", Truncate(text, 50))
	}
	if message := CheckText(text, f.maxLength); message != "" {
		return "", message
	}
	return text, ""
}

// CheckText returns an error message for an invalid text, from which white space has been
// trimmed, or "". It must not be blank and may have at most maxLength characters, or any
// number if maxLength is 0.
func CheckText(text string, maxLength int) (message string) {
	switch {
	case text == "":
		return blankMessage
	case maxLength > 0 && utf8.RuneCountInString(text) > maxLength:
		return fmt.Sprintf("Ensure this field has no more than %d characters.", maxLength)
	case strings.ContainsRune(text, 0):
		return nullCharacters
	case strings.ContainsRune(text, utf8.RuneError):
		// An unpaired surrogate, such as "\ud800", decodes to this, so different texts
		// would become equal.
		return surrogateMessage
	}
	return ""
}

func (f *Field[T]) appendText(b []byte, text string) []byte {
	if text == "" && f.nullable {
		return append(b, "null"...)
	}
	return appendString(b, text)
}

func (f *Field[T]) textSchema() *openapi3.SchemaRef {
	s := openapi3.NewStringSchema()
	for _, choice := range f.choices {
		s.Enum = append(s.Enum, choice)
	}
	if len(f.choices) > 0 && f.blank {
		s.Enum = append(s.Enum, "")
	}
	if f.maxLength > 0 {
		s.WithMaxLength(int64(f.maxLength))
	}
	return s.NewRef()
}

// Boolean returns a boolean (BooleanField). Like Django REST Framework, it also accepts texts
// and numbers such as "yes" and 1.
func Boolean[T any](name string, at func(*T) *bool) Field[T] {
	return Field[T]{
		name: name,
		decode: func(_ *Field[T], t *T, value json.RawMessage) string {
			v, ok := parseBoolean(value)
			if !ok {
				return NotABooleanMessage
			}
			*at(t) = v
			return ""
		},
		encode: func(_ *Field[T], t *T, b []byte) []byte { return strconv.AppendBool(b, *at(t)) },
		schema: func(*Field[T], openapi3.Schemas) *openapi3.SchemaRef { return openapi3.NewBoolSchema().NewRef() },
	}
}

// NullBoolean returns a boolean that may be null.
func NullBoolean[T any](name string, at func(*T) **bool) Field[T] {
	f := Field[T]{
		name: name,
		decode: func(_ *Field[T], t *T, value json.RawMessage) string {
			v, ok := parseBoolean(value)
			if !ok {
				return NotABooleanMessage
			}
			*at(t) = &v
			return ""
		},
		clear: func(t *T) { *at(t) = nil },
		encode: func(_ *Field[T], t *T, b []byte) []byte {
			if v := *at(t); v != nil {
				return strconv.AppendBool(b, *v)
			}
			return append(b, "null"...)
		},
		schema: func(*Field[T], openapi3.Schemas) *openapi3.SchemaRef { return openapi3.NewBoolSchema().NewRef() },
	}
	return f.Nullable()
}

func parseBoolean(value json.RawMessage) (v, ok bool) {
	text := string(value)
	if Kind(value) == "str" {
		text = strings.ToLower(strings.TrimSpace(Unquote(value)))
	}
	return TruthValue(text)
}

// TruthValue parses a boolean as Django REST Framework does. The text is a JSON literal, a
// number or a string in lower case.
func TruthValue(text string) (v, ok bool) {
	switch text {
	case "true", "t", "yes", "y", "on", "1", "1.0":
		return true, true
	case "false", "f", "no", "n", "off", "0", "0.0":
		return false, true
	}
	return false, false
}

// Integer returns a read-only integer.
func Integer[T any](name string, at func(*T) int64) Field[T] {
	f := Field[T]{
		name:   name,
		encode: func(_ *Field[T], t *T, b []byte) []byte { return strconv.AppendInt(b, at(t), 10) },
		schema: func(*Field[T], openapi3.Schemas) *openapi3.SchemaRef { return openapi3.NewInt64Schema().NewRef() },
	}
	return f.ReadOnly()
}

// parseInteger parses an integer, or a string with one, as Django REST Framework does.
func parseInteger(value json.RawMessage) (n int64, ok bool) {
	text := string(value)
	if Kind(value) == "str" {
		text = strings.TrimSpace(Unquote(value))
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// Number returns an integer that requests may set, without a sign (IntegerField with the
// minimum 0).
func Number[T any](name string, at func(*T) *int64) Field[T] {
	return Field[T]{
		name: name,
		decode: func(_ *Field[T], t *T, value json.RawMessage) string {
			n, ok := parseInteger(value)
			switch {
			case !ok:
				return notAnInteger
			case n < 0:
				return "Ensure this value is greater than or equal to 0."
			}
			*at(t) = n
			return ""
		},
		encode: func(_ *Field[T], t *T, b []byte) []byte { return strconv.AppendInt(b, *at(t), 10) },
		schema: func(*Field[T], openapi3.Schemas) *openapi3.SchemaRef {
			return openapi3.NewInt64Schema().WithMin(0).NewRef()
		},
	}
}

// NullInteger returns a read-only integer, which is null if ok is false.
func NullInteger[T any](name string, at func(*T) (n int64, ok bool)) Field[T] {
	f := Integer(name, func(*T) int64 { return 0 })
	f.encode = func(_ *Field[T], t *T, b []byte) []byte {
		if n, ok := at(t); ok {
			return strconv.AppendInt(b, n, 10)
		}
		return append(b, "null"...)
	}
	return f.Nullable()
}

// Timestamp returns a read-only time in milliseconds since the epoch, as everywhere on Rehive.
// The zero time is shown as 0.
func Timestamp[T any](name string, at func(*T) time.Time) Field[T] {
	return Integer(name, func(t *T) int64 {
		if at := at(t); !at.IsZero() {
			return at.UnixMilli()
		}
		return 0
	}).Describe("Milliseconds since the epoch.")
}

// maxTime is the last millisecond that a Kubernetes object can store: that of the year 9999.
const maxTime = 253402300799999

// NullTime returns a time in milliseconds since the epoch that may be null, which is the zero
// time. Fractions of a second are dropped, because Kubernetes objects do not store them.
func NullTime[T any](name string, at func(*T) *time.Time) Field[T] {
	f := Field[T]{
		name: name,
		decode: func(_ *Field[T], t *T, value json.RawMessage) string {
			milliseconds, ok := parseInteger(value)
			switch {
			case !ok:
				return notAnInteger
			case milliseconds <= 0 || milliseconds > maxTime:
				return "Ensure this value is a time in milliseconds since the epoch."
			}
			*at(t) = time.UnixMilli(milliseconds).Truncate(time.Second)
			return ""
		},
		clear: func(t *T) { *at(t) = time.Time{} },
		encode: func(_ *Field[T], t *T, b []byte) []byte {
			if at := *at(t); !at.IsZero() {
				return strconv.AppendInt(b, at.UnixMilli(), 10)
			}
			return append(b, "null"...)
		},
		schema: func(*Field[T], openapi3.Schemas) *openapi3.SchemaRef { return openapi3.NewInt64Schema().NewRef() },
	}
	return f.Nullable()
}

// JSON returns a value of any type (JSONField), stored unchanged. Check, if not nil, returns an
// error message for an invalid value, or "".
func JSON[T any](name string, at func(*T) *json.RawMessage, check func(json.RawMessage) (message string)) Field[T] {
	return Field[T]{
		name: name,
		decode: func(_ *Field[T], t *T, value json.RawMessage) string {
			if check != nil {
				if message := check(value); message != "" {
					return message
				}
			}
			*at(t) = bytes.Clone(value)
			return ""
		},
		clear: func(t *T) { *at(t) = nil },
		encode: func(_ *Field[T], t *T, b []byte) []byte {
			if value := *at(t); len(value) > 0 {
				return append(b, value...)
			}
			return append(b, "null"...)
		},
		schema: func(*Field[T], openapi3.Schemas) *openapi3.SchemaRef {
			// List every type, because validators disagree on whether {} allows null.
			return (&openapi3.Schema{Type: &openapi3.Types{
				openapi3.TypeObject, openapi3.TypeArray, openapi3.TypeString, openapi3.TypeNumber, openapi3.TypeBoolean, openapi3.TypeNull,
			}}).NewRef()
		},
	}
}

// IsObject is a check for [JSON] that requires an object.
func IsObject(value json.RawMessage) string {
	if kind := Kind(value); kind != "dict" {
		return fmt.Sprintf("Expected a dictionary of items but got type %q.", kind)
	}
	return ""
}

// Strings returns a list of at most maxItems texts (ListField), each of at most MaxLength
// characters.
func Strings[T any](name string, maxItems int, at func(*T) *[]string) Field[T] {
	return list(name, maxItems, at, listItem[T, string]{
		invalid: NotAStringMessage,
		decode:  func(f *Field[T], item json.RawMessage) (string, string) { return f.text(item, true) },
		encode:  appendString,
		schema: func(f *Field[T]) *openapi3.Schema {
			item := openapi3.NewStringSchema()
			if f.maxLength > 0 {
				item.WithMaxLength(int64(f.maxLength))
			}
			return item
		},
	})
}

// Integers returns a list of at most maxItems integers.
func Integers[T any](name string, maxItems int, at func(*T) *[]int64) Field[T] {
	return list(name, maxItems, at, listItem[T, int64]{
		invalid: notAnInteger,
		decode: func(_ *Field[T], item json.RawMessage) (int64, string) {
			number, ok := parseInteger(item)
			if !ok {
				return 0, notAnInteger
			}
			return number, ""
		},
		encode: func(b []byte, item int64) []byte { return strconv.AppendInt(b, item, 10) },
		schema: func(*Field[T]) *openapi3.Schema { return openapi3.NewInt64Schema() },
	})
}

// listItem describes the items of a list.
type listItem[T, E any] struct {
	invalid string // the message for an unreadable list
	decode  func(*Field[T], json.RawMessage) (item E, message string)
	encode  func(b []byte, item E) []byte
	schema  func(*Field[T]) *openapi3.Schema
}

// list returns a list of at most maxItems items.
func list[T, E any](name string, maxItems int, at func(*T) *[]E, kind listItem[T, E]) Field[T] {
	return Field[T]{
		name: name,
		decode: func(f *Field[T], t *T, value json.RawMessage) string {
			if given := Kind(value); given != "list" {
				return fmt.Sprintf("Expected a list of items but got type %q.", given)
			}
			var raw []json.RawMessage
			if err := json.Unmarshal(value, &raw); err != nil {
				return kind.invalid
			}
			if len(raw) > maxItems {
				return fmt.Sprintf("Ensure this field has no more than %d elements.", maxItems)
			}
			items := make([]E, len(raw))
			for i := range raw {
				var message string
				if items[i], message = kind.decode(f, raw[i]); message != "" {
					return message
				}
			}
			*at(t) = items
			return ""
		},
		clear: func(t *T) { *at(t) = nil },
		encode: func(f *Field[T], t *T, b []byte) []byte {
			items := *at(t)
			if items == nil && f.nullable {
				return append(b, "null"...)
			}
			b = append(b, '[')
			for i, item := range items {
				if i > 0 {
					b = append(b, ',')
				}
				b = kind.encode(b, item)
			}
			return append(b, ']')
		},
		schema: func(f *Field[T], _ openapi3.Schemas) *openapi3.SchemaRef {
			return openapi3.NewArraySchema().WithItems(kind.schema(f)).WithMaxItems(int64(maxItems)).NewRef()
		},
	}
}

// Nested returns a read-only object within the resource, which is null if at returns nil.
func Nested[T, U any](name string, s *Serializer[U], at func(*T) *U) Field[T] {
	f := Field[T]{
		name: name,
		encode: func(_ *Field[T], t *T, b []byte) []byte {
			if u := at(t); u != nil {
				return s.Append(b, u)
			}
			return append(b, "null"...)
		},
		schema: func(_ *Field[T], components openapi3.Schemas) *openapi3.SchemaRef {
			return s.component(components)
		},
	}
	return f.ReadOnly()
}

// NestedList returns a read-only list of objects within the resource.
func NestedList[T, U any](name string, s *Serializer[U], at func(*T) []U) Field[T] {
	f := Field[T]{
		name: name,
		encode: func(_ *Field[T], t *T, b []byte) []byte {
			b = append(b, '[')
			items := at(t)
			for i := range items {
				if i > 0 {
					b = append(b, ',')
				}
				b = s.Append(b, &items[i])
			}
			return append(b, ']')
		},
		schema: func(_ *Field[T], components openapi3.Schemas) *openapi3.SchemaRef {
			list := openapi3.NewArraySchema()
			list.Items = s.component(components)
			return list.NewRef()
		},
	}
	return f.ReadOnly()
}
