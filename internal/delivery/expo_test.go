// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
	"github.com/rehive/extension-operator/internal/outbound"
)

// feedback keeps what it is told.
type feedback struct {
	mu   sync.Mutex
	told []string
}

func (f *feedback) DeadToken(_ context.Context, company, user, token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, "dead "+company+" "+user+" "+token)
}

func (f *feedback) Undelivered(_ context.Context, company, key, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, "undelivered "+company+" "+key+" "+reason)
}

func (f *feedback) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	told := f.told
	f.told = nil
	return told
}

type expoWorld struct {
	fake     *providertest.Expo
	expo     *delivery.Expo
	devices  devices
	feedback *feedback
	clock    *clocktesting.FakeClock
}

func newExpo(t *testing.T) *expoWorld {
	w := &expoWorld{
		fake: providertest.NewExpo(""), devices: devices{}, feedback: &feedback{},
		clock: clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)),
	}
	_, stop := serve(t, w.fake.API, func(base string, c *outbound.Client) (delivery.Provider, error) {
		var err error
		w.expo, err = delivery.NewExpo(delivery.ExpoConfig{Devices: w.devices, Feedback: w.feedback, BaseURL: base, Client: c, Clock: w.clock})
		if err != nil {
			return nil, err
		}
		return w.expo.For("acme"), nil
	})
	t.Cleanup(stop)
	return w
}

// send sends to a user who has the tokens.
func (w *expoWorld) send(t *testing.T, tokens ...string) error {
	t.Helper()
	w.devices["acme/jane"] = tokens
	m := message()
	m.To = "jane"
	_, err := w.expo.For("acme").Send(t.Context(), m)
	return err
}

func (w *expoWorld) arrived() []string {
	var tokens []string
	for _, r := range w.fake.Received() {
		tokens = append(tokens, r.To)
	}
	slices.Sort(tokens)
	return tokens
}

const (
	phone  = "ExponentPushToken[phone]"
	tablet = "ExpoPushToken[tablet]"
	watch  = "ExponentPushToken[watch]"
)

func TestExpoTokens(t *testing.T) {
	w := newExpo(t)
	checkReason(t, w.send(t), "NoDevice")
	checkReason(t, w.send(t, "", "fcm-token", "ExponentPushToken[]", "ExponentPushToken[a]b]", "ExponentPushToken[a\n]"), "NoDevice")
	if n := w.fake.Requests(); n != 0 {
		t.Errorf("%d calls for nobody", n)
	}
	// A user of another company has the same id.
	w.devices["other/jane"] = []string{watch}
	if err := w.send(t, phone, tablet, phone, "fcm-token"); err != nil {
		t.Fatal(err)
	}
	if got := w.arrived(); !slices.Equal(got, []string{tablet, phone}) {
		t.Errorf("arrived at %v", got)
	}
}

func TestExpoDeadTokens(t *testing.T) {
	w := newExpo(t)
	w.fake.Ticket(tablet, "DeviceNotRegistered")
	if err := w.send(t, tablet, phone); err != nil {
		t.Errorf("one device is dead, one is not: %v", err)
	}
	if told := w.feedback.take(); !slices.Equal(told, []string{"dead acme jane " + tablet}) {
		t.Errorf("told %q", told)
	}
	err := w.send(t, tablet)
	checkReason(t, err, "NoDevice")
	if !delivery.IsPermanent(err) {
		t.Error("a dead device is tried again")
	}
}

func TestExpoTickets(t *testing.T) {
	for _, c := range []struct {
		codes  []string
		reason string
	}{
		{[]string{"MessageTooBig"}, "MessageTooBig"},
		{[]string{"MessageRateExceeded"}, "Throttled"},
		{[]string{"InvalidCredentials"}, "CredentialsRefused"},
		{[]string{"MismatchSenderId"}, "CredentialsRefused"},
		{[]string{"SomethingNew"}, "MessageRefused"},
		{[]string{"jane@example.com"}, "MessageRefused"},
		{[]string{"DeviceNotRegistered", "MessageRateExceeded"}, "Throttled"},
		{[]string{"MessageRateExceeded", "InvalidCredentials"}, "Throttled"},
		{[]string{"DeviceNotRegistered", "InvalidCredentials"}, "CredentialsRefused"},
		{[]string{"MessageRateExceeded", ""}, ""},
	} {
		w := newExpo(t)
		var tokens []string
		for i, code := range c.codes {
			tokens = append(tokens, fmt.Sprintf("ExponentPushToken[%d]", i))
			w.fake.Ticket(tokens[i], code)
		}
		err := w.send(t, tokens...)
		if c.reason == "" {
			if err != nil {
				t.Errorf("%q: %v", c.codes, err)
			}
			continue
		}
		checkReason(t, err, c.reason)
		if strings.Contains(err.Error(), "@") {
			t.Errorf("%v", err)
		}
	}
}

