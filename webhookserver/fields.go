// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"encoding/json"
	"strings"

	"github.com/rehive/extension-operator/webhookserver/rest"
)

// fields reads the members of a request as the serializer fields of Django REST
// Framework do, with the same messages, and gathers what is wrong with them.
type fields struct {
	members map[string]json.RawMessage
	wrong   []rest.FieldError
}

// err returns what is wrong with the fields read so far, nil when nothing is.
func (f *fields) err() error {
	if len(f.wrong) == 0 {
		return nil
	}
	return rest.InvalidFields(f.wrong...)
}

func (f *fields) refuse(name, message string) {
	f.wrong = append(f.wrong, rest.FieldError{Field: name, Messages: []string{message}})
}

// value returns a member that must be there and must not be null.
func (f *fields) value(name string) (json.RawMessage, bool) {
	raw, ok := f.members[name]
	switch {
	case !ok:
		f.refuse(name, rest.RequiredMessage)
	case rest.Kind(raw) == "NoneType":
		f.refuse(name, rest.NullMessage)
	default:
		return raw, true
	}
	return nil, false
}

// char reads a required text of at most maxLength characters (CharField). White
// space around it is dropped. A whole number counts as its digits, however many.
func (f *fields) char(name string, maxLength int) string {
	raw, ok := f.value(name)
	if !ok {
		return ""
	}
	var text string
	switch rest.Kind(raw) {
	case "str":
		text = strings.TrimSpace(rest.Unquote(raw))
	case "int":
		text = string(raw)
	default:
		f.refuse(name, rest.NotAStringMessage)
		return ""
	}
	if message := rest.CheckText(text, maxLength); message != "" {
		f.refuse(name, message)
		return ""
	}
	return text
}

// boolean reads an optional truth value (BooleanField).
func (f *fields) boolean(name string, absent bool) bool {
	if _, ok := f.members[name]; !ok {
		return absent
	}
	raw, ok := f.value(name)
	if !ok {
		return absent
	}
	text := string(raw)
	if rest.Kind(raw) == "str" {
		text = strings.ToLower(rest.Unquote(raw))
	}
	v, ok := rest.TruthValue(text)
	if !ok {
		f.refuse(name, rest.NotABooleanMessage)
		return absent
	}
	return v
}

// json reads a required value of any type but null (JSONField) as it stands.
func (f *fields) json(name string) json.RawMessage {
	raw, _ := f.value(name)
	return raw
}
