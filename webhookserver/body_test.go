// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rehive/extension-operator/internal/meter/metertest"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

func TestParseObject(t *testing.T) {
	deep := func(n int) string { return `{"data":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}` }
	for name, test := range map[string]struct {
		body    string
		members map[string]string
		message string // of the error
	}{
		"an object":                  {body: `{"id": 1, "data" : {"a":[1,{"b":"}"}]} }`, members: map[string]string{"id": "1", "data": `{"a":[1,{"b":"}"}]}`}},
		"an empty object":            {body: " \n{ }\t", members: map[string]string{}},
		"unknown members":            {body: `{"x":{"id":2},"y":[{"id":3}],"id":"1","z":null}`, members: map[string]string{"id": `"1"`}},
		"names are case-sensitive":   {body: `{"ID":1,"Id":2}`, members: map[string]string{}},
		"the last duplicate counts":  {body: `{"id":1,"id":2}`, members: map[string]string{"id": "2"}},
		"an escaped name":            {body: `{"\u0069d":7}`, members: map[string]string{"id": "7"}},
		"quotes and brackets inside": {body: `{"a\"}":"{[\\","id":"\"]}\\"}`, members: map[string]string{"id": `"\"]}\\"`}},
		"a number beyond 64 bits":    {body: `{"data":{"n":123456789012345678901234567890.10,"e":1e400}}`, members: map[string]string{"data": `{"n":123456789012345678901234567890.10,"e":1e400}`}},
		"literals":                   {body: `{"id":true,"data":false ,"x":null}`, members: map[string]string{"id": "true", "data": "false"}},
		"as deep as allowed":         {body: deep(20), members: map[string]string{"data": strings.Repeat("[", 19) + strings.Repeat("]", 19)}},

		"too deep":             {body: deep(21), message: "JSON parse error - nested deeper than 20 levels"},
		"a million brackets":   {body: strings.Repeat("[", 1<<20), message: "JSON parse error - nested deeper than 20 levels"},
		"brackets in a string": {body: `{"id":"` + strings.Repeat("[", 100) + `"}`, members: map[string]string{"id": `"` + strings.Repeat("[", 100) + `"`}},
		"invalid UTF-8":        {body: "{\"id\":\"\xff\"}", message: "JSON parse error - the body is not valid UTF-8"},
		"a byte order mark":    {body: "\ufeff{}", message: "JSON parse error - the body begins with a byte order mark; send UTF-8 without one"},
		"UTF-16, little end":   {body: "{\x00}\x00", message: "JSON parse error - the body is UTF-16; send UTF-8"},
		"UTF-16, big end":      {body: "\x00{\x00}", message: "JSON parse error - the body is UTF-16; send UTF-8"},
		"a NUL":                {body: "{}\x00", message: "JSON parse error - Extra data: line 1 column 3 (char 2)"},
		"not JSON":             {body: "token=abc", message: "JSON parse error - Expecting value: line 1 column 1 (char 0)"},
		"cut off":              {body: "{\"id\":\n [1", message: "JSON parse error - Expecting ',' delimiter: line 2 column 4 (char 10)"},
		"a trailing comma":     {body: `{"id":1,}`, message: "JSON parse error - Expecting property name enclosed in double quotes: line 1 column 9 (char 8)"},
		"more than one value":  {body: `{} {}`, message: "JSON parse error - Extra data: line 1 column 4 (char 3)"},
		"only white space":     {body: "  ", message: "JSON parse error - Expecting value: line 1 column 3 (char 2)"},
		"NaN":                  {body: `{"data":NaN}`, message: "JSON parse error - Out of range float values are not JSON compliant: 'NaN'"},
		"a raw control character": {
			body:    "{\"id\":\"a\nb\"}",
			message: `JSON parse error - Invalid control character at: line 1 column 9 (char 8)`,
		},
		"a list":   {body: ` [{"id":1}]`, message: "Invalid data. Expected a dictionary, but got list."},
		"a string": {body: `"id"`, message: "Invalid data. Expected a dictionary, but got str."},
		"a number": {body: `12`, message: "Invalid data. Expected a dictionary, but got int."},
		"a float":  {body: `1.5`, message: "Invalid data. Expected a dictionary, but got float."},
		"a bool":   {body: `true`, message: "Invalid data. Expected a dictionary, but got bool."},
		"null":     {body: `null`, message: "No data provided"},
	} {
		t.Run(name, func(t *testing.T) {
			members, err := parseObject([]byte(test.body), 20, "id", "data")
			var refusal *rest.Error
			if errors.As(err, &refusal) {
				if refusal.Message != test.message || refusal.Status != 400 {
					t.Fatalf("refused with %d %q, want 400 %q", refusal.Status, refusal.Message, test.message)
				}
				return
			}
			if err != nil || test.message != "" {
				t.Fatalf("got %v, %v, want the refusal %q", members, err, test.message)
			}
			got := map[string]string{}
			for k, v := range members {
				got[k] = string(v)
			}
			if !maps.Equal(got, test.members) {
				t.Fatalf("got %v, not %v", got, test.members)
			}
		})
	}
}

