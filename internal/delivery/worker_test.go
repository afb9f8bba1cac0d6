// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
	"github.com/rehive/extension-operator/internal/ledger/sqlite/sqlitetest"
)

// send is a provider made of a function.
type send func(ctx context.Context, m provider.Message) (provider.Receipt, error)

func (f send) Send(ctx context.Context, m provider.Message) (provider.Receipt, error) {
	return f(ctx, m)
}

// companies says who is active; those it doesn't name are.
type companies map[string]bool

func (c companies) Active(_ context.Context, company string) (bool, error) {
	active, ok := c[company]
	return active || !ok, nil
}

// retries waits an hour after every attempt, three times.
type retries struct{}

func (retries) Next(attempt int, _ time.Duration) (time.Duration, bool) {
	return time.Hour, attempt < 3
}

func openLedger(t testing.TB, c clock.PassiveClock) ledger.Store {
	t.Helper()
	return openLedgerWith(t, ledger.Options{Clock: c})
}

// openLedgerForDays opens a ledger for a test in a bubble of [synctest], in which days pass
// at once. Its regular work is done every hour instead of every second.
//
// Time passes in a bubble only while nothing else happens, however busy the machine is. A
// clock that the test steps may end the lease of an attempt that takes long.
func openLedgerForDays(t testing.TB) ledger.Store {
	t.Helper()
	return openLedgerWith(t, ledger.Options{PollInterval: time.Hour, UsageInterval: time.Hour})
}

