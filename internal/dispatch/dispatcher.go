// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dispatch turns the ledger's events into deliveries: it claims an
// event, asks every rule the event meets for a decision, and hands all
// deliveries back to the ledger in one transaction.
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/catalog"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/python"
	"github.com/rehive/extension-operator/internal/rehive"
)

const (
	// decideTimeout bounds the work on one event, with its calls of the platform.
	decideTimeout = 20 * time.Second
	// lease is how long a claimed event is kept from other workers. It leaves the
	// ledger time to store what was decided at the last moment.
	lease = decideTimeout + 20*time.Second
	// giveUpAfter is how long an event that can't be decided is tried again.
	giveUpAfter = 24 * time.Hour
	// maxBackoff is the longest wait between two tries.
	maxBackoff = 30 * time.Minute
	// maxTurnWait is that of an event that waits for its turn of the company's calls.
	maxTurnWait = time.Minute
	// idle is how often the ledger is asked though nothing said that there is
	// work: what another replica's death gave back comes up then.
	idle = 5 * time.Second
	// gather is how long events that just came wait for others: to claim and
	// complete several together costs hardly more than one.
	gather = 2 * time.Millisecond
	// claimRetry is how long a ledger is left alone that can't be claimed from.
	claimRetry = time.Second
)

// Options are what a Dispatcher works with. All but those that say otherwise
// are needed.
type Options struct {
	Ledger   *ledger.Store
	Catalog  *catalog.Catalog
	Platform *rehive.Client
	// DefaultFrom is the sender of emails when neither the rule nor the company
	// has one; it may be empty.
	DefaultFrom string
	// Senders know the sender of a company's own provider of emails, which goes
	// before DefaultFrom; may be nil.
	Senders Senders
	// Concurrency is how many events are decided at once; 64 if 0.
	Concurrency int
	// Clock tells the time and makes timers; the real one if nil.
	Clock clock.Clock
	// Registerer takes the metrics; none are registered if nil.
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// Senders know through whom, and so from whom, a company's emails go.
type Senders interface {
	// EmailSender returns the sender of emails when neither the rule nor the company
	// has one; empty if there is none.
	EmailSender(ctx context.Context, a *v1alpha1.CompanyActivation) (string, error)
}

// Dispatcher decides events. It is a manager.Runnable.
type Dispatcher struct {
	Options
	decided *prometheus.CounterVec
}

// New returns a dispatcher and registers its metrics.
func New(o Options) (*Dispatcher, error) {
	if o.Concurrency <= 0 {
		o.Concurrency = 64
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	d := &Dispatcher{Options: o, decided: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "rehive_extension",
		Name:      "events_dispatched_total",
		Help:      "Events that were decided, put back or given up, by outcome.",
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

// Start claims and decides events until ctx is done. Events in work are then
// given back, undecided, at once.
func (d *Dispatcher) Start(ctx context.Context) error {
	// Who decides an event holds a place in busy.
	busy := make(chan struct{}, d.Concurrency)
	decide := func(event ledger.ClaimedEvent) {
		go func() {
			defer func() { <-busy }()
			d.dispatch(ctx, event)
		}()
	}
	// While nothing waits in the ledger new events need no claim. Where there is more
	// than hands the ledger is asked, which is fair between companies.
	var upToDate atomic.Bool
	d.Ledger.HandOver(&ledger.Handover{
		Lease: lease,
		Reserve: func() bool {
			if upToDate.Load() && tryAcquire(busy) {
				return true
			}
			upToDate.Store(false)
			return false
		},
		Take:    decide,
		Release: func() { <-busy },
	})
	defer func() {
		d.Ledger.HandOver(nil)
		for range d.Concurrency { // until everybody is done
			busy <- struct{}{}
		}
	}()
	for ctx.Err() == nil {
		// Claim no more than can be begun: what waits in memory runs out of lease.
		select {
		case busy <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		room := 1
		for room < d.Concurrency && tryAcquire(busy) {
			room++
		}
		events, err := d.Ledger.ClaimEvents(ctx, room, lease)
		if err != nil && ctx.Err() == nil {
			d.Log.Error(err, "Claiming events failed; it is tried again")
			pause(ctx, claimRetry)
		}
		for range room - len(events) {
			<-busy
		}
		for _, event := range events {
			decide(event)
		}
		if len(events) < room { // else there may be more
			upToDate.Store(err == nil)
			d.wait(ctx)
		}
	}
	return nil
}

func tryAcquire(busy chan struct{}) bool {
	select {
	case busy <- struct{}{}:
		return true
	default:
		return false
	}
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
		// Real time, whatever the clock: it spares work and schedules nothing.
		time.Sleep(gather)
	}
}

// dispatch decides one event and records the outcome.
func (d *Dispatcher) dispatch(ctx context.Context, event ledger.ClaimedEvent) {
	deliveries, err := d.decide(ctx, event)

	// The outcome is recorded also while stopping: work that is done is not lost.
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease-decideTimeout)
	defer cancel()
	// Most events have nothing to log.
	log := func() logr.Logger {
		return d.Log.WithValues("company", event.Company, "event", event.Name, "eventID", event.ID)
	}
	outcome := "decided"
	var write func(context.Context) error
	switch {
	case err == nil:
		write = func(ctx context.Context) error { return d.Ledger.CompleteEvent(ctx, event, deliveries) }
	case ctx.Err() != nil:
		outcome = "released"
		write = func(ctx context.Context) error { return d.Ledger.ReleaseEvent(ctx, event) }
	case errors.Is(err, catalog.ErrNotActive):
		outcome = "cancelled"
		write = func(ctx context.Context) error {
			return d.Ledger.FailEvent(ctx, event, "the company is not active any more")
		}
	case event.Age > giveUpAfter:
		outcome = "failed"
		log().Error(err, "Giving the event up")
		write = func(ctx context.Context) error { return d.Ledger.FailEvent(ctx, event, err.Error()) }
	default:
		outcome = "retried"
		wait := backoff(event.Attempts, err)
		log().Info("Putting the event back", "reason", err.Error(), "for", wait.String())
		write = func(ctx context.Context) error { return d.Ledger.RetryEvent(ctx, event, wait, err.Error()) }
	}
	d.decided.WithLabelValues(outcome).Inc()
	if err := d.record(ctx, record, write); err != nil && !errors.Is(err, ledger.ErrLeaseLost) {
		// The lease runs out and the event comes up again.
		log().Error(err, "Recording what was decided")
	}
}

// record writes an outcome, again and again while the lease lasts if the ledger
// can't take it (its disk is full, say), so that the event need not wait for the
// lease's end. A dispatcher that stops tries once.
func (d *Dispatcher) record(ctx, record context.Context, write func(context.Context) error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := write(record)
		if err == nil || !errors.Is(err, ledger.ErrUnavailable) || ctx.Err() != nil || record.Err() != nil {
			return err
		}
		pause(ctx, wait)
	}
}

// pause is a moment of real time, whatever the clock: it spares work and schedules
// nothing.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// decide asks every rule that the event meets.
func (d *Dispatcher) decide(ctx context.Context, claimed ledger.ClaimedEvent) (deliveries []ledger.NewDelivery, err error) {
	ctx, cancel := context.WithTimeout(ctx, decideTimeout)
	defer cancel()
	defer func() {
		// One event must never end the process and, coming up again, end the next.
		if p := recover(); p != nil {
			d.Log.Error(nil, "Deciding an event panicked; this is a bug", "event", claimed.Name, "stack", string(debug.Stack()))
			deliveries, err = nil, errors.New("deciding the event failed for an internal reason")
		}
	}()

	company, err := d.Catalog.Activation(ctx, claimed.Company)
	if err != nil {
		return nil, err
	}
	rules, err := d.Catalog.Rules(ctx, company, claimed.Name)
	if err != nil || len(rules) == 0 {
		return nil, err
	}
	info := notify.Company{
		ID:          company.Spec.Company,
		Name:        company.Status.CompanyInfo.Name,
		SystemEmail: company.Status.CompanyInfo.SystemEmail,

		PushDisabled: !company.IsPushEnabled(),
	}
	event, err := notify.NewEvent(claimed.Name, info, claimed.Data, d.Clock.Now(), func(ctx context.Context) (*python.Dict, error) {
		token, err := d.Catalog.Token(ctx, company)
		if err != nil {
			return nil, err
		}
		return computed(ctx, d.Platform.WithToken(token).Paced(), claimed.Name, claimed.Data)
	})
	if err != nil {
		return nil, err
	}
	event.OptedOut = func(ctx context.Context, users []string) (map[string][]string, error) {
		uids := make([]string, len(rules))
		for i, rule := range rules {
			uids[i] = rule.UID
		}
		return d.Ledger.OptedOut(ctx, claimed.Company, users, uids)
	}
	sender := d.DefaultFrom
	if d.Senders != nil {
		own, err := d.Senders.EmailSender(ctx, company)
		if err != nil {
			return nil, fmt.Errorf("finding the sender of the company's emails: %w", err)
		}
		if own != "" {
			sender = own
		}
	}
	for _, rule := range rules {
		decision := notify.Decision{}
		switch {
		case rule.Disabled:
			decision.NotSent = []notify.NotSent{{Reason: notify.RuleDisabled, Detail: "spec.enabled is false"}}
		case rule.Compiled != nil:
			if decision, err = rule.Compiled.Decide(ctx, event, sender); err != nil {
				return nil, fmt.Errorf("rule %s: %w", rule.Name, err)
			}
		default:
			decision.NotSent = []notify.NotSent{{Reason: notify.RuleInvalid, Detail: rule.Problems.Error()}}
		}
		deliveries = appendDecision(deliveries, company.Namespace, rule, decision)
	}
	return deliveries, nil
}

func appendDecision(deliveries []ledger.NewDelivery, namespace string, rule *catalog.Rule, decision notify.Decision) []ledger.NewDelivery {
	base := ledger.NewDelivery{RuleUID: rule.UID, RuleName: namespace + "/" + rule.Name, Channel: string(rule.Channel)}
	for _, message := range decision.Messages {
		delivery := base
		delivery.Channel = string(message.Channel)
		delivery.Recipient, delivery.UserID = message.Recipient, message.User
		delivery.Content = ledger.Content{From: message.From, Subject: message.Subject, Text: message.Text, HTML: message.HTML}
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

// backoff is how long an event waits after its attempt, counted from 1: about a
// second at first, doubling, and never less than the platform asked for. An event
// for which the platform wasn't asked, because it wasn't the company's turn, waits a
// minute at most: the turns go on, and it should not miss one for long.
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