// Apps of two Expo projects on the phones of one user.
func TestExpoProjects(t *testing.T) {
	w := newExpo(t)
	w.fake.Project(phone, "@shop/app")
	w.fake.Project(watch, "@shop/app")
	w.fake.Project(tablet, "@shop/old-app")
	if err := w.send(t, phone, tablet, watch); err != nil {
		t.Fatal(err)
	}
	if got := w.arrived(); len(got) != 3 || w.fake.Requests() != 3 {
		t.Errorf("arrived at %v in %d calls", got, w.fake.Requests())
	}
}

func TestExpoBatches(t *testing.T) {
	w := newExpo(t)
	var tokens []string
	for i := range 250 {
		tokens = append(tokens, fmt.Sprintf("ExponentPushToken[%03d]", i))
	}
	if err := w.send(t, tokens...); err != nil {
		t.Fatal(err)
	}
	if got := w.arrived(); !slices.Equal(got, tokens) || w.fake.Requests() != 3 {
		t.Errorf("%d arrived in %d calls", len(got), w.fake.Requests())
	}
}

func TestExpoPayload(t *testing.T) {
	w := newExpo(t)
	w.devices["acme/jane"] = []string{phone}
	m := message()
	m.To = "jane"
	for n, fits := range map[int]bool{3000: true, 4096: false} {
		m.Text = strings.Repeat("x", n)
		if _, err := w.expo.For("acme").Send(t.Context(), m); (err == nil) != fits {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

type failing struct{ err error }

func (f failing) PushTokens(context.Context, string, string) ([]string, error) { return nil, f.err }

func TestExpoDevicesFail(t *testing.T) {
	for reason, failure := range map[string]error{
		"DevicesUnavailable": errors.New("planted-secret"),
		"Inactive":           delivery.Permanent("Inactive", "The company is inactive."),
	} {
		e, err := delivery.NewExpo(delivery.ExpoConfig{Devices: failing{failure}})
		if err != nil {
			t.Fatal(err)
		}
		m := message()
		m.To = "jane"
		_, err = e.For("acme").Send(t.Context(), m)
		checkReason(t, err, reason)
		if strings.Contains(err.Error(), "planted") {
			t.Error(err)
		}
	}
}

func TestExpoReceipts(t *testing.T) {
	w := newExpo(t)
	w.fake.Receipt(tablet, "DeviceNotRegistered")
	w.fake.Receipt(watch, "pending")
	w.fake.Receipt("ExponentPushToken[tv]", "MessageRateExceeded")
	if err := w.send(t, phone, tablet, watch, "ExponentPushToken[tv]"); err != nil {
		t.Fatal(err)
	}
	check := func(want ...string) {
		t.Helper()
		if err := w.expo.CheckReceipts(t.Context()); err != nil {
			t.Error(err)
		}
		if told := w.feedback.take(); !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	}
	check()
	if n := w.fake.Requests(); n != 1 {
		t.Errorf("receipts were read before they were due: %d calls", n)
	}
	w.clock.Step(15 * time.Minute)
	for _, failure := range []providertest.Behavior{providertest.Fail, providertest.Reset, providertest.Garbage} {
		w.fake.Behave(failure)
		if err := w.expo.CheckReceipts(t.Context()); err == nil {
			t.Errorf("%s is no failure", failure)
		}
		w.clock.Step(15 * time.Minute)
	}
	w.fake.Behave(providertest.Accept)
	check("dead acme jane "+tablet, "undelivered acme "+message().Key+" MessageRateExceeded")
	// The one that is missing is asked for again, and given up after a day.
	w.clock.Step(15 * time.Minute)
	w.fake.Receipt(watch, "DeviceNotRegistered")
	check("dead acme jane " + watch)
	before := w.fake.Requests()
	w.clock.Step(24 * time.Hour)
	check()
	if w.fake.Requests() != before {
		t.Error("receipts that were read are read again")
	}
}

func TestExpoReceiptLoop(t *testing.T) {
	w := newExpo(t)
	w.fake.Receipt(phone, "DeviceNotRegistered")
	if err := w.send(t, phone); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.expo.Start(ctx) }()
	deadline := time.After(10 * time.Second)
	for told := false; !told; {
		select {
		case <-deadline:
			t.Fatal("the receipt was never read")
		case <-time.After(time.Millisecond):
			w.clock.Step(time.Minute)
			told = len(w.feedback.take()) == 1
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What Expo called dead is not sent to again, until it was registered anew.
func TestExpoRemembersDeadTokens(t *testing.T) {
	t.Run("by receipt", func(t *testing.T) {
		w := newExpo(t)
		w.fake.Receipt(tablet, "DeviceNotRegistered")
		for range 3 {
			if err := w.send(t, phone, tablet); err != nil {
				t.Fatal(err)
			}
			w.clock.Step(16 * time.Minute)
			if err := w.expo.CheckReceipts(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := w.arrived(), []string{tablet, phone, phone, phone}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
	t.Run("by ticket", func(t *testing.T) {
		w := newExpo(t)
		w.fake.Ticket(tablet, "DeviceNotRegistered")
		for range 3 {
			checkReason(t, w.send(t, tablet), "NoDevice")
		}
		if n := w.fake.Requests(); n != 1 {
			t.Errorf("%d calls for a dead token", n)
		}
		w.fake.Ticket(tablet, "")
		// Another company's tokens are none of this one's business.
		w.devices["other/jane"] = []string{tablet}
		m := message()
		m.To = "jane"
		if _, err := w.expo.For("other").Send(t.Context(), m); err != nil {
			t.Error(err)
		}
		if err := w.send(t, watch, tablet); err != nil {
			t.Error(err)
		}
		// Gone and listed again: it was registered anew.
		if err := w.send(t, watch); err != nil {
			t.Error(err)
		}
		if err := w.send(t, tablet); err != nil {
			t.Error(err)
		}
	})
	t.Run("for a month", func(t *testing.T) {
		w := newExpo(t)
		w.fake.Ticket(tablet, "DeviceNotRegistered")
		checkReason(t, w.send(t, tablet), "NoDevice")
		w.fake.Ticket(tablet, "")
		w.clock.Step(31 * 24 * time.Hour)
		if err := w.send(t, tablet); err != nil {
			t.Error(err)
		}
	})
}

// Bytes are counted as Expo counts them.
func TestExpoSizes(t *testing.T) {
	w := newExpo(t)
	w.devices["acme/jane"] = []string{phone}
	m := message()
	m.To, m.Text = "jane", strings.Repeat("&<>", 233)
	if _, err := w.expo.For("acme").Send(t.Context(), m); err != nil {
		t.Error(err)
	}
	if got := w.fake.Received(); len(got) != 1 || got[0].Text != m.Text {
		t.Errorf("%+v", got)
	}
	m.Text = strings.Repeat("&", 4100)
	_, err := w.expo.For("acme").Send(t.Context(), m)
	checkReason(t, err, "MessageTooBig")
}

// Whoever answers must not choose the words that become labels of metrics.
func TestExpoReasonsAreBounded(t *testing.T) {
	w := newExpo(t)
	for _, code := range []string{"Planted", "AnotherOne", "MismatchSenderId"} {
		w.fake.Receipt(phone, code)
		if err := w.send(t, phone); err != nil {
			t.Fatal(err)
		}
		w.clock.Step(16 * time.Minute)
		if err := w.expo.CheckReceipts(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	key := message().Key
	want := []string{"undelivered acme " + key + " Other", "undelivered acme " + key + " Other", "undelivered acme " + key + " MismatchSenderId"}
	if got := w.feedback.take(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// One throttled device holds up nobody else.
func TestExpoThrottledDeviceOpensNoCircuit(t *testing.T) {
	w := newExpo(t)
	w.fake.Ticket(phone, "MessageRateExceeded")
	guard := delivery.NewGuard(w.expo.For("acme"), delivery.GuardConfig{})
	w.devices["acme/jane"] = []string{phone}
	w.devices["acme/joe"] = []string{tablet}
	m := message()
	m.To = "jane"
	for range 10 {
		_, err := guard.Send(t.Context(), m)
		checkReason(t, err, "Throttled")
	}
	m.To = "joe"
	if _, err := guard.Send(t.Context(), m); err != nil {
		t.Error(err)
	}
}
