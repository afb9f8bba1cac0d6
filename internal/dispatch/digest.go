// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/catalog"
	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/python"
)

// digestOf returns the digest that collects a message of a rule beyond its limit; nil if the
// rule has none.
func digestOf(namespace string, rule *catalog.Rule, m *notify.Message) *ledger.Digest {
	if rule.Throttle.Digest == nil {
		return nil
	}
	data, _ := json.Marshal(notify.Digest{ // can't fail
		Rule: namespace + "/" + rule.Name, Channel: m.Channel, Recipient: m.Recipient, User: m.User,
	})
	return &ledger.Digest{Name: notify.DigestEvent, Data: data}
}

// digest evaluates the digest of a rule for the recipient of a [notify.DigestEvent].
func (d *Dispatcher) digest(ctx context.Context, claimed *ledger.ClaimedEvent, memory *flow.Grant) ([]ledger.NewDelivery, error) {
	ctx, cancel := context.WithTimeout(ctx, decideTimeout)
	defer cancel()
	var asked notify.Digest
	if err := json.Unmarshal(claimed.Data, &asked); err != nil {
		return nil, finalError{errors.New("the digest can't be read"), reasonInvalidData}
	}
	company, err := d.Catalog.Activation(ctx, claimed.Company)
	if err != nil {
		return nil, err
	}
	rule, err := d.Catalog.RuleIn(ctx, company, asked.Rule)
	if err != nil {
		return nil, err
	}
	if rule != nil {
		rule = rule.Digest()
	}
	claimed.Sensitive = rule != nil && rule.Sensitive
	var decision notify.Decision
	if rule == nil {
		_, name, _ := strings.Cut(asked.Rule, "/")
		rule = &catalog.Rule{Name: name, Channel: v1alpha1.Channel(asked.Channel)}
		decision.NotSent = []notify.NotSent{{
			Reason: notify.DigestRemoved, Detail: "the notification, or its digest, was deleted before the end of the period",
		}}
	} else if decision, err = d.decideDigest(ctx, company, rule, claimed, &asked, memory); err != nil {
		return nil, err
	}
	for i := range decision.NotSent {
		if not := &decision.NotSent[i]; not.Recipient == "" {
			not.Channel, not.Recipient, not.User = asked.Channel, asked.Recipient, asked.User
		}
	}
	return appendDecision(nil, company.Namespace, rule, decision), nil
}

// decideDigest evaluates a digest on what was collected.
func (d *Dispatcher) decideDigest(ctx context.Context, company *v1alpha1.CompanyActivation, rule *catalog.Rule, claimed *ledger.ClaimedEvent, asked *notify.Digest, memory *flow.Grant) (notify.Decision, error) {
	found, err := d.Ledger.Collected(ctx, *claimed)
	if err != nil {
		return notify.Decision{}, fmt.Errorf("reading the digest: %w", err)
	}
	collected, cost := collectedData(&found)
	messages := messageMemory{d: d, grant: memory, key: claimed.Key}
	if messages.data, err = notify.DataCost(claimed.Data); err != nil {
		return notify.Decision{}, finalError{err, reasonTooLarge}
	}
	if err := messages.grow(cost); err != nil {
		return notify.Decision{}, err
	}
	of := claimed.Event
	if n := len(collected.Data); n > 0 {
		of.Name, of.Data = collected.Name, collected.Data[n-1]
	}
	decider, err := d.newDecider(ctx, company, of, of.Data, []*catalog.Rule{rule}, d.computedOf(company, of))
	if err != nil {
		return notify.Decision{}, err
	}
	if decider.event, err = decider.event.ForDigest(asked, collected); err != nil {
		return notify.Decision{}, finalError{err, reasonInvalidData}
	}
	decision, err := d.decideRule(ctx, rule, decider.event, decider.sender)
	if err != nil {
		return notify.Decision{}, fmt.Errorf("rule %s: %w", rule.Name, err)
	}
	return decision, messages.add(&decision)
}

// collectedData returns the data of collected events, and about how many bytes of memory it takes
// when it is parsed. Of an event that an admin triggered, it is the data of the trigger.
func collectedData(found *ledger.Collected) (c *notify.Collected, cost int64) {
	c = &notify.Collected{Count: found.Count}
	values := 0
	for i := range found.Events {
		e := &found.Events[i]
		if e.Name == notify.TriggerEvent {
			var trigger notify.Trigger
			if json.Unmarshal(e.Data, &trigger) != nil {
				continue
			}
			e.Data = trigger.Data
		}
		if len(e.Data) == 0 {
			e.Data = []byte("{}")
		}
		n, size := python.JSONCost(e.Data)
		if values += n; values > notify.MaxValues {
			break
		}
		cost += size + int64(len(e.Data))
		c.Name, c.Data = e.Name, append(c.Data, e.Data)
	}
	return c, cost
}
