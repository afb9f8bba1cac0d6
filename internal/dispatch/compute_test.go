// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/catalog"
	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
)

// forever works until it is stopped.
func forever(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestComputeEndsWhatTakesTooLong(t *testing.T) {
	g := gomega.NewWithT(t)
	c := computing{processors: flow.NewBudget(2), company: "shop", piece: 20 * time.Millisecond, left: 200 * time.Millisecond}
	g.Expect(c.compute(t.Context(), forever)).To(gomega.MatchError(notify.ErrTooSlow))
	g.Expect(c.left).To(gomega.And(gomega.BeNumerically("<", 200*time.Millisecond), gomega.BeNumerically(">=", 160*time.Millisecond)),
		"two attempts were made, and cost no more than they may")

	// The machine was suspended during the first attempt.
	attempts := 0
	g.Expect(c.compute(t.Context(), func(ctx context.Context) error {
		if attempts++; attempts == 1 {
			return forever(ctx)
		}
		return nil
	})).To(gomega.Succeed())

	for c.left > 0 {
		g.Expect(c.compute(t.Context(), forever)).To(gomega.Or(gomega.MatchError(notify.ErrTooSlow), gomega.MatchError(notify.ErrEventTooSlow)))
	}
	g.Expect(c.compute(t.Context(), func(context.Context) error {
		t.Error("nothing is left for it")
		return nil
	})).To(gomega.MatchError(notify.ErrEventTooSlow))
	g.Expect(c.processors.Used()).To(gomega.BeZero())
}

func TestComputePassesErrorsAndPanics(t *testing.T) {
	g := gomega.NewWithT(t)
	c := computing{processors: flow.NewBudget(2), company: "shop", piece: time.Minute, left: time.Minute}
	failure := errors.New("failure")
	g.Expect(c.compute(t.Context(), func(context.Context) error { return failure })).To(gomega.MatchError(failure))
	g.Expect(func() { _ = c.compute(t.Context(), func(context.Context) error { panic("bug") }) }).To(gomega.Panic())
	g.Expect(c.processors.Used()).To(gomega.BeZero())

	// Waiting for a turn is not computing.
	_, ok := c.processors.TryAcquire("shop", 1)
	g.Expect(ok).To(gomega.BeTrue())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	g.Expect(c.compute(ctx, forever)).To(gomega.MatchError(context.DeadlineExceeded))
	g.Expect(c.left).To(gomega.BeNumerically(">", 59*time.Second))
}

// A rule that panics is its own failure.
func TestDecideRulePanic(t *testing.T) {
	g := gomega.NewWithT(t)
	d := &Dispatcher{Options: Options{Log: logr.Discard()}}
	event, err := notify.NewEvent("user.update", notify.Company{}, []byte("{}"), time.Now(), nil)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	decision, err := d.decideRule(t.Context(), &catalog.Rule{Name: "bad", Compiled: notify.Compiled{Rule: new(notify.Rule)}}, event, "")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(decision.NotSent).To(gomega.HaveLen(1))
	g.Expect(decision.NotSent[0].Reason).To(gomega.Equal(notify.InternalError))
}

func TestSlotsAreShared(t *testing.T) {
	g := gomega.NewWithT(t)
	s := newSlots(16)
	held := map[string]int{}
	for _, company := range []string{"a", "b", "c", "d"} {
		for s.tryTake(company) {
			held[company]++
		}
	}
	g.Expect(held).To(gomega.Equal(map[string]int{"a": 12, "b": 3, "c": 1}), "nobody takes all, and what is free goes to whoever asks first")
	for range held["a"] {
		s.release("a")
	}
	g.Expect(s.tryTake("d")).To(gomega.BeTrue())
	s.release("d")
	for range 3 {
		s.release("b")
	}
	s.release("c")
	s.drain(16)
	g.Expect(s.held).To(gomega.BeEmpty())
	g.Expect(s.tryTake("e")).To(gomega.BeFalse())
}

// Messages that there is no memory for make the event give way, and draw it at the next
// try.
func TestMessageMemory(t *testing.T) {
	g := gomega.NewWithT(t)
	d := &Dispatcher{Options: Options{Memory: flow.NewBudget(8 << 20)}}
	decision := &notify.Decision{Messages: []notify.Message{{Text: strings.Repeat("x", 1<<20)}, {}}}
	hold, ok := d.Memory.TryAcquire("other", 4<<20)
	g.Expect(ok).To(gomega.BeTrue())
	more, ok := d.Memory.TryAcquire("another", 2<<20)
	g.Expect(ok).To(gomega.BeTrue())

	grant, _ := d.Memory.TryAcquire("shop", 1000)
	m := messageMemory{d: d, grant: &grant, key: 7, data: 1000}
	g.Expect(m.add(&notify.Decision{})).To(gomega.Succeed())
	g.Expect(m.add(decision)).To(gomega.MatchError(errNoMemory))
	g.Expect(d.needs.of(7)).To(gomega.BeEquivalentTo(2 << 20))

	hold.Release()
	more.Release()
	m = messageMemory{d: d, grant: &grant, key: 7, data: 1000}
	for range 3 {
		g.Expect(m.add(decision)).To(gomega.Succeed())
	}
	g.Expect(grant.Held()).To(gomega.BeEquivalentTo(1000 + 3<<20))
	var final finalError
	g.Expect(errors.As(m.add(decision), &final)).To(gomega.BeTrue(), "it exceeds the share")
	d.needs.forget(7)
	g.Expect(d.needs.of(7)).To(gomega.BeZero())
}

// TestEventsDrawTheirCost loads events of one size, whose data takes very different amounts
// of memory, and checks what each draws from the budget.
func TestEventsDrawTheirCost(t *testing.T) {
	g := gomega.NewWithT(t)
	d, err := New(Options{Memory: flow.NewBudget(256 << 20)})
	g.Expect(err).NotTo(gomega.HaveOccurred())
	for _, data := range []string{
		`{"a":"` + strings.Repeat("x", 30_000) + `"}`,
		`{"a":[` + strings.Repeat("{},", 10_000) + `1]}`,
		`{"a":[` + strings.Repeat(`{"":1},`, 4_000) + `1]}`,
	} {
		cost, err := notify.DataCost([]byte(data))
		g.Expect(err).NotTo(gomega.HaveOccurred())
		event := ledger.ClaimedEvent{Event: ledger.Event{Company: "shop", Data: []byte(data)}, Size: len(data)}
		memory, err := d.load(t.Context(), &event)
		g.Expect(err).NotTo(gomega.HaveOccurred())
		g.Expect(memory.Held()).To(gomega.Equal(cost))
		g.Expect(d.Memory.Used()).To(gomega.Equal(cost))
		memory.Release()
	}
	// Events that wait for memory are put back, and none is decided without it.
	all, err := d.Memory.Acquire(t.Context(), "shop", d.Memory.Share())
	g.Expect(err).NotTo(gomega.HaveOccurred())
	defer all.Release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.load(ctx, &ledger.ClaimedEvent{Event: ledger.Event{Company: "shop", Data: []byte(`{"a":1}`)}, Size: 7})
	g.Expect(err).To(gomega.MatchError(errNoMemory))
}
