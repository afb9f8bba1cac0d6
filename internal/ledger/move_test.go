// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// everything lists the deliveries and claims the events that are left.
func everything(t *testing.T, s *Store) (log []Delivery, left map[string]string) {
	t.Helper()
	for after := int64(0); ; {
		page, err := s.ListDeliveries(bg, DeliveryFilter{After: after, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		log, after = append(log, page...), page[len(page)-1].ID
	}
	left = map[string]string{}
	for {
		events, err := s.ClaimEvents(bg, 500, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			return log, left
		}
		for _, e := range events {
			left[e.Company+" "+e.ID] = string(e.Data)
		}
	}
}

func TestMove(t *testing.T) {
	g := NewWithT(t)
	clk, path, at := fakeClock(), ledgerPath(t), postgresPlace(t)
	s := open(t, path, clk)
	accept(t, s, "app", "1")
	g.Expect(s.CompleteEvent(bg, claimOne(t, s), []NewDelivery{{RuleName: "app", Channel: ChannelSystem, Recipient: "zoe", UserID: "zoe"}})).To(Succeed())
	inApp := claimDelivery(t, s)
	g.Expect(s.MarkSent(bg, inApp, "")).To(Succeed())
	g.Expect(s.SetReceived(bg, "app", "zoe", inApp.ID, true)).To(Succeed())
	for rule, enabled := range map[string]bool{"app": false, "other": true} {
		g.Expect(s.SetPreference(bg, Preference{Company: "app", UserID: "zoe", Rule: Rule{Name: rule}, Enabled: enabled})).To(Succeed())
	}
	chosen, err := s.Preferences(bg, "app", "zoe")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(chosen).To(HaveLen(2))
	pending(t, s, "shop", 20)
	claimed, err := s.ClaimDeliveries(bg, Claim{Limit: 3, Lease: time.Hour})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.MarkSent(bg, claimed[0], "provider's")).To(Succeed())
	g.Expect(s.FailDelivery(bg, claimed[1], "Refused", "It was refused.")).To(Succeed())
	pending(t, s, "purged", 2)
	g.Expect(s.PurgeCompany(bg, "purged")).To(Succeed())
	fill(t, s, "bank", step+30)
	accept(t, s, "b\x00nk", "1")

	_, err = Move(bg, path, at.options(clk))
	g.Expect(err).To(MatchError(ContainSubstring("another process has the ledger open")))
	g.Expect(s.Close()).To(Succeed())
	// What the move is to bring: a lease ends with its process.
	s = open(t, path, clk)
	log, err := s.ListDeliveries(bg, DeliveryFilter{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(log).To(HaveLen(21))
	g.Expect(log[0].ReceivedAt).To(Equal(clk.Now()))
	g.Expect(s.Close()).To(Succeed())

	moved, err := Move(bg, path, at.options(clk))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(moved).To(Equal(Moved{Events: 1 + 1 + step + 30 + 1, Deliveries: 21}))
	g.Expect(path).NotTo(BeAnExistingFile())
	moved, err = Move(bg, path, at.options(clk))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(moved.Before).To(BeTrue(), "again")

	g.Expect(os.Rename(path+".moved", path)).To(Succeed())
	_, err = Move(bg, path, at.options(clk))
	g.Expect(err).To(MatchError(ContainSubstring("was moved to this database before")))

	p := at.open(t, clk)
	gotLog, left := everything(t, p)
	g.Expect(gotLog).To(Equal(log))
	g.Expect(p.Preferences(bg, "app", "zoe")).To(ConsistOf(chosen))
	g.Expect(left).To(HaveLen(step + 30 + 1))
	g.Expect(left).To(HaveKeyWithValue("bank fill-7", `{"id":"fill-7"}`))
	g.Expect(left).To(HaveKey("b\uFFFDnk 1"))
	duplicate, err := p.AcceptEvent(bg, Event{Company: "shop", ID: "event"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(duplicate).To(BeTrue(), "what was done answers repeats")
	sendable, err := p.ClaimDeliveries(bg, Claim{Limit: 100, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(sendable).To(HaveLen(18))
	// New rows don't take the IDs of old ones.
	pending(t, p, "purged", 1)
	young, err := p.ListDeliveries(bg, DeliveryFilter{Company: "purged"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(young[0].ID).To(BeNumerically(">", 23))
}

func TestInterruptedMoveGoesOn(t *testing.T) {
	g := NewWithT(t)
	clk, path, at := fakeClock(), ledgerPath(t), postgresPlace(t)
	s := open(t, path, clk)
	fill(t, s, "bank", 2*step+30)
	p := at.open(t, clk) // makes the tables
	g.Expect(beginMove(bg, s.reader, p.reader, 1)).To(Succeed())
	read, write, _ := movedTables[0].statements(0)
	batch, _, _, err := readBatch(bg, s.reader, read, 0, movedTables[0].columns)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = p.reader.ExecContext(bg, write, batch...)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.Close()).To(Succeed())

	_, err = Open(bg, at.options(clk))
	g.Expect(err).To(MatchError(ContainSubstring("run `manager migrate-ledger` again")))
	moved, err := Move(bg, path, at.options(clk))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(moved.Events).To(BeEquivalentTo(2*step + 30))
	_, left := everything(t, at.open(t, clk))
	g.Expect(left).To(HaveLen(2*step + 30))
}

func TestMoveRefusesAForeignTarget(t *testing.T) {
	g := NewWithT(t)
	clk, path, at := fakeClock(), ledgerPath(t), postgresPlace(t)
	s := open(t, path, clk)
	fill(t, s, "bank", 3)
	g.Expect(s.Close()).To(Succeed())
	p := at.open(t, clk)
	accept(t, p, "shop", "1")
	_, err := Move(bg, path, at.options(clk))
	g.Expect(err).To(MatchError(ContainSubstring("not empty")))
	g.Expect(path).To(BeAnExistingFile())

	// A move of another ledger stopped half-way.
	_, err = p.reader.ExecContext(bg, "INSERT INTO move (id, started_at, finished) VALUES (1, 1, FALSE)")
	g.Expect(err).NotTo(HaveOccurred())
	_, err = Move(bg, path, at.options(clk))
	g.Expect(err).To(MatchError(ContainSubstring("met others in their places")))
	g.Expect(path).To(BeAnExistingFile())

	_, err = Move(bg, path+fmt.Sprint(1), at.options(clk))
	g.Expect(err).To(MatchError(ContainSubstring("there is no ledger")))
}
