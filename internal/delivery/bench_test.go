// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
)

// BenchmarkBacklogOfASlowProvider sends what waits for a provider that takes 5 ms a
// message and 16 at once. Beside it is what that would take if the provider never
// waited for a message.
func BenchmarkBacklogOfASlowProvider(b *testing.B) {
	const takes = 5 * time.Millisecond
	s := openLedger(b, nil)
	for left, i := b.N, 0; left > 0; i++ {
		n := min(left, 500)
		decide(b, s, "shop", fmt.Sprint(i), n)
		left -= n
	}
	g := NewGuard(sendFunc(func(context.Context) error { time.Sleep(takes); return nil }), GuardConfig{})
	b.ResetTimer()
	stop := start(b, Options{Ledger: s, Routes: ByChannel{ledger.ChannelEmail: g}})
	for {
		if st, err := s.Stats(bg); err != nil {
			b.Fatal(err)
		} else if st.PendingDeliveries == 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	b.StopTimer()
	stop()
	ideal := time.Duration(b.N) * takes / DefaultConcurrency
	b.ReportMetric(b.Elapsed().Seconds()/ideal.Seconds(), "x-ideal")
}
