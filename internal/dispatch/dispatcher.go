// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dispatch turns the ledger's events into deliveries: it claims an event, evaluates
// every rule for it, and stores all deliveries in the ledger in one transaction.
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/catalog"
	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/python"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/testmode"
	"github.com/rehive/extension-operator/internal/tracing"
)

const (
	// memoryTimeout bounds the wait for the memory that an event takes.
	memoryTimeout = 10 * time.Second
	// decideTimeout bounds the work on one event, with its calls of the platform.
	decideTimeout = 20 * time.Second
	// recordTimeout is the ledger's time to store what was decided at the last moment.
	recordTimeout = 20 * time.Second
	// lease is how long a claimed event is kept from other workers.
	lease = memoryTimeout + decideTimeout + recordTimeout
	// giveUpAfter is how long an event that can't be decided is retried.
	giveUpAfter = 24 * time.Hour
	// maxBackoff is the longest wait between two attempts.
	maxBackoff = 30 * time.Minute
	// maxTurnWait is the same for an event whose calls to the platform are paced.
	maxTurnWait = time.Minute
	// idle is how often the ledger is queried without a signal that there is work, such as
	// work that a replica that died had claimed.
	idle = 5 * time.Second
	// gather is how long new events wait for others: claiming and completing several
	// together costs hardly more than one.
	gather = 2 * time.Millisecond
	// shareWait is the longest pause between claims when a company has more events due than
	// it may have in progress.
	shareWait = 250 * time.Millisecond
	// claimRetry is the pause after a claim that failed.
	claimRetry = time.Second
)

// reasonTooManyMessages is the reason for quarantining an event whose rules create more
// messages than one event may.
const reasonTooManyMessages = "TooManyMessages"

// Options configure a Dispatcher. Fields are required unless they say otherwise.
type Options struct {
	Ledger   ledger.Store
	Catalog  *catalog.Catalog
	Platform *rehive.Client
	// DefaultFrom is the sender of emails when neither the rule nor the company
	// has one; it may be empty.
	DefaultFrom string
	// Senders finds the sender of a company's own email provider, which takes precedence
	// over DefaultFrom; may be nil.
	Senders Senders
	// TestMode limits the recipients of companies in test mode; nil doesn't limit them.
	TestMode *testmode.Guard
	// Unsubscribe returns the URL by which a user opts out of the messages of a rule with the
	// given namespace/name; empty if there is none. May be nil.
	Unsubscribe func(company, user, rule string) string
	// Concurrency is how many events are decided concurrently; 64 if 0.
	Concurrency int
	// Memory is the budget, in bytes, of all events that are being decided; one of
	// DefaultMemory if nil.
	Memory *flow.Budget
	// Clock is the clock and creates timers; the real one if nil.
	Clock clock.Clock
	// Registerer takes the metrics; none are registered if nil.
	Registerer prometheus.Registerer
	// Traces records how events are decided; nil records nothing.
	Traces *tracing.Tracer
	Log    logr.Logger
}

// DefaultMemory is the size of a Dispatcher's own budget of memory, in bytes.
const DefaultMemory = 128 << 20

// Senders finds the sender of a company's emails.
type Senders interface {
	// EmailSender returns the sender of emails when neither the rule nor the company
	// has one; empty if there is none.
	EmailSender(ctx context.Context, a *v1alpha1.CompanyActivation) (string, error)
}

// Dispatcher decides events. It is a manager.Runnable.
type Dispatcher struct {
	Options
	slots      *slots
	processors *flow.Budget
	languages  *languageCache
	previews   *flow.Budget
	needs      needs
	decided    *prometheus.CounterVec
}

