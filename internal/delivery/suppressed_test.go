// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/ledger"
)

// policy is the same for all rules.
func policy(p RulePolicy) Rules {
	return RulesFunc(func(context.Context, string, string) (RulePolicy, error) { return p, nil })
}

func TestSuppressedRecipients(t *testing.T) {
	for name, test := range map[string]struct {
		reason ledger.SuppressionReason
		policy RulePolicy
		want   ledger.DeliveryState
	}{
		"stop":                         {ledger.SuppressedStop, RulePolicy{}, ledger.DeliverySkipped},
		"stop, of a security rule":     {ledger.SuppressedStop, RulePolicy{IgnoreSuppressions: true}, ledger.DeliverySent},
		"hard, of a security rule":     {ledger.SuppressedHardBounce, RulePolicy{IgnoreSuppressions: true}, ledger.DeliverySkipped},
		"of another company's channel": {"", RulePolicy{}, ledger.DeliverySent},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := openLedger(t, nil)
			decide(t, s, "shop", "1", 1)
			other := ledger.Suppression{Company: "bank", Channel: ledger.ChannelEmail, Address: "user0@example.org", Reason: ledger.SuppressedStop}
			g.Expect(s.Suppress(bg, other, 0)).To(Succeed())
			if test.reason != "" {
				one := other
				one.Company, one.Reason, one.Address = "shop", test.reason, "USER0@example.org"
				g.Expect(s.Suppress(bg, one, 0)).To(Succeed())
			}
			var calls atomic.Int32
			start(t, Options{
				Ledger: s, Suppressions: &Suppressions{Ledger: s, Rules: policy(test.policy)},
				Routes: ByChannel{ledger.ChannelEmail: send(func(context.Context, provider.Message) (provider.Receipt, error) {
					calls.Add(1)
					return provider.Receipt{}, nil
				})},
			})
			g.Eventually(func() ledger.DeliveryState { return row(t, s).State }).Should(Equal(test.want))
			if test.want == ledger.DeliverySkipped {
				g.Expect(row(t, s).Reason).To(Equal(ledger.ReasonSuppressed))
				g.Expect(row(t, s).Message).To(And(ContainSubstring(string(test.reason)), Not(ContainSubstring("@"))))
			}
			g.Expect(calls.Load() == 1).To(Equal(test.want == ledger.DeliverySent))
		})
	}
}

// TestRefusedAddressIsSuppressed tests that the message after one that was refused isn't
// tried.
func TestRefusedAddressIsSuppressed(t *testing.T) {
	g := NewWithT(t)
	clk := fakeClock()
	s := openLedger(t, clk)
	var calls atomic.Int32
	start(t, Options{
		Ledger: s, Clock: clk, Suppressions: &Suppressions{Ledger: s},
		Routes: ByChannel{ledger.ChannelEmail: send(func(context.Context, provider.Message) (provider.Receipt, error) {
			calls.Add(1)
			return provider.Receipt{}, provider.Refused(provider.FaultHardBounce, "RecipientRefused", "There is no such mailbox.")
		})},
	})
	decide(t, s, "shop", "1", 1)
	g.Eventually(func() ledger.DeliveryState { return row(t, s).State }).Should(Equal(ledger.DeliveryFailed))
	g.Eventually(func() (map[string]ledger.SuppressionReason, error) {
		return s.SuppressedAmong(bg, "shop", ledger.ChannelEmail, "user0@example.org")
	}).Should(HaveLen(1))
	decide(t, s, "shop", "2", 1)
	g.Eventually(func() []string { return reasons(t, s) }).Should(Equal([]string{"RecipientRefused", ledger.ReasonSuppressed}))
	g.Expect(calls.Load()).To(BeEquivalentTo(1))
	// It isn't for good.
	clk.Step(ledger.SuppressedHardBounce.KeepFor())
	decide(t, s, "shop", "3", 1)
	g.Eventually(func() []string { return reasons(t, s) }).Should(Equal([]string{"RecipientRefused", ledger.ReasonSuppressed, "RecipientRefused"}))
}

func reasons(t *testing.T, s ledger.Store) []string {
	t.Helper()
	all, err := s.ListDeliveries(bg, ledger.DeliveryFilter{})
	if err != nil {
		t.Fatal(err)
	}
	reasons := make([]string, len(all))
	for i := range all {
		reasons[i] = all[i].Reason
	}
	return reasons
}

