// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

// failedDelivery is a delivery that a provider refused at its second attempt.
func failedDelivery(t testing.TB, s ledger.Store) ledger.Delivery {
	t.Helper()
	Pending(t, s, "shop", 1)
	d := ClaimDelivery(t, s)
	if err := s.RetryDelivery(bg, d, 0, "Busy", "The provider is busy."); err != nil {
		t.Fatal(err)
	}
	d = ClaimDelivery(t, s)
	if err := s.FailDelivery(bg, d, "Refused", "The provider refused it."); err != nil {
		t.Fatal(err)
	}
	return entry(t, s, d.ID)
}

func entry(t testing.TB, s ledger.Store, id int64) ledger.Delivery {
	t.Helper()
	d, err := s.GetDelivery(bg, id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func testResendFailed(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	before := failedDelivery(t, s)
	raised(s.DeliveriesReady())
	clk.Step(time.Hour)

	id, err := s.Resend(bg, "shop", before.ID, before.Recipient)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(id).To(Equal(before.ID))
	g.Expect(raised(s.DeliveriesReady())).To(BeTrue())
	want := before
	want.State, want.Attempts, want.NextAttemptAt, want.UpdatedAt = ledger.DeliveryPending, 0, clk.Now(), clk.Now()
	g.Expect(entry(t, s, id)).To(Equal(want), "the reason stays until there is another")

	_, err = s.Resend(bg, "shop", before.ID, "")
	g.Expect(err).To(MatchError(ledger.ErrPending))
	d := ClaimDelivery(t, s)
	g.Expect(d.Attempts).To(Equal(1))
	_, err = s.Resend(bg, "shop", before.ID, "")
	g.Expect(err).To(MatchError(ledger.ErrPending), "it is being sent")
	g.Expect(s.MarkSent(bg, d, "x")).To(Succeed())
	after := entry(t, s, id)
	g.Expect(after.State).To(Equal(ledger.DeliverySent))
	g.Expect(after.Reason).To(BeEmpty())
}

func testResendSent(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	Pending(t, s, "shop", 1)
	g.Expect(s.MarkSent(bg, ClaimDelivery(t, s), "x")).To(Succeed())
	list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{})
	g.Expect(err).NotTo(HaveOccurred())
	sent := list[0]
	clk.Step(time.Hour)

	for n, to := range []string{"", "other@example.com", ""} {
		raised(s.DeliveriesReady())
		id, err := s.Resend(bg, "shop", sent.ID, to)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(id).NotTo(Equal(sent.ID))
		g.Expect(raised(s.DeliveriesReady())).To(BeTrue())
		g.Expect(entry(t, s, sent.ID)).To(Equal(sent), "the sent delivery stays unchanged")
		want := sent
		want.ID, want.State, want.ProviderID, want.Attempts = id, ledger.DeliveryPending, "", 0
		want.NextAttemptAt, want.CreatedAt, want.UpdatedAt = clk.Now(), clk.Now(), clk.Now()
		want.Copy = 1
		if to != "" {
			want.Recipient = to
		} else if n > 0 {
			want.Copy = 2
		}
		g.Expect(entry(t, s, id)).To(Equal(want))
		_, err = s.Resend(bg, "shop", sent.ID, to)
		g.Expect(err).To(MatchError(ledger.ErrPending), "it is being sent again already")
		g.Expect(s.MarkSent(bg, ClaimDelivery(t, s), "y")).To(Succeed())
	}

	// Where the recipient is a user, the copy is about that user.
	push := Email("push", "u1")
	push.Channel, push.UserID = ledger.ChannelPush, "u1"
	about := Email("about", "joe@example.com")
	about.UserID = "u1"
	Decided(t, s, "shop", "users", push, about)
	for _, d := range claimAll(t, s) {
		g.Expect(s.MarkSent(bg, d, "z")).To(Succeed())
		id, err := s.Resend(bg, "shop", d.ID, "u2")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(entry(t, s, id).UserID).To(Equal(map[string]string{ledger.ChannelPush: "u2", ledger.ChannelEmail: "u1"}[d.Channel]))
	}
	for _, d := range claimAll(t, s) {
		g.Expect(s.MarkSent(bg, d, "z")).To(Succeed())
	}

	// A failed one to another recipient stays failed.
	d := failedDeliveryOf(t, s, "2")
	id, err := s.Resend(bg, "shop", d.ID, "other@example.com")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(id).NotTo(Equal(d.ID))
	g.Expect(entry(t, s, d.ID)).To(Equal(d))
}

// failedDeliveryOf is one of an event of its own.
func failedDeliveryOf(t testing.TB, s ledger.Store, event string) ledger.Delivery {
	t.Helper()
	Decided(t, s, "shop", event, Email("rule", "joe@example.com"))
	d := ClaimDelivery(t, s)
	if err := s.FailDelivery(bg, d, "Refused", "The provider refused it."); err != nil {
		t.Fatal(err)
	}
	return entry(t, s, d.ID)
}

func testResendRefuses(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	Decided(t, s, "shop", "1",
		ledger.NewDelivery{RuleName: "a", Channel: ledger.ChannelEmail, Recipient: "joe@example.com", SkipReason: "OptedOut"},
		ledger.NewDelivery{RuleName: "b", Channel: ledger.ChannelEmail, Recipient: "joe@", FailReason: "MalformedRecipient"},
		Email("c", "joe@example.com"))
	list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{})
	g.Expect(err).NotTo(HaveOccurred())
	for i, want := range []error{ledger.ErrNoMessage, ledger.ErrNoMessage, ledger.ErrPending} {
		_, err := s.Resend(bg, "shop", list[i].ID, "joe@example.com")
		g.Expect(err).To(MatchError(want))
	}
	_, err = s.Resend(bg, "bank", list[2].ID, "")
	g.Expect(err).To(MatchError(ledger.ErrNotFound), "another company's")
	_, err = s.Resend(bg, "shop", list[2].ID+1, "")
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
	g.Expect(s.Healthy(bg)).To(Succeed())
	var probes int
	at.query(t, "SELECT COUNT(*) FROM probe", &probes)
	g.Expect(probes).To(BeZero(), "a refusal is not a failure of the database, so the health check need not write")

	g.Expect(s.CancelCompany(bg, "shop", ledger.ReasonCompanyInactive, "The company is not active.")).To(Succeed())
	_, err = s.Resend(bg, "shop", list[2].ID, "")
	g.Expect(err).NotTo(HaveOccurred(), "a cancelled one was never sent")
	g.Expect(ClaimDelivery(t, s).ID).To(Equal(list[2].ID))
}

