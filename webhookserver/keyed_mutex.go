// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"sync"
)

// keyedMutex is a mutex per key. Unused keys take no memory. The zero value is ready to
// use.
type keyedMutex struct {
	mu   sync.Mutex
	keys map[string]*keyedEntry
}

type keyedEntry struct {
	held  chan struct{} // holds one element while the key is locked
	users int           // holder and waiters
}

// lock waits for the key and returns the function that unlocks it, or the context's error.
func (m *keyedMutex) lock(ctx context.Context, key string) (unlock func(), err error) {
	m.mu.Lock()
	if m.keys == nil {
		m.keys = make(map[string]*keyedEntry)
	}
	entry := m.keys[key]
	if entry == nil {
		entry = &keyedEntry{held: make(chan struct{}, 1)}
		m.keys[key] = entry
	}
	entry.users++
	m.mu.Unlock()

	leave := func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if entry.users--; entry.users == 0 {
			delete(m.keys, key)
		}
	}
	select {
	case entry.held <- struct{}{}:
		return func() { <-entry.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
