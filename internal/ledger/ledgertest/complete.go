// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

func withText(rule, recipient, text string) ledger.NewDelivery {
	d := Email(rule, recipient)
	d.Content.Text = text
	return d
}

// Deliveries of one rule and channel share a stored content, which is deleted with the last
// of them.
func testSharedContent(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	var deliveries []ledger.NewDelivery
	for n := range 40 {
		deliveries = append(deliveries, withText("a", fmt.Sprint(n, "@example.com"), "the same"))
	}
	for n := range 3 {
		deliveries = append(deliveries, withText("a", fmt.Sprint("own-", n), fmt.Sprint("own ", n)))
	}
	deliveries = append(deliveries, withText("b", "b@example.com", "the same"), ledger.NewDelivery{RuleName: "c", Channel: ledger.ChannelEmail, SkipReason: "ExpressionFalse"})
	Accept(t, s, "shop", "1")
	g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), deliveries)).To(Succeed())
	g.Expect(at.contents(t)).To(Equal(1 + 3 + 1))
	log, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop", Limit: 100})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(log).To(HaveLen(len(deliveries)))
	for i := range log {
		g.Expect(log[i].Content).To(Equal(deliveries[i].Content))
	}
	claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 100, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(44))
	var last ledger.ClaimedDelivery
	for _, d := range claimed {
		g.Expect(d.Content.Text).NotTo(BeEmpty())
		if d.Recipient == "39@example.com" {
			last = d
			continue
		}
		g.Expect(s.MarkSent(bg, d, "")).To(Succeed())
	}
	// A copy has the same content.
	copied, err := s.Resend(bg, "shop", log[0].ID, "other@example.com")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(at.contents(t)).To(Equal(1 + 3 + 1))
	clk.Step(time.Hour)
	_, err = s.DeleteBefore(bg, clk.Now(), 1000)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(at.contents(t)).To(Equal(1), "the content of the pending delivery and its copy")
	for _, id := range []int64{last.ID, copied} {
		d, err := s.GetDelivery(bg, id)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(d.Content).To(Equal(deliveries[0].Content))
	}
	for {
		claimed, err = s.ClaimDeliveries(bg, ledger.Claim{Limit: 1, Lease: time.Minute})
		g.Expect(err).NotTo(HaveOccurred())
		if len(claimed) == 0 {
			break
		}
		g.Expect(s.MarkSent(bg, claimed[0], "")).To(Succeed())
	}
	clk.Step(2 * time.Hour)
	claimed, err = s.ClaimDeliveries(bg, ledger.Claim{Limit: 1, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	for _, d := range claimed {
		g.Expect(s.MarkSent(bg, d, "")).To(Succeed())
	}
	clk.Step(time.Hour)
	_, err = s.DeleteBefore(bg, clk.Now(), 1000)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(at.contents(t)).To(BeZero())
}

// largeEvent returns deliveries that need several steps, each with its own text.
func largeEvent(n, size int) (deliveries []ledger.NewDelivery) {
	for i := range n {
		deliveries = append(deliveries, withText(fmt.Sprint("rule-", i/50), fmt.Sprint(i, "@example.com"), fmt.Sprintf("%06d", i)+strings.Repeat("x", size)))
	}
	return deliveries
}

func testLargeEventGoesInSteps(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	deliveries := largeEvent(3*stepRows+7, 3000)
	Accept(t, s, "shop", "1")
	g.Expect(s.CompleteEvent(bg, ClaimOne(t, s), deliveries)).To(Succeed())
	log, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop", Limit: 1000})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(log).To(HaveLen(len(deliveries)))
	for i := range log {
		g.Expect(log[i].Content).To(Equal(deliveries[i].Content))
	}
	_, more, err := s.NextEventDue(bg)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(more).To(BeFalse())
}

// If a process dies between two steps, the event is decided again: stored deliveries stay
// unchanged, the rest is added, and there are no duplicates.
func testInterruptedStepsAreRepeated(t *testing.T, at Place) {
	g := NewWithT(t)
	clk := FakeClock()
	s := at.open(t, clk)
	deliveries := largeEvent(2*stepRows, 3000)
	Accept(t, s, "shop", "1")
	e := ClaimOne(t, s)
	g.Expect(s.AddDeliveries(bg, &e, deliveries[:stepRows])).To(Succeed())
	claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 3, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(3))
	for _, d := range claimed {
		g.Expect(s.MarkSent(bg, d, "")).To(Succeed())
	}
	s = dies(t, at, s, clk)
	former := e
	e = ClaimOne(t, s)
	g.Expect(s.AddDeliveries(bg, &former, deliveries[stepRows:])).To(MatchError(ledger.ErrLeaseLost))
	again := slices.Clone(deliveries)
	for i := range again {
		again[i].Content.Text = "rendered again"
	}
	g.Expect(s.CompleteEvent(bg, e, again)).To(Succeed())
	log, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Company: "shop", Limit: 1000})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(log).To(HaveLen(len(deliveries)))
	sent := 0
	for i := range log {
		want := again[i].Content
		if i < stepRows {
			want = deliveries[i].Content
		}
		g.Expect(log[i].Content).To(Equal(want))
		if log[i].State == ledger.DeliverySent {
			sent++
		}
	}
	g.Expect(sent).To(Equal(3))
	var unused int
	at.query(t, "SELECT COUNT(*) FROM contents WHERE id NOT IN (SELECT content FROM deliveries)", &unused)
	g.Expect(unused).To(BeZero())
}

