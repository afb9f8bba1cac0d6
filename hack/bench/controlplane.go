// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/test/stage"
)

// controlPlane measures the cost of many companies and rules.
func (b *bench) controlPlane(ctx context.Context) error {
	count, called, single := b.activations, 100, 20
	if b.short {
		count, called, single = min(count, 40), 40, 5
	}
	if err := b.scene(ctx); err != nil {
		return err
	}
	few, err := b.atRest(ctx)
	if err != nil {
		return err
	}
	fewStart, _, err := b.restart(ctx)
	if err != nil {
		return err
	}

	// Some companies are activated through the platform's API, which is rate-limited.
	started := time.Now()
	if err := each(called, 16, func(i int) error {
		_, err := b.activate(ctx, fmt.Sprintf("called-%03d", i))
		return err
	}); err != nil {
		return err
	}
	callRate := float64(called) / time.Since(started).Seconds()

	// Most companies are created as in a restored cluster: the objects exist before the
	// manager starts.
	if err := b.set.Manager.Stop(); err != nil {
		return err
	}
	declared := min(count, 1000)
	activations, createRate, err := b.declare(ctx, declared)
	if err != nil {
		return err
	}
	cold, err := b.coldStart(ctx)
	if err != nil {
		return err
	}
	if err := b.rulesReady(ctx, stage.Namespace); err != nil {
		return err
	}
	if count > declared {
		if err := b.set.Manager.Stop(); err != nil {
			return err
		}
		if err := b.copyRules(ctx, activations[0], declared, count); err != nil {
			return err
		}
		if err := b.set.Manager.Start(ctx); err != nil {
			return err
		}
		if _, err := b.reconciled(ctx); err != nil {
			return err
		}
	}
	var oneMore sample
	for i := range single {
		took, err := b.oneMoreRule(ctx, activations[i%declared])
		if err != nil {
			return err
		}
		oneMore = append(oneMore, took)
	}
	many, err := b.atRest(ctx)
	if err != nil {
		return err
	}

	manyStart, manySettled, err := b.restart(ctx)
	if err != nil {
		return err
	}
	peak, err := b.set.Manager.PeakMemory()
	if err != nil {
		return err
	}
	restarted, err := b.atRest(ctx)
	if err != nil {
		return err
	}

	rules := float64(count * rulesPerCompany)
	with := fmt.Sprintf("with %s activations and %s rules", grouped(float64(companyCount+called+count)), grouped(float64(companyCount*rulesPerCompany)+rules))
	b.report("activations by the platform to Ready per second, of at most 20", sample{callRate}, "", bar{})
	b.report("rules to Ready per second, at a first start with "+grouped(float64(declared*rulesPerCompany)), sample{float64(declared*rulesPerCompany) / cold.rules.Seconds()}, "", bar{})
	b.report("one more rule to Ready, "+with, oneMore, " ms", bar{})
	b.report("memory of one more rule, with its share of the activation and Secret", sample{(restarted - few) * 1024 / rules}, " KiB", bar{})
	b.report("start-up with 50 activations and 500 rules", sample{fewStart}, " s", bar{})
	b.report("start-up "+with, sample{manyStart}, " s", bar{})
	b.report("the manager's memory "+with, sample{restarted}, " MiB", bar{})
	title := fmt.Sprintf("%d activations with %d rules each, in addition to %d existing ones: ", count, rulesPerCompany, companyCount)
	ready := &table{name: "controlplane", title: title + "to Ready", what: "figure", columns: []string{"a second"}}
	ready.add("activated by the platform", sample{callRate})
	ready.add("created on the API server only", sample{createRate})
	ready.add("activations, at a first start", sample{float64(declared) / cold.activations.Seconds()})
	ready.add("rules, at a first start", sample{float64(declared*rulesPerCompany) / cold.rules.Seconds()})
	ready.note("%d companies were activated through /api/activate/, which accepts %d per second after its burst to protect the platform; the others were declared: CompanyActivation, Secret and rules were created while the manager was stopped, and it found %d of them at its first start", called, 20, declared)
	if count > declared {
		ready.note("the rules of the rest are copies of Ready ones, written directly to etcd as by a restored backup, because the API server takes milliseconds for each of the two writes of a rule")
	}
	memory := &table{name: "controlplane-memory", title: title + "memory", what: "manager", columns: []string{"MiB"}}
	memory.add("before", sample{few})
	memory.add("after", sample{many})
	memory.add("restarted", sample{restarted})
	memory.add("restarted, peak", sample{mib(peak)})
	memory.note("memory is resident and includes the activations, their Secrets and the rules; garbage is collected as in the gigabyte of config/manager")
	start := &table{name: "controlplane-start", title: title + "start-up", what: "manager", columns: []string{"s"}}
	start.add("before, until it is ready", sample{fewStart})
	start.add("after, until it is ready", sample{manyStart})
	start.add("after, until everything is reconciled", sample{manySettled})
	start.note("once it is ready according to /readyz, each rule is compiled and each company is compared with the platform once")
	another := &table{name: "controlplane-rule", title: title + "one more rule", what: "rule", columns: []string{"ms to Ready", "KiB"}}
	another.add("one more", oneMore, sample{(restarted - few) * 1024 / rules})
	another.note("the memory includes a rule's share of the activation and its Secret")
	for _, t := range []*table{ready, memory, start, another} {
		if err := b.finish(t); err != nil {
			return err
		}
	}
	return nil
}

