// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"encoding/json"

	"github.com/getkin/kin-openapi/openapi3"
)

// Serializer declares the JSON form of a T. It is immutable and safe for concurrent
// use.
type Serializer[T any] struct {
	// Name is the component's name in the OpenAPI document.
	Name string
	// Fields are the members, in the order of answers. A write-only and a read-only field
	// may share a name, such as a reference that is written as an id and read as an object.
	Fields []Field[T]
}

// Append appends t as JSON.
func (s *Serializer[T]) Append(b []byte, t *T) []byte {
	b = append(b, '{')
	first := true
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.writeOnly {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, '"')
		b = append(b, f.name...)
		b = append(b, '"', ':')
		b = f.encode(f, t, b)
	}
	return append(b, '}')
}

// itemOverhead is about the size of a short value in JSON, or of what surrounds a text.
const itemOverhead = 16

// size returns about how many bytes Append appends.
func (s *Serializer[T]) size(t *T) (n int) {
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.writeOnly {
			continue
		}
		n += len(f.name) + itemOverhead
		if f.size != nil {
			n += f.size(t)
		}
	}
	return n
}

// sizeOf returns about how many bytes a text has in JSON. Quotes, line breaks and others are
// escaped.
func sizeOf(text string) int { return len(text) + len(text)/8 }

// Decode stores the members of a request in t. It returns an *Error if any are invalid.
// With partial, as for PATCH, no field is required. Unknown and read-only members are
// ignored, because typed clients send them.
func (s *Serializer[T]) Decode(t *T, members map[string]json.RawMessage, partial bool) error {
	var invalid []FieldError
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.readOnly {
			continue
		}
		switch wrong := f.store(t, members, partial); {
		case wrong.items != nil:
			invalid = append(invalid, FieldError{Field: f.name, Items: wrong.items})
		case wrong.message != "":
			invalid = append(invalid, FieldError{Field: f.name, Messages: []string{wrong.message}})
		}
	}
	if len(invalid) > 0 {
		return InvalidFields(invalid...)
	}
	return nil
}

func (f *Field[T]) store(t *T, members map[string]json.RawMessage, partial bool) problem {
	value, given := members[f.name]
	switch {
	case !given && f.required && !partial:
		return problem{message: RequiredMessage}
	case !given:
		return problem{}
	case Kind(value) != "NoneType":
		return f.decode(f, t, value)
	case f.nullable && f.clear != nil:
		f.clear(t)
		return problem{}
	}
	return problem{message: NullMessage}
}

// writable returns the names of the members that requests may set.
func (s *Serializer[T]) writable() []string {
	var names []string
	for i := range s.Fields {
		if !s.Fields[i].readOnly {
			names = append(names, s.Fields[i].name)
		}
	}
	return names
}

// component adds the schema of answers to the document's components.
func (s *Serializer[T]) component(components openapi3.Schemas) *openapi3.SchemaRef {
	return s.add(components, s.Name, func(f *Field[T]) bool { return !f.writeOnly }, func(*Field[T]) bool { return true })
}

// requestComponent adds the schema of requests to the document's components.
func (s *Serializer[T]) requestComponent(components openapi3.Schemas, name string, partial bool) *openapi3.SchemaRef {
	return s.add(components, name, func(f *Field[T]) bool { return !f.readOnly }, func(f *Field[T]) bool { return f.required && !partial })
}

func (s *Serializer[T]) add(components openapi3.Schemas, name string, has, required func(*Field[T]) bool) *openapi3.SchemaRef {
	ref := openapi3.NewSchemaRef("#/components/schemas/"+name, nil)
	if known, ok := components[name]; ok {
		ref.Value = known.Value
		return ref
	}
	object := openapi3.NewObjectSchema()
	ref.Value = object
	components[name] = object.NewRef()
	for i := range s.Fields {
		f := &s.Fields[i]
		if !has(f) {
			continue
		}
		object.Properties[f.name] = f.property(components)
		if required(f) {
			object.Required = append(object.Required, f.name)
		}
	}
	return ref
}

// property returns the field's schema with the attributes that all types share.
func (f *Field[T]) property(components openapi3.Schemas) *openapi3.SchemaRef {
	ref := f.schema(f, components)
	if ref.Ref != "" {
		if !f.nullable {
			return ref
		}
		// OpenAPI 3.1: a reference that may be null.
		null := &openapi3.Schema{Type: &openapi3.Types{openapi3.TypeNull}}
		return (&openapi3.Schema{AnyOf: openapi3.SchemaRefs{ref, null.NewRef()}, Description: f.description, ReadOnly: f.readOnly}).NewRef()
	}
	s := ref.Value
	s.Description, s.ReadOnly, s.WriteOnly = f.description, f.readOnly, f.writeOnly
	if f.nullable && s.Type != nil && !s.Type.Includes(openapi3.TypeNull) {
		types := append(openapi3.Types{}, *s.Type...)
		types = append(types, openapi3.TypeNull)
		s.Type = &types
		if s.Enum != nil {
			s.Enum = append(s.Enum, nil)
		}
	}
	return ref
}
