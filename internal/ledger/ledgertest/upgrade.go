// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

// ledgerBefore creates a ledger with the tables of a released version and some rows.
func ledgerBefore(t *testing.T, at Place, version int64) {
	t.Helper()
	g := NewWithT(t)
	db, err := at.DB()
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(db.Close()).To(Succeed()) }()
	db.SetMaxOpenConns(1)
	g.Expect(schema.MigrateTo(bg, db, at.Dialect, version)).To(Succeed())
	for _, q := range []string{
		`INSERT INTO events (company, event_id, name, received_at, state, attempts, next_attempt_at, lease, message, updated_at, data) VALUES
			('shop', 'done', 'x', 1, 'done', 1, 2, 0, '', 3, 'one'), ('shop', 'pending', 'x', 1, 'pending', 4, 2, 0, 'why', 3, 'two'),
			('shop', 'claimed', 'x', 1, 'pending', 1, 2, 77, '', 3, 'three'), ('shop', 'gone', 'x', 1, 'done', 1, 2, 0, '', 3, 'four')`,
		`INSERT INTO deliveries (event, company, event_id, event_name, event_received_at, rule_uid, rule_name, copy, channel, recipient, user_id,
			state, reason, message, attempts, next_attempt_at, lease, provider_id, received_at, created_at, updated_at) VALUES
			(1, 'shop', 'done', 'x', 1, 'uid', 'shop/rule', 0, 'email', 'a@example.com', 'zoe', 'sent', '', '', 1, 2, 0, 'provider', 0, 4, 5),
			(1, 'shop', 'done', 'x', 1, 'uid', 'shop/rule', 0, 'email', 'b@example.com', '', 'pending', 'Busy', 'It is busy.', 2, 2, 0, '', 0, 4, 5),
			(1, 'shop', 'done', 'x', 1, 'uid', 'shop/rule', 1, 'email', 'a@example.com', '', 'failed', 'Refused', 'No.', 1, 2, 0, '', 0, 4, 5),
			(1, 'shop', 'done', 'x', 1, 'uid', 'shop/rule', 0, 'system', 'zoe', 'zoe', 'sent', '', '', 1, 2, 0, '', 7, 4, 5),
			(1, 'shop', 'done', 'x', 1, 'uid of before', 'shop/rule', 0, 'email', 'b@example.com', '', 'sent', '', '', 2, 2, 0, '', 0, 4, 5),
			(1, 'shop', 'done', 'x', 1, 'uid', 'shop/rule', 0, 'email', '', '', 'skipped', 'NoRecipient', 'None.', 0, 2, 0, '', 0, 4, 5),
			(4, 'shop', 'gone', 'x', 1, 'uid', 'shop/rule', 0, 'email', 'z@example.com', '', 'sent', '', '', 1, 2, 0, '', 0, 4, 5)`,
		`INSERT INTO contents (delivery, sender, subject, text, html) SELECT id, 'shop@example.com', 'Paid', 'You paid.', '<p>You paid.</p>' FROM deliveries WHERE state <> 'skipped'`,
		`INSERT INTO preferences (company, user_id, rule_uid, enabled, updated_at) VALUES ('shop', 'zoe', 'uid', 0, 1), ('shop', 'zoe', 'uid of before', 1, 2), ('shop', 'ann', 'uid of no delivery', 0, 1)`,
		`DELETE FROM deliveries WHERE event = 4`,
		`DELETE FROM events WHERE event_id = 'gone'`,
	} {
		_, err := db.ExecContext(bg, q)
		g.Expect(err).NotTo(HaveOccurred())
	}
}