func TestCharField(t *testing.T) {
	for raw, want := range map[string]string{ // a text, or an error that ends in a full stop
		`"abc"`:                   "abc",
		`"  abc\t\n"`:             "abc",
		`"a b"`:                   "a b",
		`12`:                      "12",
		`-7`:                      "-7",
		`12345678901234567890`:    "12345678901234567890",
		`"äöü€😀äöü€😀"`:            "äöü€😀äöü€😀", // ten characters, more bytes
		`"\ud83d\ude00"`:          "😀",
		`""`:                      "This field may not be blank.",
		`" \n "`:                  "This field may not be blank.",
		`null`:                    "This field may not be null.",
		`true`:                    "Not a valid string.",
		`1.5`:                     "1.5", // numbers as Python prints them
		`1e3`:                     "1000.0",
		`{}`:                      "Not a valid string.",
		`["abc"]`:                 "Not a valid string.",
		`"a\u0000b"`:              "Null characters are not allowed.",
		`"\ud800"`:                "Surrogate characters are not allowed: U+D800.",
		`"aaaaaaaaaabbbbbbbbbbc"`: "Ensure this field has no more than 20 characters.",
		`123456789012345678901`:   "Ensure this field has no more than 20 characters.",
		``:                        "This field is required.",
	} {
		f := &fields{}
		if raw != "" {
			f.members = map[string]json.RawMessage{"x": json.RawMessage(raw)}
		}
		got := f.char("x", 20)
		if err := f.err(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, not %q", raw, got, want)
		}
	}
}

func TestBooleanField(t *testing.T) {
	for raw, want := range map[string]any{
		`true`: true, `"true"`: true, `"True"`: true, `"TRUE"`: true, `"yes"`: true, `"on"`: true, `"t"`: true, `1`: true, `"1"`: true, `1.0`: true,
		`false`: false, `"false"`: false, `"No"`: false, `"off"`: false, `0`: false, `"0"`: false, ``: false,
		`null`: "This field may not be null.",
		`2`:    "Must be a valid boolean.", `"maybe"`: "Must be a valid boolean.", `""`: "Must be a valid boolean.",
		`[]`: "Must be a valid boolean.", `{}`: "Must be a valid boolean.",
	} {
		f := &fields{}
		if raw != "" {
			f.members = map[string]json.RawMessage{"x": json.RawMessage(raw)}
		}
		var got any = f.boolean("x", false)
		if err := f.err(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %v, not %v", raw, got, want)
		}
	}
}

// TestInvalidFieldsMessage checks that an answer's message lists each distinct error once,
// in the order of the fields.
func TestInvalidFieldsMessage(t *testing.T) {
	f := &fields{members: map[string]json.RawMessage{"b": json.RawMessage("null")}}
	f.char("c", 1)
	f.char("b", 1)
	f.char("a", 1)
	if got, want := f.err().Error(), "This field is required. This field may not be null."; got != want {
		t.Errorf("got %q, not %q", got, want)
	}
}

