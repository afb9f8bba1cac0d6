// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import "time"

// RetryPolicy says when a delivery that failed is tried again.
type RetryPolicy interface {
	// Next returns how long to wait after an attempt (counted from 1) of a delivery
	// that was decided age ago; false means that its attempts are exhausted.
	Next(attempt int, age time.Duration) (time.Duration, bool)
}
