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

const digestEvent = "notification:digest"

// collecting is an email of a rule that sends one an hour to each recipient, and collects the
// others.
func collecting(rule, recipient string) ledger.NewDelivery {
	d := throttled(rule, recipient, 1)
	d.Throttle.Digest = &ledger.Digest{Name: digestEvent, Data: []byte(`{"to":"` + recipient + `"}`)}
	return d
}

// decideNow decides the events that are due, except for digests.
func decideNow(t testing.TB, s ledger.Store, id, data string, deliveries ...ledger.NewDelivery) {
	t.Helper()
	if _, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: id, Name: "user.create", Data: []byte(data)}); err != nil {
		t.Fatal(err)
	}
	if err := s.CompleteEvent(bg, ClaimOne(t, s), deliveries); err != nil {
		t.Fatal(err)
	}
}

func collectedData(c ledger.Collected) (data []string) {
	for i := range c.Events {
		data = append(data, string(c.Events[i].Data))
	}
	return data
}

func testThrottleDigest(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	const joe, ann = "joe@example.com", "ann@example.com"
	decideNow(t, s, "1", `{"n":1}`, collecting("a", joe), collecting("a", ann))
	clk.Step(time.Minute)
	decideNow(t, s, "2", `{"n":2}`, collecting("a", joe))
	decideNow(t, s, "3", `{"n":3}`, collecting("a", joe))
	// Collected messages are as durable as others. An event that is decided again, after its
	// process died, is collected once.
	g.Expect(s.Close()).To(Succeed())
	s = at.open(t, clk)
	Accept(t, s, "shop", "again")
	e := ClaimOne(t, s)
	g.Expect(s.AddDeliveries(bg, &e, []ledger.NewDelivery{collecting("a", joe)})).To(Succeed())
	g.Expect(s.CompleteEvent(bg, e, []ledger.NewDelivery{collecting("a", joe)})).To(Succeed())
	// An event whose data is masked because of another rule is only counted.
	Accept(t, s, "shop", "masked")
	e = ClaimOne(t, s)
	e.Sensitive = true
	g.Expect(s.CompleteEvent(bg, e, []ledger.NewDelivery{collecting("a", joe)})).To(Succeed())
	decideNow(t, s, "large", `"`+strings.Repeat("x", ledger.MaxDigestBytes)+`"`, collecting("a", joe))
	decideNow(t, s, "ann's", `{"n":4}`, collecting("a", ann))
	// A replay collects the event that it decides again.
	original, err := s.StoredEvent(bg, "shop", "ann's")
	g.Expect(err).NotTo(HaveOccurred())
	Accept(t, s, "shop", "replay")
	e = ClaimOne(t, s)
	e.Replay = &ledger.Replay{Of: original.Key}
	g.Expect(s.CompleteEvent(bg, e, []ledger.NewDelivery{collecting("a", joe)})).To(Succeed())
	g.Expect(outcomesOf(t, s, "shop", "2")).To(Equal(map[string]string{joe: "skippedCollected"}))
	stored, err := s.StoredEvent(bg, "shop", "2")
	g.Expect(err).NotTo(HaveOccurred())
	found, _, err := s.EventDeliveries(bg, "shop", stored.Key, 0, 1)
	g.Expect(err).NotTo(HaveOccurred())
	until := clk.Now().Add(59 * time.Minute).UTC().Format(time.RFC3339)
	g.Expect(found[0].Message).To(HavePrefix("it was collected in the digest that is due at " + until + ", the event digest-"))

	// Nothing makes a digest due before the end of its period.
	g.Expect(s.ResumeCompany(bg, "shop")).To(Succeed())
	claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(BeEmpty())
	clk.Step(59 * time.Minute)
	claimed, err = s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(2))
	if !strings.Contains(string(claimed[0].Data), joe) {
		claimed[0], claimed[1] = claimed[1], claimed[0]
	}
	g.Expect(string(claimed[0].Data)).To(Equal(`{"to":"` + joe + `"}`))
	g.Expect(claimed[0].Name).To(Equal(digestEvent))
	g.Expect(claimed[0].Age).To(BeZero(), "it counts from the end of the period")
	joes, err := s.Collected(bg, claimed[0])
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(joes.Count).To(Equal(int64(6)))
	g.Expect(collectedData(joes)).To(Equal([]string{`{"n":2}`, `{"n":3}`, `{"id":"again"}`, `{"n":4}`}))
	anns, err := s.Collected(bg, claimed[1])
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(anns.Count).To(Equal(int64(1)))

	// Another replica, whose clock is behind, collects into a digest of its own while this one is
	// being sent.
	var n int
	at.query(t, fmt.Sprintf("UPDATE throttles SET ends_at = ends_at + 1 WHERE digest = %d RETURNING n", claimed[1].Key), &n)
	decideNow(t, s, "late", `{"n":7}`, collecting("a", ann))
	g.Expect(outcomesOf(t, s, "shop", "late")).To(Equal(map[string]string{ann: "skippedCollected"}))
	anns, err = s.Collected(bg, claimed[1])
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(anns.Count).To(Equal(int64(1)))
	clk.Step(time.Millisecond)
	late := ClaimOne(t, s)
	anns, err = s.Collected(bg, late)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(collectedData(anns)).To(Equal([]string{`{"n":7}`}))
	g.Expect(s.CompleteEvent(bg, late, nil)).To(Succeed())

	// The next period has a digest of its own, also while the former one is not sent yet.
	decideNow(t, s, "5", `{"n":5}`, collecting("a", joe))
	decideNow(t, s, "6", `{"n":6}`, collecting("a", joe))
	g.Expect(outcomesOf(t, s, "shop", "5")).To(Equal(map[string]string{joe: "pending"}))
	g.Expect(outcomesOf(t, s, "shop", "6")).To(Equal(map[string]string{joe: "skippedCollected"}))
	joes, err = s.Collected(bg, claimed[0])
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(joes.Count).To(Equal(int64(6)))
	for _, e := range claimed {
		g.Expect(s.CompleteEvent(bg, e, []ledger.NewDelivery{Email("a", joe)})).To(Succeed())
	}
	clk.Step(time.Hour)
	second := ClaimOne(t, s)
	joes, err = s.Collected(bg, second)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(collectedData(joes)).To(Equal([]string{`{"n":6}`}))
	_, err = s.Collected(bg, ledger.ClaimedEvent{Event: ledger.Event{Company: "shop"}, Key: 1 << 40})
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
}