// New returns a dispatcher and registers its metrics.
func New(o Options) (*Dispatcher, error) {
	if o.Concurrency <= 0 {
		o.Concurrency = 64
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Memory == nil {
		o.Memory = flow.NewBudget(DefaultMemory)
	}
	d := &Dispatcher{Options: o, slots: newSlots(o.Concurrency), languages: newLanguageCache(), processors: newProcessors(o.Memory.Total()), previews: flow.NewBudget(maxPreviews), decided: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "rehive_extension",
		Name:      "events_dispatched_total",
		Help:      "Events that were decided, put back, quarantined or given up, by outcome.",
	}, []string{"outcome"})}
	if o.Registerer != nil {
		if err := o.Registerer.Register(d.decided); err != nil {
			return nil, fmt.Errorf("registering the dispatcher's metrics: %w", err)
		}
	}
	return d, nil
}

// NeedLeaderElection says that every replica dispatches.
func (d *Dispatcher) NeedLeaderElection() bool { return false }

// Start claims and decides events until ctx is done. It then releases events in progress,
// undecided. Call it once.
func (d *Dispatcher) Start(ctx context.Context) error {
	decide := func(event ledger.ClaimedEvent) {
		go func() {
			defer d.slots.release(event.Company)
			d.dispatch(ctx, event)
		}()
	}
	// While the ledger has no pending events, new ones need no claim. Large events, and those
	// for which there is no free slot, go through the ledger: it is fair between companies,
	// and holds events until there is memory for them.
	var upToDate atomic.Bool
	d.Ledger.HandOver(&ledger.Handover{
		Lease: lease,
		Reserve: func(company string, size int) bool {
			if size > ledger.MaxClaimedData {
				return false
			}
			if upToDate.Load() && d.slots.tryTake(company) {
				return true
			}
			upToDate.Store(false)
			return false
		},
		Take:    decide,
		Release: d.slots.release,
	})
	defer func() {
		d.Ledger.HandOver(nil)
		d.slots.drain(d.Concurrency)
	}()
	for ctx.Err() == nil {
		// Claim no more than can be started: the lease of an event that waits in memory runs out.
		room := d.slots.reserve(ctx)
		if room == nil {
			return nil
		}
		limit := room.limit()
		room.claim.Lease = lease
		err := room.admit(d.Ledger.DueEventLanes(ctx))
		var events []ledger.ClaimedEvent
		if err == nil && len(room.claim.Lanes) > 0 {
			events, err = d.Ledger.ClaimEvents(ctx, room.claim)
		}
		room.settle(events)
		for _, event := range events {
			decide(event)
		}
		if err != nil && ctx.Err() == nil {
			d.Log.Error(err, "Claiming events failed; retrying")
			pause(ctx, claimRetry)
		}
		switch {
		case room.bounded():
			upToDate.Store(false)
			d.waitForShare(ctx)
		case len(events) < limit: // otherwise there may be more
			upToDate.Store(err == nil)
			d.wait(ctx)
		}
	}
	return nil
}

// waitForShare returns when a company at its share of the slots may get more, or another
// company may have events.
func (d *Dispatcher) waitForShare(ctx context.Context) {
	timer := time.NewTimer(shareWait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
		return
	case <-d.slots.freed:
	case <-d.Ledger.EventsReady():
	}
	time.Sleep(gather)
}

// wait returns when there may be something to claim.
func (d *Dispatcher) wait(ctx context.Context) {
	select {
	case <-d.Ledger.EventsReady():
		time.Sleep(gather)
		return
	default:
	}
	pause := idle
	if due, ok, err := d.Ledger.NextEventDue(ctx); err == nil && ok {
		pause = min(idle, max(due, 10*time.Millisecond))
	}
	timer := d.Clock.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	case <-d.Ledger.EventsReady():
		// In real time, whatever the clock: it only saves work.
		time.Sleep(gather)
	}
}

