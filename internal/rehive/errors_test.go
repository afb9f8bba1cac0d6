// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehive

import (
	"testing"
	"time"
)

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"12":                            12 * time.Second,
		" 0.5 ":                         500 * time.Millisecond,
		"-5":                            0,
		"NaN":                           0,
		"Inf":                           time.Hour,
		"99999999999999999999":          time.Hour,
		"soon":                          0,
		"Thu, 01 Jan 2026 00:00:30 GMT": 30 * time.Second,
		"Thu, 01 Jan 2026 23:00:00 GMT": time.Hour,
		"Wed, 31 Dec 2025 23:00:00 GMT": 0,
	} {
		if got := parseRetryAfter(value, now); got != want {
			t.Errorf("%q: %s, not %s", value, got, want)
		}
	}
}
