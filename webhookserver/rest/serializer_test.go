// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/onsi/gomega"
)

// widget has a field of each type.
type widget struct {
	id       int64
	name     string
	text     string
	kind     string
	note     string
	size     int64
	enabled  bool
	received *bool
	extra    json.RawMessage
	tags     []string
	part     *part
}

type part struct{ id string }

var parts = &Serializer[part]{Name: "Part", Fields: []Field[part]{
	Char("id", func(p *part) *string { return &p.id }).ReadOnly(),
}}

var widgets = &Serializer[widget]{Name: "Widget", Fields: []Field[widget]{
	Integer("id", func(w *widget) int64 { return w.id }),
	Char("name", func(w *widget) *string { return &w.name }).Required().MaxLength(5),
	Text("text", func(w *widget) *string { return &w.text }).Nullable().Blank(),
	Char("kind", func(w *widget) *string { return &w.kind }).Choices("round", "square").Nullable().Blank(),
	Char("secret", func(w *widget) *string { return &w.note }).WriteOnly(),
	Char("shape", func(w *widget) *string { return &w.note }).Choices("None", "1.5").WriteOnly(),
	Number("size", func(w *widget) *int64 { return &w.size }).WriteOnly(),
	Boolean("enabled", func(w *widget) *bool { return &w.enabled }),
	NullBoolean("received", func(w *widget) **bool { return &w.received }),
	JSON("extra", func(w *widget) *json.RawMessage { return &w.extra }, IsObject).Nullable(),
	Strings("tags", 2, func(w *widget) *[]string { return &w.tags }).MaxLength(3).Nullable(),
	Nested("part", parts, func(w *widget) *part { return w.part }).Nullable(),
	Char("part", func(w *widget) *string { return &w.part.id }).WriteOnly(),
}}

func decode(t *testing.T, w *widget, body string, partial bool) error {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &members); err != nil {
		t.Fatal(err)
	}
	return widgets.Decode(w, members, partial)
}

func TestDecodeCoercesAsDjangoRESTFramework(t *testing.T) {
	for _, c := range []struct {
		body string
		want func(*widget) bool
	}{
		{`{"name":"  ab "}`, func(w *widget) bool { return w.name == "ab" }},
		{`{"name":12345}`, func(w *widget) bool { return w.name == "12345" }},
		{`{"name":1.0}`, func(w *widget) bool { return w.name == "1.0" }},
		{`{"name":1e2}`, func(w *widget) bool { return w.name == "100.0" }},
		{`{"name":-0}`, func(w *widget) bool { return w.name == "0" }},
		{`{"name":"\ufffd�"}`, func(w *widget) bool { return w.name == "\ufffd\ufffd" }},
		{`{"name":"\ud83d\ude00"}`, func(w *widget) bool { return w.name == "😀" }},
		{`{"shape":1.50}`, func(w *widget) bool { return w.note == "1.5" }},
		{`{"size":"7 "}`, func(w *widget) bool { return w.size == 7 }},
		{`{"size":7.0}`, func(w *widget) bool { return w.size == 7 }},
		{`{"size":"007.00"}`, func(w *widget) bool { return w.size == 7 }},
		{`{"size":7e2}`, func(w *widget) bool { return w.size == 700 }},
		{`{"text":" kept \n"}`, func(w *widget) bool { return w.text == " kept \n" }},
		{`{"text":null}`, func(w *widget) bool { return w.text == "" }},
		{`{"text":"   "}`, func(w *widget) bool { return w.text == "" }},
		{`{"kind":""}`, func(w *widget) bool { return w.kind == "" }},
		{`{"kind":"square"}`, func(w *widget) bool { return w.kind == "square" }},
		{`{"enabled":"Yes"}`, func(w *widget) bool { return w.enabled }},
		{`{"enabled":1}`, func(w *widget) bool { return w.enabled }},
		{`{"enabled":"off"}`, func(w *widget) bool { return !w.enabled }},
		{`{"enabled":1.0}`, func(w *widget) bool { return w.enabled }},
		{`{"received":""}`, func(w *widget) bool { return w.received == nil }},
		{`{"received":"NULL"}`, func(w *widget) bool { return w.received == nil }},
		{`{"received":null}`, func(w *widget) bool { return w.received == nil }},
		{`{"received":true}`, func(w *widget) bool { return w.received != nil && *w.received }},
		{`{"extra":{"a":1.50}}`, func(w *widget) bool { return string(w.extra) == `{"a":1.50}` }},
		{`{"tags":["a",2]}`, func(w *widget) bool { return len(w.tags) == 2 && w.tags[1] == "2" }},
		{`{"secret":"s"}`, func(w *widget) bool { return w.note == "s" }},
		{`{"part":"p"}`, func(w *widget) bool { return w.part.id == "p" }},
		{`{"id":7,"unknown":[]}`, func(w *widget) bool { return w.id == 1 }}, // read-only and unknown members are ignored
	} {
		w := &widget{id: 1, name: "old", text: "old", kind: "round", enabled: strings.Contains(c.body, "off"), received: new(bool), part: &part{}}
		if err := decode(t, w, c.body, true); err != nil {
			t.Errorf("%s: %v", c.body, err)
		} else if !c.want(w) {
			t.Errorf("%s: decoded %+v", c.body, w)
		}
	}
}