// dispatch decides one event and records the outcome.
func (d *Dispatcher) dispatch(ctx context.Context, event ledger.ClaimedEvent) {
	trace := d.Traces.Event(event.Company, event.ID)
	ctx, span := trace.Process(ctx, event.Name, event.Attempts, notify.IsOwnEvent(event.Name))
	defer span.End()
	var memory flow.Grant
	err := d.resolveReplay(ctx, &event)
	if err == nil {
		memory, err = d.load(ctx, &event)
		defer memory.Release()
	}
	var deliveries []ledger.NewDelivery
	begun := time.Now()
	if err == nil {
		deliveries, err = d.decide(ctx, &event, &memory)
	}
	if subject, deleted := deletedUser(&event); deleted && (err == nil || errors.Is(err, catalog.ErrNotActive)) {
		deliveries, event.Sensitive = withoutSubject(deliveries, &subject), true
		if failed := d.erase(ctx, begun.Add(decideTimeout), subject, event.Key); failed != nil {
			err = fmt.Errorf("erasing a deleted user: %w", failed)
		}
	}
	if !errors.Is(err, errNoMemory) {
		d.needs.forget(event.Key)
	}

	// The outcome is recorded even while stopping, so that finished work is not lost.
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	// Most events have nothing to log.
	log := func() logr.Logger {
		log := d.Log.WithValues("company", event.Company, "event", event.Name, "eventID", event.ID)
		if trace.Recorded() {
			log = log.WithValues("traceID", trace.ID())
		}
		return log
	}
	outcome := "decided"
	var write func(context.Context) error
	var final finalError
	switch {
	case err == nil:
		write = func(ctx context.Context) error {
			err := d.Ledger.CompleteEvent(ctx, event, deliveries)
			switch {
			case errors.Is(err, ledger.ErrEventTooLarge):
				return d.Ledger.QuarantineEvent(ctx, event, reasonTooManyMessages, err.Error())
			case errors.Is(err, ledger.ErrNotFound):
				return d.Ledger.FailEvent(ctx, event, replayedEventGone)
			}
			return err
		}
	case ctx.Err() != nil || errors.Is(err, errNoMemory):
		outcome = "released"
		write = func(ctx context.Context) error { return d.Ledger.ReleaseEvent(ctx, event) }
	case errors.Is(err, catalog.ErrNotActive):
		outcome = "cancelled"
		write = func(ctx context.Context) error {
			event.Sensitive = true // nobody knows whether a rule for it is
			return d.Ledger.FailEvent(ctx, event, "the company is no longer active")
		}
	case errors.Is(err, ledger.ErrNotFound):
		outcome = "failed"
		write = func(ctx context.Context) error { return d.Ledger.FailEvent(ctx, event, replayedEventGone) }
	case errors.As(err, &final):
		outcome = "quarantined"
		log().Error(err, "Quarantining the event", "reason", final.reason)
		write = func(ctx context.Context) error {
			return d.Ledger.QuarantineEvent(ctx, event, final.reason, sentence(err))
		}
	case event.Age > giveUpAfter:
		outcome = "failed"
		event.Sensitive = d.isSensitive(record, &event)
		log().Error(err, "Giving the event up")
		write = func(ctx context.Context) error { return d.Ledger.FailEvent(ctx, event, err.Error()) }
	default:
		outcome = "retried"
		wait := backoff(event.Attempts, err)
		log().Info("Putting the event back", "reason", err.Error(), "for", wait.String())
		write = func(ctx context.Context) error { return d.Ledger.RetryEvent(ctx, event, wait, err.Error()) }
	}
	d.decided.WithLabelValues(outcome).Inc()
	span.Outcome(outcome, reasonOf(err), err != nil && outcome != "released")
	storing := time.Now()
	switch err := d.record(ctx, record, write); {
	case err == nil && outcome == "decided":
		trace.Sent(ctx, storing, len(deliveries))
		logFailures(log, deliveries)
	case err != nil && !errors.Is(err, ledger.ErrLeaseLost):
		// The event becomes due again when its lease ends.
		span.Fail("LedgerUnavailable")
		log().Error(err, "Recording what was decided")
	case err != nil:
		span.Fail("LeaseLost")
	}
}

// maxLoggedFailures is how many failed messages of one event are logged.
const maxLoggedFailures = 20

