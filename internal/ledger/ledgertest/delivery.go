// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

func testCompletedEventLeavesItsDeliveries(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	Accept(t, s, "shop", "1")
	e := ClaimOne(t, s)
	raised(s.DeliveriesReady())

	skipped := ledger.NewDelivery{RuleName: "shop/b", Channel: ledger.ChannelEmail, SkipReason: "ExpressionFalse", SkipMessage: "The expression is false."}
	failed := ledger.NewDelivery{RuleName: "shop/c", Channel: ledger.ChannelSMS, FailReason: "TemplateError", FailMessage: "The template fails."}
	g.Expect(s.CompleteEvent(bg, e, []ledger.NewDelivery{
		Email("a", "joe@example.com"),
		Email("a", "joe@example.com"), // the same once more
		Email("a", "ann@example.com"),
		skipped, failed,
	})).To(Succeed())
	g.Expect(raised(s.DeliveriesReady())).To(BeTrue())

	list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list).To(HaveLen(4))
	g.Expect(list[0]).To(Equal(ledger.Delivery{
		ID: list[0].ID, Company: "shop", EventID: "1", EventName: "transaction.initiate", EventReceivedAt: clk.Now(),
		RuleName: "a", Channel: ledger.ChannelEmail, Recipient: "joe@example.com",
		Content: ledger.Content{From: "shop@example.com", Subject: "Paid", Text: "You paid.", HTML: "<p>You paid.</p>"},
		Size:    len("Paid") + len("You paid.") + len("<p>You paid.</p>"),
		State:   ledger.DeliveryPending, NextAttemptAt: clk.Now(), CreatedAt: clk.Now(), UpdatedAt: clk.Now(),
	}))
	g.Expect(list[2].State).To(Equal(ledger.DeliverySkipped))
	g.Expect(list[2].Reason).To(Equal("ExpressionFalse"))
	g.Expect(list[2].Message).To(Equal("The expression is false."))
	g.Expect(list[3].State).To(Equal(ledger.DeliveryFailed))
	g.Expect(list[3].Content).To(BeZero())

	claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(2), "skipped and failed ones aren't sent")

	for _, test := range []struct {
		filter ledger.DeliveryFilter
		want   int
	}{
		{ledger.DeliveryFilter{State: ledger.DeliverySkipped}, 1},
		{ledger.DeliveryFilter{Company: "bank"}, 0},
		{ledger.DeliveryFilter{EventID: "1", Rule: "a"}, 2},
		{ledger.DeliveryFilter{After: list[1].ID}, 2},
		{ledger.DeliveryFilter{Limit: 3}, 3},
		{ledger.DeliveryFilter{Company: "' OR 1=1 --"}, 0},
	} {
		found, err := s.ListDeliveries(bg, test.filter)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found).To(HaveLen(test.want), "%+v", test.filter)
	}
}

// How an SMS is sent is kept with its text, wherever the text is read.
func testSMSOptions(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	Accept(t, s, "shop", "1")
	options := map[string]ledger.SMSOptions{
		"+27820000001": {}, "+27820000002": {Verify: true},
		"+27820000003": {ContentSID: "HX1", ContentVariables: `{"1":"Jo \"é\""}`},
	}
	var deliveries []ledger.NewDelivery
	for recipient, o := range options {
		deliveries = append(deliveries, ledger.NewDelivery{
			RuleName: "shop/otp", Channel: ledger.ChannelSMS, Recipient: recipient, Content: ledger.Content{Text: "Your code is 1234.", SMS: o},
		})
	}
	g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), deliveries)).To(Succeed())
	claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(len(options)))
	for i := range claimed {
		d := &claimed[i]
		g.Expect(d.Complete()).To(BeTrue())
		g.Expect(d.Content).To(Equal(ledger.Content{Text: "Your code is 1234.", SMS: options[d.Recipient]}), d.Recipient)
		whole, err := s.GetDelivery(bg, d.ID)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(whole.Content).To(Equal(d.Content))
		logged, err := s.LogEntry(bg, "shop", d.ID)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(logged.Content).To(Equal(d.Content))
	}
}

