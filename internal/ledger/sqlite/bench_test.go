// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
)

// BenchmarkBareInsert measures a durable insert without this package.
func BenchmarkBareInsert(b *testing.B) {
	path := filepath.Join(b.TempDir(), "ledger.db")
	s := open(b, path, nil)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("sqlite", dsn(path, settings{}))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	insert, err := db.PrepareContext(bg, insertBareEvent)
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now().UnixMilli()
	defer func() { _ = insert.Close() }()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := insert.ExecContext(context.Background(), "shop", fmt.Sprint(i), "transaction.initiate", now, now, ledgertest.Data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBareBatch measures the same in transactions of 256 rows, counted by row: the
// limit of the database itself.
func BenchmarkBareBatch(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "ledger.db"), nil)
	now := time.Now().UnixMilli()
	next := 0
	b.ReportAllocs()
	for range (b.N + maxBatch - 1) / maxBatch {
		err := s.write(bg, &job{run: func(w *writer) error {
			for range maxBatch {
				next++
				if _, err := w.Exec(insertBareEvent, "shop", fmt.Sprint(next), "transaction.initiate", now, now, ledgertest.Data); err != nil {
					return err
				}
			}
			return nil
		}})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAcceptEvent(b *testing.B) {
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "ledger.db"), nil)
			var next atomic.Int64
			done := make(chan struct{})
			b.ReportAllocs()
			b.ResetTimer()
			for range callers {
				go func() {
					defer func() { done <- struct{}{} }()
					for {
						i := next.Add(1)
						if i > int64(b.N) {
							return
						}
						if _, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: fmt.Sprint(i), Name: "transaction.initiate", Data: ledgertest.Data}); err != nil {
							b.Error(err)
							return
						}
					}
				}()
			}
			for range callers {
				<-done
			}
		})
	}
}

// BenchmarkAcceptEventBesideDispatch is BenchmarkAcceptEvent while another goroutine claims
// and completes the events, as the dispatcher does for those without a rule.
func BenchmarkAcceptEventBesideDispatch(b *testing.B) {
	for _, callers := range []int{1, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "ledger.db"), nil)
			ctx, stop := context.WithCancel(bg)
			var dispatcher, accepters sync.WaitGroup
			dispatcher.Go(func() {
				free := make(chan struct{}, 32)
				for ctx.Err() == nil {
					select {
					case <-ctx.Done():
					case <-s.EventsReady():
						time.Sleep(2 * time.Millisecond)
					}
					for {
						events, err := s.ClaimEvents(bg, ledger.Claim{Limit: cap(free) - len(free), Lease: time.Minute})
						if err != nil {
							b.Error(err)
						}
						if len(events) == 0 || ctx.Err() != nil {
							break
						}
						for _, e := range events {
							free <- struct{}{}
							dispatcher.Go(func() {
								if err := s.CompleteEvent(bg, e, nil); err != nil {
									b.Error(err)
								}
								<-free
							})
						}
					}
				}
			})
			var next atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			for range callers {
				accepters.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if _, err := s.AcceptEvent(bg, ledger.Event{Company: fmt.Sprint("company-", i%50), ID: fmt.Sprint(i), Name: "transaction.initiate", Data: ledgertest.Data}); err != nil {
							b.Error(err)
							return
						}
						// Takes as long as the way to the client and back. A sleep would take longer.
						for end := time.Now().Add(100 * time.Microsecond); callers == 1 && time.Now().Before(end); {
							runtime.Gosched()
						}
					}
				})
			}
			accepters.Wait()
			b.StopTimer()
			stop()
			dispatcher.Wait()
		})
	}
}

// BenchmarkEventToDelivery measures an event's whole path through the ledger: it is accepted,
// claimed and completed with three deliveries, which are claimed and marked sent.
func BenchmarkEventToDelivery(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "ledger.db"), nil)
	const batch = 64
	b.ReportAllocs()
	do := func(n int, f func(i int) error) {
		done := make(chan error)
		for i := range n {
			go func() { done <- f(i) }()
		}
		for range n {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
	}
	for round := range (b.N + batch - 1) / batch {
		do(batch, func(i int) error {
			_, err := s.AcceptEvent(bg, ledger.Event{Company: fmt.Sprintf("company-%d", i%50), ID: fmt.Sprint(round, "-", i), Name: "x", Data: ledgertest.Data})
			return err
		})
		events, err := s.ClaimEvents(bg, ledger.Claim{Limit: batch, Lease: time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		do(len(events), func(i int) error {
			return s.CompleteEvent(bg, events[i], []ledger.NewDelivery{ledgertest.LongEmail("a"), ledgertest.LongEmail("b"), ledgertest.LongEmail("c")})
		})
		for {
			deliveries, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: batch, Lease: time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			if len(deliveries) == 0 {
				break
			}
			do(len(deliveries), func(i int) error { return s.MarkSent(bg, deliveries[i], "") })
		}
	}
}
