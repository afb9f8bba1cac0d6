// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/catalog"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
)

// fallbacks evaluates the rules that stand in for others, for the same event and while its data
// is there: their messages wait in the ledger.
type fallbacks struct {
	d          *Dispatcher
	company    *v1alpha1.CompanyActivation
	decider    *decider
	claimed    *ledger.ClaimedEvent
	messages   *messageMemory
	deliveries *[]ledger.NewDelivery
}

// primary is a delivery that another one may replace.
type primary struct {
	of       ledger.Fallback
	user     string
	failed   bool // when it was decided
	ifUnread time.Duration
}

// add adds what stands in for the messages that a rule decided.
func (f *fallbacks) add(ctx context.Context, rule *catalog.Rule, decision *notify.Decision) error {
	primaries := f.primaries(rule, decision)
	seen := map[string]bool{rule.Name: true}
	for depth := 0; depth < v1alpha1.MaxFallbacks && rule.Fallback != "" && !seen[rule.Fallback] && len(primaries) > 0; depth++ {
		seen[rule.Fallback] = true
		next, err := f.d.Catalog.Rule(ctx, f.company, rule.Fallback)
		if err != nil {
			return fmt.Errorf("the fallback of rule %s: %w", rule.Name, err)
		}
		if next == nil {
			return nil // the rule's condition says so
		}
		decided, err := f.d.decideRule(ctx, next, f.decider.event, f.decider.sender)
		if err != nil {
			return fmt.Errorf("rule %s: %w", next.Name, err)
		}
		if err := f.messages.add(&decided); err != nil {
			return err
		}
		if len(decided.Messages) > 0 {
			f.claimed.Sensitive = f.claimed.Sensitive || next.Sensitive
		}
		primaries = f.standIn(next, &decided, primaries)
		rule = next
	}
	return nil
}

// primaries returns those deliveries of a rule that others may replace: its messages, and
// those that could not be rendered or are suppressed.
func (f *fallbacks) primaries(rule *catalog.Rule, decision *notify.Decision) (found []primary) {
	base := ledger.Fallback{RuleName: f.company.Namespace + "/" + rule.Name, Channel: string(rule.Channel)}
	for i := range decision.Messages {
		if m := &decision.Messages[i]; string(m.Channel) == string(rule.Channel) {
			p := primary{of: base, user: m.User, ifUnread: rule.FallbackIfUnread}
			p.of.Recipient = m.Recipient
			found = append(found, p)
		}
	}
	for i := range decision.NotSent {
		if not := &decision.NotSent[i]; (not.Reason.Failure() || not.Reason == notify.Suppressed) && (not.Channel == "" || string(not.Channel) == string(rule.Channel)) {
			p := primary{of: base, user: not.User, failed: true}
			p.of.Recipient = not.Recipient
			found = append(found, p)
		}
	}
	return found
}

// standIn adds the messages of a rule that stand in for others, and returns for what the next
// rule may stand in: them, and those others that have none. A message stands in for the first
// one to the same user; if the event names no users, for the first one.
func (f *fallbacks) standIn(rule *catalog.Rule, decided *notify.Decision, primaries []primary) []primary {
	var next []primary
	used := make([]bool, len(primaries))
	for _, d := range appendDecision(nil, f.company.Namespace, rule, notify.Decision{Messages: decided.Messages}) {
		at := matching(primaries, d.UserID)
		if at < 0 {
			continue
		}
		p := &primaries[at]
		of := p.of
		of.Waits, of.IfUnread = !p.failed, p.ifUnread
		d.Fallback, d.Throttle = &of, nil
		*f.deliveries = append(*f.deliveries, d)
		if d.Channel == string(rule.Channel) {
			used[at] = true
			next = append(next, primary{
				of:   ledger.Fallback{RuleName: d.RuleName, Channel: d.Channel, Recipient: d.Recipient},
				user: d.UserID, ifUnread: rule.FallbackIfUnread,
			})
		}
	}
	for i, p := range primaries {
		if !used[i] {
			next = append(next, p)
		}
	}
	return next
}

func matching(primaries []primary, user string) int {
	named := false
	for i := range primaries {
		if user != "" && strings.EqualFold(primaries[i].user, user) {
			return i
		}
		named = named || primaries[i].user != ""
	}
	if named && user != "" {
		return -1
	}
	return 0
}