func testNothingToSendWakesNobody(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	Accept(t, s, "shop", "1")
	raised(s.DeliveriesReady())
	g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), []ledger.NewDelivery{{RuleName: "a", SkipReason: "NoRecipient"}})).To(Succeed())
	g.Expect(raised(s.DeliveriesReady())).To(BeFalse())
}

func testOutcomes(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	Pending(t, s, "shop", 1)

	d := ClaimDelivery(t, s)
	g.Expect(s.RetryDelivery(bg, d, time.Minute, "Throttled", "The server is busy.")).To(Succeed())
	row, err := s.GetDelivery(bg, d.ID)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(row.State).To(Equal(ledger.DeliveryPending))
	g.Expect(row.Reason).To(Equal("Throttled"))
	g.Expect(s.MarkSent(bg, d, "x")).To(MatchError(ledger.ErrLeaseLost), "it was given back")

	clk.Step(time.Minute)
	d = ClaimDelivery(t, s)
	g.Expect(d.Attempts).To(Equal(2))
	g.Expect(s.PostponeDelivery(bg, d, 0, "Busy", "The provider is busy.")).To(Succeed())
	d = ClaimDelivery(t, s)
	g.Expect(d.Attempts).To(Equal(2), "it wasn't tried")
	g.Expect(s.MarkSent(bg, d, "id-1")).To(Succeed())
	row, err = s.GetDelivery(bg, d.ID)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(row.State).To(Equal(ledger.DeliverySent))
	g.Expect(row.ProviderID).To(Equal("id-1"))
	g.Expect(row.Reason).To(BeEmpty())
	g.Expect(s.FailDelivery(bg, d, "Late", "Too late.")).To(MatchError(ledger.ErrLeaseLost), "sent is sent")

	_, err = s.GetDelivery(bg, d.ID+1)
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
}

func testDeliveryLeaseExpires(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	Pending(t, s, "shop", 1)
	first := ClaimDelivery(t, s)
	clk.Step(time.Minute)
	second := ClaimDelivery(t, s)
	g.Expect(s.MarkSent(bg, first, "")).To(MatchError(ledger.ErrLeaseLost))
	g.Expect(s.RenewDelivery(bg, &first, time.Hour)).To(MatchError(ledger.ErrLeaseLost))
	g.Expect(s.RenewDelivery(bg, &second, time.Hour)).To(Succeed())
	g.Expect(s.ReleaseDelivery(bg, second)).To(Succeed())
	g.Expect(ClaimDelivery(t, s).Attempts).To(Equal(2))
}

// claimCount claims and says how many it got, by lane.
func claimCount(t *testing.T, s ledger.Store, c ledger.Claim) map[ledger.Lane]int {
	t.Helper()
	c.Lease = time.Minute
	claimed, err := s.ClaimDeliveries(bg, c)
	if err != nil {
		t.Fatal(err)
	}
	n := map[ledger.Lane]int{}
	for _, d := range claimed {
		n[lane(d.Company, d.Channel)]++
	}
	return n
}

func lane(company, channel string) ledger.Lane {
	return ledger.Lane{Company: company, Channel: channel}
}

// within is a claim from the due lanes, bounded by what is left for companies and, with a
// dash before, for channels.
func within(t *testing.T, s ledger.Store, limit int, left map[string]int) ledger.Claim {
	t.Helper()
	c, index := ledger.Claim{Limit: limit}, map[string]int{}
	for name, n := range left {
		index[name] = len(c.Bounds)
		c.Bounds = append(c.Bounds, n)
	}
	for l, err := range s.DueDeliveryLanes(bg) {
		if err != nil {
			t.Fatal(err)
		}
		bounded := ledger.ClaimLane{Lane: l}
		for _, name := range []string{l.Company, "-" + l.Channel} {
			if i, ok := index[name]; ok {
				bounded.Bounds = append(bounded.Bounds, i)
			}
		}
		c.Lanes = append(c.Lanes, bounded)
	}
	return c
}

