// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/test/stage"
)

const (
	// largeEvent leads to largeMessages messages of largeText bytes each.
	largeEvent    = "user.update"
	largeMessages = 50
	largeText     = 256 << 10
	// manyRules is how many rules of one company name the same event.
	manyRules = 10_000
)

// isolation measures the latency of one company's webhooks while another company's events are
// as large, and match as many rules, as possible.
func (b *bench) isolation(ctx context.Context) (err error) {
	server, err := startPostgres()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.set.Manager.Stop(), server.Stop()) }()
	t := &table{name: "isolation", title: "Webhooks of one company while another company's events are large", what: "the other company's events", columns: []string{
		"p50 ms", "p99 ms", "longest ms", "webhooks",
	}}
	measure := func(what, database string, noise func(ctx context.Context, end time.Time) error) error {
		took, err := b.beside(ctx, noise)
		if err != nil {
			return err
		}
		t.add(what+", "+database, sample{took.quantile(.5)}, sample{took.quantile(.99)}, sample{took.quantile(1)}, sample{float64(len(took))})
		b.report(fmt.Sprintf("another company's webhooks, p99: %s, %s", what, database), sample{took.quantile(.99)}, " ms", atMost(250))
		return nil
	}
	large := fmt.Sprintf("%d messages of %d KiB each", largeMessages, largeText>>10)
	rules := grouped(manyRules) + " rules for each"
	for _, database := range []string{"SQLite", "PostgreSQL"} {
		if err := b.scene(ctx); err != nil {
			return err
		}
		if database == "PostgreSQL" {
			if err := b.moveTo(ctx, server); err != nil {
				return err
			}
		}
		if err := b.addLargeRule(ctx); err != nil {
			return err
		}
		if err := errors.Join(measure(large, database, b.sendLarge), b.divideRules(ctx)); err != nil {
			return err
		}
		if err := b.multiplyRules(ctx, b.companies[:1], manyRules); err != nil {
			return err
		}
		err := measure(rules, database, func(ctx context.Context, end time.Time) error {
			_, err := b.load(ctx, 4, atRate(2, time.Now(), end), b.only(b.companies[0]))
			return err
		})
		if err := errors.Join(err, b.divideRules(ctx)); err != nil {
			return err
		}
	}
	return b.finish(t)
}

// beside sends 50 webhooks per second of one company while noise runs, and returns the
// latency of each.
func (b *bench) beside(ctx context.Context, noise func(ctx context.Context, end time.Time) error) (took latencies, err error) {
	length := 20 * time.Second
	if b.short {
		length = 8 * time.Second
	}
	start := time.Now()
	end := start.Add(length)
	failed := make(chan error, 1)
	go func() { failed <- noise(ctx, end) }()
	took, err = b.load(ctx, 16, atRate(50, start, end), b.only(b.companies[1]))
	return took, errors.Join(err, <-failed)
}

// addLargeRule creates a rule of the first company whose messages are as large as their
// event.
func (b *bench) addLargeRule(ctx context.Context) error {
	rule := &v1alpha1.NotificationRule{
		ObjectMeta: metav1.ObjectMeta{Namespace: stage.Namespace, Name: "large", Labels: map[string]string{multiplied: "copy"}},
		Spec: v1alpha1.NotificationRuleSpec{
			CompanyRef: v1alpha1.CompanyActivationReference{Name: b.companies[0].company},
			NotificationSpec: v1alpha1.NotificationSpec{
				DisplayName: "Large",
				Event:       largeEvent,
				Email:       &v1alpha1.EmailMessage{To: "{{ to }}", Subject: "Large", Text: "{{ text }}"},
			},
		},
	}
	if err := b.set.Kube.Create(ctx, rule); err != nil {
		return fmt.Errorf("creating a rule: %w", err)
	}
	return b.rulesReady(ctx, stage.Namespace)
}

// sendLarge sends large events one after another, each once the messages of the previous
// one have arrived.
func (b *bench) sendLarge(ctx context.Context, end time.Time) error {
	var to []string
	for n := range largeMessages {
		to = append(to, fmt.Sprintf("large-%d@example.com", n))
	}
	noisy := b.companies[0]
	event := newWebhook(noisy.company, noisy.secret, largeEvent, fmt.Sprintf(`{"to":%q,"text":%q}`, strings.Join(to, ","), strings.Repeat("x", largeText)))
	large := 0
	for time.Now().Before(end) {
		if _, err := b.load(ctx, 1, times(1), b.only(event)); err != nil {
			return err
		}
		large += largeMessages
		if err := b.set.Eventually(ctx, "the large messages", func() error {
			waiting, err := b.metric(ctx, "rehive_extension_ledger_pending_deliveries")
			if err == nil && waiting > 0 {
				err = fmt.Errorf("%.0f are waiting", waiting)
			}
			return err
		}); err != nil {
			return err
		}
	}
	fmt.Printf("  %d large messages were sent.\n", large)
	return nil
}
