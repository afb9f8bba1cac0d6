// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

func testEventOutcomes(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	skipped := func(rule string) ledger.NewDelivery {
		return ledger.NewDelivery{RuleName: rule, Channel: ledger.ChannelSMS, SkipReason: "ExpressionFalse"}
	}
	Decided(t, s, "shop", "1", Email("a", "joe@example.com"), skipped("b"), skipped("c"))
	Decided(t, s, "shop", "2", skipped("b"))
	e, err := s.StoredEvent(bg, "shop", "1")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.EventOutcomes(bg, "shop", e.Key)).To(Equal([]ledger.Outcome{{State: ledger.DeliverySkipped, Reason: "ExpressionFalse", Count: 2}, {State: ledger.DeliveryPending, Count: 1}}))
	g.Expect(s.EventOutcomes(bg, "bank", e.Key)).To(BeEmpty())

	g.Expect(s.EventByKey(bg, "shop", e.Key)).To(Equal(e))
	head, err := s.EventHead(bg, "shop", e.Key)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(head.Data).To(BeNil())
	g.Expect(head.Size).To(Equal(len(e.Data)))
	_, err = s.EventByKey(bg, "bank", e.Key)
	g.Expect(err).To(MatchError(ledger.ErrNotFound))

	page, err := s.Log(bg, ledger.LogFilter{Company: "shop", EventID: "1"}, 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page.Deliveries).To(HaveLen(3))
	page, err = s.Log(bg, ledger.LogFilter{Company: "bank", EventID: "1"}, 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page.Deliveries).To(BeEmpty())
}

// replayed replays an event with the deliveries and returns those that are stored for it.
func replayed(t testing.TB, s ledger.Store, key int64, name string, repeat []int64, deliveries ...ledger.NewDelivery) []ledger.Delivery {
	t.Helper()
	Accept(t, s, "shop", ledger.ReplayID(key, name))
	claimed := ClaimOne(t, s)
	claimed.Replay = &ledger.Replay{Of: key, Repeat: repeat}
	if err := s.CompleteEvent(bg, claimed, deliveries); err != nil {
		t.Fatal(err)
	}
	return deliveriesOf(t, s, claimed.Key)
}