func testClaimLeavesRoomForOtherCompanies(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	for _, company := range []string{"alpha", "bravo", "charlie"} {
		Pending(t, s, company, 10)
	}
	mail := func(company string) ledger.Lane { return lane(company, ledger.ChannelEmail) }
	g.Expect(claimCount(t, s, within(t, s, 12, map[string]int{"alpha": 0, "bravo": 1, "charlie": 5}))).
		To(Equal(map[ledger.Lane]int{mail("bravo"): 1, mail("charlie"): 5}))
	g.Expect(claimCount(t, s, within(t, s, 1, map[string]int{"alpha": 0, "bravo": -1, "charlie": 1}))).
		To(Equal(map[ledger.Lane]int{mail("charlie"): 1}))
	g.Expect(claimCount(t, s, ledger.Claim{Limit: 100})).
		To(Equal(map[ledger.Lane]int{mail("alpha"): 10, mail("bravo"): 9, mail("charlie"): 4}))
}

// A bound that is too small for all lanes is divided between them, in turn.
func testClaimDividesABound(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	for _, company := range []string{"alpha", "bravo", "charlie"} {
		Pending(t, s, company, 40)
		PendingOn(t, s, company, "texts", ledger.ChannelSMS, 40)
	}
	one := func(channel string, alpha, bravo, charlie int) map[ledger.Lane]int {
		n := map[ledger.Lane]int{}
		for company, want := range map[string]int{"alpha": alpha, "bravo": bravo, "charlie": charlie} {
			if want > 0 {
				n[lane(company, channel)] = want
			}
		}
		return n
	}
	mail := map[string]int{"-" + ledger.ChannelSMS: 0, "-" + ledger.ChannelEmail: 12}
	g.Expect(claimCount(t, s, within(t, s, 100, mail))).To(Equal(one(ledger.ChannelEmail, 4, 4, 4)))
	mail["bravo"] = 1
	g.Expect(claimCount(t, s, within(t, s, 100, mail))).To(Equal(one(ledger.ChannelEmail, 6, 1, 5)))
	text := map[string]int{"-" + ledger.ChannelEmail: 0, "-" + ledger.ChannelSMS: 1}
	served := map[string]int{}
	for range 9 {
		for l := range claimCount(t, s, within(t, s, 100, text)) {
			served[l.Company]++
		}
	}
	g.Expect(served).To(Equal(map[string]int{"alpha": 3, "bravo": 3, "charlie": 3}))
	// Two channels give a company no more than one.
	Pending(t, s, "delta", 40)
	n := claimCount(t, s, ledger.Claim{Limit: 16})
	g.Expect(n).To(Equal(map[ledger.Lane]int{
		{Company: "alpha", Channel: ledger.ChannelEmail}: 2, {Company: "alpha", Channel: ledger.ChannelSMS}: 2, {Company: "bravo", Channel: ledger.ChannelEmail}: 2, {Company: "bravo", Channel: ledger.ChannelSMS}: 2,
		{Company: "charlie", Channel: ledger.ChannelEmail}: 2, {Company: "charlie", Channel: ledger.ChannelSMS}: 2, {Company: "delta", Channel: ledger.ChannelEmail}: 4,
	}))
}

// Lanes are found however many there are, each once, while others write.
func testDueLanes(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	const companies = 150 // more than are read at once
	for i := range companies {
		Pending(t, s, fmt.Sprintf("company-%03d", i), 1)
	}
	free := lane("company-131", ledger.ChannelEmail)
	for round := range 2 {
		seen := map[ledger.Lane]bool{}
		for l, err := range s.DueDeliveryLanes(bg) {
			g.Expect(err).NotTo(HaveOccurred())
			if len(seen) == 0 {
				Accept(t, s, "beside", fmt.Sprint(round))
			}
			g.Expect(seen[l]).To(BeFalse())
			seen[l] = true
		}
		g.Expect(seen).To(HaveLen(companies))
		n := claimCount(t, s, ledger.Claim{Limit: 2, Lanes: []ledger.ClaimLane{{Lane: free}}})
		g.Expect(n).To(Equal(map[ledger.Lane]int{free: 1}))
		var next ledger.Lane
		for l, err := range s.DueDeliveryLanes(bg) {
			g.Expect(err).NotTo(HaveOccurred())
			next = l
			break
		}
		g.Expect(next).To(Equal(lane("company-132", ledger.ChannelEmail)), "it is the next one's turn")
		due, ok, err := s.NextDeliveryDue(bg, func(l ledger.Lane) bool { return l == free })
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(ok).To(BeTrue())
		g.Expect(due).To(Equal(time.Minute), "when its lease ends")
		due, _, err = s.NextDeliveryDue(bg, nil)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(due).To(BeNumerically("<=", 0), "the others are due")
		_, ok, err = s.NextDeliveryDue(bg, func(ledger.Lane) bool { return false })
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(ok).To(BeFalse())
		clk.Step(time.Minute)
	}
	g.Expect(claimCount(t, s, ledger.Claim{Limit: 2, Lanes: []ledger.ClaimLane{}})).To(BeEmpty(), "no lanes are not all lanes")
}

