// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func wantRoom(t *testing.T, g Gate, n int, again time.Duration) {
	t.Helper()
	got, at := g.Room()
	if got != n {
		t.Errorf("room for %d, want %d", got, n)
	}
	if at.IsZero() != (again == 0) || !at.IsZero() && time.Until(at) != again {
		t.Errorf("to ask again at %v, want in %s", at, again)
	}
}

func TestGuardRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer error
		wait := make(chan struct{})
		g := NewGuard(sendFunc(func(context.Context) error { <-wait; return answer }), GuardConfig{
			Concurrency: 4, Breaker: BreakerConfig{Failures: 2, OpenFor: time.Minute},
		})
		wantRoom(t, g, 4, 0)
		// What is on its way and what has arrived counts alike, once.
		var leave []func()
		for range 4 {
			leave = append(leave, g.Enter())
		}
		wantRoom(t, g, 0, 0)
		var wg sync.WaitGroup
		wg.Go(func() {
			defer leave[0]()
			_, _ = g.Send(t.Context(), Message{})
		})
		synctest.Wait()
		wantRoom(t, g, 0, 0)
		close(wait)
		wg.Wait()
		leave[0]() // again, which must change nothing
		// One came back at once, so that each slot has many more by the time of a claim.
		wantRoom(t, g, 33, 0)
		time.Sleep(time.Second)
		// Nothing has come back for long.
		wantRoom(t, g, 1, 0)
		for _, f := range leave {
			f()
		}
		answer = Transient("Unavailable", "Down.", 0)
		for range 2 {
			_, _ = g.Send(t.Context(), Message{})
		}
		wantRoom(t, g, 0, time.Minute)
		time.Sleep(time.Minute + time.Millisecond)
		// One may try, and nobody beside it.
		wantRoom(t, g, 1, 0)
		leave = []func(){g.Enter()}
		wantRoom(t, g, 0, 0)
		answer = nil
		if _, err := g.Send(t.Context(), Message{}); err != nil {
			t.Error(err)
		}
		leave[0]()
		wantRoom(t, g, 36, 0)
	})
}

func TestGuardRoomAtARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(sendFunc(func(context.Context) error { return nil }), GuardConfig{Concurrency: 100, PerSecond: 10, Burst: 5})
		wantRoom(t, g, 5, 0)
		leave := g.Enter()
		wantRoom(t, g, 4, 0)
		if _, err := g.Send(t.Context(), Message{}); err != nil {
			t.Error(err)
		}
		leave()
		wantRoom(t, g, 4, 0)
		for range 4 {
			defer g.Enter()()
		}
		wantRoom(t, g, 0, 100*time.Millisecond)
		time.Sleep(100 * time.Millisecond)
		wantRoom(t, g, 1, 0)
	})
	synctest.Test(t, func(t *testing.T) {
		// The burst is less than what a tenth of a second allows: that must be in hand,
		// or the rate would not be reached.
		g := NewGuard(sendFunc(func(context.Context) error { return nil }), GuardConfig{Concurrency: 1000, PerSecond: 1000, Burst: 1})
		wantRoom(t, g, 100, 0)
		for range 100 {
			defer g.Enter()()
		}
		wantRoom(t, g, 0, ratePause)
	})
}

func TestProviderMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	all, err := NewProvidersMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	metrics := all.Of("shop/mail", "smtp")
	g := NewGuard(sendFunc(func(context.Context) error { return Transient("Unavailable", "Down.", 0) }), GuardConfig{
		Breaker: BreakerConfig{Failures: 1}, Metrics: metrics,
	})
	other := NewGuard(sendFunc(func(context.Context) error { return nil }), GuardConfig{Metrics: all.Of("shop/sms", "twilio")})
	for range 3 {
		_, _ = g.Send(t.Context(), Message{})
		_, _ = other.Send(t.Context(), Message{})
	}
	want := `
# HELP rehive_extension_provider_circuit_open Whether a provider keeps failing and is left alone for a while: 1 or 0. The provider is namespace/name of the DeliveryProvider, or --smtp-address.
# TYPE rehive_extension_provider_circuit_open gauge
rehive_extension_provider_circuit_open{provider="shop/mail",type="smtp"} 1
rehive_extension_provider_circuit_open{provider="shop/sms",type="twilio"} 0
# HELP rehive_extension_provider_held_back_total Messages that were taken in hand and then held back from a provider, by reason. Most wait in the ledger instead and don't count.
# TYPE rehive_extension_provider_held_back_total counter
rehive_extension_provider_held_back_total{provider="shop/mail",reason="CircuitOpen",type="smtp"} 2
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	metrics.Forget()
	metrics.circuit(true)
	if n, err := testutil.GatherAndCount(registry); err != nil || n != 1 {
		t.Errorf("%d metrics are left, want that of the other provider: %v", n, err)
	}
}