// pass lets time pass in a bubble, and waits until everything that became due has happened.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func openLedgerWith(t testing.TB, o ledger.Options) ledger.Store {
	t.Helper()
	s, err := sqlite.Open(bg, sqlitetest.NewFile(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func fakeClock() *clocktesting.FakeClock {
	return clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
}

// decide stores n deliveries of an event that is stored with them.
func decide(t testing.TB, s ledger.Store, company, event string, n int) {
	t.Helper()
	decideSaying(t, s, company, event, n, "Paid.")
}

func decideSaying(t testing.TB, s ledger.Store, company, event string, n int, subject string) {
	t.Helper()
	if _, err := s.AcceptEvent(bg, ledger.Event{Company: company, ID: event, Name: "transaction.initiate", Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: 1, Lease: time.Minute})
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %d events: %v", len(claimed), err)
	}
	deliveries := make([]ledger.NewDelivery, n)
	for i := range deliveries {
		deliveries[i] = ledger.NewDelivery{
			RuleName: "shop/rule", Channel: ledger.ChannelEmail, Recipient: fmt.Sprintf("user%d@example.org", i),
			Content: ledger.Content{Subject: "Paid", Text: "You paid."},
		}
	}
	if err := s.CompleteEvent(bg, claimed[0], deliveries); err != nil {
		t.Fatal(err)
	}
}

// start runs a worker until stop, which waits for its end.
func start(t testing.TB, o Options) (stop func()) {
	t.Helper()
	if o.Companies == nil {
		o.Companies = companies{}
	}
	w, err := NewWorker(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(bg)
	done := make(chan error, 1)
	go func() { done <- w.Start(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// row returns the only delivery.
func row(t testing.TB, s ledger.Store) ledger.Delivery {
	t.Helper()
	all, err := s.ListDeliveries(bg, ledger.DeliveryFilter{})
	if err != nil || len(all) != 1 {
		t.Fatalf("%d deliveries: %v", len(all), err)
	}
	return all[0]
}

func TestWorkerSendsOverSMTP(t *testing.T) {
	g := NewWithT(t)
	s := openLedger(t, nil)
	mail := sink(t, smtptest.Options{})
	registry := prometheus.NewPedanticRegistry()
	start(t, Options{Ledger: s, Routes: ByChannel{ledger.ChannelEmail: mailer(t, mail.Host(), mail.Port(), nil)}, Registerer: registry})
	decide(t, s, "shop", "1", 1)
	m, c := one(t, mail)
	g.Expect(m.To).To(Equal([]string{"user0@example.org"}))
	g.Expect(c.Text).To(Equal("You paid.\n"))
	g.Eventually(func() ledger.DeliveryState { return row(t, s).State }).Should(Equal(ledger.DeliverySent))
	d := row(t, s)
	g.Expect(c.Header.Get("Message-Id")).To(Equal("<" + d.ProviderID + ">"))
	g.Expect(d.ProviderID).To(Equal(Key(&d) + "@example.com"))
	// They are counted after the row is written.
	g.Eventually(func() map[string]float64 { return outcomesOf(t, registry) }).Should(Equal(map[string]float64{"email sent": 1}))
	problems, err := testutil.GatherAndLint(registry)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(problems).To(BeEmpty())
}

func TestWorkerSendsEachOnceConcurrently(t *testing.T) {
	g := NewWithT(t)
	s := openLedger(t, nil)
	var mu sync.Mutex
	sent := map[string]int{}
	p := send(func(_ context.Context, m provider.Message) (provider.Receipt, error) {
		mu.Lock()
		defer mu.Unlock()
		sent[m.Key]++
		return provider.Receipt{ID: "id"}, nil
	})
	for range 8 {
		start(t, Options{Ledger: s, Routes: ByChannel{ledger.ChannelEmail: p}, Concurrency: 4})
	}
	const events, each = 30, 10
	for i := range events {
		decide(t, s, fmt.Sprintf("company-%d", i%5), fmt.Sprint(i), each)
	}
	g.Eventually(func() int64 {
		st, err := s.Stats(bg)
		g.Expect(err).NotTo(HaveOccurred())
		return st.PendingDeliveries
	}).Should(BeZero())
	mu.Lock()
	defer mu.Unlock()
	g.Expect(sent).To(HaveLen(events * each))
	g.Expect(slices.Max(slices.Collect(maps.Values(sent)))).To(Equal(1))
	all, err := s.ListDeliveries(bg, ledger.DeliveryFilter{Limit: 1000})
	g.Expect(err).NotTo(HaveOccurred())
	for _, d := range all {
		g.Expect(d.State).To(Equal(ledger.DeliverySent))
		g.Expect(d.Attempts).To(Equal(1))
	}
}

func TestWorkerOutcomes(t *testing.T) {
	for _, test := range []struct {
		name     string
		err      error
		inactive bool
		state    ledger.DeliveryState
		reason   string
		wait     [2]time.Duration
		attempts int
	}{
		{name: "transient", err: provider.Transient("Busy1", "It is busy.", 0), state: ledger.DeliveryPending, reason: "Busy1", wait: [2]time.Duration{time.Hour, time.Hour}, attempts: 1},
		{name: "retry after", err: provider.Transient("Throttled", "Later.", 3*time.Hour), state: ledger.DeliveryPending, reason: "Throttled", wait: [2]time.Duration{3 * time.Hour, 3 * time.Hour}, attempts: 1},
		{name: "retry after, too soon", err: provider.Transient("Throttled", "Later.", time.Second), state: ledger.DeliveryPending, reason: "Throttled", wait: [2]time.Duration{time.Hour, time.Hour}, attempts: 1},
		{name: "retry after, absurd", err: provider.Transient("Throttled", "Later.", 1000*time.Hour), state: ledger.DeliveryPending, reason: "Throttled", wait: [2]time.Duration{24 * time.Hour, 24 * time.Hour}, attempts: 1},
		{name: "unclassed", err: errors.New("joe@example.org is unhappy"), state: ledger.DeliveryPending, reason: "SendFailed", wait: [2]time.Duration{time.Hour, time.Hour}, attempts: 1},
		{name: "wrapped", err: fmt.Errorf("outer: %w", provider.Permanent("RecipientRefused", "No.")), state: ledger.DeliveryFailed, reason: "RecipientRefused", attempts: 1},
		{name: "permanent", err: provider.Permanent("RecipientRefused", "No."), state: ledger.DeliveryFailed, reason: "RecipientRefused", attempts: 1},
		{name: "misconfigured", err: provider.Misconfigured("LoginRefused", "No."), state: ledger.DeliveryPending, reason: "LoginRefused", wait: [2]time.Duration{8 * time.Minute, 12 * time.Minute}, attempts: 0},
		{name: "held back", err: provider.HeldBack(ReasonRateLimited, "Wait.", time.Minute), state: ledger.DeliveryPending, reason: ReasonRateLimited, wait: [2]time.Duration{time.Minute, time.Minute}, attempts: 0},
		{name: "inactive company", inactive: true, state: ledger.DeliveryCancelled, reason: ledger.ReasonCompanyInactive, attempts: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := NewWithT(t)
			clk := fakeClock()
			s := openLedger(t, clk)
			decide(t, s, "shop", "1", 1)
			var calls atomic.Int32
			p := send(func(context.Context, provider.Message) (provider.Receipt, error) {
				calls.Add(1)
				return provider.Receipt{}, test.err
			})
			stop := start(t, Options{Ledger: s, Clock: clk, Retry: retries{}, Routes: ByChannel{ledger.ChannelEmail: p}, Companies: companies{"shop": !test.inactive}})
			g.Eventually(func() string { return row(t, s).Reason }).Should(Equal(test.reason))
			stop()
			d := row(t, s)
			g.Expect(d.State).To(Equal(test.state))
			g.Expect(d.Attempts).To(Equal(test.attempts))
			g.Expect(d.Message).NotTo(ContainSubstring("@"))
			if test.state == ledger.DeliveryPending {
				wait := d.NextAttemptAt.Sub(clk.Now())
				g.Expect(wait).To(And(BeNumerically(">=", test.wait[0]), BeNumerically("<=", test.wait[1])))
			}
			if test.inactive {
				g.Expect(calls.Load()).To(BeZero())
			}
		})
	}
}

// The end of each message is logged once, with the event's ID and without customer data.
func TestEndsAreLogged(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		quiet bool
		want  string
	}{
		"sent":           {want: `"Sent a message" "company"="shop" "event"="[a-z.]+" "eventID"="1" "rule"="[a-z/]+" "channel"="email" "delivery"=1 "outcome"="sent" "reason"="" "attempts"=1 "seconds"=`},
		"sent, quiet":    {quiet: true},
		"refused":        {err: provider.Permanent("RecipientRefused", "No joe@example.org."), want: `"A message was not sent" .*"eventID"="1" .*"outcome"="failed" "reason"="RecipientRefused" "attempts"=1`},
		"refused, quiet": {err: provider.Permanent("RecipientRefused", "No."), quiet: true, want: `"A message was not sent"`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var mu sync.Mutex
			var entries []string
			log := funcr.New(func(_, args string) {
				mu.Lock()
				defer mu.Unlock()
				entries = append(entries, args)
			}, funcr.Options{})
			s := openLedger(t, fakeClock())
			decide(t, s, "shop", "1", 1)
			p := send(func(context.Context, provider.Message) (provider.Receipt, error) {
				return provider.Receipt{ID: "id"}, test.err
			})
			stop := start(t, Options{Ledger: s, Clock: fakeClock(), Routes: ByChannel{ledger.ChannelEmail: p}, Companies: companies{"shop": true}, Log: log, QuietSent: test.quiet})
			g.Eventually(func() ledger.DeliveryState { return row(t, s).State }).ShouldNot(Equal(ledger.DeliveryPending))
			stop()
			mu.Lock()
			defer mu.Unlock()
			var ends []string
			for _, entry := range entries {
				if strings.Contains(entry, " message") {
					ends = append(ends, entry)
				}
			}
			if test.want == "" {
				g.Expect(ends).To(BeEmpty())
				return
			}
			g.Expect(ends).To(HaveLen(1))
			g.Expect(ends[0]).To(MatchRegexp(test.want))
			g.Expect(ends[0]).NotTo(Or(ContainSubstring("@"), ContainSubstring("You paid")))
		})
	}
}

// An in-app message is sent as soon as it is stored, and stays readable.
func TestInbox(t *testing.T) {
	g := NewWithT(t)
	s := openLedger(t, nil)
	start(t, Options{Ledger: s, Routes: ByChannel{ledger.ChannelEmail: Inbox{}}})
	decide(t, s, "shop", "1", 1)
	g.Eventually(func() ledger.DeliveryState { return row(t, s).State }).Should(Equal(ledger.DeliverySent))
	g.Expect(row(t, s).Content.Text).To(Equal("You paid."))
}

// lookup finds no route, for a reason.
type lookup struct{ error }

func (l lookup) Route(context.Context, string, string) (Route, error) { return Route{}, l.error }

// TestWorkerReportsMissingProviders has the reason of a lookup reach the delivery, if
// it was made for that, and stay in the log otherwise.
func TestWorkerReportsMissingProviders(t *testing.T) {
	for reason, err := range map[string]error{
		"SecretNotFound":  fmt.Errorf("outer: %w", provider.Misconfigured("SecretNotFound", "There is no Secret.")),
		"ProviderUnknown": errors.New("the API server said joe@example.org"),
	} {
		g := NewWithT(t)
		clk := fakeClock()
		s := openLedger(t, clk)
		decide(t, s, "shop", "1", 1)
		stop := start(t, Options{Ledger: s, Clock: clk, Retry: retries{}, Routes: lookup{err}, Companies: companies{"shop": true}})
		g.Eventually(func() string { return row(t, s).Reason }).Should(Equal(reason))
		stop()
		g.Expect(row(t, s).State).To(Equal(ledger.DeliveryPending))
		g.Expect(row(t, s).Message).NotTo(ContainSubstring("@"))
	}
}

func TestWorkerRetriesOnScheduleUntilExhausted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s := openLedgerForDays(t)
		decide(t, s, "shop", "1", 1)
		began := time.Now()
		var attempts []time.Duration
		p := send(func(context.Context, provider.Message) (provider.Receipt, error) {
			attempts = append(attempts, time.Since(began).Round(time.Minute))
			return provider.Receipt{}, provider.Transient("Busy1", "It is busy.", 0)
		})
		registry := prometheus.NewPedanticRegistry()
		start(t, Options{Ledger: s, Retry: retries{}, Routes: ByChannel{ledger.ChannelEmail: p}, Registerer: registry})
		pass(time.Minute)
		g.Expect(row(t, s).NextAttemptAt.Sub(began)).To(BeNumerically("~", time.Hour, time.Minute))
		pass(5 * time.Hour)
		g.Expect(attempts).To(Equal([]time.Duration{0, time.Hour, 2 * time.Hour}))
		d := row(t, s)
		g.Expect(d.State).To(Equal(ledger.DeliveryFailed))
		g.Expect(d.Reason).To(Equal("Busy1"))
		g.Expect(d.Message).To(Equal("Its attempts are exhausted. It is busy."))
		g.Expect(d.Attempts).To(Equal(3))
		g.Expect(outcomesOf(t, registry)).To(Equal(map[string]float64{"email exhausted": 1, "email retried": 2}))
	})
}

