// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

// testFeedback tests that reports of providers may come late, repeatedly and in any order.
func testFeedback(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	Accept(t, s, "shop", "1")
	g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), []ledger.NewDelivery{Email("a", "Zoe@example.com"), Email("a", "ann@example.com")})).To(Succeed())
	claimed := claimAll(t, s)
	for _, d := range claimed {
		g.Expect(s.MarkSent(bg, d, "x")).To(Succeed())
	}
	id := claimed[0].ID
	at0 := clk.Now()
	report := func(outcome ledger.DeliveryOutcome, suppress ledger.SuppressionReason) bool {
		t.Helper()
		changed, err := s.RecordFeedback(bg, []ledger.Feedback{{Delivery: id, Company: "shop", Outcome: outcome, Detail: "It is " + string(outcome) + ".", At: at0, Suppress: suppress}})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(changed).To(HaveLen(1))
		return changed[0]
	}
	expect := func(want ledger.DeliveryOutcome) {
		t.Helper()
		d, err := s.LogEntry(bg, "shop", id)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(d.Outcome).To(Equal(want))
		g.Expect(d.State).To(Equal(ledger.DeliverySent))
		if want != ledger.OutcomeNone {
			g.Expect(d.OutcomeDetail).To(Equal("It is " + string(want) + "."))
			g.Expect(d.OutcomeAt).To(Equal(at0))
		}
	}
	suppressed := func() map[string]ledger.SuppressionReason {
		t.Helper()
		found, err := s.SuppressedAmong(bg, "shop", ledger.ChannelEmail, "zoe@example.com")
		g.Expect(err).NotTo(HaveOccurred())
		return found
	}
	expect(ledger.OutcomeNone)
	g.Expect(report(ledger.OutcomeOpened, "")).To(BeTrue())
	g.Expect(report(ledger.OutcomeDelivered, "")).To(BeFalse(), "it comes late")
	g.Expect(report(ledger.OutcomeOpened, "")).To(BeFalse(), "it is repeated")
	g.Expect(report("unknown", ledger.SuppressedStop)).To(BeFalse())
	expect(ledger.OutcomeOpened)
	g.Expect(suppressed()).To(BeEmpty())
	g.Expect(report(ledger.OutcomeBounced, ledger.SuppressedHardBounce)).To(BeTrue())
	expect(ledger.OutcomeBounced)
	g.Expect(suppressed()).To(HaveLen(1))
	page, err := s.ListSuppressions(bg, ledger.SuppressionFilter{Company: "shop"}, 0, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page.Suppressions[0].Source).To(Equal(ledger.SourceFeedback))
	g.Expect(page.Suppressions[0].Until).To(Equal(clk.Now().Add(ledger.SuppressedHardBounce.KeepFor())))

	// A repeated report doesn't restore a suppression that an admin removed.
	g.Expect(s.DeleteSuppression(bg, "shop", page.Suppressions[0].ID)).To(Succeed())
	g.Expect(report(ledger.OutcomeBounced, ledger.SuppressedHardBounce)).To(BeFalse())
	g.Expect(suppressed()).To(BeEmpty())

	// Several at once, twice in the same call, unknown ones and another company's.
	changed, err := s.RecordFeedback(bg, []ledger.Feedback{
		{Delivery: 999_999, Company: "shop", Outcome: ledger.OutcomeDelivered, At: at0},
		{Delivery: claimed[1].ID, Company: "bank", Outcome: ledger.OutcomeDelivered, At: at0},
		{Delivery: claimed[1].ID, Company: "shop", Outcome: ledger.OutcomeDelivered, At: at0},
		{Delivery: claimed[1].ID, Company: "shop", Outcome: ledger.OutcomeDelivered, At: at0},
	})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(changed).To(Equal([]bool{false, false, true, false}))

	for want, outcomes := range map[int][]ledger.DeliveryOutcome{
		1: {ledger.OutcomeDelivered}, 2: {ledger.OutcomeDelivered, ledger.OutcomeBounced}, 0: {ledger.OutcomeNone},
	} {
		page, err := s.Log(bg, ledger.LogFilter{Company: "shop", Outcomes: outcomes}, 0, 10)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(page.Deliveries).To(HaveLen(want))
	}
	targets, err := s.FeedbackTargets(bg, []int64{claimed[0].ID, claimed[1].ID, 999_999})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(targets).To(HaveLen(2))
}

