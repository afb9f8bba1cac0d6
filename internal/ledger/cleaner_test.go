// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestCleanerKeepsWhatThePlatformMayRepeat(t *testing.T) {
	_, err := NewCleaner(nil, MinRetention-1, nil, logr.Discard())
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("at least 168h0m0s")))
}

// largeLedger is one that never has all rows encrypted with the newest key.
type largeLedger struct{ rounds, reencrypted atomic.Int64 }

func (l *largeLedger) ExpireDeliveries(context.Context) (int, error) {
	l.rounds.Add(1)
	return 0, nil
}

func (l *largeLedger) Reencrypt(_ context.Context, limit int) (int, bool, error) {
	l.reencrypted.Add(int64(limit))
	return limit, true, nil
}

func (*largeLedger) DeleteBefore(context.Context, time.Time, int) (int, error) { return 0, nil }
func (*largeLedger) DeleteCharges(context.Context) error                       { return nil }
func (*largeLedger) DeleteThrottles(context.Context) error                     { return nil }
func (*largeLedger) DeleteSuppressions(context.Context) error                  { return nil }
func (*largeLedger) Scrub(context.Context) error                               { return nil }

// Encrypting all rows of a large ledger takes hours, for which messages that expire and rows
// at the end of their retention don't wait.
func TestCleanerCleansBetweenEncryptedRows(t *testing.T) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(3 * time.Minute)
	clk := clocktesting.NewFakeClock(time.Unix(1e9, 0))
	l := &largeLedger{}
	c, err := NewCleaner(l, MinRetention, clk, logr.Discard())
	g.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { stopped <- c.Start(ctx) }()
	const step = time.Minute
	for range 3 * cleanInterval / step {
		g.Eventually(clk.HasWaiters).Should(BeTrue())
		clk.Step(step)
	}
	g.Eventually(clk.HasWaiters).Should(BeTrue())
	g.Expect(l.rounds.Load()).To(BeNumerically(">=", 3))
	g.Expect(l.reencrypted.Load()).To(BeNumerically(">=", 20*cleanLimit))
	cancel()
	g.Eventually(stopped).Should(Receive(BeNil()))
}