// logFailures logs the messages that could not be made, as the delivery worker logs those
// that could not be sent.
func logFailures(log func() logr.Logger, deliveries []ledger.NewDelivery) {
	failed := 0
	for i := range deliveries {
		if deliveries[i].FailReason == "" {
			continue
		}
		if failed++; failed <= maxLoggedFailures {
			log().Info("A message was not sent", "rule", deliveries[i].RuleName, "channel", deliveries[i].Channel, "outcome", "failed", "reason", deliveries[i].FailReason)
		}
	}
	if failed > maxLoggedFailures {
		log().Info("More messages of the event were not sent", "messages", failed-maxLoggedFailures)
	}
}

// isSensitive reports whether a rule of an event is sensitive. The event could not be
// decided; where its rules can't be found either, it counts as sensitive.
func (d *Dispatcher) isSensitive(ctx context.Context, event *ledger.ClaimedEvent) bool {
	if event.Name == notify.TriggerEvent {
		return event.Sensitive
	}
	company, err := d.Catalog.Activation(ctx, event.Company)
	if err != nil {
		return true
	}
	rules, _, err := d.Catalog.Rules(ctx, company, event.Name)
	return err != nil || slices.ContainsFunc(rules, func(r *catalog.Rule) bool { return r.Sensitive })
}

// sentence is an error with a capital and a full stop.
func sentence(err error) string { return notify.Capitalized(err.Error()) + "." }

// record writes an outcome. If the ledger is unavailable, because its disk is full for
// example, it retries until the lease ends, so that the event need not wait for that. A
// dispatcher that is stopping tries once.
func (d *Dispatcher) record(ctx, record context.Context, write func(context.Context) error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := write(record)
		if err == nil || !errors.Is(err, ledger.ErrUnavailable) || ctx.Err() != nil || record.Err() != nil {
			return err
		}
		pause(ctx, wait)
	}
}

// pause waits in real time, whatever the clock: it only saves work.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// finalError is an error that would recur at each attempt. The event is quarantined with
// the reason.
type finalError struct {
	error
	reason string
}

func (e finalError) Unwrap() error { return e.error }

// Reasons for quarantining an event at its first attempt.
const (
	// reasonTooLarge: the event would take more memory than it may.
	reasonTooLarge = "TooLarge"
	// reasonInvalidData: the event's data can't be read.
	reasonInvalidData = "InvalidData"
)

// errNoMemory means that there is no memory for an event yet.
var errNoMemory = errors.New("no memory is free for the event")

// load reserves memory for the event, and reads its data if the claim left it out. Release
// the grant even after an error.
func (d *Dispatcher) load(ctx context.Context, event *ledger.ClaimedEvent) (memory flow.Grant, err error) {
	ctx, cancel := context.WithTimeout(ctx, memoryTimeout)
	defer cancel()
	deferred := event.Size > len(event.Data)
	var cost int64
	if deferred {
		// Until the data is known, it counts as the most expensive of its length.
		cost = min(notify.MaxDataCost(event.Size), d.Memory.Share())
	} else if cost, err = notify.DataCost(event.Data); err != nil {
		return memory, finalError{err, reasonTooLarge}
	}
	messages := d.needs.of(event.Key)
	memory, err = d.Memory.Acquire(ctx, event.Company, min(cost+messages, max(cost, d.Memory.Share())))
	switch {
	case errors.Is(err, flow.ErrTooLarge):
		return memory, finalError{d.tooLarge(cost), reasonTooLarge}
	case err != nil:
		return memory, errNoMemory
	case !deferred:
		return memory, nil
	}
	source := *event
	if event.Replay != nil {
		source.Key = event.Replay.Of
	}
	if event.Data, err = d.Ledger.EventData(ctx, source); err != nil {
		return memory, fmt.Errorf("reading the event: %w", err)
	}
	if cost, err = notify.DataCost(event.Data); err != nil {
		return memory, finalError{err, reasonTooLarge}
	}
	if cost > d.Memory.Share() {
		return memory, finalError{d.tooLarge(cost), reasonTooLarge}
	}
	memory.Shrink(cost + messages)
	return memory, nil
}

