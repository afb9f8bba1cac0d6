// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/ledger"
)

// RulePolicy is what a rule says about sending its messages.
type RulePolicy struct {
	// IgnoreSuppressions sends to recipients who don't want messages.
	IgnoreSuppressions bool
	// StopUnknown doesn't send a message again whose outcome is unknown.
	StopUnknown bool
}

// Rules know what rules say about sending. They are asked only where it matters.
type Rules interface {
	// RulePolicy returns the policy of a company's rule, by its namespace/name; the zero
	// policy if the rule doesn't exist any more.
	RulePolicy(ctx context.Context, company, rule string) (RulePolicy, error)
}

// RulesFunc implements [Rules].
type RulesFunc func(ctx context.Context, company, rule string) (RulePolicy, error)

// RulePolicy implements [Rules].
func (f RulesFunc) RulePolicy(ctx context.Context, company, rule string) (RulePolicy, error) {
	return f(ctx, company, rule)
}

// Suppressions are the recipients to whom nothing is sent. The zero value has none.
type Suppressions struct {
	Ledger ledger.Suppressions
	Rules  Rules
	Log    logr.Logger
}

// Of returns why nothing is sent to the recipient of a delivery; empty if it is sent. It
// costs no query for a company that has suppressed nobody on the channel.
func (s *Suppressions) Of(ctx context.Context, d *ledger.Delivery) (ledger.SuppressionReason, error) {
	if s == nil || s.Ledger == nil {
		return "", nil
	}
	found, err := s.Ledger.SuppressedAmong(ctx, d.Company, d.Channel, d.Recipient)
	reason := found[d.Recipient]
	if err != nil || reason == "" {
		return "", err
	}
	if !reason.Hard() && s.Rules != nil {
		policy, err := s.Rules.RulePolicy(ctx, d.Company, d.RuleName)
		if err != nil || policy.IgnoreSuppressions {
			return "", err
		}
	}
	return reason, nil
}

// add suppresses the recipient of a delivery whose address has a fault. If that fails, the
// next message to it tries again.
func (s *Suppressions) add(ctx context.Context, d *ledger.Delivery, fault provider.Fault) {
	if s == nil || s.Ledger == nil {
		return
	}
	reason := ledger.SuppressionReason(fault)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTimeout)
	defer cancel()
	one := ledger.Suppression{Company: d.Company, Channel: d.Channel, Address: d.Recipient, Reason: reason, Source: ledger.SourceProvider}
	if err := s.Ledger.Suppress(ctx, one, reason.KeepFor()); err != nil {
		s.Log.Error(err, "A recipient could not be suppressed", "company", d.Company, "delivery", d.ID, "reason", reason)
		return
	}
	s.Log.Info("A recipient was suppressed", "company", d.Company, "delivery", d.ID, "channel", d.Channel, "reason", reason)
}

// suppressed ends a delivery whose recipient is suppressed, and reports whether it did.
func (w *Worker) suppressed(sending context.Context, d ledger.ClaimedDelivery) bool {
	reason, err := w.o.Suppressions.Of(sending, &d.Delivery)
	switch {
	case err != nil:
		w.o.Log.Error(err, "Reading the suppression list failed; the delivery waits", "company", d.Company, "delivery", d.ID)
		w.postpone(sending, d, jitter(unsureWait), "SuppressionUnknown", "The suppression list could not be read.")
		return true
	case reason == "":
		return false
	}
	w.record(sending, d, outcomeSuppressed, ledger.ReasonSuppressed, func(c context.Context) error {
		return w.o.Ledger.SkipDelivery(c, d, ledger.ReasonSuppressed, fmt.Sprintf("The recipient is on the company's suppression list (%s).", reason))
	})
	return true
}

// stopsUnknown reports whether a delivery's rule forbids to send it again although its
// outcome is unknown.
func (w *Worker) stopsUnknown(ctx context.Context, d *ledger.Delivery) (bool, error) {
	if w.o.Rules == nil {
		return false, nil
	}
	policy, err := w.o.Rules.RulePolicy(ctx, d.Company, d.RuleName)
	return policy.StopUnknown, err
}

