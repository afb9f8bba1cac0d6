// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
)

// feedback records its calls.
type feedback struct {
	mu   sync.Mutex
	told []string
	// broken is returned for outcomes instead of recording them.
	broken error
}

func (f *feedback) DeadToken(_ context.Context, company, user, token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, "dead "+company+" "+user+" "+token)
}

func (f *feedback) Outcomes(_ context.Context, outcomes []Outcome) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return f.broken
	}
	for _, o := range outcomes {
		f.told = append(f.told, fmt.Sprintf("outcome %s %d %t %s", o.Company, o.Delivery, o.Delivered, o.Reason))
	}
	return nil
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

const accessToken = "a-planted-access-token"

// devices are push tokens by company and user.
type devices map[string][]string

func (d devices) PushTokens(_ context.Context, company, user string) ([]string, error) {
	return d[company+"/"+user], nil
}

func TestConformance(t *testing.T) {
	const token = "ExponentPushToken[janes-phone]"
	m := providertest.Message()
	m.To = "11111111-2222-3333-4444-555555555555"
	providertest.Run(t, providertest.Harness{
		New: func(t *testing.T) providertest.Target {
			fake := providertest.NewExpo(accessToken)
			base, client, stop := providertest.Serve(fake.API)
			p, err := New(Config{Devices: devices{"acme/" + m.To: {token}}, AccessToken: accessToken, BaseURL: base, Client: client})
			if err != nil {
				stop()
				t.Fatal(err)
			}
			return providertest.Target{Provider: p, Fake: fake.API, Close: stop}
		},
		Message:       m,
		Want:          providertest.Received{Key: m.Key, To: token, Subject: m.Subject, Text: m.Text},
		Secrets:       []string{accessToken, "janes-phone"},
		NotRecipients: []string{"somebody-else"},
	})
}

// deadTokens keeps dead tokens by company and user.
type deadTokens struct {
	mu    sync.Mutex
	known map[string][]string
	err   error
}

func (d *deadTokens) MarkDead(_ context.Context, company, user, hash string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known[company+"/"+user] = append(d.known[company+"/"+user], hash)
	return d.err
}

func (d *deadTokens) Dead(_ context.Context, company, user string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.known[company+"/"+user]), d.err
}

func (d *deadTokens) Forget(_ context.Context, company, user string, hashes []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	of := company + "/" + user
	d.known[of] = slices.DeleteFunc(d.known[of], func(h string) bool { return slices.Contains(hashes, h) })
	return d.err
}

type world struct {
	fake     *providertest.Expo
	expo     *Provider
	devices  devices
	feedback *feedback
	dead     *deadTokens
	clock    *clocktesting.FakeClock
}

func newWorld(t *testing.T) *world {
	w := &world{
		fake: providertest.NewExpo(""), devices: devices{}, feedback: &feedback{}, dead: &deadTokens{known: map[string][]string{}},
		clock: clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)),
	}
	base, client, stop := providertest.Serve(w.fake.API)
	var err error
	w.expo, err = New(Config{Devices: w.devices, Feedback: w.feedback, Dead: w.dead, BaseURL: base, Client: client, Clock: w.clock})
	if err != nil {
		stop()
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return w
}

// send sends to a user who has the tokens.
func (w *world) send(t *testing.T, tokens ...string) error {
	t.Helper()
	w.devices["acme/jane"] = tokens
	m := providertest.Message()
	m.To = "jane"
	_, err := w.expo.Send(t.Context(), m)
	return err
}