// A ledger of the first version keeps its rows.
func testLedgerOfTheFirstVersion(t *testing.T, at Place) {
	g := NewWithT(t)
	ledgerBefore(t, at, 1)
	s := at.open(t, nil)

	events, err := s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(events).To(HaveLen(2))
	for _, e := range events {
		switch e.ID {
		case "pending":
			g.Expect(string(e.Data)).To(Equal("two"))
			g.Expect(e.Attempts).To(Equal(5))
			g.Expect(e.Unfinished).To(BeZero())
		case "claimed":
			g.Expect(string(e.Data)).To(Equal("three"))
			g.Expect(e.Unfinished).To(Equal(1))
		}
	}
	log, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(log).To(HaveLen(6))
	for i, want := range []ledger.DeliveryState{ledger.DeliverySent, ledger.DeliveryPending, ledger.DeliveryFailed, ledger.DeliverySent, ledger.DeliverySent, ledger.DeliverySkipped} {
		g.Expect(log[i].ID).To(BeEquivalentTo(i + 1))
		g.Expect(log[i].State).To(Equal(want))
		g.Expect(log[i].RuleName).To(Equal("shop/rule"))
		if want == ledger.DeliverySkipped {
			g.Expect(log[i].Content).To(Equal(ledger.Content{}))
		} else {
			g.Expect(log[i].Content).To(Equal(ledger.Content{From: "shop@example.com", Subject: "Paid", Text: "You paid.", HTML: "<p>You paid.</p>"}))
		}
	}
	g.Expect(log[0].ProviderID).To(Equal("provider"))
	g.Expect(log[0].UserID).To(Equal("zoe"))
	g.Expect(log[2].Copy).To(Equal(1))
	g.Expect(log[4].Copy).To(Equal(5), "of two rules of one name one counts as a copy")
	g.Expect(log[3].ReceivedAt.UnixMilli()).To(BeEquivalentTo(7))
	g.Expect(log[1].Message).To(Equal("It is busy."))

	// Before anything is added, which the store counts from time to time.
	var bytes int64
	at.query(t, "SELECT bytes FROM storage WHERE company = 'shop'", &bytes)
	g.Expect(bytes).To(BeEquivalentTo(3*1024 + len("onetwothree") + 6*1024 + 5*len("shop@example.comPaidYou paid.<p>You paid.</p>")))

	// IDs of deleted rows are not given again.
	_, err = s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: "new", Name: "x"})
	g.Expect(err).NotTo(HaveOccurred())
	e := ClaimOne(t, s)
	g.Expect(e.Key).To(BeEquivalentTo(5))
	g.Expect(s.CompleteEvent(bg, e, []ledger.NewDelivery{Email("rule", "new@example.com")})).To(Succeed())
	log, err = s.ListDeliveries(bg, ledger.DeliveryFilter{EventID: "new"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(log).To(HaveLen(1))
	g.Expect(log[0].ID).To(BeEquivalentTo(8))

	// Choices are stored by the rule's name if the log has it.
	chosen, err := s.Preferences(bg, "shop", "zoe")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(chosen).To(HaveLen(1))
	g.Expect(chosen[0].Rule).To(Equal(ledger.Rule{Name: "shop/rule"}))
	g.Expect(chosen[0].Enabled).To(BeTrue(), "the latest choice, of two rules of one name")
	chosen, err = s.Preferences(bg, "shop", "ann")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(chosen).To(HaveLen(1))
	g.Expect(chosen[0].Rule).To(Equal(ledger.Rule{UID: "uid of no delivery"}))
	g.Expect(s.SetPreference(bg, ledger.Preference{Company: "shop", UserID: "zoe", Rule: ledger.Rule{Name: "shop/rule"}})).To(Succeed())

	// Contents stay with their deliveries, and the new states can be stored.
	deliveries, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(deliveries).To(HaveLen(2))
	g.Expect(s.QuarantineDelivery(bg, deliveries[0], "X", "x")).To(Succeed())
	g.Expect(s.QuarantineEvent(bg, events[0], "X", "x")).To(Succeed())
	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())
	g.Expect(at.contents(t)).To(BeZero())
}

// releasedVersions is how many versions of the tables were released.
const releasedVersions = 8

// RunUpgrades opens ledgers with the tables of each released version, which have rows of the
// first version and of their own. Each starts in a new place without tables.
func RunUpgrades(t *testing.T, newPlace func(testing.TB) Place) {
	t.Run("Rows", func(t *testing.T) {
		t.Parallel()
		testLedgerOfTheFirstVersion(t, newPlace(t))
	})
	for version := range int64(releasedVersions) {
		t.Run(fmt.Sprint(version+1), func(t *testing.T) {
			t.Parallel()
			testUpgradeFrom(t, newPlace(t), version+1)
		})
	}
}

func testUpgradeFrom(t *testing.T, at Place, version int64) {
	g := NewWithT(t)
	ledgerBefore(t, at, 1)
	db, err := at.DB()
	g.Expect(err).NotTo(HaveOccurred())
	db.SetMaxOpenConns(1)
	g.Expect(schema.MigrateTo(bg, db, at.Dialect, version)).To(Succeed())
	_, err = db.ExecContext(bg, `INSERT INTO events (company, event_id, name, received_at, state, attempts, next_attempt_at, lease, message, updated_at, data)
		VALUES ('shop', 'own', 'x', 1, 'pending', 0, 2, 0, '', 3, 'five')`)
	g.Expect(err).NotTo(HaveOccurred())
	want := 6
	if version > 1 {
		want++
		_, err = db.ExecContext(bg, `INSERT INTO deliveries (event, company, event_id, event_name, event_received_at, rule, channel, recipient, state, next_attempt_at, created_at, updated_at)
			VALUES (1, 'shop', 'done', 'x', 1, 'shop/other', 'email', 'own@example.com', 'skipped', 2, 4, 5)`)
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(db.Close()).To(Succeed())

	s := at.open(t, nil)
	log, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(log).To(HaveLen(want))
	g.Expect(log[0].Content.Text).To(Equal("You paid."))
	chosen, err := s.Preferences(bg, "shop", "zoe")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(chosen).To(HaveLen(1))
	events, err := s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	data := make(map[string]string)
	for _, e := range events {
		data[e.ID] = string(e.Data)
		if e.ID == "own" {
			g.Expect(s.CompleteEvent(bg, e, []ledger.NewDelivery{Email("rule", "new@example.com")})).To(Succeed())
		}
	}
	g.Expect(data).To(Equal(map[string]string{"pending": "two", "claimed": "three", "own": "five"}))
	deliveries, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(deliveries).To(HaveLen(2))
	for _, d := range deliveries {
		g.Expect(s.MarkSent(bg, d, "")).To(Succeed())
	}
}
