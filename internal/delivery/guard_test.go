// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// sendFunc is a provider made of a function.
type sendFunc func(ctx context.Context) error

func (f sendFunc) Send(ctx context.Context, _ provider.Message) (provider.Receipt, error) {
	return provider.Receipt{ID: "sent"}, f(ctx)
}

// checkHeldBack checks that a message was held back for a reason and is tried again later.
func checkHeldBack(t *testing.T, err error, reason string) {
	t.Helper()
	var e *provider.Error
	if !errors.As(err, &e) || !provider.IsHeldBack(err) || e.Reason != reason || e.RetryAfter <= 0 {
		t.Errorf("%#v is not a message held back with the reason %s", err, reason)
	}
}

func TestGuardHoldsMessagesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(sendFunc(func(context.Context) error { return nil }), GuardConfig{PerSecond: 0.1, Burst: 1})
		for i := range 2 {
			receipt, err := g.Send(t.Context(), provider.Message{})
			if i == 1 {
				checkHeldBack(t, err, ReasonRateLimited)
			} else if err != nil || receipt.ID != "sent" {
				t.Errorf("%+v, %v", receipt, err)
			}
		}
		release := make(chan struct{})
		g = NewGuard(sendFunc(func(context.Context) error { <-release; return nil }), GuardConfig{Concurrency: 1})
		go func() { _, _ = g.Send(t.Context(), provider.Message{}) }()
		synctest.Wait()
		_, err := g.Send(t.Context(), provider.Message{})
		checkHeldBack(t, err, ReasonBusy)
		close(release)
	})
}

// Only an outcome that shows that the provider is down opens the circuit.
func TestGuardCircuit(t *testing.T) {
	down := provider.Transient("Unavailable", "Down.", 0)
	for name, test := range map[string]struct {
		err   error
		opens bool
	}{
		"sent":                {nil, false},
		"refused":             {provider.Permanent("RecipientRefused", "No."), false},
		"deferred":            {provider.Deferred("RecipientDeferred", "Greylisted.", 0), false},
		"misconfigured":       {provider.Misconfigured("CredentialsRefused", "No."), false},
		"throttled":           {provider.Transient(provider.ReasonThrottled, "Slow.", time.Second), false},
		"platform down":       {provider.Transient(provider.ReasonDevicesUnavailable, "The platform is down.", 0), false},
		"platform's turn":     {provider.HeldBack("PlatformBusy", "Wait.", time.Second), false},
		"unavailable":         {down, true},
		"unknown":             {provider.Unknown("It never answered."), true},
		"an error of no kind": {errors.New("planted"), true},
	} {
		t.Run(name, func(t *testing.T) {
			answer := test.err
			g := NewGuard(sendFunc(func(context.Context) error { return answer }), GuardConfig{Failures: 3})
			for range 5 {
				if _, err := g.Send(t.Context(), provider.Message{}); !test.opens && !errors.Is(err, answer) {
					t.Fatalf("%v became %v", answer, err)
				}
			}
			answer = nil
			_, err := g.Send(t.Context(), provider.Message{})
			if test.opens {
				checkHeldBack(t, err, ReasonCircuitOpen)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	// The operator's stop cancels every send in flight: no provider is down because of it.
	g := NewGuard(sendFunc(func(context.Context) error { return down }), GuardConfig{Failures: 2})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 {
		if _, err := g.Send(ctx, provider.Message{}); !errors.Is(err, down) {
			t.Fatal(err)
		}
	}
	// A panic counts as a failure, and gives its slot back.
	g = NewGuard(sendFunc(func(context.Context) error { panic("planted") }), GuardConfig{Concurrency: 1, Failures: 2})
	for range 2 {
		func() {
			defer func() { _ = recover() }()
			_, _ = g.Send(t.Context(), provider.Message{})
		}()
	}
	_, err := g.Send(t.Context(), provider.Message{})
	checkHeldBack(t, err, ReasonCircuitOpen)
}

// A claimed message counts once, whether it has reached the provider or not.
func TestGuardCountsClaimedMessages(t *testing.T) {
	g := NewGuard(sendFunc(func(context.Context) error { return nil }), GuardConfig{Concurrency: 4})
	leave := g.Enter()
	if n, _ := g.Room(); n != 3 {
		t.Errorf("room for %d, want 3", n)
	}
	leave()
	leave() // the second call changes nothing
	if n, _ := g.Room(); n != 4 {
		t.Errorf("room for %d, want 4", n)
	}
}

func TestProviderMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	all, err := NewProvidersMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	metrics := all.Of("shop/mail", "smtp")
	g := NewGuard(sendFunc(func(context.Context) error { return provider.Transient("Unavailable", "Down.", 0) }), GuardConfig{
		Failures: 1, Metrics: metrics,
	})
	other := NewGuard(sendFunc(func(context.Context) error { return nil }), GuardConfig{Metrics: all.Of("shop/sms", "twilio")})
	for range 3 {
		_, _ = g.Send(t.Context(), provider.Message{})
		_, _ = other.Send(t.Context(), provider.Message{})
	}
	want := `
# HELP rehive_extension_provider_circuit_open Whether a provider keeps failing and is left alone for a while: 1 or 0. The provider is namespace/name of the DeliveryProvider, or --smtp-address.
# TYPE rehive_extension_provider_circuit_open gauge
rehive_extension_provider_circuit_open{provider="shop/mail",type="smtp"} 1
rehive_extension_provider_circuit_open{provider="shop/sms",type="twilio"} 0
# HELP rehive_extension_provider_held_back_total Messages that were claimed and then held back from a provider, by reason. Most wait in the ledger instead and don't count.
# TYPE rehive_extension_provider_held_back_total counter
rehive_extension_provider_held_back_total{provider="shop/mail",reason="CircuitOpen",type="smtp"} 2
# HELP rehive_extension_provider_sent_total Messages that a provider accepted.
# TYPE rehive_extension_provider_sent_total counter
rehive_extension_provider_sent_total{provider="shop/mail",type="smtp"} 0
rehive_extension_provider_sent_total{provider="shop/sms",type="twilio"} 3
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	metrics.Forget()
	metrics.circuit(true)
	if n, err := testutil.GatherAndCount(registry); err != nil || n != 2 {
		t.Errorf("%d metrics are left, want those of the other provider: %v", n, err)
	}
}
