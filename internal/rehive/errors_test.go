// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehive

import (
	"fmt"
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

func TestThrottleMemoryIsBounded(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	memory := newThrottles(func() time.Time { return now })
	for i := range maxThrottled + 10 {
		memory.remember(fmt.Sprint("token", i), time.Duration(i+1)*time.Second)
	}
	if len(memory.until) != maxThrottled {
		t.Errorf("%d tokens are remembered", len(memory.until))
	}
	if memory.wait("token0") != 0 || memory.wait(fmt.Sprint("token", maxThrottled)) == 0 {
		t.Error("what ends first was not what was forgotten")
	}
	now = now.Add(time.Hour * 2)
	memory.remember("one more", time.Second)
	if len(memory.until) != 1 {
		t.Errorf("%d tokens are remembered after their time", len(memory.until))
	}
}