func (d *Dispatcher) tooLarge(cost int64) error {
	return fmt.Errorf("the event's data would take %d bytes of memory, and %d are the most that one company may take: raise --memory-budget, or send less", cost, d.Memory.Share())
}

// decide evaluates the rules that an event is for. It marks the event as sensitive if one of them
// is.
func (d *Dispatcher) decide(ctx context.Context, claimed *ledger.ClaimedEvent, memory *flow.Grant) (deliveries []ledger.NewDelivery, err error) {
	defer func() {
		// An event must never crash the process, and then the next one that claims it.
		if p := recover(); p != nil {
			d.Log.Error(nil, "Deciding an event panicked; this is a bug", "event", claimed.Name, "stack", string(debug.Stack()))
			deliveries, err = nil, errors.New("deciding the event failed for an internal reason")
		}
	}()
	switch claimed.Name {
	case notify.TriggerEvent:
		return d.trigger(ctx, claimed, memory)
	case notify.DigestEvent:
		return d.digest(ctx, claimed, memory)
	default:
		return d.evaluate(ctx, claimed, memory)
	}
}

// evaluate evaluates every rule for an event of the platform.
func (d *Dispatcher) evaluate(ctx context.Context, claimed *ledger.ClaimedEvent, memory *flow.Grant) (deliveries []ledger.NewDelivery, err error) {
	ctx, cancel := context.WithTimeout(ctx, decideTimeout)
	defer cancel()
	company, err := d.Catalog.Activation(ctx, claimed.Company)
	if err != nil {
		return nil, err
	}
	if err := d.endBounces(ctx, claimed); err != nil {
		return nil, err
	}
	messages := messageMemory{d: d, grant: memory, key: claimed.Key}
	if messages.data, err = notify.DataCost(claimed.Data); err != nil {
		return nil, finalError{err, reasonTooLarge}
	}
	var standIns []ledger.NewDelivery // behind those that they stand in for
	err = d.decideAll(ctx, company, claimed.Event, func(decider *decider, rule *catalog.Rule, decision notify.Decision) error {
		claimed.Sensitive = claimed.Sensitive || rule.Sensitive
		if err := messages.add(&decision); err != nil {
			return err
		}
		deliveries = appendDecision(deliveries, company.Namespace, rule, decision)
		if rule.Fallback == "" || claimed.Replay != nil {
			return nil
		}
		f := fallbacks{d: d, company: company, decider: decider, claimed: claimed, messages: &messages, deliveries: &standIns}
		return f.add(ctx, rule, &decision)
	})
	return append(deliveries, standIns...), err
}

// decideAll evaluates every rule for an event of an active company, and passes each decision
// on.
func (d *Dispatcher) decideAll(ctx context.Context, company *v1alpha1.CompanyActivation, of ledger.Event, each func(*decider, *catalog.Rule, notify.Decision) error) error {
	rules, beyond, err := d.Catalog.Rules(ctx, company, of.Name)
	if err != nil || len(rules) == 0 {
		return err
	}
	decider, err := d.newDecider(ctx, company, of, of.Data, rules, d.computedOf(company, of))
	if err != nil {
		return err
	}
	poison(of.Data)
	for i, rule := range rules {
		decision, err := d.traceRule(ctx, i, rule, decider)
		if err != nil {
			return fmt.Errorf("rule %s: %w", rule.Name, err)
		}
		if err := each(decider, rule, decision); err != nil {
			return err
		}
	}
	if beyond == nil {
		return nil
	}
	left := &catalog.Rule{UID: beyond.UID, Name: beyond.Name, Channel: beyond.Channel}
	return each(decider, left, notify.Decision{NotSent: []notify.NotSent{{
		Reason: notify.TooManyRules,
		Detail: fmt.Sprintf("the company has %d rules for this event, and only the %d oldest are looked at: delete or merge some", beyond.Count, catalog.MaxRules),
	}}})
}