func (w *world) arrived() []string {
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

func TestTokens(t *testing.T) {
	w := newWorld(t)
	providertest.CheckReason(t, w.send(t), "NoDevice")
	providertest.CheckReason(t, w.send(t, "", "fcm-token", "ExponentPushToken[]", "ExponentPushToken[a]b]", "ExponentPushToken[a\n]"), "NoDevice")
	if n := w.fake.Requests(); n != 0 {
		t.Errorf("%d calls for nobody", n)
	}
	// A user of another company has the same id.
	w.devices["other/jane"] = []string{watch}
	const old = "3f1c2a4b-0d5e-4f6a-8b7c-9d0e1f2a3b4c" // the form that Expo still accepts
	if err := w.send(t, phone, tablet, phone, "fcm-token", old, old+"0"); err != nil {
		t.Fatal(err)
	}
	if got := w.arrived(); !slices.Equal(got, []string{old, tablet, phone}) {
		t.Errorf("arrived at %v", got)
	}
}

func TestDeadTokens(t *testing.T) {
	w := newWorld(t)
	w.fake.Ticket(tablet, "DeviceNotRegistered")
	if err := w.send(t, tablet, phone); err != nil {
		t.Errorf("one device is dead, one is not: %v", err)
	}
	if told := w.feedback.take(); !slices.Equal(told, []string{"dead acme jane " + tablet}) {
		t.Errorf("told %q", told)
	}
	err := w.send(t, tablet)
	providertest.CheckReason(t, err, "NoDevice")
	if !provider.IsPermanent(err) {
		t.Error("a dead device is tried again")
	}
}

func TestTickets(t *testing.T) {
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
		w := newWorld(t)
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
		providertest.CheckReason(t, err, c.reason)
		if strings.Contains(err.Error(), "@") {
			t.Errorf("%v", err)
		}
	}
}

