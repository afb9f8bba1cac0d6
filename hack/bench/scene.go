// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed" // the rules' templates and the event
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/test/stage"
)

var (
	//go:embed testdata/event.json
	eventData string
	//go:embed testdata/email.txt
	emailText string
	//go:embed testdata/email.html
	emailHTML string
)

const (
	// ruledEvent has rulesPerCompany rules in each company, of which matchingRules send a
	// message; plainEvent has no rules.
	ruledEvent      = "transaction.initiate"
	plainEvent      = "transaction.update"
	rulesPerCompany = 10
	matchingRules   = 3
	// companyCount is how many companies share the load.
	companyCount = 50
)

// bench is a run of benchmarks: the machine, the stage and the resulting tables.
type bench struct {
	options
	machine machine
	state   string

	set       *stage.Stage
	mail      *smtptest.Server
	pprof     string
	companies []*webhook
	numbers   atomic.Int64
	arrivals  atomic.Pointer[func(number int64)]
	figures   []figure
}

// scene starts everything on its first call. Later calls clear the ledger, so that
// measurements are independent.
func (b *bench) scene(ctx context.Context) error {
	if b.set != nil {
		if err := b.set.Manager.Stop(); err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Dir(b.set.Manager.Ledger())); err != nil {
			return fmt.Errorf("removing the ledger: %w", err)
		}
		b.set.Manager.LedgerURL = ""
		return b.set.Manager.Start(ctx)
	}
	var err error
	// A separate sink, which keeps few emails and reports when each arrived.
	if b.mail, err = smtptest.Start(smtptest.Options{Keep: 100}); err != nil {
		return err
	}
	b.mail.Respond(func(at smtptest.Stage, address string) *smtptest.Reply {
		if arrived := b.arrivals.Load(); arrived != nil && at == smtptest.StageRcpt {
			local, _, _ := strings.Cut(address, "@")
			if number, err := strconv.ParseInt(strings.TrimPrefix(local, "e"), 10, 64); err == nil {
				(*arrived)(number)
			}
		}
		return nil
	})
	if b.pprof, err = stage.FreeAddress(); err != nil {
		return err
	}
	b.set, err = stage.Start(ctx, stage.Options{
		Root:    b.root,
		State:   b.state,
		Manager: b.manager,
		// As in a container with the one gigabyte of config/manager.
		ManagerEnvironment: []string{"GOMEMLIMIT=819MiB"},
		// Reconciling many objects takes long.
		Timeout: 15 * time.Minute,
		ManagerArguments: []string{
			"--smtp-address=" + b.mail.Address(),
			"--pprof-address=" + b.pprof,
			"--resync-period=1h",
			// Few companies generate the load of a whole machine.
			"--quotas=email.company=1000000000",
			"--event-retention=" + ledger.MinRetention.String(),
		},
	})
	if err != nil {
		return err
	}
	b.set.Platform.SetThrottle(0, 0)
	return b.addCompanies(ctx)
}

func (b *bench) clear() error {
	var failures []error
	if b.set != nil {
		failures = append(failures, b.set.Stop())
	}
	if b.mail != nil {
		failures = append(failures, b.mail.Close())
	}
	return errors.Join(failures...)
}