// outcomesOf returns the attempts that were counted, by channel and outcome.
func outcomesOf(t testing.TB, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "rehive_extension_delivery_attempts_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			if n := m.GetCounter().GetValue(); n > 0 {
				counted[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = n
			}
		}
	}
	return counted
}

// A provider that is down for an hour delays its messages, and no more.
func TestProviderDownForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s := openLedgerForDays(t)
		const messages = 20
		decide(t, s, "shop", "1", messages)
		began := time.Now()
		var mu sync.Mutex
		tried, sent := 0, map[string]int{}
		p := send(func(_ context.Context, m provider.Message) (provider.Receipt, error) {
			mu.Lock()
			defer mu.Unlock()
			if time.Since(began) < time.Hour {
				tried++
				return provider.Receipt{}, provider.Transient("Unavailable", "It is down.", 0)
			}
			sent[m.Key]++
			return provider.Receipt{ID: "id"}, nil
		})
		start(t, Options{Ledger: s, Routes: ByChannel{ledger.ChannelEmail: p}})
		// All are sent in the next attempt.
		pass(3 * time.Hour)
		mu.Lock()
		defer mu.Unlock()
		g.Expect(tried).To(And(BeNumerically(">=", 5*messages), BeNumerically("<=", 8*messages)), "neither given up nor hammered")
		g.Expect(sent).To(HaveLen(messages))
		g.Expect(slices.Max(slices.Collect(maps.Values(sent)))).To(Equal(1))
		all, err := s.ListDeliveries(bg, ledger.DeliveryFilter{})
		g.Expect(err).NotTo(HaveOccurred())
		for _, d := range all {
			g.Expect(d.State).To(Equal(ledger.DeliverySent))
			g.Expect(d.Attempts).To(BeNumerically("<=", 9))
		}
	})
}

