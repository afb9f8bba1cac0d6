// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

const (
	erasedUser   = "11111111-2222-4333-8444-555555555555"
	erasedMobile = "+27820000009" // which no event names
	otherUser    = "99999999-2222-4333-8444-555555555555"
)

// about is an email about a user.
func about(rule, recipient, user string) ledger.NewDelivery {
	d := Email(rule, recipient)
	d.UserID = user
	return d
}

func testEraseUser(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	accept := func(company, id, data string) {
		_, err := s.AcceptEvent(bg, ledger.Event{Company: company, ID: id, Name: "x", Data: []byte(data)})
		g.Expect(err).NotTo(HaveOccurred())
	}
	decide := func(company, id, data string, deliveries ...ledger.NewDelivery) {
		accept(company, id, data)
		g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), deliveries)).To(Succeed())
	}
	push := about("push", erasedUser, erasedUser)
	push.Channel = ledger.ChannelPush
	decide("shop", "sent", `{"user":{"id":"`+erasedUser+`"}}`, about("a", "zoe@example.com", erasedUser), push)
	text := about("sms", erasedMobile, erasedUser)
	text.Channel, text.Throttle = ledger.ChannelSMS, &ledger.Throttle{Key: erasedMobile, Messages: 1, Period: time.Hour}
	decide("shop", "texted", `{"user":{"id":"`+erasedUser+`"}}`, text, about("a", "office@example.com", erasedUser))
	decide("shop", "office", `{"user":{"id":"`+otherUser+`"}}`, about("a", "office@example.com", otherUser))
	for _, d := range claimAll(t, s) {
		g.Expect(s.MarkSent(bg, d, "x")).To(Succeed())
	}
	decide("shop", "shared", `{"to":"Zoe@example.com"}`, about("a", "ZOE@example.com", ""), about("a", "ann@example.com", otherUser))
	decide("shop", "other", `{"to":"not-zoe@example.com"}`, about("a", "not-zoe@example.com", otherUser))
	decide("bank", "elsewhere", `{"user":"`+erasedUser+`"}`, about("a", "zoe@example.com", erasedUser))
	accept("shop", "this", `{"user":"`+erasedUser+`"}`)
	this := ClaimOne(t, s)
	accept("shop", "pending", `{"user":"`+erasedUser+`"}`)
	for _, p := range []ledger.Preference{
		{Company: "shop", UserID: erasedUser, Rule: ledger.Rule{Name: "a"}}, {Company: "shop", UserID: otherUser, Rule: ledger.Rule{Name: "a"}},
		{Company: "bank", UserID: erasedUser, Rule: ledger.Rule{Name: "a"}},
	} {
		g.Expect(s.SetPreference(bg, p)).To(Succeed())
	}
	g.Expect(s.Suppress(bg, ledger.Suppression{Company: "shop", Channel: ledger.ChannelPush, Recipient: erasedUser, Address: "hash", Reason: "X"}, 0)).To(Succeed())
	const messageDeleted = "+27820000007" // the message was deleted when its time was over
	for key, channel := range map[string]string{"zoe@example.com": ledger.ChannelEmail, erasedMobile: ledger.ChannelSMS, messageDeleted: ledger.ChannelSMS} {
		_, _, err := s.Spend(bg, "shop", 1, ledger.Quota{Channel: channel, Scope: ledger.ScopeRecipient, Key: key, Limit: 10})
		g.Expect(err).NotTo(HaveOccurred())
	}
	at.exec(t, "INSERT INTO charges (company, channel, scope, key, day, n) VALUES ('shop', 'email', 'recipient', 'Zoe@example.com', 1, 1)") // by an earlier version
	for _, p := range []ledger.Suppression{
		{Channel: ledger.ChannelSMS, Address: erasedMobile, Reason: ledger.SuppressedStop},
		{Channel: ledger.ChannelSMS, Address: erasedMobile, Reason: ledger.SuppressedHardBounce},
		{Channel: ledger.ChannelEmail, Address: "office@example.com", Reason: ledger.SuppressedHardBounce},
	} {
		p.Company = "shop"
		g.Expect(s.Suppress(bg, p, 0)).To(Succeed())
	}

	subject := ledger.Subject{Company: "shop", UserID: erasedUser, Addresses: []string{"Zoe@example.com"}}
	found, err := s.FindUser(bg, subject)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect([]int64{found.Deliveries, found.Events, found.Preferences}).To(Equal([]int64{5, 5, 1}), "with the event that is in progress")
	g.Expect(s.Erasures(bg, "shop", 10)).To(BeEmpty(), "nothing was erased")
	done, err := s.EraseUser(bg, subject, ledger.ErasedByPlatform, this.Key)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(done.Deliveries).To(BeEquivalentTo(5))
	g.Expect(done.Events).To(BeEquivalentTo(4))
	g.Expect(done.Preferences).To(BeEquivalentTo(1))
	list, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list).To(HaveLen(3))
	for _, d := range list {
		g.Expect(d.UserID).To(Equal(otherUser))
		g.Expect(d.Content.Text).To(Equal("You paid."), "a content that others share stays")
	}
	for id, want := range map[string]struct {
		masked bool
		state  ledger.EventState
	}{
		"sent": {true, ledger.EventDone}, "shared": {true, ledger.EventDone}, "other": {false, ledger.EventDone},
		"this": {false, ledger.EventPending}, "pending": {true, ledger.EventCancelled},
	} {
		e, err := s.StoredEvent(bg, "shop", id)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(e.Masked).To(Equal(want.masked), id)
		g.Expect(e.State).To(Equal(want.state), id)
	}
	this.Sensitive = true
	g.Expect(s.CompleteEvent(bg, this, nil)).To(Succeed(), "the event that reports the deletion is still decided")
	for table, want := range map[string]int{"preferences": 2, "suppressions": 2, "charges": 1, "throttles": 0, "erasures": 1} {
		var n int
		at.query(t, "SELECT COUNT(*) FROM "+table, &n)
		g.Expect(n).To(Equal(want), table)
	}
	for table, column := range map[string]string{"suppressions": "address", "charges": "key", "deliveries": "recipient"} {
		var n int
		at.query(t, "SELECT COUNT(*) FROM "+table+" WHERE company = 'shop' AND "+column+" LIKE '%27820000%'", &n)
		g.Expect(n).To(BeZero(), "%s has a number that no event names", table)
	}
	g.Expect(s.SuppressedAmong(bg, "shop", ledger.ChannelSMS, erasedMobile)).To(Equal(map[string]ledger.SuppressionReason{erasedMobile: ledger.SuppressedStop}))
	elsewhere, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "bank"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(elsewhere).To(HaveLen(1), "another company's user")

	// The fact stays, without the name.
	clk.Step(time.Hour)
	again, err := s.EraseUser(bg, subject, ledger.ErasedByAdmin, 0)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again.Deliveries + again.Events + again.Preferences).To(BeZero())
	erasures, err := s.Erasures(bg, "shop", 10)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(erasures).To(HaveLen(2))
	g.Expect(erasures[0].Cause).To(Equal(ledger.ErasedByAdmin))
	g.Expect([]int64{again.ID, done.ID}).To(Equal([]int64{erasures[0].ID, erasures[1].ID}), "the response names the entry of the list")
	g.Expect(erasures[1].Subject).To(Equal(subject.Digest()))
	g.Expect(erasures[1].ErasedAt).To(Equal(clk.Now().Add(-time.Hour)))
	for _, column := range []string{"company", "subject", "cause"} {
		var n int
		at.query(t, "SELECT COUNT(*) FROM erasures WHERE "+column+" LIKE '%"+erasedUser[:8]+"%'", &n)
		g.Expect(n).To(BeZero())
	}
	g.Expect(s.Erasures(bg, "bank", 10)).To(BeEmpty())

	_, err = s.EraseUser(bg, ledger.Subject{Company: "shop"}, ledger.ErasedByAdmin, 0)
	g.Expect(err).To(HaveOccurred(), "nobody is everybody")
	_, err = s.FindUser(bg, ledger.Subject{Company: "shop"})
	g.Expect(err).To(HaveOccurred(), "nobody is everybody")
}

