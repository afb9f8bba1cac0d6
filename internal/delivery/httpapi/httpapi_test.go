// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, value string
		want        time.Duration
	}{
		{"Retry-After", "7", 7 * time.Second},
		{"Retry-After", " 7 ", 7 * time.Second},
		{"Retry-After", "0", 0},
		{"Retry-After", "-7", 0},
		{"Retry-After", "1e9", 0},
		{"Retry-After", "99999999", maxRetryAfter},
		{"Retry-After", "4294967296", maxRetryAfter},
		{"Retry-After", "99999999999999999999", maxRetryAfter},
		{"Retry-After", "1.5", 0},
		{"Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT", maxRetryAfter},
		{"Retry-After", now.Add(time.Minute).Format(http.TimeFormat), time.Minute},
		{"Retry-After", now.Add(-time.Minute).Format(http.TimeFormat), 0},
		{"Retry-After", "soon", 0},
		{"X-RateLimit-Reset", strconv.FormatInt(now.Add(time.Minute).Unix(), 10), time.Minute},
		{"X-RateLimit-Reset", "9999999999999999", 0},
		{"X-RateLimit-Reset", "", 0},
	} {
		h := http.Header{}
		h.Set(c.name, c.value)
		if got := retryAfter(h, now); got != c.want {
			t.Errorf("%s: %s is %s, want %s", c.name, c.value, got, c.want)
		}
	}
}

// TestJSON checks that a text takes no more bytes than it must, and stays the same.
func TestJSON(t *testing.T) {
	for text, size := range map[string]int{
		"&<>": 3, "\u2028": 3, "\u2029": 3, "é": 2, "😀": 4, "\u007f": 1, "/": 1, "'": 1, "\u00a0": 2, "\ufeff": 3, "=+": 2, "\u200b": 3,
		"\n": 2, `"`: 2, `\`: 2, `\u2028`: 7, `\\u2029`: 9, "\\\u2028": 5, "\u2028\u2029&": 7, `\u202`: 6, "\x00": 6,
	} {
		got, err := JSON(text)
		var back string
		if err != nil || json.Unmarshal(got, &back) != nil || back != text || len(got) != size+2 {
			t.Errorf("%q became %s (%d bytes), want %d: %v", text, got, len(got), size+2, err)
		}
	}
}
