// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/test/stage"
)

// controlPlane measures what many companies and rules cost.
func (b *bench) controlPlane(ctx context.Context) error {
	count, single := b.activations, 20
	if b.short {
		count, single = min(count, 40), 5
	}
	if err := b.scene(ctx); err != nil {
		return err
	}
	few, err := b.atRest(ctx)
	if err != nil {
		return err
	}
	fewStart, err := b.restart(ctx)
	if err != nil {
		return err
	}

	activations := make([]*v1alpha1.CompanyActivation, count)
	started := time.Now()
	if err := each(count, 16, func(i int) (err error) {
		activations[i], err = b.activate(ctx, fmt.Sprintf("scale-%05d", i))
		return err
	}); err != nil {
		return err
	}
	activated := time.Since(started)
	started = time.Now()
	if err := each(count*rulesPerCompany, 16, func(i int) error {
		return b.set.Kube.Create(ctx, newRule(activations[i/rulesPerCompany], i%rulesPerCompany))
	}); err != nil {
		return fmt.Errorf("creating rules: %w", err)
	}
	created := time.Since(started)
	if err := b.reconciled(ctx); err != nil {
		return err
	}
	ruled := time.Since(started)
	if err := b.rulesReady(ctx, stage.Namespace); err != nil {
		return err
	}

	var oneMore sample
	for i := range single {
		took, err := b.oneMoreRule(ctx, activations[i])
		if err != nil {
			return err
		}
		oneMore = append(oneMore, took)
	}
	many, err := b.atRest(ctx)
	if err != nil {
		return err
	}
	manyStart, err := b.restart(ctx)
	if err != nil {
		return err
	}
	restarted, err := b.atRest(ctx)
	if err != nil {
		return err
	}

	rules := float64(count * rulesPerCompany)
	t := &table{name: "controlplane", title: fmt.Sprintf("%d activations with %d rules each, beside the %d of before", count, rulesPerCompany, companyCount), what: "figure", columns: []string{"value"}}
	t.add("activations to Ready/s", sample{float64(count) / activated.Seconds()})
	t.add("rules created/s", sample{rules / created.Seconds()})
	t.add("rules to Ready/s", sample{rules / ruled.Seconds()})
	t.add("one more rule to Ready, ms", oneMore)
	t.add("manager MiB before", sample{few})
	t.add("manager MiB after", sample{many})
	t.add("manager MiB restarted", sample{restarted})
	t.add("KiB for one more rule", sample{(restarted - few) * 1024 / rules})
	t.add("start-up s before", sample{fewStart})
	t.add("start-up s after", sample{manyStart})
	t.note("activations go through /api/activate/, which takes %d a second at most to spare the platform", 20)
	t.note("memory is resident and includes the activations, their Secrets and the rules, as read and compiled")
	return b.finish(t)
}

// reconciled waits until the controllers have nothing to do.
func (b *bench) reconciled(ctx context.Context) error {
	for {
		var busy float64
		for _, name := range []string{"workqueue_depth", "controller_runtime_active_workers"} {
			n, err := metric(ctx, b.set.Manager.MetricsURL, name)
			if errors.Is(err, errNoMetric) {
				n = 1 // it starts
			} else if err != nil {
				return err
			}
			busy += n
		}
		if busy == 0 {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// atRest is the manager's memory in MiB when it has nothing to do.
func (b *bench) atRest(ctx context.Context) (float64, error) {
	if err := b.reconciled(ctx); err != nil {
		return 0, err
	}
	// Reading the heap's profile collects garbage first, as time would.
	if _, err := get(ctx, "http://"+b.pprof+"/debug/pprof/heap?gc=1"); err != nil {
		return 0, err
	}
	bytes, err := residentBytes(b.set.Manager.PID())
	return float64(bytes) / (1 << 20), err
}

// restart restarts the manager and returns the seconds until it was ready.
func (b *bench) restart(ctx context.Context) (float64, error) {
	if err := b.set.Manager.Stop(); err != nil {
		return 0, err
	}
	started := time.Now()
	err := b.set.Manager.Start(ctx)
	return time.Since(started).Seconds(), err
}

// oneMoreRule returns how many milliseconds a rule takes to be Ready.
func (b *bench) oneMoreRule(ctx context.Context, a *v1alpha1.CompanyActivation) (float64, error) {
	rule := newRule(a, rulesPerCompany)
	started := time.Now()
	if err := b.set.Kube.Create(ctx, rule); err != nil {
		return 0, fmt.Errorf("creating a rule: %w", err)
	}
	for {
		if err := b.set.Kube.Get(ctx, client.ObjectKeyFromObject(rule), rule); err != nil {
			return 0, fmt.Errorf("reading a rule: %w", err)
		}
		if stage.Ready(rule.Status.Conditions, rule.Generation) == nil {
			return float64(time.Since(started)) / float64(time.Millisecond), nil
		}
		if time.Since(started) > time.Minute {
			return 0, errors.New("a rule was not Ready within a minute")
		}
		time.Sleep(time.Millisecond)
	}
}
