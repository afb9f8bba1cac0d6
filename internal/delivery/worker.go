// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/tracing"
)

const (
	// leaseFactor is how many times as long as a send its lease is: that leaves time
	// to look at the company and to record the outcome.
	leaseFactor = 3
	// renewTimeout bounds the renewing of a lease.
	renewTimeout = 10 * time.Second
	// maxSleep is how long the worker sleeps at most without looking for work.
	maxSleep = time.Minute
	// leastSleep is how long it sleeps at least, so that it never spins.
	leastSleep = 10 * time.Millisecond
	// gather is how long a claim waits for more free worker slots while most are occupied.
	gather = 5 * time.Millisecond
	// configurationWait is about how long a message waits for a provider that a person must
	// fix, and configurationPatience how long in total.
	configurationWait     = 10 * time.Minute
	configurationPatience = 7 * 24 * time.Hour
	// unsureWait is about how long a message waits if it is unknown whether it may be sent.
	unsureWait = 15 * time.Second
	// unknownWait is about how long a message waits whose outcome is unknown, until it
	// is sent once more: what was accepted by then arrives twice.
	unknownWait = 15 * time.Minute
	// longestWait bounds what a provider may ask to wait.
	longestWait = 24 * time.Hour
)

// Options are what a [Worker] works with. Ledger, Routes and Companies are required; the
// rest has defaults.
type Options struct {
	Ledger    ledger.DeliveryQueue
	Routes    Routes
	Companies Companies
	// Suppressions are the recipients to whom nothing is sent; none if nil.
	Suppressions *Suppressions
	// Rules say what is done with messages whose outcome is unknown; if nil, they are sent
	// once more.
	Rules Rules
	// Retry is the policy for failed attempts; DefaultRetry if nil.
	Retry RetryPolicy
	// Concurrency is how many messages are in progress at once; 256 if 0.
	Concurrency int
	// SendTimeout bounds one send; 30 s if 0. The lease is three times as long, after
	// which another worker takes over the messages of one that died.
	SendTimeout time.Duration
	// Grace is how long sends in flight may continue after the stop; 10 s if 0.
	Grace time.Duration
	// Memory is what all messages that are being sent take together, in bytes; one of
	// DefaultMemory if nil.
	Memory *flow.Budget
	// Clock is the clock and creates timers; the real one if nil.
	Clock clock.Clock
	// Registerer takes the metrics; none are registered if nil.
	Registerer prometheus.Registerer
	// Traces records the attempts to send messages; nil records none.
	Traces *tracing.Tracer
	// Log receives an entry for the end of each message, among others.
	Log logr.Logger
	// QuietSent leaves the messages that were sent out of the log.
	QuietSent bool
}

// DefaultMemory is the size of a Worker's own budget of memory, in bytes.
const DefaultMemory = 128 << 20

// contentCopies is how many times a message's content is in memory while it is sent:
// as it is, encoded, and in the buffers of a connection.
const contentCopies = 4

// maxAccepted is how many messages are remembered that were sent and couldn't be recorded:
// many times those that are sent at once.
const maxAccepted = 4096

// memoryWait is about how long a message waits that there was no memory for.
const memoryWait = time.Second

// Worker sends the ledger's deliveries.
type Worker struct {
	o       Options
	metrics *metrics

	mu     sync.Mutex
	held   map[any]int // deliveries in progress, by company and by Gate
	inHand int
	// aside are sends that have waited so long for an answer that they no longer occupy
	// a worker slot; by company, and in all.
	asideOf map[string]int
	aside   int
	freed   chan struct{} // has a value after a delivery left the hand or a gate
	active  sync.WaitGroup

	// accepted are the receipts of messages that a provider accepted and the ledger couldn't
	// record, by Key. When such a message is claimed again after its lease, the receipt is
	// recorded, and the message isn't sent again.
	accepted *lru.Cache[string, provider.Receipt]
}

