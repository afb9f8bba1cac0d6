// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
)

func TestKeyedMutexExcludes(t *testing.T) {
	var m keyedMutex
	counts := make([]int, 3) // guarded only by the mutex
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			unlock, err := m.lock(t.Context(), strconv.Itoa(i%3))
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			counts[i%3]++
		})
	}
	wg.Wait()
	for _, n := range counts {
		if n != 100 {
			t.Errorf("counted %v", counts)
		}
	}
	if len(m.keys) != 0 {
		t.Errorf("%d unused keys were kept", len(m.keys))
	}
}

func TestKeyedMutexHonoursContext(t *testing.T) {
	var m keyedMutex
	unlock, err := m.lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.lock(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for a held key returned %v", err)
	}
	other, err := m.lock(t.Context(), "b")
	if err != nil {
		t.Errorf("locking another key: %v", err)
	}
	other()
	unlock()
	again, err := m.lock(t.Context(), "a")
	if err != nil {
		t.Errorf("locking the released key: %v", err)
	}
	again()
	if len(m.keys) != 0 {
		t.Errorf("%d unused keys were kept", len(m.keys))
	}
}
