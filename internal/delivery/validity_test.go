// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/ledger"
)

// A provider that is down for most of a day and comes back sends no stale code.
func TestProviderDownForADay(t *testing.T) {
	// The attempts of a message last for 19.6 hours at least.
	const down = 19 * time.Hour
	for name, failure := range map[string]error{
		"it fails":              provider.Transient("Unavailable", "It is down.", 0),
		"it asks for a wait":    provider.Transient("Throttled", "Later.", 11*time.Hour),
		"its password is wrong": provider.Misconfigured("LoginRefused", "It refuses the password."),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				s := openLedgerForDays(t)
				began := time.Now()
				_, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: "1", Name: "mfa.sms.verify", Data: []byte("{}")})
				g.Expect(err).NotTo(HaveOccurred())
				events, err := s.ClaimEvents(bg, ledger.Claim{Limit: 1, Lease: time.Minute})
				g.Expect(err).NotTo(HaveOccurred())
				message := func(text string, validFor time.Duration, sensitive bool) ledger.NewDelivery {
					return ledger.NewDelivery{
						RuleName: text, Channel: ledger.ChannelEmail, Recipient: "joe@example.org", ValidFor: validFor, Sensitive: sensitive,
						Content: ledger.Content{Subject: "S", Text: text},
					}
				}
				g.Expect(s.CompleteEvent(bg, events[0], []ledger.NewDelivery{
					message("code", 10*time.Minute, true), message("link", time.Hour, true), message("receipt", 72*time.Hour, false), message("forever", 0, false),
				})).To(Succeed())

				var mu sync.Mutex
				sent := map[string]time.Duration{}
				p := send(func(_ context.Context, m provider.Message) (provider.Receipt, error) {
					mu.Lock()
					defer mu.Unlock()
					if time.Since(began) < down {
						return provider.Receipt{}, failure
					}
					sent[m.Text] = m.ValidFor
					return provider.Receipt{ID: "id"}, nil
				})
				registry := prometheus.NewPedanticRegistry()
				start(t, Options{Ledger: s, Routes: ByChannel{ledger.ChannelEmail: p}, Registerer: registry})
				// Each ends when it expires, neither earlier nor later.
				for _, step := range []struct {
					at      time.Duration
					expired int
				}{
					{10*time.Minute - time.Second, 0}, {10*time.Minute + time.Second, 1},
					{time.Hour - time.Second, 1}, {time.Hour + time.Second, 2}, {30 * time.Hour, 2},
				} {
					pass(step.at - time.Since(began))
					all, err := s.Log(bg, ledger.LogFilter{Company: "shop", Reason: ledger.ReasonExpired}, 0, 10)
					g.Expect(err).NotTo(HaveOccurred())
					g.Expect(all.Deliveries).To(HaveLen(step.expired), "after %s", step.at)
				}
				mu.Lock()
				defer mu.Unlock()
				g.Expect(sent).NotTo(HaveKey("code"))
				g.Expect(sent).NotTo(HaveKey("link"))
				g.Expect(sent).To(HaveLen(2))
				g.Expect(sent["forever"]).To(BeZero())
				g.Expect(sent["receipt"]).To(And(BeNumerically(">", 42*time.Hour), BeNumerically("<=", 53*time.Hour)), "the provider is told how long it is still valid")
				all, err := s.Log(bg, ledger.LogFilter{Company: "shop", Reason: ledger.ReasonExpired}, 0, 10)
				g.Expect(err).NotTo(HaveOccurred())
				for _, d := range all.Deliveries {
					g.Expect(d.Message).To(ContainSubstring(failure.Error()), "it says why it waited")
					g.Expect(d.Content.Text).To(Equal(ledger.Mask))
				}
				g.Expect(outcomesOf(t, registry)).To(And(HaveKeyWithValue("email expired", 2.0), HaveKeyWithValue("email sent", 2.0)))
			})
		})
	}
}
