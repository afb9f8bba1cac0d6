// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"fmt"
	"slices"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// policy decides whether a rule may send. Otherwise it returns the reason that the ledger
// records and a sentence for people, which never contains the event's data. It is a pure
// function.
type policy func(*policyInput) (reason Reason, detail string, ok bool)

// policyInput is what a policy can base its decision on.
type policyInput struct {
	rule  *Compiled
	event *Event
	to    addressee // only in beforeWriting
}

// addresseePolicy is a policy for one recipient.
type addresseePolicy struct {
	allows policy
	// gather reads, for all recipients at once, what allows needs of other systems and
	// stores it in the event. It is nil if there is nothing to read. Its error means that no
	// decision is possible now.
	gather func(context.Context, *policyInput, []addressee) error
}

// The policies, in the order in which they are evaluated. The first refusal decides.
var (
	// beforeExpression need only the rule.
	beforeExpression = []policy{ruleEnabled, ruleValid}
	// beforeRendering are evaluated if the expression is true. They decide whether the rule
	// may send at all.
	beforeRendering = []policy{notMuted, notExpired, layoutUsable}
	// beforeWriting are evaluated for each recipient, before the texts are rendered.
	beforeWriting = []addresseePolicy{
		{allows: pushEnabled},
		{allows: notOptedOut, gather: gatherOptOuts},
		{allows: allowedInTestMode, gather: gatherTestMode},
		{allows: notSuppressed, gather: gatherSuppressed},
	}
)

// allowed evaluates a chain of policies.
func allowed(chain []policy, in *policyInput) (reason Reason, detail string, ok bool) {
	for _, allows := range chain {
		if reason, detail, ok := allows(in); !ok {
			return reason, detail, false
		}
	}
	return "", "", true
}

// permitted returns the recipients whom all policies allow, and adds the others to the
// decision. A policy reads nothing for recipients whom an earlier one refused.
func permitted(ctx context.Context, in *policyInput, to []addressee, decision *Decision) ([]addressee, error) {
	for _, policy := range beforeWriting {
		if policy.gather != nil && len(to) > 0 {
			if err := policy.gather(ctx, in, to); err != nil {
				return nil, err
			}
		}
		to = slices.DeleteFunc(to, func(a addressee) bool {
			in.to = a
			reason, detail, ok := policy.allows(in)
			if !ok {
				decision.add(NotSent{Channel: a.channel, Recipient: a.recipient, User: a.user, Reason: reason, Detail: detail})
			}
			return !ok
		})
	}
	return to, nil
}

func ruleEnabled(in *policyInput) (reason Reason, detail string, ok bool) {
	return RuleDisabled, "spec.enabled is false", !in.rule.Disabled
}

func ruleValid(in *policyInput) (reason Reason, detail string, ok bool) {
	if in.rule.Rule != nil {
		return "", "", true
	}
	return RuleInvalid, in.rule.Problems.Error(), false
}

// notMuted is evaluated after the expression, so that the log has one entry for each message
// that would have been sent.
func notMuted(in *policyInput) (reason Reason, detail string, ok bool) {
	if in.rule.MutedUntil.IsZero() || !in.event.now.Before(in.rule.MutedUntil) {
		return "", "", true
	}
	return Muted, in.rule.Muted, false
}

func notExpired(in *policyInput) (reason Reason, detail string, ok bool) {
	validFor := in.rule.Rule.validFor
	return Expired, "the event waited until its messages were no longer valid: see spec.expiresAfter",
		validFor == 0 || in.event.Age < validFor
}

func layoutUsable(in *policyInput) (reason Reason, detail string, ok bool) {
	problem := in.rule.LayoutProblem
	if problem == nil {
		return "", "", true
	}
	return RuleInvalid, problem.Error(), false
}

func pushEnabled(in *policyInput) (reason Reason, detail string, ok bool) {
	return PushDisabled, "spec.pushEnabled of the CompanyActivation is false",
		in.to.channel != ChannelPush || !in.event.Company.PushDisabled
}

// notOptedOut also prevents the in-app copy, which belongs to the same notification for the
// user.
func notOptedOut(in *policyInput) (reason Reason, detail string, ok bool) {
	rule := in.rule.Rule
	return OptedOut, "the user opted out of the rule's messages",
		!rule.preferenceEnabled || !slices.Contains(in.event.optedOut[in.to.user], rule.uid)
}

func allowedInTestMode(in *policyInput) (reason Reason, detail string, ok bool) {
	mode, channel := in.event.TestMode, v1alpha1.Channel(in.to.channel)
	switch {
	case mode == nil || in.event.testAllows[recipientKey{in.to.channel, in.to.recipient}]:
		return "", "", true
	case mode.RedirectTo(channel) != "":
		return TestModeOnly, "the company is in test mode on Rehive: the message went to the recipient of --test-mode-redirect", false
	}
	return TestModeOnly, "the company is in test mode on Rehive, and the recipient is not in --test-mode-allow", false
}

func gatherTestMode(ctx context.Context, in *policyInput, to []addressee) error {
	mode := in.event.TestMode
	if mode == nil {
		return nil
	}
	if in.event.testAllows == nil {
		in.event.testAllows = make(map[recipientKey]bool, len(to))
	}
	for i := range to {
		ok, err := mode.Allows(ctx, v1alpha1.Channel(to[i].channel), to[i].recipient)
		if err != nil {
			return fmt.Errorf("finding the recipients who are allowed in test mode: %w", err)
		}
		in.event.testAllows[recipientKey{to[i].channel, to[i].recipient}] = ok
	}
	return nil
}

// redirected adds the recipients who receive the messages that test mode withholds from
// others.
func redirected(in *policyInput, to []addressee, decision *Decision) []addressee {
	if in.event.TestMode == nil {
		return to
	}
	for _, not := range decision.NotSent {
		if not.Reason != TestModeOnly {
			continue
		}
		recipient := in.event.TestMode.RedirectTo(v1alpha1.Channel(not.Channel))
		if recipient != "" && !slices.ContainsFunc(to, func(a addressee) bool { return a.channel == not.Channel && a.recipient == recipient }) {
			to = append(to, addressee{not.Channel, recipient, not.User})
		}
	}
	return to
}

func gatherOptOuts(ctx context.Context, in *policyInput, to []addressee) error {
	if !in.rule.Rule.preferenceEnabled {
		return nil
	}
	users := make([]string, len(to))
	for i := range to {
		users[i] = to[i].user
	}
	return in.event.loadOptOuts(ctx, users)
}

// notSuppressed leaves in-app copies alone, which have no address.
func notSuppressed(in *policyInput) (reason Reason, detail string, ok bool) {
	s := in.event.suppressed[recipientKey{in.to.channel, in.to.recipient}]
	if s.Reason == "" || !s.Hard && in.rule.Rule.ignoreSuppressions {
		return "", "", true
	}
	return Suppressed, "the recipient is on the company's suppression list (" + s.Reason + ")", false
}

func gatherSuppressed(ctx context.Context, in *policyInput, to []addressee) error {
	if in.event.Suppressed == nil {
		return nil
	}
	for _, channel := range []Channel{ChannelEmail, ChannelSMS, ChannelPush} {
		var recipients []string
		for i := range to {
			if to[i].channel == channel {
				recipients = append(recipients, to[i].recipient)
			}
		}
		if err := in.event.loadSuppressed(ctx, channel, recipients); err != nil {
			return err
		}
	}
	return nil
}