func TestWorkerDoesNotWaitForeverForConfiguration(t *testing.T) {
	g := NewWithT(t)
	clk := fakeClock()
	s := openLedger(t, clk)
	decide(t, s, "shop", "1", 1)
	clk.Step(configurationPatience)
	start(t, Options{Ledger: s, Clock: clk, Routes: ByChannel{}})
	g.Eventually(func() ledger.DeliveryState { return row(t, s).State }).Should(Equal(ledger.DeliveryFailed))
	g.Expect(row(t, s).Reason).To(Equal("NoProvider"))
}

// activeAfter is who is active once the function returned.
type activeAfter func()

func (f activeAfter) Active(context.Context, string) (bool, error) { f(); return true, nil }

func TestWorkerSendsOnlyWhatItHolds(t *testing.T) {
	for name, taken := range map[string]bool{"nobody took it": false, "another took it": true} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			clk := fakeClock()
			s := openLedger(t, clk)
			decide(t, s, "shop", "1", 1)
			var calls atomic.Int32
			p := send(func(context.Context, provider.Message) (provider.Receipt, error) {
				calls.Add(1)
				return provider.Receipt{}, nil
			})
			late := make(chan struct{})
			// One hand, so that it is not this worker that takes it again.
			stop := start(t, Options{Ledger: s, Clock: clk, Concurrency: 1, Routes: ByChannel{ledger.ChannelEmail: p}, Companies: activeAfter(func() {
				defer close(late)
				clk.Step(2 * time.Minute) // longer than the lease
				if taken {
					claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 1, Lease: time.Hour})
					if err != nil || len(claimed) != 1 {
						t.Errorf("claimed %d: %v", len(claimed), err)
					}
				}
			})})
			<-late
			if taken {
				stop()
				g.Expect(calls.Load()).To(BeZero())
				return
			}
			g.Eventually(func() ledger.DeliveryState { return row(t, s).State }).Should(Equal(ledger.DeliverySent))
			g.Expect(calls.Load()).To(BeEquivalentTo(1))
		})
	}
}

