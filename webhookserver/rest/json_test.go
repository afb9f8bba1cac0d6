// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// asEncodingJSON returns the expected output of AppendString.
func asEncodingJSON(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func FuzzAppendString(f *testing.F) {
	var all strings.Builder
	for r := range rune(0x300) {
		all.WriteRune(r)
	}
	for _, text := range []string{
		"", "plain", all.String(), "\u2028\u2029", "\ufffd", "😀", "a\xffb", "\xe2\x80", "\xed\xa0\x80", "<a href=\"x\">&amp;</a>\n\ttext",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := string(AppendString([]byte("x"), text)), "x"+asEncodingJSON(t, text); got != want {
			t.Errorf("appended %s, want %s", got, want)
		}
	})
}

func BenchmarkAppendString(b *testing.B) {
	text := strings.Repeat("<p class=\"line\">Hello {{ first_name }}, you paid R\u00a010.</p>\n", 40)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var buffer []byte
	for b.Loop() {
		buffer = AppendString(buffer[:0], text)
	}
}