func deliveriesOf(t testing.TB, s ledger.Store, key int64) []ledger.Delivery {
	t.Helper()
	found, _, err := s.EventDeliveries(bg, "shop", key, 0, 250)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// allSent marks whatever is pending as sent.
func allSent(t testing.TB, s ledger.Store) {
	t.Helper()
	claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 100, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for i := range claimed {
		if err := s.MarkSent(bg, claimed[i], "p"); err != nil {
			t.Fatal(err)
		}
	}
}

func testReplay(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	skipped := ledger.NewDelivery{RuleName: "b", Channel: ledger.ChannelEmail, Recipient: "ann@example.com", SkipReason: "OptedOut"}
	Decided(t, s, "shop", "1", Email("a", "joe@example.com"), skipped)
	Decided(t, s, "shop", "2", Email("a", "zoe@example.com")) // another event is none of the replay's business
	allSent(t, s)
	e, err := s.StoredEvent(bg, "shop", "1")
	g.Expect(err).NotTo(HaveOccurred())
	original := deliveriesOf(t, s, e.Key)

	// Today's rules reach more people. Recipients who have the message don't get it again, and
	// withheld messages are not stored.
	contents := at.contents(t)
	joe := Email("a", "joe@example.com")
	joe.Content.Text = "Another text."
	got := replayed(t, s, e.Key, "1", nil, joe, Email("b", "ann@example.com"), Email("c", "zoe@example.com"))
	g.Expect(got).To(HaveLen(3))
	g.Expect(got[0].State).To(Equal(ledger.DeliverySkipped))
	g.Expect(got[0].Reason).To(Equal(ledger.ReasonAlreadySent))
	g.Expect(got[0].Message).To(ContainSubstring(fmt.Sprintf("log entry %d.", original[0].ID)))
	g.Expect(got[0].Content).To(Equal(ledger.Content{}))
	g.Expect(got[1].State).To(Equal(ledger.DeliveryPending), "who got nothing gets it now")
	g.Expect(got[2].State).To(Equal(ledger.DeliveryPending))
	g.Expect(got[1].EventID).To(Equal(ledger.ReplayID(e.Key, "1")))
	g.Expect(at.contents(t)).To(Equal(contents + 2))

	// A replay doesn't send what an earlier one is about to send.
	earlier, err := s.EarlierTo(bg, "shop", e.Key, "b", ledger.ChannelEmail, "ann@example.com")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(earlier).To(HaveLen(1))
	g.Expect(earlier[0].ID).To(Equal(got[1].ID))
	again := replayed(t, s, e.Key, "2", nil, Email("b", "ann@example.com"))
	g.Expect(again[0].Reason).To(Equal(ledger.ReasonAlreadySent))

	// Asked for by name, a message goes out once more: once.
	again = replayed(t, s, e.Key, "3", []int64{original[0].ID}, Email("a", "joe@example.com"), Email("b", "ann@example.com"))
	g.Expect(again[0].State).To(Equal(ledger.DeliveryPending))
	g.Expect(again[1].Reason).To(Equal(ledger.ReasonAlreadySent))
	g.Expect(s.InFamily(bg, "shop", e.Key, []int64{original[0].ID, got[1].ID, 999})).To(Equal([]int64{original[0].ID, got[1].ID}))
	g.Expect(s.InFamily(bg, "bank", e.Key, []int64{original[0].ID})).To(BeEmpty())

	replays, err := s.Replays(bg, "shop", e.Key)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(replays).To(HaveLen(3))
	key, ok := ledger.ReplayOf(replays[0].ID)
	g.Expect(ok).To(BeTrue())
	g.Expect(key).To(Equal(e.Key))
	for _, other := range []string{"1", "replay:", "replay:7", "replay:x:y"} {
		_, ok := ledger.ReplayOf(other)
		g.Expect(ok).To(BeFalse(), other)
	}

	// Once the event is deleted, it is unknown who received which message.
	at.exec(t, "DELETE FROM events WHERE id = $1", e.Key)
	Accept(t, s, "shop", ledger.ReplayID(e.Key, "4"))
	claimed := ClaimOne(t, s)
	claimed.Replay = &ledger.Replay{Of: e.Key}
	g.Expect(s.CompleteEvent(bg, claimed, []ledger.NewDelivery{Email("a", "joe@example.com")})).To(MatchError(ledger.ErrNotFound))
	g.Expect(deliveriesOf(t, s, claimed.Key)).To(BeEmpty())
}

// A replay whose process died on the way is decided again and sends nothing twice, what was
// asked for by name included.
func testReplayIsRepeatable(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	Decided(t, s, "shop", "1", Email("a", "joe@example.com"))
	allSent(t, s)
	e, err := s.StoredEvent(bg, "shop", "1")
	g.Expect(err).NotTo(HaveOccurred())
	original := deliveriesOf(t, s, e.Key)

	Accept(t, s, "shop", ledger.ReplayID(e.Key, "1"))
	deliveries := []ledger.NewDelivery{Email("a", "joe@example.com"), Email("b", "ann@example.com")}
	claimed := ClaimOne(t, s)
	claimed.Replay = &ledger.Replay{Of: e.Key, Repeat: []int64{original[0].ID}}
	g.Expect(s.AddDeliveries(bg, &claimed, deliveries)).To(Succeed())
	before := deliveriesOf(t, s, claimed.Key)
	g.Expect(before).To(HaveLen(2))
	allSent(t, s)
	clk.Step(time.Hour) // the lease ends
	claimed = ClaimOne(t, s)
	claimed.Replay = &ledger.Replay{Of: e.Key, Repeat: []int64{original[0].ID}}
	g.Expect(s.CompleteEvent(bg, claimed, deliveries)).To(Succeed())
	after := deliveriesOf(t, s, claimed.Key)
	g.Expect(after).To(HaveLen(2))
	for i := range after {
		g.Expect(after[i].ID).To(Equal(before[i].ID))
		g.Expect(after[i].State).To(Equal(ledger.DeliverySent))
	}
}

// Two replays that are completed at the same time send one message.
func testReplaysAtOnce(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	Decided(t, s, "shop", "1")
	e, err := s.StoredEvent(bg, "shop", "1")
	g.Expect(err).NotTo(HaveOccurred())
	const n = 8
	for i := range n {
		Accept(t, s, "shop", ledger.ReplayID(e.Key, fmt.Sprint(i)))
	}
	claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: n, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(n))
	var all sync.WaitGroup
	for i := range claimed {
		all.Go(func() {
			claimed[i].Replay = &ledger.Replay{Of: e.Key}
			if err := s.CompleteEvent(bg, claimed[i], []ledger.NewDelivery{Email("a", "joe@example.com")}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	sent := 0
	for i := range claimed {
		for _, d := range deliveriesOf(t, s, claimed[i].Key) {
			if d.State == ledger.DeliveryPending {
				sent++
			}
		}
	}
	g.Expect(sent).To(Equal(1))
}

// A message that failed is replaced by the replay's, and is not sent again beside it.
func testReplayReplacesWhatFailed(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	unrendered := ledger.NewDelivery{RuleName: "r", Channel: ledger.ChannelEmail, Recipient: "joe@example.com", FailReason: "RenderFailed", FailMessage: "It fails."}
	Decided(t, s, "shop", "1", Email("a", "joe@example.com"), Email("b", "joe@example.com"), Email("c", "joe@example.com"), unrendered)
	claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 2, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(2))
	g.Expect(s.FailDelivery(bg, claimed[0], "RecipientRefused", "Nobody there.")).To(Succeed())
	g.Expect(s.FailDelivery(bg, claimed[1], "OutcomeUnknown", "It may have arrived.")).To(Succeed())
	g.Expect(s.CancelCompany(bg, "shop", ledger.ReasonCompanyInactive, "Gone.")).To(Succeed()) // c was never tried
	e, err := s.StoredEvent(bg, "shop", "1")
	g.Expect(err).NotTo(HaveOccurred())

	got := replayed(t, s, e.Key, "1", nil, Email("a", "joe@example.com"), Email("b", "joe@example.com"), Email("c", "joe@example.com"), Email("r", "joe@example.com"))
	g.Expect(got).To(HaveLen(4))
	for i, state := range []ledger.DeliveryState{ledger.DeliveryPending, ledger.DeliverySkipped, ledger.DeliveryPending, ledger.DeliveryPending} {
		g.Expect(got[i].State).To(Equal(state), got[i].RuleName)
	}
	original := deliveriesOf(t, s, e.Key)
	g.Expect(original[0].State).To(Equal(ledger.DeliveryFailed))
	g.Expect(original[0].Reason).To(Equal(ledger.ReasonReplayed))
	g.Expect(original[0].Message).To(Equal("A replay of the event replaces this message. Nobody there."))
	g.Expect(original[3].Reason).To(Equal("RenderFailed"))
	n, _, err := s.ResendAll(bg, ledger.LogFilter{Company: "shop", States: []ledger.DeliveryState{ledger.DeliveryFailed, ledger.DeliveryCancelled}}, 100)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n).To(Equal(1), "only the one whose outcome is unknown: a person asks for it")

	// Cancelled while it was being sent, a message may have arrived.
	allSent(t, s)
	Decided(t, s, "shop", "2", Email("a", "joe@example.com"))
	_, err = s.ClaimDeliveries(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.CancelCompany(bg, "shop", ledger.ReasonCompanyInactive, "Gone.")).To(Succeed())
	e, err = s.StoredEvent(bg, "shop", "2")
	g.Expect(err).NotTo(HaveOccurred())
	got = replayed(t, s, e.Key, "2", nil, Email("a", "joe@example.com"))
	g.Expect(got[0].Reason).To(Equal(ledger.ReasonAlreadySent))
}
