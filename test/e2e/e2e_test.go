// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

func testTransactionBecomesEmail(t *testing.T) {
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
	c.waitMailed(t, subject)
	c.checkDuplicates(t, maxInFlight)
	for _, message := range c.mails(t, subject) {
		if want := "-10.50 fee -0.25 total -1075 at Company " + c.id; strings.TrimSpace(message.Text) != want {
			t.Errorf("the text is %q, want %q", message.Text, want)
		}
		if len(message.To) != 1 || message.To[0] != c.customer.Email {
			t.Errorf("it went to %v", message.To)
		}
	}
}

func testDeactivationStopsAndReactivationResumes(t *testing.T) {
	c := newCompany(t, "toggled")
	if err := set.Platform.Deactivate(t.Context(), c.id, c.service.ID); err != nil {
		t.Fatal(err)
	}
	if err := set.Eventually(t.Context(), "the webhook to be refused", func() error {
		if status := c.send(t.Context(), "while-inactive", c.text(1)); status != http.StatusBadRequest {
			return fmt.Errorf("answered with %d", status)
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
	c.rotate(t)
	if _, err := set.Platform.Emit(c.id, event, json.RawMessage(fmt.Sprintf(`{"text":%q,"user":{"email":%q}}`, c.text(2), c.customer.Email))); err != nil {
		t.Fatal(err)
	}
	c.waitMailed(t, c.text(2))
}

func testPurgeRemovesEverything(t *testing.T) {
	c := newCompany(t, "purged")
	if err := set.Platform.RemoveCompany(t.Context(), c.id); err != nil {
		t.Fatal(err)
	}
	if err := set.Eventually(t.Context(), "everything to be deleted", func() error {
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
			return fmt.Errorf("%d objects remain", left)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// testRefusedActivationExplainsPermissions checks that the dashboard shows the missing
// permissions, and that nothing of the failed activation remains.
func testRefusedActivationExplainsPermissions(t *testing.T) {
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
	// An activation is answered in time even if the controller has not acted by then.
	NewWithT(t).Eventually(set.Platform.Activate).WithArguments(t.Context(), id, service.ID).WithTimeout(4*time.Minute).
		Should(MatchError(And(ContainSubstring("Unable to configure event webhooks."), ContainSubstring("ermission"))), "the admin sees it")
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
