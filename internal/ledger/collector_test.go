// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	clocktesting "k8s.io/utils/clock/testing"
)

type monitor func(context.Context) (Stats, error)

func (m monitor) Stats(ctx context.Context) (Stats, error) { return m(ctx) }

func TestScrapeDoesNotWaitForALedgerThatHangs(t *testing.T) {
	g := NewWithT(t)
	calls := 0
	c := NewCollector(monitor(func(ctx context.Context) (Stats, error) {
		calls++
		deadline, ok := ctx.Deadline()
		g.Expect(ok).To(BeTrue())
		g.Expect(time.Until(deadline)).To(BeNumerically("<=", statsTimeout))
		return Stats{}, ErrUnavailable
	}), clocktesting.NewFakeClock(time.Now()))
	g.Expect(testutil.CollectAndCount(c)).To(Equal(1))
	g.Expect(testutil.CollectAndCount(c)).To(Equal(1))
	g.Expect(calls).To(Equal(1), "the next scrape doesn't hang again at once")
}
