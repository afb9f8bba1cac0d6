// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/ledger"
)

// A provider that is down for a day and comes back sends no stale code.
func TestProviderDownForADay(t *testing.T) {
	for name, failure := range map[string]error{
		"it fails":              provider.Transient("Unavailable", "It is down.", 0),
		"it asks for a wait":    provider.Transient("Throttled", "Later.", 11*time.Hour),
		"its password is wrong": provider.Misconfigured("LoginRefused", "It refuses the password."),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			clk := fakeClock()
			s := openLedger(t, clk)
			began := clk.Now()
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
				if clk.Since(began) < 24*time.Hour {
					return provider.Receipt{}, failure
				}
				sent[m.Text] = m.ValidFor
				return provider.Receipt{ID: "id"}, nil
			})
			registry := prometheus.NewPedanticRegistry()
			start(t, Options{Ledger: s, Clock: clk, Routes: ByChannel{ledger.ChannelEmail: p}, Registerer: registry})
			expired := func() (n int) {
				all, err := s.Log(bg, ledger.LogFilter{Company: "shop", Reason: ledger.ReasonExpired}, 0, 10)
				g.Expect(err).NotTo(HaveOccurred())
				return len(all.Deliveries)
			}
			rest := func() {
				looks := 0
				g.Eventually(func() bool {
					due, ok, err := s.NextDeliveryDue(bg, nil)
					g.Expect(err).NotTo(HaveOccurred())
					// A step during an attempt ends its lease. The delivery is due then, and
					// stays so until the provider is tried again.
					if looks++; ok && due <= 0 && looks%100 == 0 {
						clk.Step(5 * time.Minute)
					}
					return (!ok || due > 0) && clk.HasWaiters()
				}).Should(BeTrue())
			}
			for clk.Since(began) < 40*time.Hour {
				rest()
				switch at := clk.Since(began); {
				case at < 10*time.Minute:
					g.Expect(expired()).To(BeZero())
					clk.Step(2 * time.Minute)
				case at < time.Hour:
					g.Eventually(expired).Should(Equal(1), "it ends when it expires, not later")
					clk.Step(10 * time.Minute)
				default:
					g.Eventually(expired).Should(Equal(2))
					clk.Step(time.Hour)
				}
			}
			rest()
			mu.Lock()
			defer mu.Unlock()
			g.Expect(sent).NotTo(HaveKey("code"))
			g.Expect(sent).NotTo(HaveKey("link"))
			g.Expect(sent).To(HaveLen(2))
			g.Expect(sent["forever"]).To(BeZero())
			g.Expect(sent["receipt"]).To(And(BeNumerically(">", 30*time.Hour), BeNumerically("<=", 48*time.Hour)), "the provider is told how long it is still valid")
			all, err := s.Log(bg, ledger.LogFilter{Company: "shop", Reason: ledger.ReasonExpired}, 0, 10)
			g.Expect(err).NotTo(HaveOccurred())
			for _, d := range all.Deliveries {
				g.Expect(d.Message).To(ContainSubstring(failure.Error()), "it says why it waited")
				g.Expect(d.Content.Text).To(Equal(ledger.Mask))
			}
			g.Expect(outcomesOf(t, registry)).To(And(HaveKeyWithValue("email expired", 2.0), HaveKeyWithValue("email sent", 2.0)))
		})
	}
}
