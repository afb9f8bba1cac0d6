// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/test/stage"
)

// addedRule is the file of the rule that the demo adds as a platform team would.
const addedRule = "hack/demo/rule.yaml"

// narrator prints numbered steps.
type narrator struct{ steps int }

func (n *narrator) step(format string, args ...any) {
	n.steps++
	fmt.Printf("%2d. %s\n", n.steps, fmt.Sprintf(format, args...))
}

// detail prints indented lines below the last step.
func (n *narrator) detail(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		fmt.Printf("    │ %s\n", strings.TrimRight(line, "\r\n"))
	}
}

// play runs through a company's life, from activation to reactivation. It fails at the
// first step whose result is not as expected.
func play(ctx context.Context, s *stage.Stage) error {
	n := &narrator{}
	seed, err := s.Platform.Seed()
	if err != nil {
		return fmt.Errorf("seeding the platform: %w", err)
	}
	customer := seed.Customers[0]
	service, err := s.Platform.AddService(seed.Company, rehivetest.Service{
		Name: "Notification Extension",
		URL:  s.Manager.PublicURL + "/api/",
	})
	if err != nil {
		return fmt.Errorf("adding the extension to the platform: %w", err)
	}
	n.step("The company %q exists on the platform, with the customer %s and the extension %s.", seed.Company, customer.Email, service.URL)

	if err := s.Platform.Activate(ctx, seed.Company, service.ID); err != nil {
		return fmt.Errorf("activating: %w", err)
	}
	n.step("An admin switches the extension on; the platform calls POST %sactivate/ and gets 200.", service.URL)

	activation, err := s.ReadyActivation(ctx, seed.Company)
	if err != nil {
		return err
	}
	n.step("CompanyActivation %s/%s is Ready: %s", activation.Namespace, activation.Name, readyMessage(activation))
	secret, err := s.Secret(ctx, activation)
	if err != nil {
		return err
	}
	n.step("The Secret %s, which it owns, has the keys %s. They are stored nowhere else.", secret.Name, strings.Join(stage.Keys(secret), ", "))

	var rules v1alpha1.NotificationRuleList
	if err := s.Kube.List(ctx, &rules, client.InNamespace(activation.Namespace)); err != nil {
		return fmt.Errorf("listing rules: %w", err)
	}
	if len(rules.Items) == 0 {
		return errors.New("the activation created no default rules")
	}
	n.step("The operator created %d default rules:", len(rules.Items))
	for _, rule := range rules.Items {
		n.detail("%-40s %s", rule.Name, rule.Spec.Event)
	}
	n.step("It registered a webhook on the platform for each event that an enabled rule names:")
	for _, webhook := range s.Platform.Webhooks(seed.Company) {
		n.detail("%-30s → %s", webhook.Event, webhook.URL)
	}

	if err := addRule(ctx, s, n, seed.Company); err != nil {
		return err
	}
	if err := sendMoney(ctx, s, n, seed.Company, customer, "first"); err != nil {
		return err
	}

	before := string(secret.Data[v1alpha1.SecretKeyToken])
	if err := s.Platform.RotateToken(ctx, seed.Company, service.ID); err != nil {
		return fmt.Errorf("rotating the token: %w", err)
	}
	if secret, err = s.Secret(ctx, activation); err != nil {
		return err
	}
	if string(secret.Data[v1alpha1.SecretKeyToken]) == before {
		return errors.New("the Secret still holds the old token after the rotation")
	}
	n.step("The platform rotates the service token: POST %srotate/ gets 200, and the Secret has the new token.", service.URL)

	if err := s.Platform.Deactivate(ctx, seed.Company, service.ID); err != nil {
		return fmt.Errorf("deactivating: %w", err)
	}
	if err := s.Eventually(ctx, "the activation to be inactive", func() error {
		if err := s.Kube.Get(ctx, client.ObjectKeyFromObject(activation), activation); err != nil {
			return err
		}
		ready := meta.FindStatusCondition(activation.Status.Conditions, v1alpha1.ReadyCondition)
		if activation.Spec.State != v1alpha1.ActivationInactive || ready == nil || ready.Reason != v1alpha1.InactiveReason {
			return fmt.Errorf("its state is %s", activation.Spec.State)
		}
		return nil
	}); err != nil {
		return err
	}
	if secret, err = s.Secret(ctx, activation); err != nil {
		return err
	}
	n.step("The admin switches it off: POST %sdeactivate/; the activation is %s, and the Secret keeps only %s.", service.URL, activation.Spec.State, strings.Join(stage.Keys(secret), ", "))

	kept := string(secret.Data[v1alpha1.SecretKeyWebhookSecret])
	if err := s.Platform.Activate(ctx, seed.Company, service.ID); err != nil {
		return fmt.Errorf("reactivating: %w", err)
	}
	if activation, err = s.ReadyActivation(ctx, seed.Company); err != nil {
		return err
	}
	if secret, err = s.Secret(ctx, activation); err != nil {
		return err
	}
	if string(secret.Data[v1alpha1.SecretKeyWebhookSecret]) != kept {
		return errors.New("the webhook secret changed with the reactivation")
	}
	n.step("The admin switches it on again: Ready, with a new service user and the same webhook secret, so the registered webhooks keep working.")
	return sendMoney(ctx, s, n, seed.Company, customer, "second")
}

