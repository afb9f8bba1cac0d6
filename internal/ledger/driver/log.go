// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// LogInterval is how often a failing database is logged at most.
const LogInterval = 10 * time.Second

// RateLimited returns a function that logs an error with a message, unless it logged one
// less than [LogInterval] ago.
func RateLimited(log logr.Logger, message string) func(error) {
	var mu sync.Mutex
	var last time.Time
	return func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(last) > LogInterval {
			last = time.Now()
			log.Error(err, message)
		}
	}
}

// WriteFailed is the message of a failing database.
const WriteFailed = "Writing to the ledger failed; writes that were not committed are refused"
