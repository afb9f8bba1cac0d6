// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestBudgetOneCompanyHoldsHalf(t *testing.T) {
	g := NewWithT(t)
	b := NewBudget(1024)
	first, ok := b.TryAcquire("a", 512)
	g.Expect(ok).To(BeTrue())
	_, ok = b.TryAcquire("a", 1)
	g.Expect(ok).To(BeFalse(), "it holds its share")
	_, ok = b.TryAcquire("b", 384)
	g.Expect(ok).To(BeTrue())
	_, ok = b.TryAcquire("c", 100)
	g.Expect(ok).To(BeFalse(), "the rest is kept for small requests")
	_, ok = b.TryAcquire("c", 4)
	g.Expect(ok).To(BeTrue())
	_, err := b.Acquire(t.Context(), "d", 513)
	g.Expect(err).To(MatchError(ErrTooLarge))
	g.Expect(b.Used()).To(BeEquivalentTo(900))

	first.Shrink(12)
	first.Shrink(100) // no more than it has
	g.Expect(b.Used()).To(BeEquivalentTo(400))
	first.Release()
	first.Release()
	g.Expect(b.Used()).To(BeEquivalentTo(388))
	var none Grant
	none.Release()
	g.Expect(none.TryGrow(1)).To(BeFalse())

	second, _ := b.TryAcquire("e", 10)
	g.Expect(second.TryGrow(500)).To(BeTrue())
	g.Expect(second.TryGrow(400)).To(BeTrue())
	g.Expect(second.Held()).To(BeEquivalentTo(500))
	g.Expect(second.TryGrow(600)).To(BeFalse(), "it would exceed the share")
	g.Expect(b.Used()).To(BeEquivalentTo(888))
}

func TestFairBudgetKeepsRoomForOthers(t *testing.T) {
	g := NewWithT(t)
	b := NewFairBudget(1024)
	take := func(party string) (held int64) {
		for {
			if _, ok := b.TryAcquire(party, 1); !ok {
				return held
			}
			held++
		}
	}
	g.Expect([]int64{take("a"), take("b"), take("c"), take("a")}).To(Equal([]int64{512, 256, 128, 0}))

	// A request that waits is granted once enough stays free.
	waiting := acquiring(t.Context(), t, b, "d", 100)
	b.mu.Lock()
	b.give("a", -100)
	b.serve()
	b.mu.Unlock()
	grant := <-waiting
	g.Expect(grant.Held()).To(BeEquivalentTo(100))
	_, ok := NewFairBudget(1024).TryAcquire("a", 512)
	g.Expect(ok).To(BeTrue(), "the whole share at once")

	b = NewFairBudget(2)
	g.Expect([]int64{take("a"), take("b"), take("c")}).To(Equal([]int64{1, 1, 0}), "one unit if that is free")
}

// acquiring waits until a request waits, and returns where its grant comes.
func acquiring(ctx context.Context, t *testing.T, b *Budget, party string, n int64) <-chan Grant {
	t.Helper()
	granted := make(chan Grant, 1)
	before := b.Waiting()
	go func() {
		if g, err := b.Acquire(ctx, party, n); err == nil {
			granted <- g
		}
	}()
	NewWithT(t).Eventually(b.Waiting, "1m").Should(Equal(before + 1))
	return granted
}

func TestBudgetServesCompaniesInTurn(t *testing.T) {
	g := NewWithT(t)
	b := NewBudget(1024)
	hold, _ := b.TryAcquire("x", 512)
	more, _ := b.TryAcquire("y", 384)
	a1 := acquiring(t.Context(), t, b, "a", 300)
	a2 := acquiring(t.Context(), t, b, "a", 200)
	b1 := acquiring(t.Context(), t, b, "b", 500)
	_, ok := b.TryAcquire("c", 10)
	g.Expect(ok).To(BeFalse(), "it would overtake those that wait")
	_, ok = b.TryAcquire("c", 4)
	g.Expect(ok).To(BeTrue(), "small requests don't wait for large ones")

	hold.Release()
	first := <-a1
	g.Consistently(b.Waiting, 20*time.Millisecond).Should(Equal(2), "b's turn has come, and a's second must not overtake it")
	more.Release()
	<-b1
	g.Expect(a2).NotTo(Receive())
	first.Release()
	<-a2
}

func TestBudgetFullShareDoesNotBlockOthers(t *testing.T) {
	b := NewBudget(1024)
	_, _ = b.TryAcquire("a", 500)
	acquiring(t.Context(), t, b, "a", 400) // a waits for its own share
	b1 := acquiring(t.Context(), t, b, "b", 390)
	shrink, _ := b.TryAcquire("c", 1)
	shrink.Release() // serves those that wait
	select {
	case <-b1:
	case <-time.After(3 * time.Minute):
		t.Fatal("b waits behind a, which has its share already")
	}
}

func TestBudgetCancelled(t *testing.T) {
	g := NewWithT(t)
	b := NewBudget(1024)
	hold, _ := b.TryAcquire("x", 512)
	ctx, cancel := context.WithCancel(t.Context())
	acquiring(ctx, t, b, "a", 500)
	behind := acquiring(t.Context(), t, b, "b", 300)
	cancel()
	<-behind // it was only behind a's request
	g.Eventually(b.Waiting, "1m").Should(BeZero())
	g.Expect(b.Used()).To(BeEquivalentTo(812))
	hold.Release()
	_, err := b.Acquire(ctx, "a", 500)
	g.Expect(err).NotTo(HaveOccurred(), "it needs no waiting")
}

// Whatever many do at once, nobody gets more than there is, and everybody ends.
func TestBudgetUnderLoad(t *testing.T) {
	const total = 4096
	b := NewBudget(total)
	var held [4]atomic.Int64
	var all atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			party := i % len(held)
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for range 200 {
				n := 1 + random.Int64N(total/2)
				if random.IntN(2) == 0 {
					n = 1 + random.Int64N(total/smallestPart)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(2000))*time.Microsecond)
				grant, err := b.Acquire(ctx, fmt.Sprint(party), n)
				cancel()
				if err != nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
					continue
				}
				if all.Add(n) > total || held[party].Add(n) > total/2 {
					t.Error("more was granted than there is")
				}
				if random.IntN(4) == 0 {
					time.Sleep(time.Duration(random.IntN(100)) * time.Microsecond)
				}
				all.Add(-n)
				held[party].Add(-n)
				grant.Release()
			}
		})
	}
	wg.Wait()
	g := NewWithT(t)
	g.Expect(b.Used()).To(BeZero())
	g.Expect(b.Waiting()).To(BeZero())
	g.Expect(b.held).To(BeEmpty())
}

func BenchmarkBudget(b *testing.B) {
	budget := NewBudget(1 << 27)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			grant, err := budget.Acquire(b.Context(), "company", 4096)
			if err != nil {
				b.Fatal(err)
			}
			grant.Release()
		}
	})
}

func TestShare(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Share(64, 0)).To(Equal(48))
	g.Expect(Share(16, 48)).To(BeZero())
	g.Expect(Share(16, 0)).To(Equal(12))
	g.Expect(Share(1, 0)).To(Equal(1))
	g.Expect(Share(0, 0)).To(BeZero())
}
