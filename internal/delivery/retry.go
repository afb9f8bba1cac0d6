// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"math/rand/v2"
	"time"
)

// RetryPolicy says when a delivery that failed is tried again.
type RetryPolicy interface {
	// Next returns how long to wait after an attempt (counted from 1) of a delivery
	// that was decided age ago; false means that its attempts are exhausted.
	Next(attempt int, age time.Duration) (time.Duration, bool)
}

// Exponential waits First after the first attempt and Factor times longer after
// each more, but never longer than Longest, with up to a fifth more or less, so
// that what failed together doesn't come back together.
type Exponential struct {
	First, Longest time.Duration
	Factor         float64
	// Attempts is how many there are in all.
	Attempts int
}

// DefaultRetry tries 14 times in about 24 hours: after 5 s, 15 s, 45 s and so on
// up to every four hours. The attempts are counted and not the hours, so that an
// operator that was down doesn't find its messages expired.
var DefaultRetry RetryPolicy = Exponential{First: 5 * time.Second, Longest: 4 * time.Hour, Factor: 3, Attempts: 14}

// Next implements [RetryPolicy].
func (e Exponential) Next(attempt int, _ time.Duration) (time.Duration, bool) {
	if attempt >= e.Attempts {
		return 0, false
	}
	wait := float64(e.First)
	for i := 1; i < attempt && wait < float64(e.Longest); i++ {
		wait *= e.Factor
	}
	return jitter(time.Duration(min(wait, float64(e.Longest)))), true
}

// jitter adds or takes up to a fifth.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