func testWakeDeliveries(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	const n = step + 3
	Pending(t, s, "alpha", n)
	Pending(t, s, "bravo", 2)
	PendingOn(t, s, "alpha", "texts", ledger.ChannelSMS, 2)
	claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 2 * n, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(n + 4))
	held := 0
	var postponing sync.WaitGroup
	for _, d := range claimed {
		if d.Company == "alpha" && d.Channel == ledger.ChannelEmail && held == 0 {
			held++ // somebody is at it
			continue
		}
		postponing.Go(func() {
			if err := s.PostponeDelivery(bg, d, time.Hour, "LoginRefused", "The server refuses the login."); err != nil {
				t.Error(err)
			}
		})
	}
	postponing.Wait()
	raised(s.DeliveriesReady())
	g.Expect(s.WakeDeliveries(bg, lane("alpha", ledger.ChannelEmail))).To(Succeed())
	g.Expect(raised(s.DeliveriesReady())).To(BeTrue())
	g.Expect(claimCount(t, s, ledger.Claim{Limit: 2 * n})).To(Equal(map[ledger.Lane]int{{Company: "alpha", Channel: ledger.ChannelEmail}: n - 1}))
	g.Expect(s.WakeDeliveries(bg, lane("charlie", ledger.ChannelEmail))).To(Succeed())
	g.Expect(raised(s.DeliveriesReady())).To(BeFalse(), "there was nothing to wake")
}

// A claim leaves out what is large.
func testClaimedContent(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, FakeClock())
	small, large := Email("a", "small@example.com"), Email("a", "large@example.com")
	small.Content = ledger.Content{From: "a@example.com", Subject: "S", Text: strings.Repeat("x", 32<<10), HTML: "<p>"}
	large.Content = ledger.Content{From: "a@example.com", Subject: "S", Text: "T", HTML: strings.Repeat("é", 16<<10) + "x"}
	Accept(t, s, "shop", "1")
	g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), []ledger.NewDelivery{small, large})).To(Succeed())
	claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(2))
	for _, d := range claimed {
		want := small.Content
		if d.Recipient == large.Recipient {
			want = large.Content
			g.Expect(d.Content.HTML).To(BeEmpty())
		}
		g.Expect(d.Complete()).To(Equal(d.Recipient == small.Recipient))
		g.Expect(d.Size).To(Equal(len(want.Subject) + len(want.Text) + len(want.HTML)))
		whole, err := s.GetDelivery(bg, d.ID)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(whole.Content).To(Equal(want))
		g.Expect(whole.Complete()).To(BeTrue())
	}
}

// A message that was sent in an unusual way says so.
func testSentUnusually(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, FakeClock())
	Decided(t, s, "shop", "1", Email("a", "a@example.com"), code("b", "+15005550001"))
	for _, d := range claimAll(t, s) {
		g.Expect(s.MarkSentUnusually(bg, d, "x1", "SentByFallback", "The other one sent it.")).To(Succeed())
		sent := entry(t, s, d.ID)
		g.Expect(sent.State).To(Equal(ledger.DeliverySent))
		g.Expect(sent.ProviderID).To(Equal("x1"))
		g.Expect(sent.Reason).To(Equal("SentByFallback"))
		g.Expect(sent.Message).To(Equal("The other one sent it."))
	}
}