// Expo, and what is between it and us, may answer in other forms than documented. A ticket
// that says ok counts, whatever is beside it: to send again would be to send twice.
func TestOddAnswers(t *testing.T) {
	const token = "ExponentPushToken[a]"
	for _, row := range []struct {
		status int
		body   string
		reason string // empty if sent
		dead   bool
	}{
		{200, `{"data":{"status":"ok","id":"1"}}`, "", false}, {200, `{"data":[{"status":"ok","id":7}]}`, "", false}, {200, `{"data":[{"status":"ok","details":"none"}]}`, "", false},
		{200, `{"data":[{"status":"ok","id":"1"}],"errors":{"code":"X"}}`, "", false}, {200, `{"data":[{"status":"ok","id":"1"}],"errors":[{"code":7,"details":[]}]}`, "", false},
		{200, "\uFEFF" + `{"data":[{"status":"ok","id":"1"}]}`, "", false}, {201, `{"data":[{"status":"ok","id":"1"}]}`, "", false},
		{200, `{"data":[{"status":"error","details":{"error":"DeviceNotRegistered"}}]}`, "NoDevice", true},
		{200, `{"data":{"status":"error","details":{"error":"DeviceNotRegistered"}}}`, "NoDevice", true},
		{200, `{"data":[{"status":"error","message":7,"details":{"error":"DeviceNotRegistered","fault":{}}}]}`, "NoDevice", true},
		{200, `{"data":[{"status":"error","message":"\"ExponentPushToken[a]\" is not a registered push notification recipient"}]}`, "NoDevice", true},
		{200, `{"data":[{"status":"error","message":"The recipient device is not registered with FCM."}]}`, "NoDevice", true},
		{200, `{"errors":[{"code":"UNAUTHORIZED","message":"Insufficient permissions to send push notifications"}]}`, "CredentialsRefused", false},
		{400, `{"errors":[{"code":"UNAUTHORIZED"}]}`, "CredentialsRefused", false},
		{200, `{"data":[{"status":"error","details":{"error":"DeviceNotRegistered","expoPushToken":"ExponentPushToken[a]"}},{"status":"error","details":{"error":"ExpoError"}}]}`, "Unavailable", true},
		{200, `{"data":[{"status":"error","details":{"error":"DeviceNotRegistered","expoPushToken":"ExponentPushToken[other]"}},{"status":"error","details":{"error":"ExpoError"}}]}`, "Unavailable", false},
		{200, `{"data":[{"status":"error","details":{"apns":{"reason":"Unregistered","statusCode":410}}}]}`, "NoDevice", true},
		{200, `{"data":[{"status":"error","details":{"fcm":{"error":"NotRegistered"}}}]}`, "NoDevice", true},
		{200, `{"data":[{"status":"error","details":{"error":"DeveloperError","apns":{"reason":"Unregistered"}}}]}`, "CredentialsRefused", false},
		{200, `{"data":[{"status":"error","details":{"apns":{"reason":"BadDeviceToken","statusCode":400}}}]}`, "MessageRefused", false},
		{200, `{"data":[{"status":"error","details":{"fcm":{"error":"MismatchSenderId"}}}]}`, "CredentialsRefused", false},
		{200, `{"data":[{"status":"error","details":{"apns":{"reason":"ExpiredProviderToken"},"fcm":[]}}]}`, "CredentialsRefused", false},
		{200, `{"data":[{"status":"error","details":{"apns":{"reason":"PayloadTooLarge"}}}]}`, "MessageTooBig", false},
		{200, `{"data":[{"status":"error","details":{"apns":7,"fcm":"Unavailable"}}]}`, "MessageRefused", false},
		{200, `{"data":[{"status":"error","details":{"error":"ProviderError"}}]}`, "Unavailable", false},
		{200, `{"data":[{"status":"error","details":null}]}`, "MessageRefused", false}, {200, `{"data":[{"status":"error","details":[]}]}`, "MessageRefused", false},
		{200, `{"data":[null]}`, "MessageRefused", false}, {200, `{"data":[7]}`, "MessageRefused", false},
		{200, ``, provider.ReasonOutcomeUnknown, false}, {200, `<html>`, provider.ReasonOutcomeUnknown, false}, {200, `[]`, provider.ReasonOutcomeUnknown, false},
		{200, `null`, provider.ReasonOutcomeUnknown, false}, {200, `{"data":"ok"}`, provider.ReasonOutcomeUnknown, false}, {200, `{"data":[]}`, provider.ReasonOutcomeUnknown, false},
		{200, `{"errors":[]}`, provider.ReasonOutcomeUnknown, false}, {204, ``, provider.ReasonOutcomeUnknown, false},
		{200, `{"errors":[{"code":"VALIDATION_ERROR"}]}`, "MessageRefused", false}, {200, `{"errors":{"code":"VALIDATION_ERROR"}}`, "MessageRefused", false},
		{200, `{"errors":"TOO_MANY_REQUESTS"}`, "UnexpectedAnswer", false}, {200, `{"errors":[{"code":"INTERNAL_SERVER_ERROR"}]}`, "UnexpectedAnswer", false},
		{200, `{"errors":[{"code":"TOO_MANY_REQUESTS"}]}`, provider.ReasonThrottled, false}, {429, `<html>`, provider.ReasonThrottled, false},
		{400, `{"errors":{"code":"PUSH_TOO_MANY_EXPERIENCE_IDS"}}`, "MessageRefused", false}, {400, ``, "MessageRefused", false}, {401, `[]`, "CredentialsRefused", false},
		{302, ``, "Redirected", false}, {415, `<html>`, "UnexpectedAnswer", false}, {502, `<html>`, "Unavailable", false},
	} {
		base, client := providertest.Answer(t, row.status, row.body)
		told := new(feedback)
		p, err := New(Config{Devices: devices{"shop/jane": {token}}, Feedback: told, BaseURL: base, Client: client})
		if err != nil {
			t.Fatal(err)
		}
		m := providertest.Message()
		m.Company, m.To = "shop", "jane"
		_, err = p.Send(t.Context(), m)
		reason := ""
		if classed := new(provider.Error); errors.As(err, &classed) {
			reason = classed.Reason
		}
		if reason != row.reason || err != nil && (reason == "" || strings.ContainsAny(err.Error(), "<{")) {
			t.Errorf("%d %s: %v, want %q", row.status, row.body, err, row.reason)
		}
		if dead := len(told.take()) > 0; dead != row.dead {
			t.Errorf("%d %s: the device counts as dead: %t", row.status, row.body, dead)
		}
	}
}

