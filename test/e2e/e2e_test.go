// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

func TestTransactionBecomesEmail(t *testing.T) {
	c := newCompany(t, "main-job")
	text := strings.NewReplacer("{{ text }} for {{ user.first_name }}",
		"{{ amount|money:currency.divisibility }} fee {{ computed.fee|money:currency.divisibility }} total {{ computed.total_amount }} at {{ context.company.name }}",
		"{{ text }}", c.id+" transaction").Replace(rule(c.activation, "transaction", "transaction.execute"))
	text = strings.Replace(text, "'{{ status }}' != 'ignored'", "'{{ status }}' == 'Complete' and '{{ tx_type }}' == 'debit' and '{{ parent }}' == 'None'", 1)
	if _, err := set.ReadyRule(t.Context(), []byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := set.Webhook(t.Context(), c.id, "transaction.execute"); err != nil {
		t.Fatal(err)
	}
	if _, err := set.Platform.AddTransaction(c.id, rehivetest.NewTransaction{
		User: c.customer.ID, TxType: "debit", Currency: "USD", Amount: big.NewInt(1050),
		Children: []rehivetest.Child{{Amount: big.NewInt(-25)}},
	}); err != nil {
		t.Fatal(err)
	}
	subject := c.id + " transaction"
	if counts := c.waitMailed(t, []string{subject}); counts[subject] != 1 {
		t.Errorf("the email came %d times", counts[subject])
	}
	for _, message := range set.Mail.Messages() {
		if content := parsed(t, message); content.Subject == subject {
			if want := "-10.50 fee -0.25 total -1075 at Company " + c.id; strings.TrimSpace(content.Text) != want {
				t.Errorf("the text is %q, want %q", content.Text, want)
			}
			if len(message.To) != 1 || message.To[0] != c.customer.Email {
				t.Errorf("it went to %v", message.To)
			}
		}
	}
}

// A manager that is killed at any moment loses no event that it acknowledged.
// One that is stopped also finishes what it has begun.
func TestEndedManagerLosesNothing(t *testing.T) {
	c := newCompany(t, "killed")
	var (
		mu           sync.Mutex
		acknowledged []string
		sent         int
	)
	ctx, cancel := context.WithCancel(t.Context())
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				n := sent
				sent++
				mu.Unlock()
				// The platform repeats what was not acknowledged, with the same id.
				for ctx.Err() == nil {
					if c.send(ctx, fmt.Sprintf("event-%d", n), c.text(n)) == http.StatusOK {
						mu.Lock()
						acknowledged = append(acknowledged, c.text(n))
						mu.Unlock()
						break
					}
				}
			}
		})
	}
	kills := 0
	for round := range 5 {
		mu.Lock()
		before := len(acknowledged)
		mu.Unlock()
		if err := set.Eventually(t.Context(), "load", func() error {
			mu.Lock()
			defer mu.Unlock()
			if len(acknowledged) < before+20 {
				return fmt.Errorf("only %d events were acknowledged", len(acknowledged))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		end := set.Manager.Kill
		if round == 4 {
			end = set.Manager.Stop
		} else {
			kills++
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := set.Manager.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	senders.Wait()

	counts := c.waitMailed(t, acknowledged)
	duplicates := 0
	for text, count := range counts {
		if count > 1 {
			duplicates += count - 1
			if count > 1+kills {
				t.Errorf("%q came %d times", text, count)
			}
		}
	}
	t.Logf("%d events acknowledged, %d kills, %d messages twice", len(acknowledged), kills, duplicates)
}

func TestSameEventIsProcessedOnce(t *testing.T) {
	c := newCompany(t, "repeated")
	repeat := func() {
		t.Helper()
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				if status := c.send(t.Context(), "the-same", c.text(1)); status != http.StatusOK {
					t.Errorf("answered %d", status)
				}
			})
		}
		wait.Wait()
	}
	repeat()
	c.waitMailed(t, []string{c.text(1)})
	if err := set.Manager.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := set.Manager.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	repeat()
	// An event that came later and is mailed shows that the earlier ones are done.
	c.send(t.Context(), "another", c.text(2))
	if counts := c.waitMailed(t, []string{c.text(2)}); counts[c.text(1)] != 1 {
		t.Errorf("the email came %d times", counts[c.text(1)])
	}
}

func TestDeactivationStopsAndReactivationResumes(t *testing.T) {
	c := newCompany(t, "toggled")
	if err := set.Platform.Deactivate(t.Context(), c.id, c.service.ID); err != nil {
		t.Fatal(err)
	}
	if err := set.Eventually(t.Context(), "the webhook to be refused", func() error {
		if status := c.send(t.Context(), "while-inactive", c.text(1)); status != http.StatusBadRequest {
			return fmt.Errorf("answered %d", status)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	secret := c.secret
	if err := set.Platform.Activate(t.Context(), c.id, c.service.ID); err != nil {
		t.Fatal(err)
	}
	c.refresh(t)
	if c.secret != secret {
		t.Error("the webhook secret changed")
	}
	if err := set.Platform.RotateToken(t.Context(), c.id, c.service.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := set.Platform.Emit(c.id, event, json.RawMessage(fmt.Sprintf(`{"text":%q,"user":{"email":%q}}`, c.text(2), c.customer.Email))); err != nil {
		t.Fatal(err)
	}
	c.waitMailed(t, []string{c.text(2)})
}

func TestPurgeRemovesEverything(t *testing.T) {
	c := newCompany(t, "purged")
	if err := set.Platform.RemoveCompany(t.Context(), c.id); err != nil {
		t.Fatal(err)
	}
	if err := set.Eventually(t.Context(), "everything to be gone", func() error {
		var activations v1alpha1.CompanyActivationList
		if err := set.Kube.List(t.Context(), &activations, client.MatchingFields{"spec.company": c.id}); err != nil {
			return err
		}
		var rules v1alpha1.NotificationRuleList
		if err := set.Kube.List(t.Context(), &rules, client.MatchingFields{"spec.companyRef.name": c.activation.Name}); err != nil {
			return err
		}
		var secrets corev1.SecretList
		if err := set.Kube.List(t.Context(), &secrets, client.MatchingLabels{"extensions.rehive.com/activation": c.activation.Name}); err != nil {
			return err
		}
		if left := len(activations.Items) + len(rules.Items) + len(secrets.Items); left > 0 {
			return fmt.Errorf("%d objects are left", left)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Events are accepted and delivered while the API server is away; what was
// changed is caught up with afterwards.
func TestAPIServerAway(t *testing.T) {
	c := newCompany(t, "away")
	set.APILink.Cut()
	status := c.send(t.Context(), "while-away", c.text(1))
	mailed := set.Eventually(t.Context(), "the email", func() error {
		if c.mailed(t)[c.text(1)] == 0 {
			return fmt.Errorf("it has not come")
		}
		return nil
	})
	set.APILink.Mend()
	if status != http.StatusOK {
		t.Errorf("the webhook was answered %d", status)
	}
	if mailed != nil {
		t.Error(mailed)
	}
	if _, err := set.ReadyRule(t.Context(), []byte(rule(c.activation, "later", "alert.update"))); err != nil {
		t.Fatal(err)
	}
	if err := set.Webhook(t.Context(), c.id, "alert.update"); err != nil {
		t.Fatal(err)
	}
}

// What the platform's admin must mend reaches the dashboard, and nothing of the
// failed activation stays.
func TestRefusedActivationSaysWhatToMend(t *testing.T) {
	id := newID("forbidden")
	if _, err := set.Platform.AddCompany(rehivetest.Company{ID: id}); err != nil {
		t.Fatal(err)
	}
	service, err := set.Platform.AddService(id, rehivetest.Service{Name: "Notifications", URL: set.Manager.PublicURL + "/api/"})
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Platform.SetPermissions(id, service.ID, []rehivetest.Permission{{Section: "admin", Type: "company", Level: "view"}}); err != nil {
		t.Fatal(err)
	}
	err = set.Platform.Activate(t.Context(), id, service.ID)
	if err == nil || !strings.Contains(err.Error(), "Unable to configure event webhooks.") || !strings.Contains(err.Error(), "ermission") {
		t.Errorf("the admin reads %v", err)
	}
	if err := set.Platform.SetPermissions(id, service.ID, rehivetest.MinimumPermissions()); err != nil {
		t.Fatal(err)
	}
	if err := set.Platform.Activate(t.Context(), id, service.ID); err != nil {
		t.Errorf("after the permissions were granted: %v", err)
	}
	if _, err := set.ReadyActivation(t.Context(), id); err != nil {
		t.Error(err)
	}
}

// Nothing that people without a right to it can read holds a token, a webhook
// secret or a customer's address, phone number or name. It runs last, so that
// all that the other tests did is searched.
func TestNothingLeaks(t *testing.T) {
	c := newCompany(t, "leaks")
	c.send(t.Context(), "leaky", c.text(1))
	c.waitMailed(t, []string{c.text(1)})
	if status := (&company{id: c.id, secret: "wrong-" + c.secret, customer: c.customer}).send(t.Context(), "x", "y"); status != http.StatusBadRequest {
		t.Errorf("a wrong secret is answered %d", status)
	}

	planted := make(map[string]string)
	for _, company := range set.Platform.Companies() {
		for _, user := range set.Platform.Users(company.ID) {
			planted[user.Token] = "the token of a user of " + company.ID
			planted[user.Email] = "a customer's address"
			planted[user.Mobile] = "a customer's phone number"
		}
		for _, service := range set.Platform.Services(company.ID) {
			planted[service.Token] = "the service token of " + company.ID
		}
		for _, webhook := range set.Platform.Webhooks(company.ID) {
			planted[webhook.Secret] = "the webhook secret of " + company.ID
		}
	}
	planted["Mokoena"] = "a customer's name"
	delete(planted, "")

	search := func(where string, content []byte) {
		t.Helper()
		for secret, what := range planted {
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("%s holds %s", where, what)
			}
		}
	}
	log, err := os.ReadFile(set.Manager.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	search("the log", log)

	for where, list := range map[string]client.ObjectList{
		"a CompanyActivation": &v1alpha1.CompanyActivationList{},
		"a NotificationRule":  &v1alpha1.NotificationRuleList{},
		"an event":            &eventsv1.EventList{},
		"a ConfigMap":         &corev1.ConfigMapList{},
	} {
		if err := set.Kube.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		if meta.LenList(list) == 0 {
			t.Errorf("there is no object of the kind of %s to search", where)
		}
		content, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		search(where, content)
	}
	response, err := http.Get(set.Manager.MetricsURL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var metrics bytes.Buffer
	if _, err := metrics.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(metrics.String(), "rehive_extension_") {
		t.Error("the metrics have none of ours")
	}
	search("the metrics", metrics.Bytes())
}