// unknown handles a delivery that the provider may or may not have accepted.
func (w *Worker) unknown(sending context.Context, d ledger.ClaimedDelivery, route *Route, message string) {
	log := w.o.Log.WithValues("company", d.Company, "delivery", d.ID, "channel", d.Channel, "attempt", d.Attempts)
	if d.Reason == provider.ReasonOutcomeUnknown {
		w.fail(sending, d, outcomeUnknown, provider.ReasonOutcomeUnknown, "It was sent twice, and both times the outcome is unknown: it may have arrived. "+message)
		return
	}
	stop, err := w.stopsUnknown(sending, &d.Delivery)
	if err != nil {
		// It waits in any case. Then the rule is read again.
		log.Error(err, "Reading the rule of a delivery failed")
	}
	if stop && route.Asker == nil {
		w.fail(sending, d, outcomeUnknown, provider.ReasonOutcomeUnknown, "It may have arrived, and the rule's onUnknownOutcome doesn't let it be sent again. "+message)
		return
	}
	log.Info("The outcome of a delivery is unknown; it is looked at again much later", "sentAgain", !stop)
	w.retry(sending, d, jitter(w.unknownWait(&d)), provider.ReasonOutcomeUnknown, message)
}

// unknownWait is about how long a delivery whose outcome is unknown waits. One that expires
// waits for a part of its time only, so that a code that didn't arrive can still be used.
func (w *Worker) unknownWait(d *ledger.ClaimedDelivery) time.Duration {
	if d.ExpiresAt.IsZero() {
		return unknownWait
	}
	return min(unknownWait, max(w.validity(d)/4, time.Second))
}

// settle finds out about a delivery that an earlier attempt may have handed over, and
// reports whether that ended it. Otherwise it may be sent.
func (w *Worker) settle(sending context.Context, d ledger.ClaimedDelivery) (ended bool) {
	interrupted := d.Unfinished > 0 && d.Reason != provider.ReasonOutcomeUnknown
	if d.Reason != provider.ReasonOutcomeUnknown && !interrupted {
		return false
	}
	stop, err := w.stopsUnknown(sending, &d.Delivery)
	if err != nil {
		w.o.Log.Error(err, "Reading the rule of a delivery failed; the delivery waits", "company", d.Company, "delivery", d.ID)
		w.postpone(sending, d, jitter(unsureWait), "RuleUnknown", "The rule of the message could not be read.")
		return true
	}
	if interrupted && !stop {
		return false // as likely as not, it was never sent
	}
	ctx, cancel := context.WithTimeout(sending, w.o.SendTimeout)
	defer cancel()
	route, err := w.o.Routes.Route(ctx, d.Company, d.Channel)
	if err != nil {
		return false // sending says what is wrong
	}
	const mayHave = "It may have arrived, and the rule's onUnknownOutcome doesn't let it be sent again."
	if interrupted {
		w.unknown(sending, d, &route, "An attempt to send it was interrupted.")
		return true
	}
	known, receipt, found := false, provider.Receipt{}, false
	if route.Asker != nil {
		receipt, found, err = route.Asker.Find(ctx, message(&d, 0))
		known = err == nil
		if err != nil {
			w.o.Log.V(1).Info("The provider doesn't say whether it accepted a message", "company", d.Company, "delivery", d.ID, "reason", err.Error())
		}
	}
	switch {
	case found:
		w.record(sending, d, outcomeSent, "", func(c context.Context) error { return w.o.Ledger.MarkSent(c, d, receipt.ID) })
		return true
	case stop && !known:
		w.fail(sending, d, outcomeUnknown, provider.ReasonOutcomeUnknown, mayHave)
		return true
	}
	return false
}

// message is a delivery as a provider gets it.
func message(d *ledger.ClaimedDelivery, validFor time.Duration) provider.Message {
	return provider.Message{
		Key: Key(&d.Delivery), Delivery: d.ID, Company: d.Company,
		From: d.Content.From, To: d.Recipient,
		Subject: d.Content.Subject, Text: d.Content.Text, HTML: d.Content.HTML,
		SMS:  provider.SMSOptions(d.Content.SMS),
		Rule: d.RuleName, User: d.UserID,
		Date: d.CreatedAt, ValidFor: validFor,
	}
}

// faultOf returns what is wrong with the recipient's address according to an error.
func faultOf(err error) provider.Fault {
	var e *provider.Error
	if errors.As(err, &e) {
		return e.Fault
	}
	return ""
}