// traceRule is decideRule in a span of its own, for the first rules of a traced event.
func (d *Dispatcher) traceRule(ctx context.Context, number int, rule *catalog.Rule, decider *decider) (notify.Decision, error) {
	var span tracing.Span
	if number < tracing.MaxRules {
		ctx, span = tracing.Rule(ctx, rule.Namespace, rule.Name, string(rule.Channel))
		defer span.End()
	}
	decision, err := d.decideRule(ctx, rule, decider.event, decider.sender)
	if !span.Recorded() {
		return decision, err
	}
	span.Messages(len(decision.Messages))
	if err != nil {
		span.Fail(reasonOf(err))
	}
	// One reason says enough; the log of the API has all.
	if len(decision.NotSent) > 0 {
		first := &decision.NotSent[0]
		span.Outcome("", string(first.Reason), first.Reason.Failure())
	}
	return decision, err
}

// reasonOf returns a code for why an event could not be decided.
func reasonOf(err error) string {
	var final finalError
	var platform *rehive.Error
	switch {
	case errors.As(err, &final):
		return final.reason
	case errors.Is(err, errNoMemory):
		return "NoMemory"
	case errors.Is(err, catalog.ErrNotActive):
		return ledger.ReasonCompanyInactive
	case errors.As(err, &platform) && platform.Status != 0:
		return strconv.Itoa(platform.Status)
	case errors.Is(err, context.DeadlineExceeded):
		return "Timeout"
	}
	return ""
}

// computedOf returns a function that reads what templates read as computed for an event.
func (d *Dispatcher) computedOf(company *v1alpha1.CompanyActivation, of ledger.Event) func(context.Context) (*python.Dict, error) {
	return func(ctx context.Context) (*python.Dict, error) {
		token, err := d.Catalog.Token(ctx, company)
		if err != nil {
			return nil, err
		}
		return computed(ctx, d.Platform.WithToken(token).Paced(), of.Name, of.Data)
	}
}

// decider holds what the evaluation of an event's rules needs.
type decider struct {
	d         *Dispatcher
	namespace string // of the rules
	event     *notify.Event
	sender    string // of emails if neither rule nor company has one
	compute   *computing
	// optedOut returns the UIDs of the rules that users opted out of, by user.
	optedOut func(ctx context.Context, users []string) (map[string][]string, error)
}

// newDecider prepares the evaluation of a company's rules for an event, with data that may
// differ from the event's. Computed may be nil.
func (d *Dispatcher) newDecider(ctx context.Context, company *v1alpha1.CompanyActivation, of ledger.Event, data []byte, rules []*catalog.Rule, computed func(context.Context) (*python.Dict, error)) (*decider, error) {
	profile := company.Profile()
	info := notify.Company{
		ID:           company.Spec.Company,
		Name:         profile.Name,
		SystemEmail:  profile.SystemEmail,
		Logo:         profile.Logo,
		Website:      profile.Website,
		SupportEmail: profile.SupportEmail,
		PushDisabled: !company.IsPushEnabled(),
	}
	event, err := notify.NewEvent(of.Name, info, data, d.Clock.Now(), computed)
	if err != nil {
		return nil, finalError{err, reasonInvalidData}
	}
	decider := &decider{
		d: d, namespace: company.Namespace, event: event, sender: d.DefaultFrom,
		compute: &computing{processors: d.processors, company: of.Company, piece: computeTime, left: eventComputeTime},
	}
	event.Compute = decider.compute.compute
	if !of.ReceivedAt.IsZero() {
		event.Age = d.Clock.Since(of.ReceivedAt)
	}
	decider.optedOut = func(ctx context.Context, users []string) (map[string][]string, error) {
		named, uids := make([]ledger.Rule, len(rules)), make(map[string]string, len(rules))
		for i, rule := range rules {
			named[i] = ledger.Rule{Name: company.Namespace + "/" + rule.Name, UID: rule.UID}
			uids[named[i].Name] = rule.UID
		}
		out, err := d.Ledger.OptedOut(ctx, of.Company, users, named)
		for _, of := range out {
			for i, name := range of {
				of[i] = uids[name]
			}
		}
		return out, err
	}
	event.OptedOut = decider.optedOut
	event.Suppressed = d.suppressedOf(of.Company)
	event.Languages = d.languagesOf(company, event.Age)
	if guard := d.TestMode.Of(company); guard != nil {
		event.TestMode = guard
	}
	if d.Senders != nil {
		own, err := d.Senders.EmailSender(ctx, company)
		if err != nil {
			return nil, fmt.Errorf("finding the sender of the company's emails: %w", err)
		}
		if own != "" {
			decider.sender = own
		}
	}
	return decider, nil
}