// testUnreported tests that deliveries without a report are found page by page, and that one
// call doesn't look at more than a page, whatever it finds there.
func testUnreported(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	push := func(recipient string) ledger.NewDelivery {
		return ledger.NewDelivery{RuleName: "shop/rule", Channel: ledger.ChannelPush, Recipient: recipient, UserID: recipient, Content: ledger.Content{Text: "Paid"}}
	}
	// send has push messages to some users accepted, and returns their IDs.
	send := func(company, event string, users ...string) (ids []int64) {
		t.Helper()
		Accept(t, s, company, event)
		var messages []ledger.NewDelivery
		for _, user := range users {
			messages = append(messages, push(user))
		}
		g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), messages)).To(Succeed())
		claimed, err := s.ClaimDeliveries(bg, ledger.Claim{
			Limit: len(users), Lease: time.Minute, Bounds: []int{len(users)},
			Lanes: []ledger.ClaimLane{{Lane: ledger.Lane{Company: company, Channel: ledger.ChannelPush}, Bounds: []int{0}}},
		})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(claimed).To(HaveLen(len(users)))
		for _, d := range claimed {
			ids = append(ids, d.ID)
			if d.Recipient == "refused" {
				g.Expect(s.FailDelivery(bg, d, "Refused", "No.")).To(Succeed())
				continue
			}
			g.Expect(s.MarkSent(bg, d, "ticket of "+d.Recipient)).To(Succeed())
		}
		return ids
	}
	send("shop", "1", "old")
	createdAfter := clk.Now()
	clk.Step(time.Hour)
	first := send("shop", "2", "ann")[0]
	Accept(t, s, "shop", "3")
	emails := make([]ledger.NewDelivery, 260)
	for i := range emails {
		emails[i] = Email("a", fmt.Sprint(i, "@example.com"))
	}
	g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), emails)).To(Succeed())
	send("bank", "4", "ben")
	reported := send("shop", "5", "reported")[0]
	_, err := s.RecordFeedback(bg, []ledger.Feedback{{Delivery: reported, Company: "shop", Outcome: ledger.OutcomeDelivered, At: clk.Now()}})
	g.Expect(err).NotTo(HaveOccurred())
	send("shop", "6", "refused")
	last := send("shop", "7", "zoe")[0]

	found, next, err := s.Unreported(bg, "shop", ledger.ChannelPush, createdAfter, 0)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found).To(HaveLen(1))
	d := found[0]
	g.Expect([]any{d.ID, d.Company, d.EventID, d.RuleName, d.Recipient, d.ProviderID}).To(Equal([]any{last, "shop", "7", "shop/rule", "zoe", "ticket of zoe"}))
	g.Expect(d.Content).To(BeZero())
	g.Expect(d.UpdatedAt).To(BeTemporally("==", clk.Now()))
	g.Expect(next).To(BeNumerically(">", first), "a page of emails is read first")
	found, next, err = s.Unreported(bg, "shop", ledger.ChannelPush, createdAfter, next)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(next).To(BeZero(), "the others are too old")
	g.Expect(found).To(HaveLen(1))
	g.Expect(found[0].ID).To(Equal(first))
}

// testFeedbackSettlesUnknownOutcomes tests that a provider that reports about a message has
// accepted it.
func testFeedbackSettlesUnknownOutcomes(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, FakeClock())
	Accept(t, s, "shop", "1")
	code := Email("codes", "zoe@example.com")
	code.Sensitive = true
	g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), []ledger.NewDelivery{
		code, Email("a", "failed@example.com"), Email("a", "other@example.com"), Email("a", "claimed@example.com"),
	})).To(Succeed())
	ids := map[string]int64{}
	for _, d := range claimAll(t, s) {
		ids[d.Recipient] = d.ID
		switch d.Recipient {
		case "zoe@example.com":
			g.Expect(s.RetryDelivery(bg, d, time.Hour, "OutcomeUnknown", "It may have arrived.")).To(Succeed())
		case "failed@example.com":
			g.Expect(s.FailDelivery(bg, d, "OutcomeUnknown", "It may have arrived.")).To(Succeed())
		case "other@example.com":
			g.Expect(s.FailDelivery(bg, d, "RecipientRefused", "It was refused.")).To(Succeed())
		default:
			g.Expect(s.RetryDelivery(bg, d, 0, "OutcomeUnknown", "It may have arrived.")).To(Succeed())
		}
	}
	again := claimAll(t, s)
	g.Expect(again).To(HaveLen(1))
	reports := make([]ledger.Feedback, 0, len(ids))
	for _, id := range ids {
		reports = append(reports, ledger.Feedback{Delivery: id, Company: "shop", Outcome: ledger.OutcomeDelivered})
	}
	_, err := s.RecordFeedback(bg, reports)
	g.Expect(err).NotTo(HaveOccurred())
	for recipient, want := range map[string]ledger.DeliveryState{
		"zoe@example.com": ledger.DeliverySent, "failed@example.com": ledger.DeliverySent,
		"other@example.com": ledger.DeliveryFailed, "claimed@example.com": ledger.DeliveryPending,
	} {
		d, err := s.LogEntry(bg, "shop", ids[recipient])
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(d.State).To(Equal(want), recipient)
		g.Expect(d.Outcome).To(Equal(ledger.OutcomeDelivered))
		if want == ledger.DeliverySent {
			g.Expect(d.Reason + d.Message).To(BeEmpty())
		}
		g.Expect(d.Content.Text == ledger.Mask).To(Equal(d.Sensitive), "it is sent, so it is masked")
	}
	g.Expect(s.MarkSent(bg, again[0], "x")).To(Succeed(), "who sends it says so")
}

