// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/test/stage"
)

// addedRule is the rule that the story adds as a platform team would.
const addedRule = "hack/demo/rule.yaml"

// narrator numbers the story's lines.
type narrator struct{ step int }

func (n *narrator) tell(format string, args ...any) {
	n.step++
	fmt.Printf("%2d. %s\n", n.step, fmt.Sprintf(format, args...))
}

// detail adds indented lines to the last step.
func (n *narrator) detail(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		fmt.Printf("    │ %s\n", strings.TrimRight(line, "\r\n"))
	}
}

// tell plays the main job, from activation to reactivation, and fails with the
// first thing that is not as it should be.
func tell(ctx context.Context, s *stage.Stage) error {
	n := &narrator{}
	seed, err := s.Platform.Seed()
	if err != nil {
		return fmt.Errorf("filling the platform: %w", err)
	}
	customer := seed.Customers[0]
	service, err := s.Platform.AddService(seed.Company, rehivetest.Service{
		Name: "Notification Extension",
		URL:  s.Manager.PublicURL + "/api/",
	})
	if err != nil {
		return fmt.Errorf("adding the extension to the platform: %w", err)
	}
	n.tell("The company %q exists on the platform, with the customer %s and the extension %s.", seed.Company, customer.Email, service.URL)

	if err := s.Platform.Activate(ctx, seed.Company, service.ID); err != nil {
		return fmt.Errorf("activating: %w", err)
	}
	n.tell("An admin switches the extension on; the platform calls POST %sactivate/ and is answered 200.", service.URL)

	activation, err := s.ReadyActivation(ctx, seed.Company)
	if err != nil {
		return err
	}
	n.tell("CompanyActivation %s/%s is Ready: %s", activation.Namespace, activation.Name, readyMessage(activation))
	secret, err := s.Secret(ctx, activation)
	if err != nil {
		return err
	}
	n.tell("Secret %s, owned by it, holds the keys %s; nothing else does.", secret.Name, strings.Join(stage.Keys(secret), ", "))

	var rules v1alpha1.NotificationRuleList
	if err := s.Kube.List(ctx, &rules, client.InNamespace(activation.Namespace)); err != nil {
		return fmt.Errorf("listing rules: %w", err)
	}
	if len(rules.Items) == 0 {
		return errors.New("the activation brought no default rules")
	}
	n.tell("%d default rules stand:", len(rules.Items))
	for _, rule := range rules.Items {
		n.detail("%-40s %s", rule.Name, rule.Spec.Event)
	}
	n.tell("Webhooks are registered on the platform, one per event that an enabled rule names:")
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
	n.tell("The platform rotates the service token: POST %srotate/ is answered 200 and the Secret holds the new one.", service.URL)

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
	n.tell("The admin switches it off: POST %sdeactivate/; the activation is %s, the Secret keeps only %s.", service.URL, activation.Spec.State, strings.Join(stage.Keys(secret), ", "))

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
	n.tell("The admin switches it on again: Ready, with a new service user and the same webhook secret, so the webhooks go on working.")
	return sendMoney(ctx, s, n, seed.Company, customer, "second")
}

// addRule applies YAML as a platform team would and waits until it is in force.
func addRule(ctx context.Context, s *stage.Stage, n *narrator, company string) error {
	text, err := os.ReadFile(addedRule)
	if err != nil {
		return fmt.Errorf("reading the rule: %w", err)
	}
	n.tell("A platform team adds a rule: kubectl apply -f %s", addedRule)
	rule, err := s.ReadyRule(ctx, text)
	if err != nil {
		return err
	}
	if err := s.Webhook(ctx, company, rule.Spec.Event); err != nil {
		return err
	}
	n.tell("NotificationRule %s/%s is Ready, and the platform has a webhook for %s.", rule.Namespace, rule.Name, rule.Spec.Event)
	return nil
}

// sendMoney makes a transaction on the platform and shows the email that it
// brings.
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
		return fmt.Errorf("making a transaction: %w", err)
	}
	n.tell("A transaction happens on the platform: %s pays 1234.56 USD, and a fee of 1.50 in a child transaction.", customer.Email)
	if err := s.Platform.Idle(ctx); err != nil {
		return fmt.Errorf("waiting for the platform to deliver its webhooks: %w", err)
	}
	for _, task := range s.Platform.Tasks(company) {
		if strings.Contains(string(task.Body), transactions[0].ID) {
			if !task.Completed {
				return fmt.Errorf("the webhook of %s was not accepted: %+v", task.Event, task.Attempts)
			}
			n.tell("Its webhook %s (id %d) is answered %d: the event is on disk.", task.Event, task.ID, task.Attempts[len(task.Attempts)-1].Code)
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
	n.tell("The rule's email is in the sink:")
	n.detail("From: %s\nTo: %s\nSubject: %s\nMessage-ID: %s\n\n%s", mail.Header.Get("From"), strings.Join(message.To, ", "), mail.Subject, mail.Header.Get("Message-ID"), mail.Text)
	return nil
}

func readyMessage(a *v1alpha1.CompanyActivation) string {
	return meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ReadyCondition).Message
}

// invite tells the person what there is to play with.
func invite(s *stage.Stage) {
	fmt.Printf(`
It all stays up until Ctrl-C. To play with it:

  export KUBECONFIG=%s
  %s get rehive -A
  %s -n %s describe nrule debit-receipt
  curl %s     # what the platform's simulator can be told
  curl %s     # the emails
  less %s

`, s.Kubeconfig, s.Kubectl(), s.Kubectl(), stage.Namespace, s.Platform.ControlURL(), s.MailURL(), s.Manager.LogFile())
}