// inHand is a delivery that was claimed, and what it holds until it has left.
type inHand struct {
	ledger.ClaimedDelivery
	keys  []any // of Worker.held
	aside bool  // of Worker.aside, and no longer of Worker.held
	// passed notifies the gate that the provider is done with the message.
	passed func()
}

// NewWorker returns a worker and registers its metrics.
func NewWorker(o Options) (*Worker, error) {
	if o.Ledger == nil || o.Routes == nil || o.Companies == nil {
		return nil, errors.New("a delivery worker needs a ledger, routes and companies")
	}
	if o.Retry == nil {
		o.Retry = DefaultRetry
	}
	o.Concurrency = cmp.Or(o.Concurrency, 256)
	o.SendTimeout = cmp.Or(o.SendTimeout, 30*time.Second)
	o.Grace = cmp.Or(o.Grace, 10*time.Second)
	if o.Memory == nil {
		o.Memory = flow.NewBudget(DefaultMemory)
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Log.IsZero() {
		o.Log = logr.Discard()
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	accepted, _ := lru.New[string, provider.Receipt](maxAccepted) // it fails for sizes below 1
	return &Worker{o: o, metrics: m, held: map[any]int{}, asideOf: map[string]int{}, freed: make(chan struct{}, 1), accepted: accepted}, nil
}

// NeedLeaderElection says that every replica delivers.
func (w *Worker) NeedLeaderElection() bool { return false }

// Start works until ctx is done, then lets sends in flight finish within the
// grace period and gives back what it had claimed. It is a manager.Runnable. Close
// the ledger after it returned.
func (w *Worker) Start(ctx context.Context) error {
	w.o.Log.Info("Starting to deliver", "concurrency", w.o.Concurrency)
	sending, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	grace := time.AfterFunc(math.MaxInt64, abandon)
	defer grace.Stop()
	defer context.AfterFunc(ctx, func() { grace.Reset(w.o.Grace) })()
	for ctx.Err() == nil {
		a := w.admit(ctx)
		claimed, err := w.claim(ctx, a)
		if err != nil && ctx.Err() == nil {
			w.o.Log.Error(err, "Claiming deliveries failed; retrying")
			w.sleep(ctx, time.Second, nil)
			continue
		}
		for i := range claimed {
			d := claimed[i]
			if ctx.Err() != nil {
				w.record(sending, d, outcomePostponed, "", func(c context.Context) error { return w.o.Ledger.ReleaseDelivery(c, d) })
				continue
			}
			taken := w.take(a, d)
			w.active.Go(func() {
				defer w.leave(taken)
				w.deliver(sending, taken)
			})
		}
		if a.free <= 0 || len(claimed) < a.limit() { // else there may be more
			w.wait(ctx, a)
		}
	}
	w.active.Wait()
	w.o.Log.Info("Stopped delivering")
	return nil
}

// take and leave count the deliveries in progress.
func (w *Worker) take(a *admission, d ledger.ClaimedDelivery) *inHand {
	taken := &inHand{ClaimedDelivery: d, keys: []any{companyKey(d.Company)}}
	leave := func() {}
	if g := a.gates[ledger.Lane{Company: d.Company, Channel: d.Channel}]; g != nil {
		taken.keys = append(taken.keys, g)
		leave = g.Enter()
	}
	taken.passed = sync.OnceFunc(func() {
		leave()
		w.signal()
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range taken.keys {
		w.held[key]++
	}
	w.inHand++
	w.metrics.inFlight.Set(float64(w.inHand + w.aside))
	return taken
}

func (w *Worker) leave(d *inHand) {
	d.passed()
	w.mu.Lock()
	if d.aside {
		w.aside--
		if w.asideOf[d.Company]--; w.asideOf[d.Company] == 0 {
			delete(w.asideOf, d.Company)
		}
	} else {
		w.free(d)
	}
	w.metrics.inFlight.Set(float64(w.inHand + w.aside))
	w.mu.Unlock()
	w.signal()
}

// free gives back the worker slot of a delivery. The caller holds the lock.
func (w *Worker) free(d *inHand) {
	for _, key := range d.keys {
		if w.held[key]--; w.held[key] == 0 {
			delete(w.held, key)
		}
	}
	w.inHand--
}

// stepAside lets a send that only waits for an answer continue without its worker slot,
// so that a few slow mail servers don't occupy them all. As many may as there are
// slots, shared among the companies in the same way. The provider still counts it.
func (w *Worker) stepAside(d *inHand) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.aside || flow.Share(w.o.Concurrency-w.aside, w.asideOf[d.Company]) <= 0 {
		return
	}
	d.aside = true
	w.aside++
	w.asideOf[d.Company]++
	w.free(d)
	w.signal()
}

func (w *Worker) signal() {
	select {
	case w.freed <- struct{}{}:
	default:
	}
}

// admit begins an admission for the free worker slots. While most are occupied, it waits a
// moment for more: a claim of many costs hardly more than a claim of one.
func (w *Worker) admit(ctx context.Context) *admission {
	timer := time.NewTimer(gather)
	defer timer.Stop()
	for {
		a := w.hands(ctx)
		if a.free >= (w.o.Concurrency+1)/2 {
			return a
		}
		select {
		case <-w.freed:
		case <-timer.C:
			return a
		case <-ctx.Done():
			return a
		}
	}
}

func (w *Worker) hands(ctx context.Context) *admission {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &admission{
		ctx: ctx, routes: w.o.Routes, free: w.o.Concurrency - w.inHand, held: maps.Clone(w.held),
		gates: map[ledger.Lane]Gate{}, index: map[any]int{},
	}
}

// claim takes deliveries that there is room for.
func (w *Worker) claim(ctx context.Context, a *admission) ([]ledger.ClaimedDelivery, error) {
	if a.free <= 0 {
		return nil, nil
	}
	c, err := a.claim(w.o.Ledger.DueDeliveryLanes(ctx), leaseFactor*w.o.SendTimeout)
	if err != nil || len(c.Lanes) == 0 {
		return nil, err
	}
	claimed, err := w.o.Ledger.ClaimDeliveries(ctx, c)
	a.settle(claimed)
	return claimed, err
}

// wait returns when there may be something to claim, after an admission by which all
// was that could be.
func (w *Worker) wait(ctx context.Context, a *admission) {
	if a.free <= 0 {
		select {
		case <-w.freed:
		case <-ctx.Done():
		}
		return
	}
	// Where there is much to do something comes in a moment, and the ledger need not be
	// asked when.
	if w.moment(ctx, a) {
		return
	}
	sleep := maxSleep
	due, ok, err := w.o.Ledger.NextDeliveryDue(ctx, a.open)
	switch {
	case err != nil:
		sleep = time.Second
	case ok:
		// Deliveries that are overdue were just added, or another worker is claiming them.
		sleep = min(sleep, max(due, leastSleep))
	}
	var freed <-chan struct{}
	if a.full {
		// It waits for room. Gates use real time.
		sleep, freed = min(sleep, time.Second), w.freed
		if !a.again.IsZero() {
			sleep = min(sleep, max(time.Until(a.again), leastSleep))
		}
	}
	w.sleep(ctx, sleep, freed)
}

// moment waits a moment of real time for the same events as sleep, and reports whether one
// occurred.
func (w *Worker) moment(ctx context.Context, a *admission) bool {
	var freed <-chan struct{}
	if a.exhausted() {
		freed = w.freed
	}
	timer := time.NewTimer(leastSleep)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-w.o.Ledger.DeliveriesReady():
	case <-freed:
	case <-ctx.Done():
	}
	return true
}

// sleep ends early when there are new deliveries or, if it matters, a free worker slot.
func (w *Worker) sleep(ctx context.Context, d time.Duration, freed <-chan struct{}) {
	timer := w.o.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-w.o.Ledger.DeliveriesReady():
	case <-freed:
	case <-ctx.Done():
	}
}

// pause is a moment of real time: it spares work and schedules nothing.
func (w *Worker) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// deliver sends one delivery and records the outcome. Its context outlasts
// the worker's by the grace period.
func (w *Worker) deliver(sending context.Context, taken *inHand) {
	sending, span := w.o.Traces.Event(taken.Company, taken.EventID).Deliver(sending, traced(&taken.Delivery), taken.Attempts)
	defer span.End()
	w.attempt(sending, taken)
}

// traced identifies a delivery in a trace.
func traced(d *ledger.Delivery) tracing.Message {
	return tracing.Message{Delivery: d.ID, Rule: d.RuleName, Channel: d.Channel}
}

// isFailure reports whether an attempt failed, rather than being put off or not needed.
func isFailure(outcome string) bool {
	switch outcome {
	case outcomeFailed, outcomeRetried, outcomeExhausted, outcomeExpired, outcomeUnknown:
		return true
	}
	return false
}

func (w *Worker) attempt(sending context.Context, taken *inHand) {
	d := taken.ClaimedDelivery
	if receipt, ok := w.acceptedBefore(&d.Delivery); ok {
		w.recordSent(sending, d, receipt)
		return
	}
	if w.expire(sending, d) {
		return
	}
	active, err := w.o.Companies.Active(sending, d.Company)
	switch {
	case err != nil:
		w.o.Log.Error(err, "Looking for the company failed; the delivery waits", "company", d.Company, "delivery", d.ID)
		w.postpone(sending, d, jitter(unsureWait), "CompanyUnknown", "The operator could not determine whether the company is active.")
		return
	case !active:
		w.record(sending, d, outcomeCancelled, ledger.ReasonCompanyInactive, func(c context.Context) error {
			return w.o.Ledger.CancelDelivery(c, d, ledger.ReasonCompanyInactive, "The company is not active.")
		})
		return
	}
	memory, err := w.load(sending, &d)
	defer memory.Release()
	if err != nil {
		w.o.Log.V(1).Info("A delivery waits for memory", "company", d.Company, "delivery", d.ID, "reason", err.Error())
		reason, message := doubtful(&d, "NoMemory", "It waits until there is memory for the message.")
		w.postpone(sending, d, jitter(memoryWait), reason, message)
		return
	}
	if w.expire(sending, d) || w.suppressed(sending, d) || !w.holds(sending, &d) || w.settle(sending, d) {
		return
	}
	receipt, route, err := w.send(sending, taken, d)
	taken.passed()
	if err == nil {
		w.recordSent(sending, d, receipt)
		return
	}
	reason, message, after := "SendFailed", "The provider could not send the message.", time.Duration(0)
	var e *provider.Error
	if errors.As(err, &e) {
		reason, message, after = e.Reason, e.Error(), min(e.RetryAfter, longestWait)
	}
	log := w.o.Log.WithValues("company", d.Company, "delivery", d.ID, "channel", d.Channel, "attempt", d.Attempts, "reason", reason)
	switch {
	case provider.IsUnknown(err):
		w.unknown(sending, d, &route, message)
	case sending.Err() != nil:
		// The operator stops, which says nothing about the message.
		w.postpone(sending, d, 0, "Stopped", "The operator stopped while it was sending.")
	case provider.IsPermanent(err):
		w.fail(sending, d, outcomeFailed, reason, message)
		if fault := faultOf(err); fault != "" {
			w.o.Suppressions.add(sending, &d.Delivery, fault)
		}
	case provider.IsMisconfigured(err) && d.Age < configurationPatience:
		log.Info("A delivery waits for the provider's configuration to be fixed")
		w.postpone(sending, d, max(after, jitter(configurationWait)), reason, message)
	case provider.IsMisconfigured(err):
		w.fail(sending, d, outcomeFailed, reason, message)
	case provider.IsHeldBack(err):
		w.postpone(sending, d, max(after, jitter(time.Second)), reason, message)
	default:
		wait, more := w.o.Retry.Next(d.Attempts, d.Age)
		if !more {
			w.fail(sending, d, outcomeExhausted, reason, "Its attempts are exhausted. "+message)
			return
		}
		wait = max(after, wait)
		log.V(1).Info("A delivery is tried again later", "after", wait)
		w.retry(sending, d, wait, reason, message)
	}
}

// acceptedBefore returns the receipt of a message that this worker sent and couldn't record.
func (w *Worker) acceptedBefore(d *ledger.Delivery) (receipt provider.Receipt, ok bool) {
	if w.accepted.Len() == 0 {
		return receipt, false
	}
	return w.accepted.Get(Key(d))
}

// recordSent records that the provider has the message, whatever it takes.
func (w *Worker) recordSent(sending context.Context, d ledger.ClaimedDelivery, receipt provider.Receipt) {
	if !w.record(sending, d, outcomeSent, "", func(c context.Context) error {
		err := w.markSent(c, &d, receipt)
		if err != nil {
			w.accepted.Add(Key(&d.Delivery), receipt)
		}
		return err
	}) {
		return
	}
	w.metrics.sent(&d.Delivery, w.o.Clock.Now())
	if w.accepted.Len() > 0 {
		w.accepted.Remove(Key(&d.Delivery))
	}
}

// markSent records that a provider accepted a delivery, and what is unusual about that.
func (w *Worker) markSent(ctx context.Context, d *ledger.ClaimedDelivery, receipt provider.Receipt) error {
	if receipt.Reason == "" {
		return w.o.Ledger.MarkSent(ctx, *d, receipt.ID)
	}
	message := receipt.Message
	if d.Reason == provider.ReasonOutcomeUnknown {
		message += " An earlier attempt may have arrived, so the recipient may have the message twice."
	}
	return w.o.Ledger.MarkSentUnusually(ctx, *d, receipt.ID, receipt.Reason, message)
}

// validity is how long a delivery may still be sent. It is meaningless without an ExpiresAt.
func (w *Worker) validity(d *ledger.ClaimedDelivery) time.Duration {
	return d.Validity - (d.Lease.Length - w.o.Ledger.LeaseLeft(d.Lease))
}

// expire ends a delivery that has expired, and reports whether it did.
func (w *Worker) expire(sending context.Context, d ledger.ClaimedDelivery) bool {
	if d.ExpiresAt.IsZero() || w.validity(&d) > 0 {
		return false
	}
	w.fail(sending, d, outcomeExpired, ledger.ReasonExpired, d.ExpiredMessage())
	return true
}

// within shortens a wait that would end after a delivery has expired, so that this is
// noticed when it happens.
func (w *Worker) within(d *ledger.ClaimedDelivery, wait time.Duration) time.Duration {
	if d.ExpiresAt.IsZero() {
		return wait
	}
	return min(wait, max(w.validity(d), 0))
}

// doubtful keeps the reason of a delivery whose outcome was unknown once, even if its
// later attempts fail for another reason: it must not be unknown twice.
func doubtful(d *ledger.ClaimedDelivery, reason, message string) (string, string) {
	if d.Reason != provider.ReasonOutcomeUnknown || reason == provider.ReasonOutcomeUnknown {
		return reason, message
	}
	return provider.ReasonOutcomeUnknown, "An earlier attempt may have arrived. " + message
}

// load draws what sending the message takes from the budget of memory, and reads the
// content where the claim did not bring it. The grant is to be released also after an
// error.
func (w *Worker) load(sending context.Context, d *ledger.ClaimedDelivery) (flow.Grant, error) {
	ctx, cancel := context.WithTimeout(sending, w.o.SendTimeout)
	defer cancel()
	memory, err := w.o.Memory.Acquire(ctx, d.Company, min(contentCopies*int64(d.Size), w.o.Memory.Share()))
	if err != nil || d.Complete() {
		return memory, err
	}
	whole, err := w.o.Ledger.GetDelivery(ctx, d.ID)
	if err != nil {
		return memory, fmt.Errorf("reading the message: %w", err)
	}
	d.Content = whole.Content
	return memory, nil
}

// holds makes sure that nobody else may send the delivery while this worker does:
// it may have waited for long since it was claimed, or the machine was suspended.
// A worker that can't reach the ledger then doesn't send: another replica may.
func (w *Worker) holds(sending context.Context, d *ledger.ClaimedDelivery) bool {
	if w.o.Ledger.LeaseLeft(d.Lease) >= w.o.SendTimeout {
		return true
	}
	ctx, cancel := context.WithTimeout(sending, renewTimeout)
	defer cancel()
	if err := w.o.Ledger.RenewDelivery(ctx, d, leaseFactor*w.o.SendTimeout); err != nil {
		w.o.Log.Info("A delivery was not sent because its lease ended", "delivery", d.ID, "reason", err.Error())
		w.metrics.outcome(&d.Delivery, outcomeLost)
		tracing.Current(sending).Outcome(outcomeLost, "", true)
		return false
	}
	return true
}

func (w *Worker) postpone(sending context.Context, d ledger.ClaimedDelivery, wait time.Duration, reason, message string) {
	reason, message = doubtful(&d, reason, message)
	wait = w.within(&d, wait)
	w.record(sending, d, outcomePostponed, reason, func(c context.Context) error { return w.o.Ledger.PostponeDelivery(c, d, wait, reason, message) })
}

func (w *Worker) retry(sending context.Context, d ledger.ClaimedDelivery, wait time.Duration, reason, message string) {
	reason, message = doubtful(&d, reason, message)
	wait = w.within(&d, wait)
	w.record(sending, d, outcomeRetried, reason, func(c context.Context) error { return w.o.Ledger.RetryDelivery(c, d, wait, reason, message) })
}

func (w *Worker) fail(sending context.Context, d ledger.ClaimedDelivery, outcome, reason, message string) {
	w.record(sending, d, outcome, reason, func(c context.Context) error { return w.o.Ledger.FailDelivery(c, d, reason, message) })
}

// keep renews the lease of a delivery while a patient provider waits for an answer,
// until release is called.
func (w *Worker) keep(ctx context.Context, taken *inHand, d ledger.ClaimedDelivery) (release func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	every := w.o.SendTimeout / 2
	timer := time.AfterFunc(every, func() {
		defer close(done)
		for n := 1; ctx.Err() == nil; n++ {
			if n == 2 {
				w.stepAside(taken)
			}
			renewing, stop := context.WithTimeout(ctx, renewTimeout)
			err := w.o.Ledger.RenewDelivery(renewing, &d, leaseFactor*w.o.SendTimeout)
			stop()
			if err != nil && ctx.Err() == nil {
				// The message may have been sent, which can't be undone.
				w.o.Log.Error(err, "Renewing the lease of a delivery that is being sent failed", "delivery", d.ID)
			}
			w.pause(ctx, every)
		}
	})
	return func() {
		cancel()
		if !timer.Stop() {
			<-done
		}
	}
}

// send hands the message to the provider. A panic is an error of this message.
func (w *Worker) send(sending context.Context, taken *inHand, d ledger.ClaimedDelivery) (receipt provider.Receipt, route Route, err error) {
	ctx, cancel := context.WithTimeout(sending, w.o.SendTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			w.metrics.panics.Inc()
			// Only the type: the value may hold the message.
			w.o.Log.Error(fmt.Errorf("panic of type %T", p), "A provider panicked", "channel", d.Channel, "delivery", d.ID)
			err = provider.Transient("ProviderPanic", "The provider failed unexpectedly.", 0)
		}
	}()
	route, err = w.o.Routes.Route(ctx, d.Company, d.Channel)
	var classed *provider.Error
	switch {
	case errors.As(err, &classed):
		return provider.Receipt{}, route, err
	case err != nil:
		w.o.Log.Error(err, "Looking up the provider failed", "company", d.Company, "channel", d.Channel)
		return provider.Receipt{}, route, provider.Transient("ProviderUnknown", "The provider could not be looked up.", 0)
	case route.Provider == nil:
		return provider.Receipt{}, route, provider.Misconfigured("NoProvider", fmt.Sprintf("There is no provider for the channel %s.", d.Channel))
	}
	if route.Patience > 0 {
		cancel()
		ctx, cancel = context.WithTimeout(sending, w.o.SendTimeout+route.Patience)
		defer cancel()
		defer w.keep(sending, taken, d)()
	}
	var validity time.Duration
	if !d.ExpiresAt.IsZero() {
		validity = max(w.validity(&d), time.Nanosecond)
	}
	receipt, err = route.Provider.Send(ctx, message(&d, validity))
	return receipt, route, err
}

