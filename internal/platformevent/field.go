// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platformevent

import (
	"strings"

	"github.com/rehive/extension-operator/internal/spelling"
)

// Kind is the type of a field's value in JSON, as far as authors of templates need to
// know it.
type Kind string

// The kinds.
const (
	Text    Kind = "text"
	Integer Kind = "integer"
	// Amount is an integer in the smallest unit of a currency.
	Amount  Kind = "amount"
	Boolean Kind = "boolean"
	// Time is an integer: milliseconds since 1970.
	Time   Kind = "time"
	Object Kind = "object"
	// List is a list of objects, or of values without fields.
	List Kind = "list"
	// Free is an object whose keys the company chooses, or a value whose type differs.
	Free Kind = "free"
)

// IsNumber reports whether values of the kind are JSON numbers.
func (k Kind) IsNumber() bool { return k == Integer || k == Amount || k == Time }

// Field is one member of an event's data, or of an object in it.
type Field struct {
	Name string
	Kind Kind
	// Nullable reports whether the value may be null. A template prints null as None.
	Nullable bool
	// Values are all that a Text can be; nil if it can be anything.
	Values []string
	// Common are values that a Text often has; there may be others.
	Common []string
	// Fields are the members of an Object, or of the objects of a List.
	Fields []Field
	// Note says what the name doesn't.
	Note string
	// Shape names what an Object or the items of a List are, where several events have
	// the same: a user, for example. It is empty otherwise.
	Shape string
	// Newer reports a field that the platform publishes, and that was not in the events
	// that were observed.
	Newer bool
}

func field(name string, kind Kind) Field     { return Field{Name: name, Kind: kind} }
func text(name string) Field                 { return field(name, Text) }
func integer(name string) Field              { return field(name, Integer) }
func amount(name string) Field               { return field(name, Amount) }
func boolean(name string) Field              { return field(name, Boolean) }
func moment(name string) Field               { return field(name, Time) }
func free(name string) Field                 { return field(name, Free) }
func object(name string, f ...Field) Field   { return Field{Name: name, Kind: Object, Fields: f} }
func list(name string, f ...Field) Field     { return Field{Name: name, Kind: List, Fields: f} }
func (f Field) orNull() Field                { f.Nullable = true; return f }
func (f Field) newer() Field                 { f.Newer = true; return f }
func (f Field) oneOf(values ...string) Field { f.Values = values; return f }
func (f Field) shape(name string) Field      { f.Shape = name; return f }
func (f Field) note(text string) Field       { f.Note = text; return f }

// optional are text fields that may be null.
func optional(names ...string) []Field {
	fields := make([]Field, len(names))
	for i, name := range names {
		fields[i] = text(name).orNull()
	}
	return fields
}

// optionalNewer are text fields that may be null and that no observed event had.
func optionalNewer(names ...string) []Field {
	fields := optional(names...)
	for i := range fields {
		fields[i].Newer = true
	}
	return fields
}

func join(lists ...[]Field) []Field {
	var all []Field
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// Find follows a dotted path. It returns the field that the path ends at; nil if it
// ends in what the catalogue doesn't describe, such as a key of metadata or a method of
// a text. ok is false if a part of the path isn't among the known fields.
func (e *Event) Find(path string) (found *Field, ok bool) {
	fields, parts := e.Fields, strings.Split(path, ".")
	for i, part := range parts {
		var next *Field
		for k := range fields {
			if fields[k].Name == part {
				next = &fields[k]
				break
			}
		}
		switch {
		case next == nil && i > 0 && isMethod(part):
			return nil, true
		case next == nil:
			return nil, false
		case i == len(parts)-1:
			return next, true
		}
		switch next.Kind {
		case Object:
			fields = next.Fields
		case List:
			// The next part is an index or a method; after an index come an item's fields.
			if !isIndex(parts[i+1]) {
				return nil, isListMethod(parts[i+1])
			}
			if len(next.Fields) == 0 {
				return nil, true
			}
			if i+2 == len(parts) {
				return nil, true
			}
			rest := &Event{Fields: next.Fields}
			return rest.Find(strings.Join(parts[i+2:], "."))
		default:
			return nil, true
		}
	}
	return nil, true
}

// isListMethod reports whether every list has the name.
func isListMethod(name string) bool {
	switch name {
	case "append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort":
		return true
	}
	return false
}

func isIndex(part string) bool {
	return part != "" && strings.Trim(part, "0123456789") == ""
}

// isMethod reports whether every object has the name.
func isMethod(name string) bool {
	switch name {
	case "items", "keys", "values", "get", "copy":
		return true
	}
	return false
}

// Each calls f with each field and its dotted path, those in objects and in the first item of
// lists too.
func (e *Event) Each(f func(path string, field *Field)) { each("", e.Fields, f) }

func each(prefix string, fields []Field, f func(path string, field *Field)) {
	for i := range fields {
		field := &fields[i]
		path := prefix + field.Name
		f(path, field)
		switch field.Kind {
		case Object:
			each(path+".", field.Fields, f)
		case List:
			each(path+".0.", field.Fields, f)
		}
	}
}

// Paths returns the dotted paths of all fields, but not those of the original.
func (e *Event) Paths() []string {
	var paths []string
	e.Each(func(path string, _ *Field) {
		if first, _, _ := strings.Cut(path, "."); e.Original == "" || first != e.Original {
			paths = append(paths, path)
		}
	})
	return paths
}

// Suggest returns the path that an author who wrote an unknown path probably meant;
// empty if that isn't clear.
func (e *Event) Suggest(path string) string {
	known := e.Paths()
	has := func(candidate string) string {
		if found, ok := e.Find(candidate); ok && found != nil {
			return candidate
		}
		return ""
	}
	// The value before a change is never the current one.
	if first, rest, cut := strings.Cut(path, "."); strings.HasPrefix(first, "original") {
		if !cut || e.Original == "" {
			return ""
		}
		return has(e.Original + "." + rest)
	}
	// The user is one level higher or lower than the author thought.
	if rest, cut := strings.CutPrefix(path, "user."); cut && e.User == "." {
		if found := has(rest); found != "" {
			return found
		}
	}
	if e.User != "" && e.User != "." {
		rest := strings.TrimPrefix(path, "user.")
		if found := has(e.User + "." + rest); found != "" && found != path {
			return found
		}
	}
	// A member of a list, whose first item has it.
	for i := range path {
		if path[i] != '.' {
			continue
		}
		list, ok := e.Find(path[:i])
		if !ok {
			break // nothing below it is known either
		}
		if list != nil && list.Kind == List {
			if found := has(path[:i] + ".0" + path[i:]); found != "" {
				return found
			}
		}
	}
	// A typing mistake, or another case.
	if found := spelling.Nearest(path, known); found != "" {
		return found
	}
	// A field of an object within, such as code for currency.code, if it is the only one.
	var inner string
	for _, candidate := range known {
		if !strings.HasSuffix(candidate, "."+path) {
			continue
		}
		if inner != "" && strings.Count(inner, ".") == strings.Count(candidate, ".") {
			return ""
		}
		if inner == "" || strings.Count(candidate, ".") < strings.Count(inner, ".") {
			inner = candidate
		}
	}
	if inner != "" {
		return inner
	}
	// The path as it would be without its first part, or with a typing mistake in it.
	if _, rest, cut := strings.Cut(path, "."); cut {
		return has(rest)
	}
	return ""
}
