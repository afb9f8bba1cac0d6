// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/expo"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/ledger"
)

const (
	// maxEarlier is how many messages are found after a restart, and maxEarlierOfOne how many
	// of one company.
	maxEarlier, maxEarlierOfOne = 20_000, 10_000
	// maxSearched is how many times 250 deliveries of a company, of any channel, are searched.
	maxSearched = 400
	// startRetry is the pause before the providers are built once more, for example because
	// the cache of Secrets has not started.
	startRetry = 2 * time.Second
)

// EarlierTickets returns the push messages of companies that were sent since a time and about
// which nothing was reported, the newest of each company, up to a bound. A message has the
// ticket of the first device that accepted it.
func EarlierTickets(ctx context.Context, log ledger.FeedbackLog, companies []string, since time.Time) ([]expo.Ticket, error) {
	return earlierTickets(ctx, log, companies, since, maxEarlier)
}

// search is how far the messages of a company were searched.
type search struct {
	company string
	after   int64
	found   int
}

func earlierTickets(ctx context.Context, log ledger.FeedbackLog, companies []string, since time.Time, most int) (found []expo.Ticket, err error) {
	createdAfter := since.Add(-v1alpha1.DefaultValidity) // it may have waited before it was sent
	open := make([]search, len(companies))
	for i, company := range companies {
		open[i].company = company
	}
	// Companies take turns, so that one with many messages leaves room for the others.
	for page := 0; page < maxSearched && len(open) > 0; page++ {
		unfinished := open[:0]
		for _, s := range open {
			deliveries, next, err := log.Unreported(ctx, s.company, ledger.ChannelPush, createdAfter, s.after)
			if err != nil {
				return nil, fmt.Errorf("finding messages without a receipt: %w", err)
			}
			for i := range deliveries {
				d := &deliveries[i]
				if d.ProviderID == "" || !d.UpdatedAt.After(since) {
					continue
				}
				found = append(found, expo.Ticket{ID: d.ProviderID, Company: s.company, User: d.Recipient, Key: delivery.Key(d), Delivery: d.ID, Accepted: d.UpdatedAt})
				s.found++
			}
			if len(found) >= most {
				return found[:most], nil
			}
			if s.after = next; next != 0 && s.found < maxEarlierOfOne {
				unfinished = append(unfinished, s)
			}
		}
		open = unfinished
	}
	return found, nil
}

// Start implements [manager.Runnable]: it builds the Expo providers that report, which read the
// receipts of the time before a restart, and returns. Other providers, and those that a person
// must fix, are built for their first message.
func (r *Registry) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		err := r.buildReporting(ctx)
		if err == nil {
			break
		}
		r.Log.Error(err, "Building the providers that read receipts failed; retrying")
		select {
		case <-ctx.Done():
		case <-time.After(startRetry):
		}
	}
	return nil
}

// buildReporting returns the errors that may pass by themselves. They don't keep it from building
// the other providers.
func (r *Registry) buildReporting(ctx context.Context) error {
	var list v1alpha1.DeliveryProviderList
	if err := r.Reader.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing the DeliveryProviders: %w", err)
	}
	var failed []error
	for i := range list.Items {
		if p := &list.Items[i]; p.Spec.Expo != nil && p.Spec.Feedback {
			if _, err := r.current(ctx, client.ObjectKeyFromObject(p), p); err != nil && !provider.IsMisconfigured(err) {
				failed = append(failed, err)
			}
		}
	}
	return errors.Join(failed...)
}

// NeedLeaderElection says that every replica reads receipts.
func (*Registry) NeedLeaderElection() bool { return false }