// answering is a provider whose first send has an unknown outcome, and which can be asked.
type answering struct {
	calls atomic.Int32
	found bool
	err   error
}

func (a *answering) Send(context.Context, provider.Message) (provider.Receipt, error) {
	if a.calls.Add(1) == 1 {
		return provider.Receipt{}, provider.Unknown("It never answered.")
	}
	return provider.Receipt{ID: "second"}, nil
}

func (a *answering) Find(_ context.Context, m provider.Message) (provider.Receipt, bool, error) {
	if m.Text != "You paid." || m.Key == "" {
		return provider.Receipt{}, false, errors.New("another message")
	}
	return provider.Receipt{ID: "first"}, a.found, a.err
}

// silent hides that a provider can be asked.
type silent struct{ provider.Provider }

func TestUnknownOutcomePolicies(t *testing.T) {
	for name, test := range map[string]struct {
		stop  bool
		asked *answering // nil: the provider can't be asked
		state ledger.DeliveryState
		id    string
		sent  int32
	}{
		"retry":                  {state: ledger.DeliverySent, id: "second", sent: 2},
		"stop":                   {stop: true, state: ledger.DeliveryFailed, sent: 1},
		"retry, accepted":        {asked: &answering{found: true}, state: ledger.DeliverySent, id: "first", sent: 1},
		"retry, not accepted":    {asked: &answering{}, state: ledger.DeliverySent, id: "second", sent: 2},
		"retry, no answer":       {asked: &answering{err: errors.New("down")}, state: ledger.DeliverySent, id: "second", sent: 2},
		"stop, accepted":         {stop: true, asked: &answering{found: true}, state: ledger.DeliverySent, id: "first", sent: 1},
		"stop, not accepted":     {stop: true, asked: &answering{}, state: ledger.DeliverySent, id: "second", sent: 2},
		"stop, no answer either": {stop: true, asked: &answering{err: errors.New("down")}, state: ledger.DeliveryFailed, sent: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				s := openLedgerForDays(t)
				p := &answering{}
				var via provider.Provider = silent{p}
				if test.asked != nil {
					p, via = test.asked, test.asked
				}
				start(t, Options{Ledger: s, Routes: ByChannel{ledger.ChannelEmail: via}, Rules: policy(RulePolicy{StopUnknown: test.stop})})
				decide(t, s, "shop", "1", 1)
				pass(time.Minute)
				g.Expect(row(t, s).Reason).To(Equal(provider.ReasonOutcomeUnknown))
				pass(3 * time.Hour)
				g.Expect(row(t, s).State).To(Equal(test.state))
				g.Expect(row(t, s).ProviderID).To(Equal(test.id))
				g.Expect(p.calls.Load()).To(Equal(test.sent))
				if test.state == ledger.DeliveryFailed {
					g.Expect(row(t, s).Reason).To(Equal(provider.ReasonOutcomeUnknown))
					g.Expect(row(t, s).Message).To(ContainSubstring("may have arrived"))
				}
			})
		})
	}
}

// TestInterruptedAttempt tests that an attempt that the process didn't survive is unknown to
// a rule that must not send twice, and that a person may send it again.
func TestInterruptedAttempt(t *testing.T) {
	g := NewWithT(t)
	clk := fakeClock()
	s := openLedger(t, clk)
	decide(t, s, "shop", "1", 1)
	_, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 1, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	clk.Step(2 * time.Minute)
	var calls atomic.Int32
	start(t, Options{
		Ledger: s, Clock: clk, Rules: policy(RulePolicy{StopUnknown: true}),
		Routes: ByChannel{ledger.ChannelEmail: send(func(context.Context, provider.Message) (provider.Receipt, error) {
			calls.Add(1)
			return provider.Receipt{}, nil
		})},
	})
	g.Eventually(func() ledger.DeliveryState { return row(t, s).State }).Should(Equal(ledger.DeliveryFailed))
	g.Expect(row(t, s).Reason).To(Equal(provider.ReasonOutcomeUnknown))
	g.Expect(calls.Load()).To(BeZero())
	_, err = s.Resend(bg, "shop", row(t, s).ID, "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(func() ledger.DeliveryState { return row(t, s).State }).Should(Equal(ledger.DeliverySent))
}
