// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/rehive/extension-operator/internal/ledger/seal"
)

// Options say how a ledger works, whatever database it is on. Zero fields have defaults.
type Options struct {
	// Clock is the clock that callers' times are by; if nil, the machine's clock for
	// SQLite and the server's for PostgreSQL.
	Clock clock.PassiveClock
	// Log receives what an operator should know; nothing is logged if it is zero.
	Log logr.Logger
	// DigestKey is the key of the HMACs of masked texts. Without one there are none.
	DigestKey []byte
	// Keys encrypt the data of events and the content of deliveries. Without them, new rows
	// are not encrypted, and a ledger with rows that are is not opened.
	Keys *seal.Keyring
	// Limits are what one company may use.
	Limits Limits
	// UsageInterval is how often each company's usage is counted; every five seconds
	// if 0.
	UsageInterval time.Duration
	// PollInterval is how often a ledger that other processes share is searched for work
	// that they added, released or left behind; every second if 0.
	PollInterval time.Duration
}

// Limits are how much of a ledger one company may use. Zero means unlimited.
type Limits struct {
	// Pending is how many of a company's events and deliveries may be pending.
	Pending int64
	// Bytes is about how many bytes a company may store, completed events and
	// deliveries included.
	Bytes int64
}
