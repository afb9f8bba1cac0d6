// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
	"github.com/rehive/extension-operator/internal/ledger/sqlite/sqlitetest"
)

// moody is an API of SendGrid that treats messages in different ways, and counts those that it
// accepted by recipient.
type moody struct {
	// treat answers the nth message, and reports whether it was accepted.
	treat func(n int64, w http.ResponseWriter, r *http.Request) bool

	calls    atomic.Int64
	mu       sync.Mutex
	accepted map[string]int
}

func (m *moody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Personalizations []struct {
			To []struct {
				Email string `json:"email"`
			} `json:"to"`
		} `json:"personalizations"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Personalizations) != 1 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	to := body.Personalizations[0].To[0].Email
	// A message is accepted before its answer is sent, which may not arrive.
	answer := httptest.NewRecorder()
	cut := false
	accepted := m.treat(m.calls.Add(1), cutter{answer, &cut}, r)
	if accepted {
		m.mu.Lock()
		m.accepted[to]++
		m.mu.Unlock()
	}
	if cut {
		panic(http.ErrAbortHandler)
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// acceptedFor returns how many messages to a recipient it accepted.
func (m *moody) acceptedFor(to string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.accepted[to]
}

// cutter is a ResponseWriter whose connection can be cut instead.
type cutter struct {
	*httptest.ResponseRecorder
	cut *bool
}

func accept(w http.ResponseWriter) bool {
	w.Header().Set("X-Message-Id", "id")
	w.WriteHeader(http.StatusAccepted)
	return true
}

// soon tries again at once, for as long as it takes.
type soon struct{}

func (soon) Next(int, time.Duration) (time.Duration, bool) { return 10 * time.Millisecond, true }

type allActive struct{}

func (allActive) Active(context.Context, string) (bool, error) { return true, nil }

// TestFailoverUnderLoad sends 500 messages through two providers, of which the first one
// throttles, fails, doesn't answer, cuts connections after it accepted a message, and then stops
// working. Every message is accepted once, unless its outcome is unknown, and that is recorded.
// Once the first provider has stopped, its circuit opens, and the second one takes over without it.
func TestFailoverUnderLoad(t *testing.T) {
	g := NewWithT(t)
	const messages, stops = 500, 250
	s := newScene(t, "under-load", nil)
	first := &moody{accepted: map[string]int{}, treat: func(n int64, w http.ResponseWriter, r *http.Request) bool {
		switch {
		case n > stops, n%11 == 0:
			w.WriteHeader(http.StatusServiceUnavailable)
			return false
		case n == 100 || n == 150: // it accepts the message, and doesn't answer
			<-r.Context().Done()
			return true
		case n%7 == 0:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return false
		case n%37 == 0: // it accepts the message, and the answer is lost
			*w.(cutter).cut = true
			return true
		case n%41 == 0: // it loses the message
			*w.(cutter).cut = true
			return false
		}
		return accept(w)
	}}
	second := &moody{accepted: map[string]int{}, treat: func(n int64, w http.ResponseWriter, _ *http.Request) bool {
		if n%13 == 0 {
			w.WriteHeader(http.StatusBadGateway)
			return false
		}
		return accept(w)
	}}
	s.secret("sendgrid", map[string]string{"apiKey": apiKey})
	for name, api := range map[string]*moody{"first": first, "second": second} {
		server := httptest.NewServer(api)
		t.Cleanup(server.Close)
		s.provider(name, v1alpha1.DeliveryProviderSpec{
			SendGrid: &v1alpha1.SendGridProvider{BaseURL: server.URL}, SecretRef: &v1alpha1.SecretReference{Name: "sendgrid"}, Sender: "shop@example.com", TimeoutSeconds: 2,
		})
	}
	s.use(v1alpha1.ChannelEmail, "first")
	s.company.Spec.Providers.Email.Fallbacks = []string{"second"}
	s.company.Spec.SenderDomains = []string{"example.com"}

	store, err := sqlite.Open(t.Context(), sqlitetest.NewFile(t), ledger.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = store.Close() })
	_, err = store.AcceptEvent(t.Context(), ledger.Event{Company: s.name, ID: "1", Name: "x", Data: []byte("{}")})
	g.Expect(err).NotTo(HaveOccurred())
	events, err := store.ClaimEvents(t.Context(), ledger.Claim{Limit: 1, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	deliveries := make([]ledger.NewDelivery, messages)
	for i := range deliveries {
		deliveries[i] = ledger.NewDelivery{
			RuleName: "shop/rule", Channel: ledger.ChannelEmail, Recipient: fmt.Sprintf("user%d@example.org", i),
			Content: ledger.Content{From: "shop@example.com", Subject: "Paid", Text: "You paid."},
		}
	}
	g.Expect(store.CompleteEvent(t.Context(), events[0], deliveries)).To(Succeed())

	worker, err := delivery.NewWorker(delivery.Options{Ledger: store, Routes: s.registry, Companies: allActive{}, Retry: soon{}, Concurrency: 32})
	g.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- worker.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		g.Expect(<-done).To(Succeed())
	})
	read := func() (all []ledger.Delivery) {
		for after := int64(0); ; after = all[len(all)-1].ID {
			page, err := store.ListDeliveries(t.Context(), ledger.DeliveryFilter{After: after, Limit: 1000})
			g.Expect(err).NotTo(HaveOccurred())
			if len(page) == 0 {
				return all
			}
			all = append(all, page...)
		}
	}
	var all []ledger.Delivery
	g.Eventually(func() (open int) {
		all = read()
		for i := range all {
			if all[i].State != ledger.DeliverySent && all[i].Reason != provider.ReasonOutcomeUnknown {
				open++
			}
		}
		return open
	}, "3m", "100ms").Should(BeZero())
	g.Expect(all).To(HaveLen(messages))
	unknown, byFallback := 0, 0
	for i := range all {
		d := &all[i]
		accepted := first.acceptedFor(d.Recipient) + second.acceptedFor(d.Recipient)
		if d.State != ledger.DeliverySent {
			unknown++
			g.Expect(accepted).To(BeNumerically("<=", 1), d.Recipient)
			g.Expect(d.Message).To(ContainSubstring("may or may not have accepted"))
			continue
		}
		g.Expect(accepted).To(Equal(1), "%s: %s %s", d.Recipient, d.Reason, d.Message)
		if d.Reason == ReasonSentByFallback {
			byFallback++
			g.Expect(second.acceptedFor(d.Recipient)).To(Equal(1), d.Recipient)
		}
	}
	t.Logf("%d calls of the first provider, %d of the second; %d messages sent by the second, %d unknown", first.calls.Load(), second.calls.Load(), byFallback, unknown)
	g.Expect(byFallback).To(BeNumerically(">", messages/4))
	// Without a circuit, it would be called for each message that the second one sent since.
	g.Expect(first.calls.Load()-stops).To(BeNumerically("<", byFallback/2), "calls of a provider that has stopped")
	g.Expect(unknown).To(BeNumerically(">", 5))
}