// Apps of two Expo projects on the phones of one user.
func TestProjects(t *testing.T) {
	w := newWorld(t)
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

func TestBatches(t *testing.T) {
	w := newWorld(t)
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

func TestPayload(t *testing.T) {
	w := newWorld(t)
	w.devices["acme/jane"] = []string{phone}
	m := providertest.Message()
	m.To = "jane"
	for n, fits := range map[int]bool{3000: true, 4096: false} {
		m.Text = strings.Repeat("x", n)
		if _, err := w.expo.Send(t.Context(), m); (err == nil) != fits {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

type failing struct{ err error }

func (f failing) PushTokens(context.Context, string, string) ([]string, error) { return nil, f.err }

func TestDevicesFail(t *testing.T) {
	for reason, failure := range map[string]error{
		"DevicesUnavailable": errors.New("planted-secret"),
		"Inactive":           provider.Permanent("Inactive", "The company is inactive."),
	} {
		e, err := New(Config{Devices: failing{failure}})
		if err != nil {
			t.Fatal(err)
		}
		m := providertest.Message()
		m.To = "jane"
		_, err = e.Send(t.Context(), m)
		providertest.CheckReason(t, err, reason)
		if strings.Contains(err.Error(), "planted") {
			t.Error(err)
		}
	}
}

func TestReceipts(t *testing.T) {
	w := newWorld(t)
	w.fake.Receipt(tablet, "DeviceNotRegistered")
	w.fake.Receipt(watch, "pending")
	w.fake.Receipt("ExponentPushToken[tv]", "MessageRateExceeded")
	if err := w.send(t, phone, tablet, watch, "ExponentPushToken[tv]"); err != nil {
		t.Fatal(err)
	}
	check := func(want ...string) {
		t.Helper()
		if err := w.expo.checkReceipts(t.Context()); err != nil {
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
		if err := w.expo.checkReceipts(t.Context()); err == nil {
			t.Errorf("%s is no failure", failure)
		}
		w.clock.Step(15 * time.Minute)
	}
	w.fake.Behave(providertest.Accept)
	check("dead acme jane "+tablet, "undelivered acme "+providertest.Message().Key+" MessageRateExceeded")
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

func TestOutcomes(t *testing.T) {
	w := newWorld(t)
	w.expo.config.Report = true
	const tv = "ExponentPushToken[tv]"
	for token, state := range map[string]string{tablet: "DeviceNotRegistered", watch: "pending", tv: "MessageRateExceeded"} {
		w.fake.Receipt(token, state)
	}
	for i, tokens := range [][]string{{tablet, phone}, {tablet, tv}, {watch}} {
		m := providertest.Message()
		m.To, m.Delivery, m.Key = fmt.Sprint("user", i), int64(i+1), fmt.Sprint("key", i)
		w.devices["acme/"+m.To] = tokens
		m.Company = "acme"
		if _, err := w.expo.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	// Outcomes that can't be recorded are read again, and counted once.
	w.feedback.broken = errors.New("the disk is full")
	w.clock.Step(15 * time.Minute)
	if err := w.expo.checkReceipts(t.Context()); !errors.Is(err, w.feedback.broken) {
		t.Error(err)
	}
	if told := w.feedback.take(); len(told) > 0 {
		t.Errorf("told %q, which is not recorded", told)
	}
	w.feedback.broken = nil
	w.clock.Step(15 * time.Minute)
	if err := w.expo.checkReceipts(t.Context()); err != nil {
		t.Error(err)
	}
	got := slices.DeleteFunc(w.feedback.take(), func(line string) bool { return !strings.HasPrefix(line, "outcome") })
	// One device is enough, and nothing is said about a receipt that doesn't exist yet.
	if want := []string{"outcome acme 1 true ", "outcome acme 2 false MessageRateExceeded"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestEarlierTickets restores tickets in any order, one of which is known, and reads all receipts
// in the order in which they fall due.
func TestEarlierTickets(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var p pendingReceipts
	p.add(now, pendingReceipt{id: "new"})
	p.restore([]Ticket{{ID: "second", Accepted: now.Add(-time.Hour)}, {ID: "new", Accepted: now}, {ID: "", Accepted: now}, {ID: "first", Accepted: now.Add(-2 * time.Hour)}, {ID: "of another replica", Accepted: now.Add(time.Minute)}})
	var ids []string
	for _, r := range p.take(now) {
		ids = append(ids, r.id)
	}
	if want := []string{"first", "second"}; !slices.Equal(ids, want) {
		t.Errorf("due are %q, want %q", ids, want)
	}
	if later := p.take(now.Add(receiptDelay)); len(later) != 1 || later[0].id != "new" {
		t.Errorf("later due are %+v", later)
	}
	if last := p.take(now.Add(receiptDelay + time.Minute)); len(last) != 1 || last[0].id != "of another replica" {
		t.Errorf("last due are %+v", last)
	}
	many := make([]Ticket, maxPendingReceipts+1)
	for i := range many {
		many[i] = Ticket{ID: fmt.Sprint(i), Accepted: now.Add(time.Duration(i))}
	}
	if p.restore(many); p.total > maxPendingReceipts || p.total < maxPendingReceipts*8/10 || p.queues[""][p.total-1].id != many[maxPendingReceipts].ID {
		t.Errorf("%d receipts are pending", p.total)
	}
}

// TestReceiptsAreShared has one company accept many messages: those of the others are read first,
// and are not dropped for it.
func TestReceiptsAreShared(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var p pendingReceipts
	p.add(now, pendingReceipt{id: "first", company: "shop"})
	for i := range 5 * maxPendingReceipts {
		p.add(now, pendingReceipt{id: fmt.Sprint(i), company: "spammer"})
	}
	for i := range maxReceiptBatch / 4 {
		p.add(now, pendingReceipt{id: fmt.Sprint(i), company: "bank"})
	}
	if p.total > maxPendingReceipts {
		t.Errorf("%d receipts are pending", p.total)
	}
	counts := map[string]int{}
	for _, r := range p.take(now.Add(receiptDelay)) {
		counts[r.company]++
	}
	if want := map[string]int{"shop": 1, "bank": maxReceiptBatch / 4, "spammer": maxReceiptBatch*3/4 - 1}; !maps.Equal(counts, want) {
		t.Errorf("the first batch has %v, want %v", counts, want)
	}
	// Companies with many share what is left.
	p = pendingReceipts{}
	for i := range 3 * maxReceiptBatch {
		p.add(now, pendingReceipt{id: fmt.Sprint(i), company: "spammer"})
		p.add(now, pendingReceipt{id: fmt.Sprint(i), company: "greedy"})
	}
	clear(counts)
	for _, r := range p.take(now.Add(receiptDelay)) {
		counts[r.company]++
	}
	if counts["spammer"] != maxReceiptBatch/2 || counts["greedy"] != maxReceiptBatch/2 {
		t.Errorf("the batch of two companies with many has %v", counts)
	}
	// With more companies than a batch has room for, all have their turn in the end.
	p = pendingReceipts{}
	for i := range 2 * maxReceiptBatch {
		p.add(now, pendingReceipt{id: "a", company: fmt.Sprint(i)})
		p.add(now, pendingReceipt{id: "b", company: fmt.Sprint(i)})
	}
	batches := 0
	for len(p.take(now.Add(receiptDelay))) == maxReceiptBatch {
		batches++
	}
	if batches != 4 || p.total != 0 || len(p.queues) != 0 {
		t.Errorf("%d batches, and %d are left", batches, p.total)
	}
}

// A receipt without a code says in words that the app was removed.
func TestOutcomeInWords(t *testing.T) {
	receipt := ticket{Status: "error", Message: `"ExponentPushToken[a]" is not a registered push notification recipient`}
	want := []Outcome{{Company: "acme", Delivery: 1, Reason: "DeviceNotRegistered"}}
	if got := outcomesOf([]pendingReceipt{{id: "x", company: "acme", delivery: 1}}, map[string]ticket{"x": receipt}); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	// The receipts of messages that were sent at once are in any order.
	devices := []pendingReceipt{{id: "x", company: "acme", delivery: 1}, {id: "x", company: "acme", delivery: 2}, {id: "y", company: "acme", delivery: 1}}
	want = []Outcome{{Company: "acme", Delivery: 1, Delivered: true}, {Company: "acme", Delivery: 2, Reason: "DeviceNotRegistered"}}
	if got := outcomesOf(devices, map[string]ticket{"x": receipt, "y": {Status: "ok"}}); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestReceiptLoop(t *testing.T) {
	w := newWorld(t)
	w.fake.Receipt(phone, "DeviceNotRegistered")
	if err := w.send(t, phone); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.expo.Run(ctx)
	}()
	deadline := time.After(3 * time.Minute)
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
	<-done
}

// A token that Expo called dead gets no more messages until it is registered again.
func TestRemembersDeadTokens(t *testing.T) {
	t.Run("by receipt", func(t *testing.T) {
		w := newWorld(t)
		w.fake.Receipt(tablet, "DeviceNotRegistered")
		for range 3 {
			if err := w.send(t, phone, tablet); err != nil {
				t.Fatal(err)
			}
			w.clock.Step(16 * time.Minute)
			if err := w.expo.checkReceipts(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := w.arrived(), []string{tablet, phone, phone, phone}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
	t.Run("by ticket", func(t *testing.T) {
		w := newWorld(t)
		w.fake.Ticket(tablet, "DeviceNotRegistered")
		for range 3 {
			providertest.CheckReason(t, w.send(t, tablet), "NoDevice")
		}
		if n := w.fake.Requests(); n != 1 {
			t.Errorf("%d calls for a dead token", n)
		}
		w.fake.Ticket(tablet, "")
		// Another company's tokens are none of this one's business.
		w.devices["other/jane"] = []string{tablet}
		m := providertest.Message()
		m.To = "jane"
		m.Company = "other"
		if _, err := w.expo.Send(t.Context(), m); err != nil {
			t.Error(err)
		}
		if err := w.send(t, watch, tablet); err != nil {
			t.Error(err)
		}
		// It was removed and is listed again, so the app registered it again.
		if err := w.send(t, watch); err != nil {
			t.Error(err)
		}
		if err := w.send(t, tablet); err != nil {
			t.Error(err)
		}
	})
	t.Run("by the next process", func(t *testing.T) {
		first, next := newWorld(t), newWorld(t)
		next.dead.known = first.dead.known
		first.fake.Ticket(tablet, "DeviceNotRegistered")
		providertest.CheckReason(t, first.send(t, tablet), "NoDevice")
		providertest.CheckReason(t, next.send(t, tablet), "NoDevice")
		if n := next.fake.Requests(); n != 0 {
			t.Errorf("%d calls for a dead token", n)
		}
		for _, hashes := range first.dead.known {
			if strings.Contains(strings.Join(hashes, " "), "tablet") {
				t.Errorf("a token is stored: %v", hashes)
			}
		}
	})
	t.Run("that can't be read", func(t *testing.T) {
		w := newWorld(t)
		w.dead.err = errors.New("the ledger is away")
		err := w.send(t, tablet)
		providertest.CheckReason(t, err, provider.ReasonDevicesUnavailable)
		if n := w.fake.Requests(); n != 0 || provider.IsPermanent(err) {
			t.Errorf("%d calls, %v", n, err)
		}
	})
}

// Bytes are counted as Expo counts them.
func TestSizes(t *testing.T) {
	w := newWorld(t)
	w.devices["acme/jane"] = []string{phone}
	m := providertest.Message()
	m.To, m.Text = "jane", strings.Repeat("&<>", 233)
	if _, err := w.expo.Send(t.Context(), m); err != nil {
		t.Error(err)
	}
	if got := w.fake.Received(); len(got) != 1 || got[0].Text != m.Text {
		t.Errorf("%+v", got)
	}
	for _, text := range []string{
		"&", "<", ">", "\u2028", "\u2029", "'", "/", "é", "😀", "\u200b", "\u00a0", "<b>&amp;\u2028</b>",
	} {
		m.Text = strings.Repeat(text, 3800/len(text))
		if _, err := w.expo.Send(t.Context(), m); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if got := w.fake.Received(); got[len(got)-1].Text != m.Text {
			t.Errorf("%q arrived as %.50q", text, got[len(got)-1].Text)
		}
	}
	m.Text = strings.Repeat("&", 4100)
	_, err := w.expo.Send(t.Context(), m)
	providertest.CheckReason(t, err, "MessageTooBig")
}

// A server must not choose the labels of metrics by its answers.
func TestReasonsAreBounded(t *testing.T) {
	w := newWorld(t)
	for _, code := range []string{"Planted", "AnotherOne", "MismatchSenderId"} {
		w.fake.Receipt(phone, code)
		if err := w.send(t, phone); err != nil {
			t.Fatal(err)
		}
		w.clock.Step(16 * time.Minute)
		if err := w.expo.checkReceipts(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	key := providertest.Message().Key
	want := []string{"undelivered acme " + key + " Other", "undelivered acme " + key + " Other", "undelivered acme " + key + " MismatchSenderId"}
	if got := w.feedback.take(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
