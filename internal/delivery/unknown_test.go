// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/smtp"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
	"github.com/rehive/extension-operator/internal/ledger"
)

// rude starts a rude mail server and returns a provider that sends to it.
func rude(t *testing.T, script smtptest.Script, change func(*smtp.Config)) (*smtptest.Rude, *smtp.Provider) {
	t.Helper()
	s, err := smtptest.StartRude(script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, mailer(t, s.Host(), s.Port(), change)
}

// afterText says something in reply to the text of a mail.
func afterText(said *smtptest.Said) smtptest.Script {
	return smtptest.Script{Say: func(h smtptest.Heard) *smtptest.Said {
		if h.Verb == "." {
			return said
		}
		return nil
	}}
}

// The worker sends a mail whose outcome is unknown once more, much later, and then never
// again. A late answer counts, even beyond the worker's own time for a send.
func TestWorkerUnknownOutcome(t *testing.T) {
	t.Run("late answer", func(t *testing.T) {
		// Only the test moves the ledger's clock, so that a busy machine doesn't end the lease.
		clock := fakeClock()
		store := openLedger(t, clock)
		answer := make(chan struct{})
		s, p := rude(t, afterText(&smtptest.Said{Raw: "250 queued\r\n", After: answer}), func(c *smtp.Config) { c.CommandTimeout = 10 * time.Minute })
		fast := make(chan struct{}, 1)
		// Long enough for the conversation before the text, also on a busy machine.
		const sendTimeout = 2 * time.Second
		start(t, Options{
			// One slot, which the slow server must not keep.
			Ledger: store, Concurrency: 1, SendTimeout: sendTimeout,
			Routes: byCompany{"slow": NewGuard(p, GuardConfig{}), "fast": send(func(context.Context, provider.Message) (provider.Receipt, error) {
				fast <- struct{}{}
				return provider.Receipt{}, nil
			})},
		})
		decide(t, store, "slow", "1", 1)
		eventually(t, func() bool { return len(s.Commands()) >= 4 })
		decide(t, store, "fast", "2", 1)
		select {
		case <-fast:
		case <-time.After(3 * time.Minute):
			t.Fatal("the slow server holds up the other company")
		}
		// A step during this attempt could end its lease.
		eventually(t, func() bool { return stateOf(t, store, "fast").State == ledger.DeliverySent })
		// The lease is renewed for as long as the answer takes, before each ends.
		for range 6 {
			clock.Step(leaseFactor * sendTimeout * 2 / 3)
			eventually(t, func() bool {
				return stateOf(t, store, "slow").NextAttemptAt.Sub(clock.Now()) >= leaseFactor*sendTimeout
			})
		}
		close(answer)
		eventually(t, func() bool { return stateOf(t, store, "slow").State == ledger.DeliverySent })
		if n := len(s.Messages()); n != 1 {
			t.Errorf("%d copies", n)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		clock := fakeClock()
		store := openLedger(t, clock)
		s, p := rude(t, afterText(&smtptest.Said{Close: true, Keep: true}), nil)
		start(t, Options{Ledger: store, Clock: clock, SendTimeout: patient, Routes: ByChannel{ledger.ChannelEmail: p}, Retry: DefaultRetry})
		decide(t, store, "shop", "1", 1)
		eventually(t, func() bool { return stateOf(t, store, "shop").Reason == provider.ReasonOutcomeUnknown })
		first := stateOf(t, store, "shop")
		if wait := first.NextAttemptAt.Sub(clock.Now()); first.State != ledger.DeliveryPending || wait < 10*time.Minute {
			t.Errorf("%s, again in %s", first.State, wait)
		}
		for range 50 {
			clock.Step(20 * time.Minute)
			if stateOf(t, store, "shop").State == ledger.DeliveryFailed {
				break
			}
			eventually(t, func() bool { return clock.HasWaiters() })
		}
		eventually(t, func() bool { return stateOf(t, store, "shop").State == ledger.DeliveryFailed })
		messages := s.Messages()
		if len(messages) != 2 {
			t.Fatalf("%d copies, want 2", len(messages))
		}
		a, _ := messages[0].Parse()
		b, _ := messages[1].Parse()
		if id := a.Header.Get("Message-Id"); id == "" || id != b.Header.Get("Message-Id") {
			t.Error("the copies differ in their Message-ID")
		}
		if last := stateOf(t, store, "shop"); last.Reason != provider.ReasonOutcomeUnknown {
			t.Errorf("%s: %s", last.Reason, last.Message)
		}
	})
	t.Run("unknown, deferred, unknown", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := openLedgerForDays(t)
			n := 0
			start(t, Options{Ledger: store, Retry: DefaultRetry, Routes: ByChannel{ledger.ChannelEmail: send(func(context.Context, provider.Message) (provider.Receipt, error) {
				n++
				if n%2 == 1 {
					return provider.Receipt{}, provider.Unknown("It never answered.")
				}
				return provider.Receipt{}, provider.Transient("Unavailable", "It is busy.", 0)
			})}})
			decide(t, store, "shop", "1", 1)
			pass(24 * time.Hour)
			if d := stateOf(t, store, "shop"); d.State != ledger.DeliveryFailed || n != 3 {
				t.Errorf("sent %d times and %s", n, d.State)
			}
		})
	})
}

// patient is a SendTimeout whose leases outlast all steps of a test's clock. With a shorter
// one, a step ends the lease of a send that takes long on a busy machine.
const patient = 1000 * time.Hour

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came to be")
		}
	}
}

func stateOf(t *testing.T, s ledger.Store, company string) ledger.Delivery {
	t.Helper()
	all, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: company})
	if err != nil || len(all) != 1 {
		t.Fatalf("%d deliveries: %v", len(all), err)
	}
	return all[0]
}