// addCompanies activates the companies through the platform and creates their rules.
func (b *bench) addCompanies(ctx context.Context) error {
	started := time.Now()
	b.companies = make([]*webhook, companyCount)
	if err := each(companyCount, 8, func(i int) error {
		id := fmt.Sprintf("company-%02d", i)
		activation, err := b.activate(ctx, id)
		if err != nil {
			return err
		}
		secret, err := b.set.Secret(ctx, activation)
		if err != nil {
			return err
		}
		b.companies[i] = newWebhook(id, string(secret.Data[v1alpha1.SecretKeyWebhookSecret]), ruledEvent, strings.TrimSpace(eventData))
		for n := range rulesPerCompany {
			if err := b.set.Kube.Create(ctx, newRule(activation, n)); err != nil {
				return fmt.Errorf("creating a rule: %w", err)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := b.rulesReady(ctx, stage.Namespace); err != nil {
		return err
	}
	fmt.Printf("  %d companies with %d rules each are Ready after %s.\n", companyCount, rulesPerCompany, time.Since(started).Round(100*time.Millisecond))
	return nil
}

// activate creates a company on the platform and activates the extension for it.
func (b *bench) activate(ctx context.Context, id string) (*v1alpha1.CompanyActivation, error) {
	if _, err := b.set.Platform.AddCompany(rehivetest.Company{ID: id, Name: "Fish & Chips " + id, SystemEmail: "no-reply@" + id + ".example"}); err != nil {
		return nil, err
	}
	service, err := b.set.Platform.AddService(id, rehivetest.Service{Name: "Notifications", URL: b.set.Manager.PublicURL + "/api/"})
	if err != nil {
		return nil, err
	}
	if err := b.set.Platform.Activate(ctx, id, service.ID); err != nil {
		return nil, fmt.Errorf("activating %s: %w", id, err)
	}
	return b.set.ReadyActivation(ctx, id)
}

// newRule returns the n-th rule of an activation. The first matchingRules of them send a
// message for each ruledEvent; the expressions of the others reject it.
func newRule(a *v1alpha1.CompanyActivation, n int) *v1alpha1.NotificationRule {
	limit := 1000 * (n + 1)
	if n >= matchingRules {
		limit = 1_000_000 * n
	}
	return &v1alpha1.NotificationRule{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: fmt.Sprintf("%s-rule-%d", a.Name, n)},
		Spec: v1alpha1.NotificationRuleSpec{
			CompanyRef: v1alpha1.CompanyActivationReference{Name: a.Name},
			NotificationSpec: v1alpha1.NotificationSpec{
				DisplayName: fmt.Sprintf("Purchase, variant %d", n),
				Event:       ruledEvent,
				Expression:  fmt.Sprintf("'{{ status }}' == 'Complete' and '{{ tx_type }}' == 'debit' and '{{ currency.code }}' in ['ZAR', 'USD', 'EUR'] and {{ amount }} < -%d", limit),
				Email: &v1alpha1.EmailMessage{
					To:      "{{ user.email }}",
					Subject: `You paid {{ currency.symbol }}{{ amount|cut:"-"|money:currency.divisibility }}`,
					Text:    emailText,
					HTML:    emailHTML,
				},
			},
		},
	}
}

// rulesReady waits until all rules of a namespace are Ready.
func (b *bench) rulesReady(ctx context.Context, namespace string) error {
	const page = 1000
	return b.set.Eventually(ctx, "the rules to be Ready", func() error {
		for next := ""; ; {
			var rules v1alpha1.NotificationRuleList
			if err := b.set.Kube.List(ctx, &rules, client.InNamespace(namespace), client.Limit(page), client.Continue(next)); err != nil {
				return err
			}
			for i := range rules.Items {
				if err := stage.Ready(rules.Items[i].Status.Conditions, rules.Items[i].Generation); err != nil {
					return fmt.Errorf("rule %s: %w", rules.Items[i].Name, err)
				}
			}
			if next = rules.Continue; next == "" {
				return nil
			}
		}
	})
}

// next returns an event of each company in turn, with a unique number.
func (b *bench) next(time.Time) (*webhook, int64) {
	number := b.numbers.Add(1)
	return b.companies[number%int64(len(b.companies))], number
}

// only returns events of one webhook, with unique numbers.
func (b *bench) only(w *webhook) source {
	return func(time.Time) (*webhook, int64) { return w, b.numbers.Add(1) }
}

// profileFor starts a CPU profile of the manager. The caller waits for the result with the
// returned function.
func (b *bench) profileFor(ctx context.Context, name string, length time.Duration) func() error {
	if !b.profile {
		return func() error { return nil }
	}
	result := make(chan error, 1)
	go func() {
		var content []byte
		err := b.set.Eventually(ctx, "the manager to be profiled", func() (err error) { // it may still be starting
			content, err = get(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", b.pprof, int(length.Seconds())))
			return err
		})
		if err == nil {
			err = os.WriteFile(filepath.Join(b.out, name+".pprof"), content, 0o600)
		}
		result <- err
	}()
	return func() error { return <-result }
}

// each calls f for 0 to n-1, atOnce calls at a time, and returns the first error.
func each(n, atOnce int, f func(i int) error) error {
	var (
		all   sync.WaitGroup
		once  sync.Once
		first error
		next  atomic.Int64
	)
	for range atOnce {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := f(i); err != nil {
					once.Do(func() { first = err })
					next.Store(int64(n))
				}
			}
		})
	}
	all.Wait()
	return first
}

// finish prints and saves a table.
func (b *bench) finish(t *table) error {
	t.print(os.Stdout)
	return t.save(b.out, b.machine)
}
