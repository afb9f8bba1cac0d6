// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/expo"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
	"github.com/rehive/extension-operator/internal/ledger/sqlite/sqlitetest"
)

// oneDevice is the token of everybody's only device.
type oneDevice string

func (d oneDevice) PushTokens(context.Context, string, string) ([]string, error) {
	return []string{string(d)}, nil
}

// A restart doesn't make the operator send to a token again that Expo called dead.
func TestDeadTokensSurviveARestart(t *testing.T) {
	fake := providertest.NewExpo("")
	base, client, stop := providertest.Serve(fake.API)
	defer stop()
	path := filepath.Join(t.TempDir(), "ledger.db")
	// send sends one message to each company, by a process of its own.
	send := func(token string, companies ...string) (reasons []error) {
		t.Helper()
		store, err := sqlite.Open(t.Context(), path, ledger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}()
		p, err := expo.New(expo.Config{Devices: oneDevice(token), Dead: DeadTokens{store}, BaseURL: base, Client: client})
		if err != nil {
			t.Fatal(err)
		}
		for _, company := range companies {
			m := providertest.Message()
			m.Company, m.To = company, "jane"
			_, err := p.Send(t.Context(), m)
			reasons = append(reasons, err)
		}
		return reasons
	}
	const phone, another = "ExponentPushToken[phone]", "ExponentPushToken[another]"
	fake.Ticket(phone, "DeviceNotRegistered")
	providertest.CheckReason(t, send(phone, "acme")[0], "NoDevice")
	fake.Ticket(phone, "")
	before := fake.Requests()
	providertest.CheckReason(t, send(phone, "acme")[0], "NoDevice")
	if n := fake.Requests() - before; n != 0 {
		t.Errorf("%d calls for a dead token after a restart", n)
	}
	// It is dead for the company that learned it, and until the user has another.
	if err := send(phone, "other")[0]; err != nil {
		t.Error(err)
	}
	for _, token := range []string{another, phone} {
		if err := send(token, "acme")[0]; err != nil {
			t.Errorf("%s: %v", token, err)
		}
	}
}

// outcomes receives the outcomes of push messages.
type outcomes chan []expo.Outcome

func (outcomes) DeadToken(context.Context, string, string, string)   {}
func (outcomes) Undelivered(context.Context, string, string, string) {}
func (o outcomes) Outcomes(_ context.Context, found []expo.Outcome) error {
	o <- found
	return nil
}

