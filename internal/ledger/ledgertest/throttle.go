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

// throttled is an email that may be sent to its recipient so many times an hour.
func throttled(rule, recipient string, messages int64) ledger.NewDelivery {
	d := Email(rule, recipient)
	d.Throttle = &ledger.Throttle{Key: recipient, Messages: messages, Period: time.Hour}
	return d
}

// outcomesOf returns the state and reason of each delivery of an event, by recipient.
func outcomesOf(t testing.TB, s ledger.Store, company, id string) map[string]string {
	t.Helper()
	e, err := s.StoredEvent(bg, company, id)
	if err != nil {
		t.Fatal(err)
	}
	found, _, err := s.EventDeliveries(bg, company, e.Key, 0, 250)
	if err != nil {
		t.Fatal(err)
	}
	outcomes := make(map[string]string, len(found))
	for i := range found {
		outcomes[found[i].Recipient] = fmt.Sprint(found[i].State, found[i].Reason)
		if skipped := found[i].State == ledger.DeliverySkipped; skipped != (found[i].Content.Text == "") || skipped != (found[i].Message != "") {
			t.Errorf("a delivery that is %s has the content %+v and the message %q", found[i].State, found[i].Content, found[i].Message)
		}
	}
	return outcomes
}

func testThrottle(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	const sent, beyond = "pending", "skippedThrottled"
	decide := func(id string, want map[string]string, deliveries ...ledger.NewDelivery) {
		t.Helper()
		Decided(t, s, "shop", id, deliveries...)
		g.Expect(outcomesOf(t, s, "shop", id)).To(Equal(want), id)
	}
	const joe, ann = "joe@example.com", "ann@example.com"
	decide("1", map[string]string{joe: sent, ann: sent}, throttled("a", joe, 2), throttled("a", ann, 2))
	decide("2", map[string]string{joe: sent}, throttled("a", joe, 2))
	decide("3", map[string]string{joe: beyond, ann: sent}, throttled("a", joe, 2), throttled("a", ann, 2))
	decide("4", map[string]string{joe: sent}, throttled("another rule", joe, 2))
	decide("5", map[string]string{joe: sent}, Email("a", joe)) // no longer limited
	Decided(t, s, "bank", "1", throttled("a", joe, 1))
	g.Expect(outcomesOf(t, s, "bank", "1")).To(Equal(map[string]string{joe: sent}))

	// An event that is decided again, after its process died, counts its messages once.
	Accept(t, s, "shop", "again")
	e := ClaimOne(t, s)
	g.Expect(s.AddDeliveries(bg, &e, []ledger.NewDelivery{throttled("b", joe, 2)})).To(Succeed())
	g.Expect(s.CompleteEvent(bg, e, []ledger.NewDelivery{throttled("b", joe, 2)})).To(Succeed())
	decide("6", map[string]string{joe: sent}, throttled("b", joe, 2))
	decide("7", map[string]string{joe: beyond}, throttled("b", joe, 2))

	// A message that is skipped for another reason does not count.
	skipped := throttled("c", joe, 1)
	skipped.SkipReason, skipped.SkipMessage, skipped.Content = "OptedOut", "the user opted out", ledger.Content{}
	decide("8", map[string]string{joe: "skippedOptedOut"}, skipped)
	decide("9", map[string]string{joe: sent}, throttled("c", joe, 1))

	// The counts survive the process. The period begins with the first message.
	g.Expect(s.Close()).To(Succeed())
	clk.Step(59 * time.Minute)
	s = at.open(t, clk)
	decide("10", map[string]string{joe: beyond}, throttled("a", joe, 2))
	g.Expect(s.DeleteThrottles(bg)).To(Succeed())
	var rows int
	at.query(t, "SELECT COUNT(*) FROM throttles WHERE company = 'shop'", &rows)
	g.Expect(rows).To(Equal(5), "of the rules a, another rule, b and c")
	clk.Step(time.Minute)
	decide("11", map[string]string{joe: sent, ann: sent}, throttled("a", joe, 2), throttled("a", ann, 2))
	decide("12", map[string]string{joe: sent, ann: sent}, throttled("a", joe, 2), throttled("a", ann, 2))
	decide("13", map[string]string{joe: beyond}, throttled("a", joe, 2))
	g.Expect(s.DeleteThrottles(bg)).To(Succeed())
	at.query(t, "SELECT COUNT(*) FROM throttles", &rows)
	g.Expect(rows).To(Equal(2), "of the rule a")

	_, err := s.EraseUser(bg, ledger.Subject{Company: "shop", UserID: erasedUser, Addresses: []string{"JOE@example.com"}}, ledger.ErasedByAdmin, 0)
	g.Expect(err).NotTo(HaveOccurred())
	at.query(t, "SELECT COUNT(*) FROM throttles", &rows)
	g.Expect(rows).To(Equal(1), "ann's")
	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())
	at.query(t, "SELECT COUNT(*) FROM throttles", &rows)
	g.Expect(rows).To(BeZero())
}

// testThrottleIsExact decides many events for the same recipients at once, in different
// orders, through two stores where the database is shared.
func testThrottleIsExact(t *testing.T, at Place) {
	clk := FakeClock()
	stores := []ledger.Store{at.open(t, clk)}
	if at.Shared {
		stores = append(stores, at.open(t, clk))
	}
	const events, limit = 40, 7
	for i := range events {
		Accept(t, stores[0], "shop", fmt.Sprint(i))
	}
	claimed, err := stores[0].ClaimEvents(bg, ledger.Claim{Limit: events, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i, e := range claimed {
		group.Go(func() {
			first, second := throttled("a", "ann@example.com", limit), throttled("a", "joe@example.com", limit)
			if i%2 == 1 {
				first, second = second, first
			}
			if err := stores[i%len(stores)].CompleteEvent(bg, e, []ledger.NewDelivery{first, second}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	counts := map[string]int{}
	for i := range events {
		for recipient, outcome := range outcomesOf(t, stores[0], "shop", fmt.Sprint(i)) {
			counts[recipient+" "+outcome]++
		}
	}
	NewWithT(t).Expect(counts).To(Equal(map[string]int{
		"ann@example.com pending": limit, "ann@example.com skippedThrottled": events - limit,
		"joe@example.com pending": limit, "joe@example.com skippedThrottled": events - limit,
	}))
}
