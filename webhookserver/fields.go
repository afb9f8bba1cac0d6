// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

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
		f.refuse(name, "This field is required.")
	case kindOf(raw) == "NoneType":
		f.refuse(name, "This field may not be null.")
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
	switch kindOf(raw) {
	case "str":
		text = strings.TrimSpace(unquote(raw))
	case "int":
		text = string(raw)
	default:
		f.refuse(name, "Not a valid string.")
		return ""
	}
	switch {
	case text == "":
		f.refuse(name, "This field may not be blank.")
	case utf8.RuneCountInString(text) > maxLength:
		f.refuse(name, fmt.Sprintf("Ensure this field has no more than %d characters.", maxLength))
	case strings.ContainsRune(text, 0):
		f.refuse(name, "Null characters are not allowed.")
	case strings.ContainsRune(text, utf8.RuneError):
		// Half of a surrogate pair, such as "\ud800": two different texts would
		// become the same one.
		f.refuse(name, "Surrogate characters are not allowed.")
	default:
		return text
	}
	return ""
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
	if kindOf(raw) == "str" {
		text = strings.ToLower(unquote(raw))
	}
	switch text {
	case "true", "t", "yes", "y", "on", "1", "1.0":
		return true
	case "false", "f", "no", "n", "off", "0", "0.0":
		return false
	}
	f.refuse(name, "Must be a valid boolean.")
	return absent
}

// json reads a required value of any type but null (JSONField) as it stands.
func (f *fields) json(name string) json.RawMessage {
	raw, _ := f.value(name)
	return raw
}