// readOnly is a ledger that can't record sent messages while broken is set.
type readOnly struct {
	ledger.Store
	broken  atomic.Bool
	refused atomic.Int32
}

func (s *readOnly) MarkSent(ctx context.Context, d ledger.ClaimedDelivery, id string) error {
	if s.broken.Load() {
		s.refused.Add(1)
		return errors.New("the disk is full")
	}
	return s.Store.MarkSent(ctx, d, id)
}

// TestWorkerRecordsAfterLease checks that a message that was sent is not sent again when the
// ledger can't record this for longer than the lease.
func TestWorkerRecordsAfterLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s := &readOnly{Store: openLedgerForDays(t)}
		s.broken.Store(true)
		decide(t, s, "shop", "1", 1)
		var sent atomic.Int32
		p := send(func(context.Context, provider.Message) (provider.Receipt, error) {
			return provider.Receipt{ID: fmt.Sprint(sent.Add(1))}, nil
		})
		start(t, Options{Ledger: s, Routes: ByChannel{ledger.ChannelEmail: p}})
		pass(3 * time.Minute)
		g.Expect(s.refused.Load()).To(BeNumerically(">", 1))
		g.Expect(row(t, s).Attempts).To(BeNumerically(">", 1), "it is claimed again")
		g.Expect(row(t, s).State).To(Equal(ledger.DeliveryPending))
		s.broken.Store(false)
		pass(3 * time.Minute)
		g.Expect(row(t, s).State).To(Equal(ledger.DeliverySent))
		g.Expect(sent.Load()).To(BeEquivalentTo(1))
		g.Expect(row(t, s).ProviderID).To(Equal("1"))
	})
}