// testInterruptedErasure interrupts an erasure after it deleted the user's messages, from which
// it knows a number that the request doesn't name. The next call leaves nothing either.
func testInterruptedErasure(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, FakeClock())
	_, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: "texted", Name: "x", Data: []byte(`{"user":{"id":"` + erasedUser + `"}}`)})
	g.Expect(err).NotTo(HaveOccurred())
	text := about("sms", erasedMobile, erasedUser)
	text.Channel, text.Throttle = ledger.ChannelSMS, &ledger.Throttle{Key: erasedMobile, Messages: 1, Period: time.Hour}
	g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), []ledger.NewDelivery{text})).To(Succeed())
	_, _, err = s.Spend(bg, "shop", 1, ledger.Quota{Channel: ledger.ChannelSMS, Scope: ledger.ScopeRecipient, Key: erasedMobile, Limit: 10})
	g.Expect(err).NotTo(HaveOccurred())
	counts := func() map[string]int {
		found := map[string]int{}
		for _, table := range []string{"charges", "throttles", "deliveries"} {
			var n int
			at.query(t, "SELECT COUNT(*) FROM "+table, &n)
			found[table] = n
		}
		return found
	}
	g.Expect(counts()).To(Equal(map[string]int{"charges": 1, "throttles": 1, "deliveries": 1}))

	subject := ledger.Subject{Company: "shop", UserID: erasedUser}
	at.exec(t, "ALTER TABLE erasures RENAME TO erasures_elsewhere") // the last step fails
	_, err = s.EraseUser(bg, subject, ledger.ErasedByAdmin, 0)
	g.Expect(err).To(HaveOccurred())
	at.exec(t, "ALTER TABLE erasures_elsewhere RENAME TO erasures")
	_, err = s.EraseUser(bg, subject, ledger.ErasedByAdmin, 0)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(counts()).To(Equal(map[string]int{"charges": 0, "throttles": 0, "deliveries": 0}))
}
