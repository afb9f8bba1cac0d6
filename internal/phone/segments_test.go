// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package phone

import (
	"strings"
	"testing"
)

func TestSegments(t *testing.T) {
	for _, test := range []struct {
		text     string
		n        int
		encoding Encoding
	}{
		{"", 1, GSM7},
		{strings.Repeat("a", 160), 1, GSM7},
		{strings.Repeat("a", 161), 2, GSM7},
		{strings.Repeat("a", 306), 2, GSM7},
		{strings.Repeat("a", 307), 3, GSM7},
		{strings.Repeat("€", 80), 1, GSM7},
		{strings.Repeat("€", 81), 2, GSM7},
		// An extended character doesn't fit into the last place of a part.
		{strings.Repeat("a", 152) + "€" + strings.Repeat("a", 151), 2, GSM7},
		{strings.Repeat("a", 152) + "€" + strings.Repeat("a", 152), 3, GSM7},
		{"Ünïcode", 1, UCS2}, // ï is not in the alphabet
		{"Ü\n\r@£", 1, GSM7},
		{"ç", 1, UCS2}, // Ç is in the alphabet, ç is not
		{strings.Repeat("ж", 70), 1, UCS2},
		{strings.Repeat("ж", 71), 2, UCS2},
		{strings.Repeat("ж", 134), 2, UCS2},
		{strings.Repeat("ж", 135), 3, UCS2},
		{strings.Repeat("😀", 35), 1, UCS2},
		{strings.Repeat("😀", 66), 2, UCS2}, // 33 in each part, with a place left over
		{strings.Repeat("😀", 67), 3, UCS2},
		{"a\u2019s", 1, UCS2},
	} {
		if n, encoding := Segments(test.text); n != test.n || encoding != test.encoding {
			t.Errorf("%.20q of %d bytes: %d %s, want %d %s", test.text, len(test.text), n, encoding, test.n, test.encoding)
		}
	}
}