func TestDecodeRefusesAsDjangoRESTFramework(t *testing.T) {
	for _, c := range []struct{ body, field, message string }{
		{`{}`, "name", "This field is required."},
		{`{"name":null}`, "name", "This field may not be null."},
		{`{"name":" "}`, "name", "This field may not be blank."},
		{`{"name":"abcdef"}`, "name", "Ensure this field has no more than 5 characters."},
		{`{"name":true}`, "name", "Not a valid string."},
		{`{"name":["a"]}`, "name", "Not a valid string."},
		{`{"name":"a\u0000"}`, "name", "Null characters are not allowed."},
		{`{"name":"a\ud800"}`, "name", "Surrogate characters are not allowed: U+D800."},
		{`{"name":"\\\ud83d\ude00\ud83d\ud83d"}`, "name", "Surrogate characters are not allowed: U+D83D."},
		{`{"name":"\uDC00a"}`, "name", "Surrogate characters are not allowed: U+DC00."},
		{`{"name":{}}`, "name", "Not a valid string."},
		{`{"name":"a","kind":"flat"}`, "kind", `"flat" is not a valid choice.`},
		{`{"name":"a","kind":true}`, "kind", `"True" is not a valid choice.`},
		{`{"name":"a","kind":1e0}`, "kind", `"1.0" is not a valid choice.`},
		{`{"name":"a","kind":[]}`, "kind", `"[]" is not a valid choice.`},
		{`{"name":"a","kind":{}}`, "kind", `"{}" is not a valid choice.`},
		{`{"name":"a","kind":["round",null,{"a":1}]}`, "kind", `"['round', None, {'a': 1}]" is not a valid choice.`},
		{`{"name":"a","kind":" round"}`, "kind", `" round" is not a valid choice.`},
		{`{"name":"a","kind":"a\"b"}`, "kind", `"a"b" is not a valid choice.`},
		{`{"name":"a","shape":""}`, "shape", `"" is not a valid choice.`},
		{`{"name":"a","shape":null}`, "shape", "This field may not be null."},
		{`{"name":"a","size":1.5}`, "size", "A valid integer is required."},
		{`{"name":"a","size":true}`, "size", "A valid integer is required."},
		{`{"name":"a","size":""}`, "size", "A valid integer is required."},
		{`{"name":"a","size":-1}`, "size", "Ensure this value is greater than or equal to 0."},
		{`{"name":"a","size":"` + strings.Repeat("1", 1001) + `"}`, "size", "String value too large."},
		{`{"name":"a","enabled":" true"}`, "enabled", "Must be a valid boolean."},
		{`{"name":"a","enabled":"1.0"}`, "enabled", "Must be a valid boolean."},
		{`{"name":"a","enabled":[]}`, "enabled", "Must be a valid boolean."},
		{`{"name":"a","enabled":2}`, "enabled", "Must be a valid boolean."},
		{`{"name":"a","enabled":null}`, "enabled", "This field may not be null."},
		{`{"name":"a","extra":[]}`, "extra", `Expected a dictionary of items but got type "list".`},
		{`{"name":"a","tags":"x"}`, "tags", `Expected a list of items but got type "str".`},
		{`{"name":"a","tags":["1","2","3"]}`, "tags", "Ensure this field has no more than 2 elements."},
	} {
		var refusal *Error
		err := decode(t, &widget{}, c.body, false)
		if !errors.As(err, &refusal) || len(refusal.Fields) != 1 || refusal.Fields[0].Field != c.field || refusal.Fields[0].Messages[0] != c.message {
			t.Errorf("%s: got %#v, want %s: %s", c.body, err, c.field, c.message)
		}
	}
}

func TestDecodeNamesTheItemsOfLists(t *testing.T) {
	g := gomega.NewWithT(t)
	var refusal *Error
	g.Expect(errors.As(decode(t, &widget{}, `{"name":"a","tags":["1234",null]}`, false), &refusal)).To(gomega.BeTrue())
	g.Expect(refusal.Message).To(gomega.Equal("Invalid request."))
	g.Expect(refusal.Fields).To(gomega.Equal([]FieldError{{Field: "tags", Items: []ItemError{
		{0, []string{"Ensure this field has no more than 3 characters."}}, {1, []string{"This field may not be null."}},
	}}}))
}

func TestAppend(t *testing.T) {
	g := gomega.NewWithT(t)
	w := &widget{id: 3, name: "<a> & \"é\"", note: "hidden", extra: json.RawMessage(`{"n":1.50}`), part: &part{id: "p"}}
	g.Expect(string(widgets.Append(nil, w))).To(gomega.Equal(
		`{"id":3,"name":"<a> & \"é\"","text":null,"kind":null,"enabled":false,"received":null,"extra":{"n":1.50},"tags":null,"part":{"id":"p"}}`))
	w = &widget{text: "t", tags: []string{"a", "b"}, received: new(bool)}
	g.Expect(string(widgets.Append(nil, w))).To(gomega.Equal(
		`{"id":0,"name":"","text":"t","kind":null,"enabled":false,"received":false,"extra":null,"tags":["a","b"],"part":null}`))
}
