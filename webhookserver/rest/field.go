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

	"github.com/rehive/extension-operator/internal/python"
)

// Messages of Django REST Framework.
const (
	RequiredMessage    = "This field is required."
	NullMessage        = "This field may not be null."
	NotAStringMessage  = "Not a valid string."
	NotABooleanMessage = "Must be a valid boolean."

	blankMessage   = "This field may not be blank."
	notAnInteger   = "A valid integer is required."
	tooManyDigits  = "String value too large."
	nullCharacters = "Null characters are not allowed."
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
	decode func(f *Field[T], t *T, value json.RawMessage) problem
	clear  func(t *T)
	// encode appends the JSON value.
	encode func(f *Field[T], t *T, b []byte) []byte
	// size returns about how many bytes encode appends for texts; nil if there are none.
	size   func(t *T) int
	schema func(f *Field[T], components openapi3.Schemas) *openapi3.SchemaRef
}

// problem says what is wrong with a value: a message about all of it, or messages about
// items of a list. The zero value means that nothing is.
type problem struct {
	message string
	items   []ItemError
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
		decode: func(f *Field[T], t *T, value json.RawMessage) problem {
			text, message := f.text(value, true)
			if message == "" {
				*at(t) = text
			}
			return problem{message: message}
		},
		clear:  func(t *T) { *at(t) = "" },
		encode: func(f *Field[T], t *T, b []byte) []byte { return f.appendText(b, *at(t)) },
		size:   func(t *T) int { return sizeOf(*at(t)) },
		schema: func(f *Field[T], _ openapi3.Schemas) *openapi3.SchemaRef { return f.textSchema() },
	}
}

// Text returns a text field like [Char] that keeps surrounding white space, as templates need.
func Text[T any](name string, at func(*T) *string) Field[T] {
	f := Char(name, at)
	f.decode = func(f *Field[T], t *T, value json.RawMessage) problem {
		text, message := f.text(value, false)
		if message == "" {
			*at(t) = text
		}
		return problem{message: message}
	}
	return f
}

// text reads a text like a CharField or a ChoiceField.
func (f *Field[T]) text(value json.RawMessage, trim bool) (text, message string) {
	if f.choices != nil {
		return f.choice(value)
	}
	text, message = charText(value)
	if message != "" {
		return "", message
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
	}
	if message := checkChar(value, text, f.maxLength); message != "" {
		return "", message
	}
	return text, ""
}

// choice reads one of the field's choices (ChoiceField), by what Python's str returns for the
// value.
func (f *Field[T]) choice(value json.RawMessage) (text, message string) {
	text = printed(value)
	if text == "" && f.blank || slices.Contains(f.choices, text) {
		return text, ""
	}
	return "", `"` + Truncate(text, maxShownChoice) + `" is not a valid choice.`
}

// maxShownChoice is how many characters of an invalid choice a message repeats.
const maxShownChoice = 50

// printed returns what Python's str returns for a JSON value. Of a large list or object, of
// which messages show the beginning only, it returns the JSON.
func printed(value json.RawMessage) string {
	kind := Kind(value)
	if kind == "str" {
		return Unquote(value)
	}
	if kind == "int" && string(value) != "-0" || len(value) > 1<<10 {
		return string(value)
	}
	v, err := python.FromJSON(value)
	if err != nil { // nested too deeply
		return string(value)
	}
	return python.StrOf(v)
}

// ReadChar reads a required text of at most maxLength characters (CharField). Surrounding
// white space is dropped, and a number is read as the text that Python prints for it. The
// message is empty if the value is valid.
func ReadChar(value json.RawMessage, maxLength int) (text, message string) {
	if text, message = charText(value); message != "" {
		return "", message
	}
	text = strings.TrimSpace(text)
	return text, checkChar(value, text, maxLength)
}

// charText returns a text, or a number as the text that Python prints for it.
func charText(value json.RawMessage) (text, message string) {
	switch Kind(value) {
	case "str", "int", "float":
		return printed(value), ""
	}
	return "", NotAStringMessage
}

