// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehive

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxThrottled bounds the memory: more tokens than this are hardly throttled
// at the same time.
const maxThrottled = 4096

// throttles remembers which tokens the platform told to wait. Further calls
// with such a token fail at once: they would be refused anyway, and a refused
// call counts against the budget. Tokens are kept as hashes only.
type throttles struct {
	now func() time.Time

	mu    sync.Mutex
	until map[[sha256.Size]byte]time.Time
}

func newThrottles(now func() time.Time) *throttles {
	return &throttles{now: now, until: make(map[[sha256.Size]byte]time.Time)}
}

// wait is how much longer calls with the token are pointless.
func (t *throttles) wait(token string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.until) == 0 {
		return 0
	}
	key := sha256.Sum256([]byte(token))
	until, ok := t.until[key]
	if !ok {
		return 0
	}
	left := until.Sub(t.now())
	if left <= 0 {
		delete(t.until, key)
		return 0
	}
	return left
}

func (t *throttles) remember(token string, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if len(t.until) >= maxThrottled {
		t.makeRoom(now)
	}
	t.until[sha256.Sum256([]byte(token))] = now.Add(wait)
}

// makeRoom forgets what is over, and if that is nothing, what ends first.
func (t *throttles) makeRoom(now time.Time) {
	var first [sha256.Size]byte
	var firstUntil time.Time
	for key, until := range t.until {
		if !until.After(now) {
			delete(t.until, key)
		} else if firstUntil.IsZero() || until.Before(firstUntil) {
			first, firstUntil = key, until
		}
	}
	if len(t.until) >= maxThrottled {
		delete(t.until, first)
	}
}