// A restart between a message and its receipt doesn't lose the outcome.
func TestReceiptsSurviveARestart(t *testing.T) {
	g := NewWithT(t)
	fake := providertest.NewExpo("")
	base, client, stop := providertest.Serve(fake.API)
	defer stop()
	path := filepath.Join(t.TempDir(), "ledger.db")
	open := func() ledger.Store {
		store, err := sqlite.Open(t.Context(), path, ledger.Options{})
		g.Expect(err).NotTo(HaveOccurred())
		return store
	}
	store := open()
	_, err := store.AcceptEvent(t.Context(), ledger.Event{Company: "acme", ID: "1", Name: "x", Data: []byte("{}")})
	g.Expect(err).NotTo(HaveOccurred())
	events, err := store.ClaimEvents(t.Context(), ledger.Claim{Limit: 1, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	// One message was accepted, and the other one was refused.
	g.Expect(store.CompleteEvent(t.Context(), events[0], []ledger.NewDelivery{
		{RuleName: "shop/rule", Channel: ledger.ChannelPush, Recipient: "jane", UserID: "jane", Content: ledger.Content{Text: "Paid"}},
		{RuleName: "shop/rule", Channel: ledger.ChannelPush, Recipient: "zoe", UserID: "zoe", Content: ledger.Content{Text: "Paid"}},
	})).To(Succeed())
	claimed, err := store.ClaimDeliveries(t.Context(), ledger.Claim{Limit: 2, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(2))
	sender, err := expo.New(expo.Config{Devices: oneDevice("ExponentPushToken[phone]"), BaseURL: base, Client: client})
	g.Expect(err).NotTo(HaveOccurred())
	m := providertest.Message()
	m.Company, m.To = "acme", claimed[0].Recipient
	receipt, err := sender.Send(t.Context(), m)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(store.MarkSent(t.Context(), claimed[0], receipt.ID)).To(Succeed())
	g.Expect(store.FailDelivery(t.Context(), claimed[1], "Refused", "No.")).To(Succeed())
	g.Expect(store.Close()).To(Succeed())

	store = open()
	defer func() { g.Expect(store.Close()).To(Succeed()) }()
	clock := clocktesting.NewFakeClock(time.Now().Add(20 * time.Minute))
	found, failures := make(outcomes, 1), 1
	restarted, err := expo.New(expo.Config{
		Devices: oneDevice(""), BaseURL: base, Client: client, Clock: clock, Report: true, Feedback: found,
		Earlier: func(ctx context.Context, since time.Time) ([]expo.Ticket, error) {
			if failures--; failures >= 0 {
				return nil, ledger.ErrUnavailable
			}
			return EarlierTickets(ctx, store, []string{"acme", "other"}, since)
		},
	})
	g.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		restarted.Run(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	deadline := time.After(3 * time.Minute)
	for {
		select {
		case got := <-found:
			g.Expect(got).To(Equal([]expo.Outcome{{Company: "acme", Delivery: claimed[0].ID, Delivered: true}}))
			return
		case <-deadline:
			t.Fatal("the receipt was never read")
		case <-time.After(20 * time.Millisecond): // Expo keeps receipts for 1,440 of these steps
			clock.Step(time.Minute)
		}
	}
}

// A company with many messages leaves room for the tickets of another one.
func TestEarlierTicketsInTurns(t *testing.T) {
	g := NewWithT(t)
	store, err := sqlite.Open(t.Context(), sqlitetest.NewFile(t), ledger.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(store.Close()).To(Succeed()) }()
	for company, messages := range map[string]int{"large": 300, "small": 1} {
		_, err := store.AcceptEvent(t.Context(), ledger.Event{Company: company, ID: "1", Name: "x", Data: []byte("{}")})
		g.Expect(err).NotTo(HaveOccurred())
		events, err := store.ClaimEvents(t.Context(), ledger.Claim{Limit: 1, Lease: time.Minute})
		g.Expect(err).NotTo(HaveOccurred())
		pushes := make([]ledger.NewDelivery, messages)
		for i := range pushes {
			pushes[i] = ledger.NewDelivery{RuleName: "shop/rule", Channel: ledger.ChannelPush, Recipient: fmt.Sprint("user", i), Content: ledger.Content{Text: "Paid"}}
		}
		g.Expect(store.CompleteEvent(t.Context(), events[0], pushes)).To(Succeed())
		claimed, err := store.ClaimDeliveries(t.Context(), ledger.Claim{Limit: messages, Lease: time.Minute})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(claimed).To(HaveLen(messages))
		for _, d := range claimed {
			g.Expect(store.MarkSent(t.Context(), d, "ticket")).To(Succeed())
		}
	}
	find := func(most int) map[string]int {
		found, err := earlierTickets(t.Context(), store, []string{"large", "small"}, time.Now().Add(-time.Hour), most)
		g.Expect(err).NotTo(HaveOccurred())
		byCompany := map[string]int{}
		for _, ticket := range found {
			byCompany[ticket.Company]++
		}
		return byCompany
	}
	g.Expect(find(1000)).To(Equal(map[string]int{"large": 300, "small": 1}))
	g.Expect(find(260)).To(Equal(map[string]int{"large": 259, "small": 1}))
}

// unreadable is a reader that can't read the Secret called locked at first.
type unreadable struct {
	client.Reader
	open atomic.Bool
}

func (u *unreadable) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	if key.Name == "locked" && !u.open.Load() {
		return errors.New("the cache has not started")
	}
	return u.Reader.Get(ctx, key, o, options...)
}

// The providers that read receipts are built at the start, even if one of them can't be built yet.
func TestReportingProvidersStart(t *testing.T) {
	g := NewWithT(t)
	secrets := &unreadable{Reader: kube}
	earlier := make(chan string, 10)
	s := newScene(t, "reporting-start", func(o *RegistryOptions) {
		o.Builder.Secrets = secrets
		o.Builder.Earlier = func(_ context.Context, p *v1alpha1.DeliveryProvider, _ time.Time) ([]expo.Ticket, error) {
			if p.Namespace == "reporting-start" {
				earlier <- p.Name
			}
			return nil, nil
		}
	})
	s.secret("locked", map[string]string{v1alpha1.SecretKeyAccessToken: "x"})
	s.provider("a-locked", v1alpha1.DeliveryProviderSpec{Expo: &v1alpha1.ExpoProvider{BaseURL: "http://127.0.0.1:1"}, Feedback: true, SecretRef: &v1alpha1.SecretReference{Name: "locked"}})
	s.provider("b-missing", v1alpha1.DeliveryProviderSpec{Expo: &v1alpha1.ExpoProvider{}, Feedback: true, SecretRef: &v1alpha1.SecretReference{Name: "missing"}})
	s.provider("c-silent", v1alpha1.DeliveryProviderSpec{Expo: &v1alpha1.ExpoProvider{}})
	s.provider("d-open", v1alpha1.DeliveryProviderSpec{Expo: &v1alpha1.ExpoProvider{}, Feedback: true})
	done := make(chan error, 1)
	go func() { done <- s.registry.Start(t.Context()) }()
	g.Eventually(earlier).Should(Receive(Equal("d-open")))
	secrets.open.Store(true)
	g.Eventually(earlier).Should(Receive(Equal("a-locked")))
	g.Eventually(done).Should(Receive(BeNil()), "nothing waits for the Secret that is missing")
	g.Expect(earlier).To(BeEmpty())
}