// record writes an outcome, again and again if the ledger can't take it (its disk
// is full, say): who forgets that a message was sent sends it twice. Only when
// the grace period after the stop is over it gives up.
func (w *Worker) record(sending context.Context, d ledger.ClaimedDelivery, outcome, reason string, write func(context.Context) error) bool {
	wait := 50 * time.Millisecond
	for attempt := 1; ; attempt++ {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(sending), 10*time.Second)
		err := write(ctx)
		cancel()
		switch {
		case err == nil:
			w.metrics.outcome(&d.Delivery, outcome)
			tracing.Current(sending).Outcome(outcome, reason, isFailure(outcome))
			w.logEnd(&d, outcome, reason)
			return true
		case errors.Is(err, ledger.ErrLeaseLost):
			w.metrics.outcome(&d.Delivery, outcomeLost)
			tracing.Current(sending).Outcome(outcomeLost, "", true)
			w.o.Log.Info("A delivery was taken over or cancelled meanwhile", "delivery", d.ID, "outcome", outcome)
			return false
		case sending.Err() != nil:
			w.o.Log.Error(err, "The outcome of a delivery could not be recorded", "delivery", d.ID, "outcome", outcome)
			return false
		}
		if attempt == 1 {
			w.o.Log.Error(err, "Recording the outcome of a delivery failed; retrying", "delivery", d.ID, "outcome", outcome)
		}
		w.pause(sending, wait)
		wait = min(2*wait, 2*time.Second)
	}
}

