// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"

	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/expression"
)

// Decide evaluates the rule for an event, in the order of the cost: the policies that need
// only the rule, its expression, the policies that need no recipient, the recipients, the
// policies for each of them, and the texts if anyone is left. defaultFrom is the sender
// of emails if neither the rule nor the company has one; it may be empty.
//
// An error means that no decision is possible now, because data of the platform or of the
// ledger can't be read or the context ended: try again later. Everything else is a Decision,
// including a rule that fails on this event.
func (c *Compiled) Decide(ctx context.Context, event *Event, defaultFrom string) (Decision, error) {
	in := policyInput{rule: c, event: event}
	if reason, detail, ok := allowed(beforeExpression, &in); !ok {
		return Decision{NotSent: []NotSent{{Reason: reason, Detail: detail}}}, nil
	}
	r := c.Rule
	if event.to == nil {
		if send, decision, err := r.evaluate(ctx, event); !send || err != nil {
			return decision, err
		}
	} else if !r.sendsOn(event.to.channel) {
		return r.notSent(event, DigestRemoved, "the notification is no longer sent on the channel whose messages were collected"), nil
	}
	if reason, detail, ok := allowed(beforeRendering, &in); !ok {
		return r.notSent(event, reason, detail), nil
	}

	values, err := event.values(ctx, r.messageReadsComputed)
	if err != nil {
		return Decision{}, err
	}
	var to []addressee
	var user string
	var decision Decision
	var failed error
	if event.to != nil {
		to, user = []addressee{*event.to}, event.to.user
	} else if err = event.compute(ctx, func(ctx context.Context) error {
		to, user, decision, failed = r.addressees(ctx, event, values)
		return ctx.Err()
	}); err != nil {
		return r.tooSlow(event, "rendering the recipients", err)
	}
	if failed != nil {
		return r.renderFailed(event, failed), nil //nolint:nilerr // a failing template is a decision
	}
	if to, err = permitted(ctx, &in, to, &decision); err != nil {
		return decision, err
	}
	if to = redirected(&in, to, &decision); len(to) == 0 {
		return decision, nil
	}

	groups, err := r.byLanguage(ctx, event, to)
	if err != nil {
		return Decision{}, err
	}
	r.setUnsubscribeURL(event, user)
	var written Decision
	err = event.compute(ctx, func(ctx context.Context) error {
		written, failed = Decision{}, nil
		for _, group := range groups {
			var some Decision
			if some, failed = r.write(ctx, event, values, user, group.texts, group.to, defaultFrom); failed != nil {
				break
			}
			written.Messages = append(written.Messages, some.Messages...)
			written.NotSent = append(written.NotSent, some.NotSent...)
		}
		return ctx.Err()
	})
	if err != nil {
		return r.tooSlow(event, "rendering the message", err)
	}
	if failed != nil {
		return r.renderFailed(event, failed), nil //nolint:nilerr // a failing template is a decision
	}
	written.NotSent = append(decision.NotSent, written.NotSent...)
	return written, nil
}

// evaluate evaluates the expression. The decision is why the rule doesn't send.
func (r *Rule) evaluate(ctx context.Context, event *Event) (send bool, decision Decision, err error) {
	values, err := event.values(ctx, r.expressionReadsComputed)
	if err != nil {
		return false, Decision{}, err
	}
	options := expression.EvaluateOptions{Now: event.clock}
	if event.Trace != nil {
		*event.Trace = Trace{}
		options.Trace = &event.Trace.Expression
	}
	var verdict expression.Verdict
	err = event.compute(ctx, func(ctx context.Context) error {
		verdict = r.expression.Evaluate(ctx, values, options)
		return ctx.Err()
	})
	if err != nil {
		decision, err = r.tooSlow(event, "evaluating the expression", err)
		return false, decision, err
	}
	if event.Trace != nil {
		event.Trace.Verdict = &verdict.Send
	}
	if verdict.Fault != nil {
		event.failed("spec.expression", verdict.Fault)
		return false, r.notSent(event, ExpressionFault, verdict.Fault.Error()), nil //nolint:nilerr // a failing expression is a decision
	}
	if !verdict.Send {
		return false, r.notSent(event, ExpressionFalse, ""), nil
	}
	return true, Decision{}, nil
}

// renderFailed returns the decision if a template fails on the event.
func (r *Rule) renderFailed(event *Event, err error) Decision {
	event.failed(r.failedField(err), err)
	return r.notSent(event, RenderFailed, err.Error())
}

// failedField returns the path of the field whose template failed.
func (r *Rule) failedField(err error) string {
	var inLayout *layoutError
	if errors.As(err, &inLayout) {
		return "spec." + string(r.channel) + ".layoutRef"
	}
	var failed *django.Error
	if errors.As(err, &failed) {
		return failed.Template // templates are named after their fields
	}
	return "spec." + string(r.channel)
}

// tooSlow returns the decision if the computation can't finish in time, however often it is
// tried. Other errors are returned.
func (r *Rule) tooSlow(event *Event, doing string, err error) (Decision, error) {
	if errors.Is(err, ErrTooSlow) || errors.Is(err, ErrEventTooSlow) {
		return r.notSent(event, TooSlow, doing+": "+err.Error()), nil
	}
	return Decision{}, fmt.Errorf("%s: %w", doing, err)
}

// notSent returns a decision that is made before the recipients are known.
func (r *Rule) notSent(event *Event, reason Reason, detail string) Decision {
	user := ""
	if r.user == nil && (r.channel == ChannelEmail || r.channel == ChannelSMS) {
		user = event.user()
	}
	return Decision{NotSent: []NotSent{{User: user, Reason: reason, Detail: detail}}}
}