func TestWorkerSurvivesPanics(t *testing.T) {
	g := NewWithT(t)
	s := openLedger(t, nil)
	decide(t, s, "shop", "1", 5)
	registry := prometheus.NewPedanticRegistry()
	p := send(func(_ context.Context, m provider.Message) (provider.Receipt, error) {
		if m.To == "user2@example.org" {
			panic("planted " + m.To)
		}
		return provider.Receipt{}, nil
	})
	start(t, Options{Ledger: s, Retry: retries{}, Routes: ByChannel{ledger.ChannelEmail: p}, Registerer: registry})
	g.Eventually(func() int {
		sent, err := s.ListDeliveries(bg, ledger.DeliveryFilter{State: ledger.DeliverySent})
		g.Expect(err).NotTo(HaveOccurred())
		return len(sent)
	}).Should(Equal(4))
	var d ledger.Delivery
	g.Eventually(func() string {
		left, err := s.ListDeliveries(bg, ledger.DeliveryFilter{State: ledger.DeliveryPending})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(left).To(HaveLen(1))
		d = left[0]
		return d.Reason
	}).Should(Equal("ProviderPanic"))
	g.Expect(d.Message).NotTo(ContainSubstring("planted"))
}

func TestWorkerFinishesWhatIsInFlightWhenStopped(t *testing.T) {
	g := NewWithT(t)
	s := openLedger(t, nil)
	decide(t, s, "shop", "1", 1)
	sending, finish := make(chan struct{}), make(chan struct{})
	p := send(func(ctx context.Context, _ provider.Message) (provider.Receipt, error) {
		close(sending)
		<-finish
		return provider.Receipt{ID: "id"}, ctx.Err()
	})
	stop := start(t, Options{Ledger: s, Routes: ByChannel{ledger.ChannelEmail: p}, Grace: time.Minute})
	<-sending
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	g.Consistently(stopped, "50ms").ShouldNot(BeClosed())
	close(finish)
	g.Eventually(stopped).Should(BeClosed())
	g.Expect(row(t, s).State).To(Equal(ledger.DeliverySent))
}

func TestWorkerGivesBackWhatTheGracePeriodInterrupts(t *testing.T) {
	g := NewWithT(t)
	s := openLedger(t, nil)
	decide(t, s, "shop", "1", 1)
	sending := make(chan struct{})
	p := send(func(ctx context.Context, _ provider.Message) (provider.Receipt, error) {
		close(sending)
		<-ctx.Done()
		return provider.Receipt{}, ctx.Err()
	})
	stop := start(t, Options{Ledger: s, Routes: ByChannel{ledger.ChannelEmail: p}, Grace: 20 * time.Millisecond})
	<-sending
	stop()
	d := row(t, s)
	g.Expect(d.State).To(Equal(ledger.DeliveryPending))
	g.Expect(d.Reason).To(Equal("Stopped"))
	g.Expect(d.Attempts).To(BeZero())
	again, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 1, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again).To(HaveLen(1), "at once")
}