// maxLogged bounds each value from outside in the log, in bytes.
const maxLogged = 128

// logEnd logs the end of a message, once for each: without its texts and its recipient. The
// event's ID is the one in the API, in webhooks and in traces.
func (w *Worker) logEnd(d *ledger.ClaimedDelivery, outcome, reason string) {
	text := "A message was not sent"
	switch outcome {
	case outcomeSent:
		if w.o.QuietSent {
			return
		}
		text = "Sent a message"
	case outcomeUnknown:
		text = "A message may have been sent, and is not sent again"
	case outcomeFailed, outcomeExhausted, outcomeCancelled, outcomeExpired, outcomeSuppressed:
	default:
		return // it is tried again
	}
	log := w.o.Log
	if trace := w.o.Traces.Event(d.Company, d.EventID); trace.Recorded() {
		log = log.WithValues("traceID", trace.ID())
	}
	log.Info(text, "company", d.Company, "event", shortened(d.EventName), "eventID", shortened(d.EventID), "rule", d.RuleName,
		"channel", d.Channel, "delivery", d.ID, "outcome", outcome, "reason", reason, "attempts", d.Attempts,
		"seconds", w.o.Clock.Since(d.EventReceivedAt).Round(time.Millisecond).Seconds())
}

func shortened(text string) string {
	if len(text) <= maxLogged {
		return text
	}
	return strings.ToValidUTF8(text[:maxLogged], "") + "…"
}

// Key is the same for a delivery whatever database it is in, and no other's.
func Key(d *ledger.Delivery) string {
	h := sha256.New()
	parts := []string{d.Company, d.EventID, d.RuleName, d.Channel, d.Recipient}
	if d.Copy != 0 {
		parts = append(parts, strconv.Itoa(d.Copy))
	}
	for _, part := range parts {
		// With lengths, so that no two lists of parts look the same.
		_, _ = fmt.Fprintf(h, "%d:%s,", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
