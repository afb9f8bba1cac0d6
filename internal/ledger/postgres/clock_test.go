// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
)

func TestServersClockCounts(t *testing.T) {
	g := NewWithT(t)
	s := newPlace(t).open(t, nil)
	c := s.d.server
	g.Expect(c.Now()).To(BeTemporally("~", time.Now(), time.Minute))

	clk := ledgertest.NewMachineClock() // shows another year
	c = &serverClock{machine: clk}
	g.Expect(c.adjust(bg, s.d.pool)).To(Succeed())
	g.Expect(c.Now()).To(BeTemporally("~", time.Now(), time.Minute))
	before := c.Now()
	clk.Pass(time.Hour)
	g.Expect(c.doubtful()).To(BeFalse())
	clk.Set(24 * time.Hour)
	g.Expect(c.Since(before)).To(Equal(time.Hour), "whatever this machine's shows")
	g.Expect(c.doubtful()).To(BeTrue(), "it may have slept")

	s.d.server = c
	ledgertest.Accept(t, s, "shop", "1")
	ledgertest.ClaimOne(t, s)
	g.Expect(c.doubtful()).To(BeFalse(), "before a lease is taken it is looked at again")
	g.Expect(c.Now()).To(BeTemporally("~", time.Now(), time.Minute))
}

// TestSlowAnswersDontSetTheClockBack checks that only an answer that proves the clock wrong
// changes it.
func TestSlowAnswersDontSetTheClockBack(t *testing.T) {
	g := NewWithT(t)
	clk := ledgertest.NewMachineClock()
	c := &serverClock{machine: clk}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, answer := range []struct{ server, took, want time.Duration }{
		{0, time.Second, 0},
		{300 * time.Millisecond, 0, 300 * time.Millisecond},
		{0, time.Second, 300 * time.Millisecond},
		{200 * time.Millisecond, 2 * time.Second, 300 * time.Millisecond},
		{-time.Second, 500 * time.Millisecond, -time.Second},
		{time.Hour, time.Second, time.Hour},
	} {
		c.learn(begin.Add(answer.server), answer.took)
		g.Expect(c.Now()).To(BeTemporally("==", begin.Add(answer.want)), "%+v", answer)
	}
	clk.Pass(time.Minute)
	g.Expect(c.Now()).To(BeTemporally("==", begin.Add(time.Hour+time.Minute)))
}