// checkChar is [CheckText] for the text of a JSON value, which must not have unpaired
// surrogates either.
func checkChar(value json.RawMessage, text string, maxLength int) (message string) {
	if message := CheckText(text, maxLength); message != "" {
		return message
	}
	// An unpaired surrogate decodes to this, so different texts would become equal.
	if strings.ContainsRune(text, utf8.RuneError) {
		if r, ok := unpairedSurrogate(value); ok {
			return fmt.Sprintf("Surrogate characters are not allowed: U+%X.", r)
		}
	}
	return ""
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
	}
	return ""
}

func (f *Field[T]) appendText(b []byte, text string) []byte {
	if text == "" && f.nullable {
		return append(b, "null"...)
	}
	return AppendString(b, text)
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
		decode: func(_ *Field[T], t *T, value json.RawMessage) problem {
			v, ok := ReadBoolean(value)
			if !ok {
				return problem{message: NotABooleanMessage}
			}
			*at(t) = v
			return problem{}
		},
		encode: func(_ *Field[T], t *T, b []byte) []byte { return strconv.AppendBool(b, *at(t)) },
		schema: func(*Field[T], openapi3.Schemas) *openapi3.SchemaRef { return openapi3.NewBoolSchema().NewRef() },
	}
}

// NullBoolean returns a boolean that may be null.
func NullBoolean[T any](name string, at func(*T) **bool) Field[T] {
	f := Field[T]{
		name: name,
		decode: func(_ *Field[T], t *T, value json.RawMessage) problem {
			v, ok := ReadBoolean(value)
			switch {
			case ok:
				*at(t) = &v
			case Kind(value) == "str" && (len(value) == len(`""`) || strings.EqualFold(Unquote(value), "null")):
				*at(t) = nil
			default:
				return problem{message: NotABooleanMessage}
			}
			return problem{}
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

// ReadBoolean reads a boolean like a BooleanField: a JSON boolean, the number 0 or 1, or one
// of a few words in any case.
func ReadBoolean(value json.RawMessage) (v, ok bool) {
	switch Kind(value) {
	case "bool":
		return value[0] == 't', true
	case "int", "float":
		n, err := strconv.ParseFloat(string(value), 64)
		return n == 1, err == nil && (n == 0 || n == 1)
	case "str":
		switch strings.ToLower(Unquote(value)) {
		case "true", "t", "yes", "y", "on", "1":
			return true, true
		case "false", "f", "no", "n", "off", "0":
			return false, true
		}
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

// readInteger reads an integer like an IntegerField: also a text, and a number whose decimals
// are zero. The message is empty if the value is valid.
func readInteger(value json.RawMessage) (n int64, message string) {
	text, message := charText(value)
	if message != "" {
		return 0, notAnInteger
	}
	if Kind(value) == "str" && utf8.RuneCountInString(text) > 1000 {
		return 0, tooManyDigits
	}
	text = strings.TrimSpace(text)
	if whole, decimals, ok := strings.Cut(text, "."); ok && strings.Trim(decimals, "0") == "" {
		text = whole
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, notAnInteger
	}
	return n, ""
}

// Number returns an integer that requests may set, without a sign (IntegerField with the
// minimum 0).
func Number[T any](name string, at func(*T) *int64) Field[T] {
	return Field[T]{
		name: name,
		decode: func(_ *Field[T], t *T, value json.RawMessage) problem {
			n, message := readInteger(value)
			if message == "" && n < 0 {
				message = "Ensure this value is greater than or equal to 0."
			}
			if message == "" {
				*at(t) = n
			}
			return problem{message: message}
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

// The first and last times in milliseconds since the epoch, those of the years 1 and 9999:
// Python has no others, and a Kubernetes object can't store a later one.
const (
	minTime = -62135596800000
	maxTime = 253402300799999
)

// firstMilliseconds is less than any time in milliseconds that somebody sets, those after March
// 1973, and more than any in seconds.
const firstMilliseconds = 100_000_000_000

// NullTime returns a time in milliseconds since the epoch that may be null, which is the zero
// time. Fractions of a second are dropped, because Kubernetes objects do not store them.
func NullTime[T any](name string, at func(*T) *time.Time) Field[T] {
	f := Field[T]{
		name: name,
		decode: func(_ *Field[T], t *T, value json.RawMessage) problem {
			milliseconds, message := readInteger(value)
			if message == "" && (milliseconds < firstMilliseconds || milliseconds > maxTime) {
				message = "Ensure this value is a time in milliseconds since the epoch, not in seconds."
			}
			if message == "" {
				*at(t) = time.UnixMilli(milliseconds).Truncate(time.Second)
			}
			return problem{message: message}
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
		decode: func(_ *Field[T], t *T, value json.RawMessage) problem {
			if check != nil {
				if message := check(value); message != "" {
					return problem{message: message}
				}
			}
			*at(t) = bytes.Clone(value)
			return problem{}
		},
		clear: func(t *T) { *at(t) = nil },
		encode: func(_ *Field[T], t *T, b []byte) []byte {
			if value := *at(t); len(value) > 0 {
				return append(b, value...)
			}
			return append(b, "null"...)
		},
		size: func(t *T) int { return len(*at(t)) },
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
		encode:  AppendString,
		size:    sizeOf,
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
		decode:  func(_ *Field[T], item json.RawMessage) (int64, string) { return readInteger(item) },
		encode:  func(b []byte, item int64) []byte { return strconv.AppendInt(b, item, 10) },
		size:    func(int64) int { return 0 },
		schema:  func(*Field[T]) *openapi3.Schema { return openapi3.NewInt64Schema() },
	})
}

// listItem describes the items of a list.
type listItem[T, E any] struct {
	invalid string // the message for an unreadable list
	decode  func(*Field[T], json.RawMessage) (item E, message string)
	encode  func(b []byte, item E) []byte
	size    func(item E) int // as sizeOf
	schema  func(*Field[T]) *openapi3.Schema
}

// list returns a list of at most maxItems items.
func list[T, E any](name string, maxItems int, at func(*T) *[]E, kind listItem[T, E]) Field[T] {
	return Field[T]{
		name: name,
		decode: func(f *Field[T], t *T, value json.RawMessage) problem {
			if given := Kind(value); given != "list" {
				return problem{message: fmt.Sprintf("Expected a list of items but got type %q.", given)}
			}
			var raw []json.RawMessage
			if err := json.Unmarshal(value, &raw); err != nil {
				return problem{message: kind.invalid}
			}
			if len(raw) > maxItems {
				return problem{message: fmt.Sprintf("Ensure this field has no more than %d elements.", maxItems)}
			}
			items := make([]E, len(raw))
			var wrong problem
			for i := range raw {
				message := NullMessage
				if Kind(raw[i]) != "NoneType" {
					items[i], message = kind.decode(f, raw[i])
				}
				if message != "" {
					wrong.items = append(wrong.items, ItemError{Index: i, Messages: []string{message}})
				}
			}
			if wrong.items == nil {
				*at(t) = items
			}
			return wrong
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
		size: func(t *T) (n int) {
			for _, item := range *at(t) {
				n += itemOverhead + kind.size(item)
			}
			return n
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
		size: func(t *T) int {
			if u := at(t); u != nil {
				return s.size(u)
			}
			return 0
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
		size: func(t *T) (n int) {
			items := at(t)
			for i := range items {
				n += s.size(&items[i])
			}
			return n
		},
		schema: func(_ *Field[T], components openapi3.Schemas) *openapi3.SchemaRef {
			list := openapi3.NewArraySchema()
			list.Items = s.component(components)
			return list.NewRef()
		},
	}
	return f.ReadOnly()
}