// testDigestIsExact decides many events for the same recipients at once, through two stores
// where the database is shared, while the period ends.
func testDigestIsExact(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	stores := []ledger.Store{at.open(t, clk)}
	if at.Shared {
		stores = append(stores, at.open(t, clk))
	}
	const events = 140
	for i := range events {
		if _, err := stores[0].AcceptEvent(bg, ledger.Event{Company: "shop", ID: fmt.Sprint(i), Name: "user.create", Data: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	work, err := stores[0].ClaimEvents(bg, ledger.Claim{Limit: events, Lease: 3 * time.Hour})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(work).To(HaveLen(events))
	var group sync.WaitGroup
	var total, listed, digests int64
	claimAll := func() {
		for {
			claimed, err := stores[len(stores)-1].ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
			if err != nil {
				t.Error(err)
				return
			}
			if len(claimed) == 0 {
				return
			}
			for _, e := range claimed {
				c, err := stores[0].Collected(bg, e)
				if err != nil {
					t.Error(err)
				}
				total, listed, digests = total+c.Count, listed+int64(len(c.Events)), digests+1
				if err := stores[0].CompleteEvent(bg, e, nil); err != nil {
					t.Error(err)
				}
			}
		}
	}
	complete := func(some []ledger.ClaimedEvent) {
		for i, e := range some {
			group.Go(func() {
				d := []ledger.NewDelivery{collecting("a", "ann@example.com"), collecting("a", "joe@example.com")}
				if i%2 == 1 {
					d[0], d[1] = d[1], d[0]
				}
				if err := stores[i%len(stores)].CompleteEvent(bg, e, d); err != nil {
					t.Error(err)
				}
			})
		}
	}
	complete(work[:120])
	group.Wait()
	clk.Step(time.Hour) // the next ones are in the next period, while the digests of this one are claimed
	complete(work[120:])
	claimAll()
	group.Wait()
	g.Expect(digests).To(Equal(int64(2)))
	g.Expect(total).To(Equal(int64(2 * 119)))
	g.Expect(listed).To(Equal(int64(2*ledger.MaxDigestItems)), "the others are only counted")
	clk.Step(time.Hour)
	claimAll()
	g.Expect(digests).To(Equal(int64(4)))
	g.Expect(total).To(Equal(int64(2*119 + 2*19)))
}

// testDigestEnds erases users, and cancels and purges companies, before the end of the period.
func testDigestEnds(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	for i, to := range []string{"joe@example.com", "ann@example.com"} {
		decideNow(t, s, fmt.Sprint(to, 1), "{}", collecting("a", to))
		decideNow(t, s, fmt.Sprint(to, 2), fmt.Sprintf(`{"user":"user %d"}`, i), collecting("a", to))
		decideNow(t, s, fmt.Sprint(to, 3), `{"user":"`+erasedUser+`"}`, collecting("a", to))
	}
	erased, err := s.EraseUser(bg, ledger.Subject{Company: "shop", UserID: erasedUser, Addresses: []string{"joe@example.com"}}, ledger.ErasedByAdmin, 0)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(erased.Events).To(Equal(int64(3)), "the digest, and two events that name the user")
	clk.Step(time.Hour)
	e := ClaimOne(t, s)
	g.Expect(string(e.Data)).To(ContainSubstring("ann@example.com"), "the other digest was cancelled")
	c, err := s.Collected(bg, e)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(c.Count).To(Equal(int64(2)))
	g.Expect(collectedData(c)).To(Equal([]string{`{"user":"user 1"}`}))
	g.Expect(s.CompleteEvent(bg, e, nil)).To(Succeed())

	decideNow(t, s, "4", "{}", collecting("a", "ann@example.com"))
	decideNow(t, s, "5", "{}", collecting("a", "ann@example.com"))
	g.Expect(s.CancelCompany(bg, "shop", ledger.ReasonCompanyInactive, "the company was deactivated")).To(Succeed())
	decideNow(t, s, "6", "{}", collecting("a", "ann@example.com"))
	g.Expect(outcomesOf(t, s, "shop", "6")).To(Equal(map[string]string{"ann@example.com": "skippedCollected"}), "in another digest")
	clk.Step(time.Hour)
	e = ClaimOne(t, s)
	c, err = s.Collected(bg, e)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(c.Count).To(Equal(int64(1)))
	g.Expect(s.PurgeCompany(bg, "shop")).To(Succeed())
	_, err = s.Collected(bg, e)
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
	var rows int
	at.query(t, "SELECT COUNT(*) FROM events", &rows)
	g.Expect(rows).To(BeZero())
}

// testDigestsLeaveRoom has more recipients than half of what may be pending of a company: their
// digests don't take the rest from its events.
func testDigestsLeaveRoom(t *testing.T, at Place) {
	g := NewWithT(t)
	const limit = 20
	s := limited(t, at, ledger.Limits{Pending: limit})
	counts := map[string]int{}
	for i := range limit {
		to := fmt.Sprint(i, "@example.com")
		for _, id := range []string{"first ", "second "} {
			id += to
			// Work that has ended still counts until the next count.
			g.Eventually(func() error {
				_, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: id, Name: "x"})
				return err
			}).Should(Succeed())
			g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), []ledger.NewDelivery{collecting("a", to)})).To(Succeed())
			counts[outcomesOf(t, s, "shop", id)[to]]++
		}
		g.Expect(s.MarkSent(bg, ClaimDelivery(t, s), "")).To(Succeed())
	}
	g.Expect(counts["pending"]).To(Equal(limit))
	g.Expect(counts["skippedCollected"]).To(And(BeNumerically(">", 0), BeNumerically("<=", limit/2)))
	g.Expect(counts["skippedThrottled"]).To(Equal(limit - counts["skippedCollected"]))
	// So do the digests of an event with many messages.
	all := make([]ledger.NewDelivery, 2*limit)
	for i := range all {
		all[i] = collecting("b", fmt.Sprint(i, "@example.com"))
	}
	for _, id := range []string{"all", "all again"} {
		g.Eventually(func() error {
			_, err := s.AcceptEvent(bg, ledger.Event{Company: "other", ID: id, Name: "x"})
			return err
		}).Should(Succeed())
		g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), all)).To(Succeed())
		sendAll(t, s)
	}
	stored, err := s.StoredEvent(bg, "other", "all again")
	g.Expect(err).NotTo(HaveOccurred())
	found, _, err := s.EventDeliveries(bg, "other", stored.Key, 0, len(all))
	g.Expect(err).NotTo(HaveOccurred())
	collected := 0
	for i := range found {
		if found[i].Reason == ledger.ReasonCollected {
			collected++
		}
	}
	g.Expect(collected).To(BeNumerically("<=", limit/2))
}