func TestHangingProviderOfOneCompanyHoldsUpNoOther(t *testing.T) {
	g := NewWithT(t)
	s := openLedger(t, nil)
	decide(t, s, "flood", "1", 500)
	var hanging atomic.Int32
	arrived := make(chan string, 1)
	p := send(func(ctx context.Context, m provider.Message) (provider.Receipt, error) {
		if m.Subject == "Paid" && m.Text == "You paid." && m.From == "" && hanging.Load() < 6 {
			hanging.Add(1)
			<-ctx.Done()
			return provider.Receipt{}, provider.Transient("Timeout", "It hangs.", 0)
		}
		arrived <- m.To
		return provider.Receipt{}, nil
	})
	stop := start(t, Options{Ledger: s, Routes: ByChannel{ledger.ChannelEmail: p}, Concurrency: 8, SendTimeout: 15 * time.Minute, Grace: time.Millisecond})
	g.Eventually(hanging.Load).Should(BeEquivalentTo(6), "three quarters of the hands")
	decide(t, s, "shop", "1", 1)
	g.Eventually(arrived).Should(Receive(Equal("user0@example.org")))
	g.Expect(hanging.Load()).To(BeEquivalentTo(6))
	stop()
}

func TestWorkerReportsItsLoad(t *testing.T) {
	g := NewWithT(t)
	_, err := NewWorker(Options{})
	g.Expect(err).To(HaveOccurred())
	s := openLedger(t, nil)
	registry := prometheus.NewRegistry()
	o := Options{Ledger: s, Routes: ByChannel{}, Companies: companies{}, Registerer: registry}
	_, err = NewWorker(o)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = NewWorker(o)
	g.Expect(err).To(HaveOccurred(), "metrics twice")
}

func TestExponentialLastsADay(t *testing.T) {
	g := NewWithT(t)
	total, attempt := time.Duration(0), 1
	for ; ; attempt++ {
		wait, more := DefaultRetry.Next(attempt, total)
		if !more {
			break
		}
		if attempt == 1 {
			g.Expect(wait).To(BeNumerically("~", 5*time.Second, time.Second))
		}
		g.Expect(wait).To(BeNumerically("<=", 4*time.Hour*6/5))
		total += wait
	}
	g.Expect(attempt).To(Equal(14))
	g.Expect(total).To(BeNumerically("~", 24*time.Hour, 5*time.Hour))
}

func TestKeyIsOfOneDeliveryOnly(t *testing.T) {
	g := NewWithT(t)
	base := ledger.Delivery{Company: "shop", EventID: "1", RuleName: "shop/rule", Channel: "email", Recipient: "joe@example.org"}
	g.Expect(Key(&base)).To(Equal(Key(&base)))
	g.Expect(Key(&base)).To(MatchRegexp("^[0-9a-f]{32}$"))
	seen := map[string]bool{Key(&base): true}
	for _, change := range []func(*ledger.Delivery){
		func(d *ledger.Delivery) { d.Company, d.EventID = "shop1", "" },
		func(d *ledger.Delivery) { d.EventID = "2" },
		func(d *ledger.Delivery) { d.RuleName = "other" },
		func(d *ledger.Delivery) { d.Channel = "sms" },
		func(d *ledger.Delivery) { d.Recipient = "ann@example.org" },
		func(d *ledger.Delivery) { d.Copy = 1 },
		func(d *ledger.Delivery) { d.Copy = 2 },
	} {
		d := base
		change(&d)
		g.Expect(seen).NotTo(HaveKey(Key(&d)))
		seen[Key(&d)] = true
	}
}
