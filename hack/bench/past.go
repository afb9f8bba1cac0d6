// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
)

// writePast fills the ledger, while no manager uses it, with the data that a soak would
// have left one retention period ago: perSecond events with their sent messages, from begin
// on for length. It uses the ledger's own code, with a clock in the past.
func (b *bench) writePast(ctx context.Context, begin time.Time, length time.Duration, perSecond int) (err error) {
	const batch = 256
	clock := clocktesting.NewFakePassiveClock(begin)
	store, err := sqlite.Open(ctx, b.set.Manager.Ledger(), ledger.Options{Clock: clock})
	if err != nil {
		return fmt.Errorf("opening the ledger: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	decisions := make([]ledger.NewDelivery, rulesPerCompany)
	for i := range decisions {
		d := &decisions[i]
		d.RuleName, d.Channel = fmt.Sprintf("rehive-system/past-rule-%d", i), ledger.ChannelEmail
		if i >= matchingRules {
			d.SkipReason, d.SkipMessage = "ExpressionFalse", "The expression is false."
			continue
		}
		d.Recipient = "past@example.com"
		d.Content = ledger.Content{From: "no-reply@example.com", Subject: "You paid R1.00", Text: emailText, HTML: emailHTML}
	}
	total := int(length.Seconds() * float64(perSecond))
	for done := 0; done < total; done += batch {
		n := min(batch, total-done)
		clock.SetTime(begin.Add(time.Duration(float64(done) / float64(perSecond) * float64(time.Second))))
		if err := each(n, n, func(i int) error {
			_, err := store.AcceptEvent(ctx, ledger.Event{
				Company: b.companies[i%len(b.companies)].company,
				ID:      fmt.Sprintf("past-%d", done+i),
				Name:    ruledEvent,
				Data:    []byte(b.companies[0].data),
			})
			return err
		}); err != nil {
			return fmt.Errorf("storing a past event: %w", err)
		}
		events, err := store.ClaimEvents(ctx, ledger.Claim{Limit: n, Lease: time.Minute})
		if err != nil {
			return fmt.Errorf("claiming past events: %w", err)
		}
		if err := each(len(events), n, func(i int) error { return store.CompleteEvent(ctx, events[i], decisions) }); err != nil {
			return fmt.Errorf("deciding past events: %w", err)
		}
		deliveries, err := store.ClaimDeliveries(ctx, ledger.Claim{Limit: n * matchingRules, Lease: time.Minute})
		if err != nil {
			return fmt.Errorf("claiming past messages: %w", err)
		}
		if err := each(len(deliveries), n, func(i int) error { return store.MarkSent(ctx, deliveries[i], "") }); err != nil {
			return fmt.Errorf("marking past messages sent: %w", err)
		}
	}
	return nil
}