// addRule applies a rule as a platform team would and waits until it is in effect.
func addRule(ctx context.Context, s *stage.Stage, n *narrator, company string) error {
	text, err := os.ReadFile(addedRule)
	if err != nil {
		return fmt.Errorf("reading the rule: %w", err)
	}
	n.step("A platform team adds a rule: kubectl apply -f %s", addedRule)
	rule, err := s.ReadyRule(ctx, text)
	if err != nil {
		return err
	}
	if err := s.Webhook(ctx, company, rule.Spec.Event); err != nil {
		return err
	}
	n.step("NotificationRule %s/%s is Ready, and the platform has a webhook for %s.", rule.Namespace, rule.Name, rule.Spec.Event)
	return nil
}

// sendMoney creates a transaction on the platform and prints the email that results.
func sendMoney(ctx context.Context, s *stage.Stage, n *narrator, company string, customer rehivetest.User, which string) error {
	note := "the demo's " + which + " transfer"
	transactions, err := s.Platform.AddTransaction(company, rehivetest.NewTransaction{
		User:     customer.ID,
		TxType:   "debit",
		Amount:   big.NewInt(123456),
		Currency: "USD",
		Status:   "Complete",
		Note:     note,
		Children: []rehivetest.Child{{Amount: big.NewInt(-150)}},
	})
	if err != nil {
		return fmt.Errorf("creating a transaction: %w", err)
	}
	n.step("%s pays 1234.56 USD on the platform, and a fee of 1.50 in a child transaction.", customer.Email)
	if err := s.Platform.Idle(ctx); err != nil {
		return fmt.Errorf("waiting for the platform to deliver its webhooks: %w", err)
	}
	for _, task := range s.Platform.Tasks(company) {
		if strings.Contains(string(task.Body), transactions[0].ID) {
			if !task.Completed {
				return fmt.Errorf("the webhook of %s was not accepted: %+v", task.Event, task.Attempts)
			}
			n.step("The webhook %s (id %d) gets %d: the event is on disk.", task.Event, task.ID, task.Attempts[len(task.Attempts)-1].Code)
		}
	}
	waiting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var mail smtptest.Content
	message, err := s.Mail.WaitFor(waiting, func(m *smtptest.Message) bool {
		content, err := m.Parse()
		mail = content
		return err == nil && strings.HasPrefix(content.Subject, "You paid") && strings.Contains(content.Text, note)
	})
	if err != nil {
		return fmt.Errorf("waiting for the email: %w", err)
	}
	n.step("The mail server received the rule's email:")
	n.detail("From: %s\nTo: %s\nSubject: %s\nMessage-ID: %s\n\n%s", mail.Header.Get("From"), strings.Join(message.To, ", "), mail.Subject, mail.Header.Get("Message-ID"), mail.Text)
	return nil
}

func readyMessage(a *v1alpha1.CompanyActivation) string {
	return meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ReadyCondition).Message
}

// printEndpoints prints where everything runs, as shell variables that docs/tutorial.md
// uses.
func printEndpoints(s *stage.Stage) {
	path := "$PATH"
	if directory := filepath.Dir(s.Kubectl()); directory != "." {
		path = directory + ":$PATH"
	}
	fmt.Printf(`
Everything keeps running until Ctrl-C. To try it yourself, see docs/tutorial.md, and
paste these lines into another terminal:

  export KUBECONFIG=%s
  export PATH="%s"    # kubectl
  export EXTENSION=%s    # the operator's HTTP server
  export CONTROL=%s    # the control API of the platform simulator
  export MAIL=%s    # the emails that the mail server received, newest first

The manager logs to %s.

`, s.Kubeconfig, path, s.Manager.PublicURL, strings.TrimSuffix(s.Platform.ControlURL(), "/"), s.MailURL(), s.Manager.LogFile())
}