// declare creates activations with rulesPerCompany rules each, for companies on the
// platform, and returns how many objects were created per second.
func (b *bench) declare(ctx context.Context, count int) (_ []*v1alpha1.CompanyActivation, perSecond float64, err error) {
	activations := make([]*v1alpha1.CompanyActivation, count)
	started := time.Now()
	err = each(count, 32, func(i int) (err error) {
		if activations[i], err = b.declareCompany(ctx, i); err != nil {
			return err
		}
		for n := range rulesPerCompany {
			if err := b.set.Kube.Create(ctx, declaredRule(activations[i], n)); err != nil {
				return fmt.Errorf("creating a rule: %w", err)
			}
		}
		return nil
	})
	return activations, float64(count*(2+rulesPerCompany)) / time.Since(started).Seconds(), err
}

// declareCompany creates the CompanyActivation and the Secret of a new company.
func (b *bench) declareCompany(ctx context.Context, number int) (*v1alpha1.CompanyActivation, error) {
	id := fmt.Sprintf("scale-%05d", number)
	if _, err := b.set.Platform.AddCompany(rehivetest.Company{ID: id, Name: "Fish & Chips " + id, SystemEmail: "no-reply@" + id + ".example"}); err != nil {
		return nil, err
	}
	user, err := b.set.Platform.AddUser(id, rehivetest.User{Group: "admin"})
	if err != nil {
		return nil, err
	}
	a := &v1alpha1.CompanyActivation{Spec: v1alpha1.CompanyActivationSpec{Company: id}}
	a.Namespace, a.Name = stage.Namespace, id
	if err := b.set.Kube.Create(ctx, a); err != nil {
		return nil, fmt.Errorf("creating an activation: %w", err)
	}
	return a, activation.Save(ctx, b.set.Kube, a, activation.Credentials{Token: user.Token, WebhookSecret: activation.NewWebhookSecret()})
}

// declaredRule is like newRule, for a company that the platform has not activated: its
// rules include one that would be created by default.
func declaredRule(a *v1alpha1.CompanyActivation, n int) *v1alpha1.NotificationRule {
	rule := newRule(a, n)
	if defaults := []string{"confirm-deactivation", "confirm-deletion", "reset-password", "set-password", "transaction-received", "transaction-sent"}; n < len(defaults) {
		rule.Name = a.Name + "-" + defaults[n]
	}
	return rule
}

// coldTimes are the times from the manager's start until all objects of a kind were
// reconciled.
type coldTimes struct{ activations, rules time.Duration }

// coldStart starts the manager and waits until it has reconciled everything.
func (b *bench) coldStart(ctx context.Context) (times coldTimes, err error) {
	started := time.Now()
	if err := b.set.Manager.Start(ctx); err != nil {
		return times, err
	}
	profiled := b.profileFor(ctx, "controlplane", 10*time.Second)
	for _, kind := range []struct {
		controller string
		took       *time.Duration
	}{{"notificationrule", &times.rules}, {"companyactivation", &times.activations}} {
		since, err := b.reconciled(ctx, kind.controller)
		if err != nil {
			return times, err
		}
		*kind.took = since.Sub(started)
	}
	return times, profiled()
}

// reconciled waits until the given controllers, or all, have been idle for a moment, and
// returns since when.
func (b *bench) reconciled(ctx context.Context, controllers ...string) (since time.Time, err error) {
	const moment = time.Second // longer than the delay of activations
	for {
		var busy float64
		for _, name := range []string{"workqueue_depth", "controller_runtime_active_workers"} {
			n, err := b.metric(ctx, name, controllers...)
			if errors.Is(err, errNoMetric) {
				n = 1 // it is starting
			} else if err != nil {
				return since, err
			}
			busy += n
		}
		switch {
		case busy > 0:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) > moment:
			return since, nil
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return since, ctx.Err()
		}
	}
}

// atRest returns the memory of the idle manager in MiB.
func (b *bench) atRest(ctx context.Context) (float64, error) {
	if _, err := b.reconciled(ctx); err != nil {
		return 0, err
	}
	// Reading the heap profile runs a garbage collection first.
	heap, err := get(ctx, "http://"+b.pprof+"/debug/pprof/heap?gc=1")
	if err != nil {
		return 0, err
	}
	if b.profile {
		if err := os.WriteFile(filepath.Join(b.out, "controlplane-heap.pprof"), heap, 0o600); err != nil {
			return 0, fmt.Errorf("writing a profile: %w", err)
		}
	}
	bytes, err := residentBytes(b.set.Manager.PID())
	return mib(bytes), err
}

// restart restarts the manager and returns the seconds until it is ready and until it has
// reconciled everything.
func (b *bench) restart(ctx context.Context) (ready, settled float64, err error) {
	if err := b.set.Manager.Stop(); err != nil {
		return 0, 0, err
	}
	profiled := b.profileFor(ctx, "controlplane-start", 10*time.Second)
	started := time.Now()
	if err := b.set.Manager.Start(ctx); err != nil {
		return 0, 0, err
	}
	ready = time.Since(started).Seconds()
	since, err := b.reconciled(ctx)
	return ready, since.Sub(started).Seconds(), errors.Join(err, profiled())
}

// oneMoreRule returns how many milliseconds a new rule takes to become Ready.
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