// testResendAtOnce: however many calls come together, each delivery is sent once
// more.
func testResendAtOnce(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	failed := failedDeliveryOf(t, s, "1")
	Decided(t, s, "shop", "2", Email("rule", "joe@example.com"))
	sent := ClaimDelivery(t, s)
	g.Expect(s.MarkSent(bg, sent, "x")).To(Succeed())
	for round := range 20 {
		id := []int64{failed.ID, sent.ID}[round%2]
		var calls sync.WaitGroup
		errs, begin := make([]error, 8), make(chan struct{})
		for i := range errs {
			calls.Go(func() {
				<-begin
				_, errs[i] = s.Resend(bg, "shop", id, "")
			})
		}
		close(begin)
		calls.Wait()
		succeeded := 0
		for _, err := range errs {
			if err == nil {
				succeeded++
			} else if !errors.Is(err, ledger.ErrPending) {
				t.Error(err)
			}
		}
		g.Expect(succeeded).To(Equal(1))
		// The server's clock, by which it is due, is read again and again.
		var claimed []ledger.ClaimedDelivery
		g.Eventually(func() []ledger.ClaimedDelivery {
			claimed = append(claimed, claimAll(t, s)...)
			return claimed
		}).Should(HaveLen(1))
		g.Expect(s.FailDelivery(bg, claimed[0], "Refused", "It refused.")).To(Succeed())
	}
}

func testResendAll(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	const many = step + 20
	for event := range 2 {
		deliveries := []ledger.NewDelivery{Email("sent", "joe@example.com"), {RuleName: "rule", Channel: ledger.ChannelEmail, FailReason: "RenderFailed"}}
		for i := range many / 2 {
			deliveries = append(deliveries, Email("rule", fmt.Sprintf("user%d@example.com", i)))
		}
		Decided(t, s, "shop", fmt.Sprint(event), deliveries...)
	}
	endAll(t, s, func(d ledger.ClaimedDelivery) error {
		if d.RuleName == "sent" {
			return s.MarkSent(bg, d, "x")
		}
		return s.FailDelivery(bg, d, "Refused", "It refused.")
	})
	raised(s.DeliveriesReady())

	resend := func(f ledger.LogFilter, limit int) (n int, next int64) {
		t.Helper()
		counted, more, err := s.CountResendable(bg, f, limit)
		g.Expect(err).NotTo(HaveOccurred())
		n, next, err = s.ResendAll(bg, f, limit)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect([]any{counted, more}).To(Equal([]any{n, next != 0}), "the count is that of what is sent")
		return n, next
	}
	failAll := func() {
		t.Helper()
		endAll(t, s, func(d ledger.ClaimedDelivery) error { return s.FailDelivery(bg, d, "Refused", "It refused.") })
	}
	n, next := resend(ledger.LogFilter{Company: "bank"}, 1000)
	g.Expect([]any{n, next}).To(Equal([]any{0, int64(0)}))
	n, next = resend(ledger.LogFilter{Company: "shop", Rules: []string{"sent"}}, 1000)
	g.Expect([]any{n, next}).To(Equal([]any{0, int64(0)}), "what was sent isn't sent again")
	n, next = resend(ledger.LogFilter{Company: "shop", Recipient: "user0@example.com"}, 1000)
	g.Expect([]any{n, next}).To(Equal([]any{2, int64(0)}))
	g.Expect(raised(s.DeliveriesReady())).To(BeTrue())
	failAll()
	n, next = resend(ledger.LogFilter{Company: "shop"}, 7)
	g.Expect(n).To(Equal(7))
	g.Expect(next).NotTo(BeZero())
	failAll()
	n, next = resend(ledger.LogFilter{Company: "shop", After: next}, many-7)
	g.Expect([]any{n, next}).To(Equal([]any{many - 7, int64(0)}), "those that failed again aren't sent once more")
	n, next = resend(ledger.LogFilter{Company: "shop"}, 7)
	g.Expect([]any{n, next}).To(Equal([]any{7, int64(0)}), "there are no others")
	n, _, err := s.ResendAll(bg, ledger.LogFilter{Company: "shop"}, 1000)
	g.Expect([]any{n, err}).To(Equal([]any{0, nil}))
	stats, err := s.Stats(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stats.PendingDeliveries).To(BeEquivalentTo(many))
}