func testEventIsBounded(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	Accept(t, s, "shop", "1")
	e := ClaimOne(t, s)
	g.Expect(s.CompleteEvent(bg, e, make([]ledger.NewDelivery, ledger.MaxEventDeliveries+1))).To(MatchError(ledger.ErrEventTooLarge))
	g.Expect(s.CompleteEvent(bg, e, largeEvent(33, 1<<20))).To(MatchError(ledger.ErrEventTooLarge))
	g.Expect(s.ListDeliveries(bg, ledger.DeliveryFilter{})).To(BeEmpty())
	shared := make([]ledger.NewDelivery, 50)
	text := strings.Repeat("x", 1<<20)
	for i := range shared {
		shared[i] = withText("rule", fmt.Sprint(i), text)
	}
	g.Expect(s.CompleteEvent(bg, e, shared)).To(Succeed(), "a shared content counts once")
}

// A small event is stored between another company's large ones, and does not wait for all
// that came before it.
func testSmallEventsPassLargeOnes(t *testing.T, at Place) {
	const large, size = 128, 1 << 20
	s := at.open(t, nil)
	data := append(append([]byte(`{"a":"`), bytes.Repeat([]byte("x"), size)...), `"}`...)
	var flood sync.WaitGroup
	for i := range large {
		flood.Go(func() {
			if _, err := s.AcceptEvent(bg, ledger.Event{Company: "large", ID: fmt.Sprint(i), Name: "x", Data: data}); err != nil {
				t.Error(err)
			}
		})
	}
	over := make(chan struct{})
	go func() { flood.Wait(); close(over) }()
	small := 0
	for busy := true; busy; {
		select {
		case <-over:
			busy = false
		default:
			Accept(t, s, "small", fmt.Sprint(small))
			small++
		}
	}
	// Count events instead of measuring time, which says little on a busy machine. If a small
	// event waited for all that came before it, it would be stored with the last large one.
	t.Logf("%d small events were stored beside %d large ones", small, large)
	if small < large/8 {
		t.Errorf("only %d small events were stored beside %d large ones", small, large)
	}
}

// While one event leads to many large messages, or matches very many rules, another
// company's webhooks are stored without delay.
func testLargeEventsDelayNobody(t *testing.T, at Place) {
	shared := func() (deliveries []ledger.NewDelivery) {
		text := strings.Repeat("x", 256<<10)
		for i := range 25 {
			deliveries = append(deliveries, withText("rule", fmt.Sprint(i), text))
		}
		return deliveries
	}
	rules := func() (deliveries []ledger.NewDelivery) {
		for i := range 5_000 {
			deliveries = append(deliveries, ledger.NewDelivery{RuleName: fmt.Sprint("shop/rule-", i), Channel: ledger.ChannelEmail, SkipReason: "ExpressionFalse", SkipMessage: "The expression is false."})
		}
		return deliveries
	}
	const events = 3
	for name, test := range map[string]struct {
		deliveries []ledger.NewDelivery
		steps      int // the transactions of an event, at least
	}{
		"25 recipients of one text of 256 KiB": {shared(), 0},
		"25 texts of 256 KiB":                  {largeEvent(25, 256<<10), 25 * 256 / 512},
		"5,000 rules":                          {rules(), 5_000 / stepRows},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := at.open(t, nil)
			company := "shop " + name
			for n := range events {
				Accept(t, s, company, fmt.Sprint(n))
			}
			claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: events, Lease: time.Hour})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(claimed).To(HaveLen(events))
			var work sync.WaitGroup
			failures := make(chan error, events)
			for _, e := range claimed {
				work.Go(func() { failures <- s.CompleteEvent(bg, e, test.deliveries) })
			}
			done := make(chan struct{})
			go func() { work.Wait(); close(done) }()
			meanwhile := 0
			for busy := true; busy; {
				select {
				case <-done:
					busy = false
				default:
					_, err := s.AcceptEvent(bg, ledger.Event{Company: "bank " + name, ID: fmt.Sprint(meanwhile), Name: "x", Data: []byte("{}")})
					g.Expect(err).NotTo(HaveOccurred())
					meanwhile++
				}
			}
			close(failures)
			var all error
			for err := range failures {
				all = errors.Join(all, err)
			}
			g.Expect(all).NotTo(HaveOccurred())
			// Count webhooks instead of measuring time, which says little on a busy machine.
			// One should be stored after each transaction.
			t.Logf("%d webhooks during %d transactions", meanwhile, events*test.steps)
			g.Expect(meanwhile).To(BeNumerically(">=", events*test.steps/4))
		})
	}
}
