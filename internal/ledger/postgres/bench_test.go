// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
)

// BenchmarkAcceptEvent is BenchmarkAcceptEvent on a PostgreSQL of this
// machine, over a socket.
func BenchmarkAcceptEvent(b *testing.B) {
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			s := newPlace(b).open(b, nil)
			var next atomic.Int64
			var done sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range callers {
				done.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if _, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: fmt.Sprint(i), Name: "transaction.initiate", Data: ledgertest.Data}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			done.Wait()
		})
	}
}

// BenchmarkEventToDelivery is an event's whole way, as
// BenchmarkEventToDelivery, with one delivery.
func BenchmarkEventToDelivery(b *testing.B) {
	s := newPlace(b).open(b, nil)
	const batch = 64
	each := func(n int, f func(i int) error) {
		var done sync.WaitGroup
		for i := range n {
			done.Go(func() {
				if err := f(i); err != nil {
					b.Error(err)
				}
			})
		}
		done.Wait()
	}
	for round := range (b.N + batch - 1) / batch {
		each(batch, func(i int) error {
			_, err := s.AcceptEvent(bg, ledger.Event{Company: fmt.Sprintf("company-%d", i%50), ID: fmt.Sprint(round, "-", i), Name: "x", Data: ledgertest.Data})
			return err
		})
		events, err := s.ClaimEvents(bg, ledger.Claim{Limit: batch, Lease: time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		each(len(events), func(i int) error {
			return s.CompleteEvent(bg, events[i], []ledger.NewDelivery{ledgertest.LongEmail("a")})
		})
		deliveries, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: batch, Lease: time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		each(len(deliveries), func(i int) error { return s.MarkSent(bg, deliveries[i], "") })
	}
}