// testSkippedDelivery tests a delivery that turns out not to be wanted when it is to be
// sent.
func testSkippedDelivery(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, FakeClock())
	Accept(t, s, "shop", "1")
	g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), []ledger.NewDelivery{Email("a", "zoe@example.com")})).To(Succeed())
	d := claimAll(t, s)[0]
	g.Expect(s.SkipDelivery(bg, d, "Suppressed", "The recipient is suppressed.")).To(Succeed())
	g.Expect(s.SkipDelivery(bg, d, "Suppressed", "The recipient is suppressed.")).To(MatchError(ledger.ErrLeaseLost))
	skipped, err := s.LogEntry(bg, "shop", d.ID)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(skipped.State).To(Equal(ledger.DeliverySkipped))
	g.Expect(skipped.Reason).To(Equal("Suppressed"))

	n, _, err := s.ResendAll(bg, ledger.LogFilter{Company: "shop"}, 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(n).To(BeZero(), "not with those that failed")
	g.Expect(s.Resend(bg, "shop", d.ID, "")).To(Equal(d.ID))
	g.Expect(claimAll(t, s)).To(HaveLen(1))
}

// testSuppressionOfAnotherReplica tests that a replica learns of a company's first
// suppression, which another replica added.
func testSuppressionOfAnotherReplica(t *testing.T, at Place) {
	if !at.Shared {
		return
	}
	g := NewWithT(t)
	one := at.openWith(t, ledger.Options{PollInterval: 10 * time.Millisecond})
	other := at.open(t, nil)
	g.Expect(one.SuppressedAmong(bg, "shop", ledger.ChannelEmail, "zoe@example.com")).To(BeEmpty())
	g.Expect(other.Suppress(bg, ledger.Suppression{Company: "shop", Channel: ledger.ChannelEmail, Address: "zoe@example.com", Reason: ledger.SuppressedStop}, 0)).To(Succeed())
	g.Eventually(func() (map[string]ledger.SuppressionReason, error) {
		return one.SuppressedAmong(bg, "shop", ledger.ChannelEmail, "zoe@example.com")
	}, 30*time.Second).Should(HaveLen(1))
}

// testErasedSuppressionOfAnotherReplica tests that an erasure finds what this replica doesn't
// know of yet.
func testErasedSuppressionOfAnotherReplica(t *testing.T, at Place) {
	if !at.Shared {
		return
	}
	g := NewWithT(t)
	one, other := at.open(t, nil), at.open(t, nil) // which don't look for what the other one adds
	company := ""
	n := 0
	g.Eventually(func() (map[string]ledger.SuppressionReason, error) {
		n++
		company = fmt.Sprint("shop-", n)
		g.Expect(other.Suppress(bg, ledger.Suppression{Company: company, Channel: ledger.ChannelEmail, Address: "zoe@example.com", Reason: ledger.SuppressedHardBounce}, 0)).To(Succeed())
		return one.SuppressedAmong(bg, company, ledger.ChannelEmail, "zoe@example.com")
	}, 30*time.Second).Should(BeEmpty(), "once it has read what there is")
	_, err := one.EraseUser(bg, ledger.Subject{Company: company, UserID: erasedUser, Addresses: []string{"zoe@example.com"}}, ledger.ErasedByAdmin, 0)
	g.Expect(err).NotTo(HaveOccurred())
	var left int
	at.query(t, "SELECT COUNT(*) FROM suppressions WHERE company = '"+company+"'", &left)
	g.Expect(left).To(BeZero())
}
