// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"encoding/json"

	"github.com/rehive/extension-operator/webhookserver/rest"
)

// fields reads the members of a request as the serializer fields of Django REST Framework
// do, and collects errors with the same messages.
type fields struct {
	members map[string]json.RawMessage
	errors  []rest.FieldError
}

// err returns the errors of the fields read so far, or nil.
func (f *fields) err() error {
	if len(f.errors) == 0 {
		return nil
	}
	return rest.InvalidFields(f.errors...)
}

func (f *fields) addError(name, message string) {
	f.errors = append(f.errors, rest.FieldError{Field: name, Messages: []string{message}})
}

// value returns a required member that must not be null.
func (f *fields) value(name string) (json.RawMessage, bool) {
	raw, ok := f.members[name]
	switch {
	case !ok:
		f.addError(name, rest.RequiredMessage)
	case rest.Kind(raw) == "NoneType":
		f.addError(name, rest.NullMessage)
	default:
		return raw, true
	}
	return nil, false
}

// char reads a required string of at most maxLength characters (CharField).
func (f *fields) char(name string, maxLength int) string {
	raw, ok := f.value(name)
	if !ok {
		return ""
	}
	text, message := rest.ReadChar(raw, maxLength)
	if message != "" {
		f.addError(name, message)
		return ""
	}
	return text
}

// boolean reads an optional boolean (BooleanField), which defaults to absent.
func (f *fields) boolean(name string, absent bool) bool {
	if _, ok := f.members[name]; !ok {
		return absent
	}
	raw, ok := f.value(name)
	if !ok {
		return absent
	}
	v, ok := rest.ReadBoolean(raw)
	if !ok {
		f.addError(name, rest.NotABooleanMessage)
		return absent
	}
	return v
}

// json returns a required value of any type except null (JSONField), unchanged.
func (f *fields) json(name string) json.RawMessage {
	raw, _ := f.value(name)
	return raw
}
