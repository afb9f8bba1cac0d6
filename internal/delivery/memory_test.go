// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/ledger"
)

// Large messages of one company are sent as memory allows, whole, and hold up no other.
func TestWorkerSharesMemory(t *testing.T) {
	g := NewWithT(t)
	const large, messages = 256 << 10, 12
	s := openLedger(t, nil)
	text := strings.Repeat("x", large)
	for _, event := range []string{"1", "2"} {
		if _, err := s.AcceptEvent(bg, ledger.Event{Company: "large", ID: event, Name: "user.create", Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: 1, Lease: time.Minute})
		g.Expect(err).NotTo(HaveOccurred())
		deliveries := make([]ledger.NewDelivery, messages/2)
		for i := range deliveries {
			deliveries[i] = ledger.NewDelivery{
				RuleName: "shop/rule", Channel: ledger.ChannelEmail, Recipient: strings.Repeat("a", i+1) + "@example.org",
				Content: ledger.Content{Subject: "Large", Text: text},
			}
		}
		g.Expect(s.CompleteEvent(bg, claimed[0], deliveries)).To(Succeed())
	}
	// The share of a company holds two of the large messages.
	memory := flow.NewBudget(2*2*contentCopies*large + 4096)
	var sending, most, sent atomic.Int64
	release := make(chan struct{})
	small := make(chan struct{})
	p := send(func(ctx context.Context, m provider.Message) (provider.Receipt, error) {
		if m.Subject != "Large" {
			close(small)
			return provider.Receipt{}, nil
		}
		if m.Text != text {
			t.Errorf("a message has %d bytes", len(m.Text))
		}
		now := sending.Add(1)
		defer sending.Add(-1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		select {
		case <-release:
		case <-ctx.Done():
		}
		sent.Add(1)
		return provider.Receipt{}, nil
	})
	stop := start(t, Options{Ledger: s, Routes: ByChannel{ledger.ChannelEmail: p}, Memory: memory, SendTimeout: 5 * time.Minute})
	g.Eventually(memory.Waiting).WithTimeout(2 * time.Minute).Should(BeNumerically(">", 0))
	decide(t, s, "small", "3", 1)
	select {
	case <-small:
	case <-time.After(2 * time.Minute):
		t.Fatal("a small message of another company waits behind the large ones")
	}
	g.Eventually(sending.Load).WithTimeout(2 * time.Minute).Should(BeEquivalentTo(2))
	close(release)
	g.Eventually(sent.Load).WithTimeout(2 * time.Minute).Should(BeEquivalentTo(messages))
	stop()
	g.Expect(most.Load()).To(BeEquivalentTo(2))
	g.Expect(memory.Used()).To(BeZero())
}
