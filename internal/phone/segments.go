// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package phone

import "strings"

// Encoding is how the characters of an SMS are transmitted.
type Encoding string

// The encodings.
const (
	// GSM7 fits 160 characters into one SMS, and 153 into each part of a longer one.
	GSM7 Encoding = "GSM-7"
	// UCS2 supports every character; 70 or 67 UTF-16 units fit.
	UCS2 Encoding = "UCS-2"
)

// The default alphabet of GSM 03.38 and its extension, of which each character counts
// as two.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtended = "\f^{}\\[~]|€"
)

// Segments returns the number of SMS segments of a text, by which it is charged, and the
// encoding. A single character outside GSM-7 requires UCS-2 for the whole text.
func Segments(text string) (n int, encoding Encoding) {
	one, part := 160, 153
	encoding, size := GSM7, func(r rune) int {
		if strings.ContainsRune(gsmExtended, r) {
			return 2
		}
		return 1
	}
	if strings.ContainsFunc(text, func(r rune) bool { return !strings.ContainsRune(gsmBasic, r) && !strings.ContainsRune(gsmExtended, r) }) {
		one, part = 70, 67
		encoding, size = UCS2, func(r rune) int {
			if r > 0xffff {
				return 2
			}
			return 1
		}
	}
	total, parts, used := 0, 1, 0
	for _, r := range text {
		units := size(r)
		total += units
		if used+units > part { // a character is not split between two parts
			parts, used = parts+1, 0
		}
		used += units
	}
	if total <= one {
		return 1, encoding
	}
	return parts, encoding
}