// decideRule evaluates one rule. A panic is the rule's own decision, so that the others
// send.
func (d *Dispatcher) decideRule(ctx context.Context, rule *catalog.Rule, event *notify.Event, sender string) (decision notify.Decision, err error) {
	defer func() {
		if p := recover(); p != nil {
			// Only the type: the value may hold the event's data.
			d.Log.Error(fmt.Errorf("panic of type %T", p), "Deciding a rule panicked; this is a bug", "rule", rule.Name, "event", event.Name, "stack", string(debug.Stack()))
			decision, err = notify.Decision{NotSent: []notify.NotSent{{
				Reason: notify.InternalError,
				Detail: "the rule could not be decided because of a bug in the operator; its log says more",
			}}}, nil
		}
	}()
	if d.Unsubscribe != nil {
		event.UnsubscribeURL = func(user string) string {
			return d.Unsubscribe(event.Company.ID, user, rule.Namespace+"/"+rule.Name)
		}
	}
	return rule.Compiled.Decide(ctx, event, sender)
}

func appendDecision(deliveries []ledger.NewDelivery, namespace string, rule *catalog.Rule, decision notify.Decision) []ledger.NewDelivery {
	base := ledger.NewDelivery{RuleName: namespace + "/" + rule.Name, Channel: string(rule.Channel)}
	for _, message := range decision.Messages {
		delivery := base
		delivery.Channel = string(message.Channel)
		delivery.Recipient, delivery.UserID = message.Recipient, message.User
		delivery.Content = ledger.Content{From: message.From, Subject: message.Subject, Text: message.Text, HTML: message.HTML, SMS: ledger.SMSOptions(message.SMS)}
		delivery.ValidFor, delivery.Sensitive = rule.ValidFor, rule.Sensitive
		if rule.Throttle != nil {
			delivery.Throttle = throttleOf(namespace, rule, &message)
		}
		deliveries = append(deliveries, delivery)
	}
	for _, not := range decision.NotSent {
		delivery := base
		if not.Channel != "" {
			delivery.Channel = string(not.Channel)
		}
		delivery.Recipient, delivery.UserID = not.Recipient, not.User
		if not.Reason.Failure() {
			delivery.FailReason, delivery.FailMessage = string(not.Reason), not.Detail
		} else {
			delivery.SkipReason, delivery.SkipMessage = string(not.Reason), not.Detail
		}
		deliveries = append(deliveries, delivery)
	}
	return deliveries
}

// throttleOf returns the limit for a message of a rule with a throttle.
func throttleOf(namespace string, rule *catalog.Rule, m *notify.Message) *ledger.Throttle {
	return &ledger.Throttle{
		Key: ledger.RecipientKey(string(m.Channel), m.Recipient), Messages: int64(rule.Throttle.Messages), Period: rule.Throttle.Period(),
		Digest: digestOf(namespace, rule, m),
	}
}

// backoff is how long an event waits after its attempt, counted from 1: about a
// second at first, doubling, and never less than the platform asked for. An event
// that was held back, because the company's calls are paced, waits a minute at most: the
// next call may be allowed soon.
func backoff(attempt int, err error) time.Duration {
	longest := maxBackoff
	if rehive.IsHeldBack(err) {
		longest = maxTurnWait
	}
	wait := longest
	if attempt < 12 {
		wait = min(longest, time.Second<<max(attempt-1, 0))
	}
	wait = wait/2 + rand.N(wait)
	after := rehive.RetryAfter(err)
	return max(wait, after+rand.N(after/4+1))
}