// FuzzParseObject compares parseObject with encoding/json.
func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{
		`{"id":1,"event":"user.create","company":"acme","data":{"a":[1,"}"]}}`,
		`{"id":"\ud800\"","id":1.0e5 ,"data":[[]]}`, `{ }`, `[]`, `null`, `{"\u0069d":[{}]}`, "{\"a\":\"\xff\"}", `{"id":1,}`,
		`{"id": 1, "data" : {"a":[1,{"b":"}"}], "e":-0.5e+10, "f":[true,false,null,"\u00e9\\\"\n/"]} }`,
		`{"id":01}`, `{"id":1.}`, `{"id":-}`, `{"id":1e}`, `{"id":"\x"}`, `{"id":"\u12g4"}`, `{"id":tru}`, `{"id" 1}`, `{"id":1 2}`,
		"{\"id\":\"1234567\x1f\"}", "{\"id\":\"é12345é789\x00\"}", `{"id":""`, `{"id":[}`, `[{}]`, `{"id":1}}`, `{"a":1,"a":{"a":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}}`,
	} {
		f.Add([]byte(seed))
	}
	names := []string{"id", "event", "company", "data"}
	f.Fuzz(func(t *testing.T, body []byte) {
		members, err := parseObject(body, 16, names...)
		if err != nil {
			var refusal *rest.Error
			if !errors.As(err, &refusal) || refusal.Status != 400 || refusal.Message == "" {
				t.Fatalf("refused with %v", err)
			}
			var good map[string]json.RawMessage
			if utf8.Valid(body) && !nestedDeeper(body, 16) && json.Unmarshal(body, &good) == nil && good != nil {
				t.Fatalf("refused a JSON object: %v", err)
			}
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("accepted an invalid JSON object: %v", err)
		}
		maps.DeleteFunc(want, func(name string, _ json.RawMessage) bool { return !slices.Contains(names, name) })
		if !maps.EqualFunc(members, want, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
			t.Fatalf("read %s, not %s", members, want)
		}
		read := &fields{members: members}
		for _, name := range names {
			read.char(name, 50)
			read.boolean(name, false)
			read.json(name)
		}
	})
}

// FuzzWebhookBody checks that any body is either refused with a 400 or read as an event
// that is within the limits and has its data unchanged.
func FuzzWebhookBody(f *testing.F) {
	f.Add([]byte(`{"id":1,"event":"user.create","company":"acme","data":{"n":123456789012345678901234567890}}`))
	f.Add([]byte(`{"id":" a\u0000","event":true,"company":[],"data":null}`))
	f.Add([]byte(`{"id":"\ud83d\ude00","event":"\ud800","company":"a","data":"\ud800"}`))
	s := &Server{limits: Limits{}.withDefaults(), now: time.Now}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/api/webhook/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		event, err := s.readEvent(r)
		if err != nil {
			var refusal *rest.Error
			if !errors.As(err, &refusal) || refusal.Status != 400 {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		for _, text := range []string{event.ID, event.Name, event.Company} {
			if text == "" || len(text) > 4*maxIDLength || strings.TrimSpace(text) != text || strings.ContainsRune(text, 0) {
				t.Fatalf("accepted %q", text)
			}
		}
		if !json.Valid(event.Data) || !bytes.Contains(body, event.Data) {
			t.Fatalf("the data became %q", event.Data)
		}
	})
}

// The messages were recorded from json.loads of Python 3.11, with the parse_constant of Django
// REST Framework.
func TestJSONFaultsAsPython(t *testing.T) {
	recorded, err := os.ReadFile("testdata/json_errors.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases [][2]string
	if err := json.Unmarshal(recorded, &cases); err != nil || len(cases) == 0 {
		t.Fatal(err, len(cases))
	}
	for _, c := range cases {
		if got, want := syntaxError([]byte(c[0]), 128).Message, "JSON parse error - "+c[1]; got != want {
			t.Errorf("%q: %s, want %s", c[0], got, want)
		}
	}
}

// TestCostOfRefusingABody checks that it takes about as long to say why a large body is not JSON
// as to read it: anybody can send one.
func TestCostOfRefusingABody(t *testing.T) {
	fastest := func(allowed time.Duration, body string) time.Duration {
		return metertest.MeasureWithin(allowed, func() { _, _ = parseObject([]byte(body), 128, "id") })
	}
	for name, item := range map[string]string{
		"numbers": "1,", "a long number": "1", "literals": "true,", "texts": `"",`, "escape sequences": `"\n\n\n\n\u00e9",`, "objects": `{"a":1},`, "white space": " ",
	} {
		cut := `{"id":[` + strings.Repeat(item, 1<<19/len(item))
		whole := cut + "1]}"
		if _, err := parseObject([]byte(whole), 128, "id"); err != nil {
			t.Fatal(name, err)
		}
		valid := fastest(0, whole)
		if invalid := fastest(20*valid, cut); invalid > 20*valid {
			t.Errorf("%s: a valid body is read in %s, and an invalid one is refused after %s", name, valid, invalid)
		}
	}
}
