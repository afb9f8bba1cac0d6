// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
)

// A small event is stored while another company's many large ones are, and doesn't wait for
// those that came before it.
func TestSmallEventsPassLargeOnes(t *testing.T) {
	const large, size = 128, 1 << 20
	s := newPlace(t).open(t, nil)
	data := append(append([]byte(`{"a":"`), bytes.Repeat([]byte("x"), size)...), `"}`...)
	var flood sync.WaitGroup
	started := time.Now()
	for i := range large {
		flood.Go(func() {
			if _, err := s.AcceptEvent(bg, ledger.Event{Company: "large", ID: fmt.Sprint(i), Name: "x", Data: data}); err != nil {
				t.Error(err)
			}
		})
	}
	over := make(chan struct{})
	go func() { flood.Wait(); close(over) }()
	var took []time.Duration
	for i := 0; ; i++ {
		select {
		case <-over:
		default:
			begin := time.Now()
			ledgertest.Accept(t, s, "small", fmt.Sprint(i))
			took = append(took, time.Since(begin))
			continue
		}
		break
	}
	whole := time.Since(started)
	slices.Sort(took)
	t.Logf("%d small events were stored in %s, the slowest in %s and the middle one in %s", len(took), whole, took[len(took)-1], took[len(took)/2])
	if longest := took[len(took)-1]; longest > whole/2 && longest > 250*time.Millisecond {
		t.Errorf("a small event took %s of the %s that the large ones took", longest, whole)
	}
}
