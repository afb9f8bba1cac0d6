// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

const (
	active       = "True/Active"
	accepted     = "True/TokenAccepted"
	isRegistered = "True/Registered"
	unavailable  = "Unknown/PlatformUnavailable"
	refused      = "False/Refused"
)

// defaultEvents are the events of the default rules.
var defaultEvents = []string{
	"transaction.execute", "user.deactivate.verify", "user.password.reset", "user.password.set", "user.request_delete.verify",
}

func TestActivation(t *testing.T) {
	f := newFixture(t)
	service := f.service()
	a := f.activate(service.Token)

	f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal(active))
	f.Expect(verdictOf(a, v1alpha1.TokenValidCondition)).To(Equal(accepted))
	f.Expect(verdictOf(a, v1alpha1.WebhooksRegisteredCondition)).To(Equal(isRegistered))
	f.Expect(verdictOf(a, v1alpha1.StalledCondition)).To(BeEmpty())
	f.Expect(a.Status.ObservedGeneration).To(Equal(a.Generation))
	f.Expect(a.Status.CompanyInfo).To(Equal(v1alpha1.CompanyInfo{CompanyProfile: v1alpha1.CompanyProfile{Name: "Shop", SystemEmail: "hello@shop.example"}, Mode: "production"}))
	f.Expect(a.Status.ServiceUser).To(Equal(service.User))
	f.Expect(a.Status.SecretName).To(Equal("shop-rehive"))
	f.Expect(a.Finalizers).To(BeEmpty())
	for _, condition := range a.Status.Conditions {
		f.Expect(condition.ObservedGeneration).To(Equal(a.Generation), condition.Type)
	}

	credentials, err := activation.Get(f.ctx, k8s, a)
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(len(credentials.WebhookSecret)).To(BeNumerically(">=", activation.MinWebhookSecretLength))
	f.Expect(f.registered()).To(HaveLen(len(defaultEvents)))
	for _, webhook := range a.Status.Webhooks {
		onPlatform := f.registered()[webhook.Event]
		f.Expect(onPlatform.ID).To(Equal(webhook.ID))
		f.Expect(onPlatform.Secret).To(Equal(credentials.WebhookSecret))
		f.Expect(onPlatform.Service).To(Equal(service.ID))
		f.Expect(defaultEvents).To(ContainElement(webhook.Event))
	}

	var secret corev1.Secret
	f.Expect(k8s.Get(f.ctx, client.ObjectKey{Namespace: f.namespace, Name: "shop-rehive"}, &secret)).To(Succeed())
	f.Expect(metav1.IsControlledBy(&secret, a)).To(BeTrue())
	f.Expect(secret.Labels).To(HaveKeyWithValue(activation.ActivationLabel, "shop"))
	f.Eventually(f.events(a)).Should(ContainElements("Activated", "WebhookRegistered"))
}

func TestDefaultRulesAreCreatedOnce(t *testing.T) {
	f := newFixture(t)
	own := f.rule("shop-reset-password", "user.password.reset") // the name of a default rule
	own.Spec.DisplayName = "My own"
	f.create(own)
	a := f.activate(f.admin.Token)

	defaults, err := DefaultRules()
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(a.Status.DefaultRules).To(HaveLen(len(defaults)))
	var rules v1alpha1.NotificationRuleList
	f.Expect(k8s.List(f.ctx, &rules, client.InNamespace(f.namespace), client.MatchingFields{RuleActivationField: "shop"})).To(Succeed())
	f.Expect(rules.Items).To(HaveLen(len(defaults)))
	for i := range rules.Items {
		f.Eventually(f.condition(&rules.Items[i], v1alpha1.ReadyCondition)).Should(Equal("True/Valid"), rules.Items[i].Name)
	}
	f.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(own), own)).To(Succeed())
	f.Expect(own.Spec.DisplayName).To(Equal("My own"), "an existing rule must not be changed")

	deleted := f.rule("shop-set-password", "")
	f.Expect(k8s.Delete(f.ctx, deleted)).To(Succeed())
	f.Eventually(f.registered).ShouldNot(HaveKey("user.password.set"), "the webhook is removed with the last rule of its event")
	f.check(a)
	f.check(a, func(a *v1alpha1.CompanyActivation) { a.Spec.State = v1alpha1.ActivationInactive })
	f.check(a, func(a *v1alpha1.CompanyActivation) { a.Spec.State = v1alpha1.ActivationActive })
	err = k8s.Get(f.ctx, client.ObjectKeyFromObject(deleted), deleted)
	f.Expect(client.IgnoreNotFound(err)).NotTo(HaveOccurred())
	f.Expect(err).To(HaveOccurred(), "a deleted default rule must not be created again")
}

// TestDefaultTemplatesBecomeRules checks that a template that is marked as default becomes
// a rule, once, of each company that is activated afterwards.
func TestDefaultTemplatesBecomeRules(t *testing.T) {
	f := newExclusiveFixture(t)
	f.Expect(client.IgnoreAlreadyExists(k8s.Create(f.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: templateNamespace}}))).To(Succeed())
	template := &v1alpha1.NotificationTemplate{
		ObjectMeta: metav1.ObjectMeta{Namespace: templateNamespace, Name: "welcome"},
		Spec: v1alpha1.NotificationTemplateSpec{
			Default: true,
			NotificationSpec: v1alpha1.NotificationSpec{
				DisplayName: "Welcome",
				Event:       "user.create",
				SMS:         &v1alpha1.SMSMessage{To: "{{ mobile }}", Message: "Welcome"},
			},
		},
	}
	f.create(template)
	// A template replaces the built-in default rule with its name, or removes it.
	replaced, removed := template.DeepCopy(), template.DeepCopy()
	replaced.ObjectMeta = metav1.ObjectMeta{Namespace: templateNamespace, Name: "reset-password"}
	f.create(replaced)
	removed.ObjectMeta = metav1.ObjectMeta{Namespace: templateNamespace, Name: "set-password"}
	removed.Spec.Default = false
	f.create(removed)
	offered := template.DeepCopy()
	offered.ObjectMeta = metav1.ObjectMeta{Namespace: templateNamespace, Name: "offered"}
	offered.Spec.Default = false
	f.create(offered)
	t.Cleanup(func() {
		for _, created := range []client.Object{template, offered, replaced, removed} {
			_ = k8s.Delete(context.Background(), created)
		}
	})

	a := f.activate(f.admin.Token)
	rule := new(v1alpha1.NotificationRule)
	f.Expect(k8s.Get(f.ctx, client.ObjectKey{Namespace: f.namespace, Name: "shop-welcome"}, rule)).To(Succeed())
	f.Expect(rule.Spec.TemplateRef.Name).To(Equal("welcome"))
	f.Expect(rule.Spec.CompanyRef.Name).To(Equal(a.Name))
	f.Expect(rule.Spec.SMS.Message).To(Equal("Welcome"))
	for _, absent := range []string{"shop-offered", "shop-set-password"} {
		err := k8s.Get(f.ctx, client.ObjectKey{Namespace: f.namespace, Name: absent}, new(v1alpha1.NotificationRule))
		f.Expect(apierrors.IsNotFound(err)).To(BeTrue(), absent)
	}
	f.Expect(k8s.Get(f.ctx, client.ObjectKey{Namespace: f.namespace, Name: "shop-reset-password"}, rule)).To(Succeed())
	f.Expect(rule.Spec.SMS).NotTo(BeNil(), "the template replaces the built-in rule")
	f.Expect(rule.Spec.TemplateRef.Name).To(Equal("reset-password"))
	f.Expect(k8s.Get(f.ctx, client.ObjectKey{Namespace: f.namespace, Name: "shop-transaction-sent"}, rule)).To(Succeed())
	f.Expect(rule.Spec.TemplateRef).To(BeNil(), "built in")

	f.Expect(k8s.Delete(f.ctx, rule)).To(Succeed())
	f.check(a)
	err := k8s.Get(f.ctx, client.ObjectKeyFromObject(rule), rule)
	f.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "a deleted rule must not be created again")
}

func TestWebhooksFollowTheRules(t *testing.T) {
	f := newFixture(t)
	byHand := registerByHand(f, "https://elsewhere.example.test/hook/", "user.create")
	a := f.activate(f.admin.Token)

	rule := f.rule("added", "document.update")
	f.create(rule)
	f.Eventually(f.registered).Should(HaveKey("document.update"))
	f.Eventually(f.condition(a, v1alpha1.WebhooksRegisteredCondition)).Should(Equal(isRegistered))

	broken := f.rule("broken", "address.create")
	broken.Spec.Email.Text = "{% if %}"
	f.create(broken)
	f.Eventually(f.registered).Should(HaveKey("address.create"), "an invalid rule counts")

	f.change(rule, func() { rule.Spec.Event = "document.create" })
	f.Eventually(f.registered).Should(And(HaveKey("document.create"), Not(HaveKey("document.update"))))

	disabled := false
	f.change(rule, func() { rule.Spec.Enabled = &disabled })
	f.Eventually(f.registered).ShouldNot(HaveKey("document.create"))
	f.Expect(k8s.Delete(f.ctx, broken)).To(Succeed())
	f.Eventually(f.registered).ShouldNot(HaveKey("address.create"))

	other := f.rule("of-nobody", "user.create")
	other.Spec.CompanyRef.Name = "nobody"
	f.create(other)
	f.check(a)
	f.Expect(f.registered()).NotTo(HaveKey("user.create"))
	f.Expect(f.registered()).To(HaveLen(len(defaultEvents)))
	f.Expect(platform.Webhooks(f.company)).To(ContainElement(HaveField("ID", byHand)), "webhooks with other URLs must not be touched")
}

// registerByHand registers a webhook as an admin would.
func registerByHand(f *fixture, url, event string) int64 {
	f.t.Helper()
	platformClient, err := rehive.New(platform.URL())
	f.Expect(err).NotTo(HaveOccurred())
	webhook, err := platformClient.WithToken(f.admin.Token).CreateWebhook(f.ctx,
		rehive.WebhookRequest{URL: url, Event: event, Secret: "by-hand-by-hand-by-hand-by-hand-by-hand"})
	f.Expect(err).NotTo(HaveOccurred())
	return webhook.ID
}

func TestReactivationWithAnotherUserKeepsTheSecret(t *testing.T) {
	f := newFixture(t)
	service := f.service()
	a := f.activate(service.Token)
	secret, before := f.plant(a), f.registered()

	f.save(a, "")
	f.check(a, func(a *v1alpha1.CompanyActivation) { a.Spec.State = v1alpha1.ActivationInactive })
	f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal("False/Inactive"))
	f.Expect(verdictOf(a, v1alpha1.StalledCondition)).To(BeEmpty(), "an inactive company is not stalled")
	f.Expect(f.registered()).To(Equal(before), "deactivation keeps the webhooks")

	f.Expect(platform.Deactivate(f.ctx, f.company, service.ID)).To(Succeed())
	f.Expect(platform.Activate(f.ctx, f.company, service.ID)).To(Succeed())
	again, err := platform.Service(f.company, service.ID)
	f.Expect(err).NotTo(HaveOccurred())
	secrets.add(again.Token)
	a = f.activate(again.Token)
	f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal(active))
	f.Expect(a.Status.ServiceUser).To(Equal(again.User))
	f.Expect(again.User).NotTo(Equal(service.User))
	f.Expect(f.plant(a)).To(Equal(secret))
	f.Expect(f.registered()).To(Equal(before))
	f.Eventually(f.events(a)).Should(ContainElement("Deactivated"))
}

func TestDeclaredActivationWaits(t *testing.T) {
	f := newFixture(t)
	a := f.declare("shop")
	f.Eventually(f.condition(a, v1alpha1.ReadyCondition)).Should(Equal("False/AwaitingActivation"))
	f.Expect(verdictOf(a, v1alpha1.TokenValidCondition)).To(Equal("Unknown/AwaitingActivation"))
	f.Expect(verdictOf(a, v1alpha1.StalledCondition)).To(BeEmpty())
	f.Expect(f.calls()).To(BeEmpty())
	f.Expect(verdictOf(f.activate(f.admin.Token), v1alpha1.ReadyCondition)).To(Equal(active))
}

// A slow platform must not leave a condition that asks for what an admin has already done.
func TestRegistrationInProgress(t *testing.T) {
	f := newFixture(t)
	a := f.declare("shop")
	f.Eventually(f.condition(a, v1alpha1.ReadyCondition)).Should(Equal("False/AwaitingActivation"))
	answer := platform.InjectFault(rehivetest.Fault{Kind: rehivetest.FaultHang, Path: "/3/admin/webhooks/", Token: f.admin.Token})
	defer answer()
	f.save(a, f.admin.Token)
	f.Eventually(f.condition(a, v1alpha1.ReadyCondition)).Should(Equal("False/Registering"))
	f.Expect(verdictOf(a, v1alpha1.WebhooksRegisteredCondition)).To(Equal("Unknown/Registering"))
	answer()
	f.Expect(verdictOf(f.check(a), v1alpha1.ReadyCondition)).To(Equal(active))
}

func TestRefusedTokens(t *testing.T) {
	for name, token := range map[string]func(*fixture) string{
		"unknown": func(*fixture) string { return secrets.add("unknown-unknown-unknown-unknown-unknown") },
		"revoked": func(f *fixture) string {
			user := f.user("admin")
			platform.RevokeToken(user.Token)
			return user.Token
		},
		"of a customer": func(f *fixture) string { return f.user("user").Token },
		"of no group":   func(f *fixture) string { return f.user("-").Token },
		"of another company": func(f *fixture) string {
			f.addCompany("other-" + f.namespace)
			user, err := platform.AddUser("other-"+f.namespace, rehivetest.User{Group: "admin"})
			f.Expect(err).NotTo(HaveOccurred())
			return secrets.add(user.Token)
		},
		"malformed": func(*fixture) string { return secrets.add("a token\nwith: lines") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			a := f.activate(token(f))
			f.Expect(verdictOf(a, v1alpha1.TokenValidCondition)).To(Equal("False/TokenRefused"))
			f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal("False/TokenRefused"))
			f.Expect(verdictOf(a, v1alpha1.StalledCondition)).To(Equal("True/TokenRefused"))
			f.Expect(verdictOf(a, v1alpha1.WebhooksRegisteredCondition)).To(Equal("Unknown/TokenRefused"))
			f.Expect(a.Status.ServiceUser).To(BeEmpty())
			f.Expect(f.registered()).To(BeEmpty())
			f.Eventually(f.events(a)).Should(ContainElement("TokenRefused"))

			a = f.activate(f.admin.Token)
			f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal(active), "a valid token fixes it")
			f.Expect(verdictOf(a, v1alpha1.StalledCondition)).To(BeEmpty())
		})
	}
}

// TestPlatformFaults combines each step of an activation with each fault of the platform.
func TestPlatformFaults(t *testing.T) {
	const reached, tokenRefused = "Unknown/PlatformUnavailable", "False/TokenRefused"
	steps := map[string]struct {
		method, path string
		// The verdicts after refusals (401, then 403 and 404) in this step.
		unauthorized, forbidden string
		// token is the condition TokenValid if the step is reached and doesn't affect it.
		token string
	}{
		"auth":    {http.MethodGet, "/3/auth/", tokenRefused, tokenRefused, reached},
		"company": {http.MethodGet, "/3/admin/company/", tokenRefused, tokenRefused, accepted},
		"list":    {http.MethodGet, "/3/admin/webhooks/", tokenRefused, refused, accepted},
		"create":  {http.MethodPost, "/3/admin/webhooks/", tokenRefused, refused, accepted},
	}
	faults := map[string]rehivetest.Fault{
		"401":            {Kind: rehivetest.FaultStatus, Status: 401},
		"403":            {Kind: rehivetest.FaultStatus, Status: 403, Message: "Permission denied."},
		"404":            {Kind: rehivetest.FaultStatus, Status: 404},
		"429":            {Kind: rehivetest.FaultStatus, Status: 429, RetryAfter: "1"},
		"500":            {Kind: rehivetest.FaultStatus, Status: 500},
		"hang":           {Kind: rehivetest.FaultHang},
		"garbage":        {Kind: rehivetest.FaultGarbage},
		"401 of a proxy": {Kind: rehivetest.FaultGarbage, Status: 401},
		"cut":            {Kind: rehivetest.FaultClose},
	}
	for stepName, step := range steps {
		for faultName, fault := range faults {
			t.Run(stepName+"/"+faultName, func(t *testing.T) {
				f := newFixture(t)
				fault.Method, fault.Path, fault.Company = step.method, step.path, f.company
				remove := platform.InjectFault(fault)
				defer remove()
				a := f.activate(f.admin.Token)

				ready, token, webhooks := unavailable, step.token, unavailable
				switch faultName {
				case "401":
					ready, token, webhooks = tokenRefused, tokenRefused, "Unknown/TokenRefused"
				case "403", "404":
					ready = step.forbidden
					webhooks = refused
					if step.forbidden == tokenRefused {
						token, webhooks = tokenRefused, "Unknown/TokenRefused"
					}
				}
				f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal(ready), messageOf(a, v1alpha1.ReadyCondition))
				if faultName == "429" {
					// The reconciliation of the creation may have hit the fault already;
					// then this one made no call.
					f.Expect(verdictOf(a, v1alpha1.TokenValidCondition)).To(Or(Equal(token), Equal(unavailable)))
				} else {
					f.Expect(verdictOf(a, v1alpha1.TokenValidCondition)).To(Equal(token))
				}
				f.Expect(verdictOf(a, v1alpha1.WebhooksRegisteredCondition)).To(Equal(webhooks))
				if ready == unavailable {
					f.Expect(verdictOf(a, v1alpha1.StalledCondition)).To(BeEmpty())
				} else {
					f.Expect(verdictOf(a, v1alpha1.StalledCondition)).To(HavePrefix("True/"))
				}

				remove()
				if ready != unavailable {
					a = f.check(a) // nothing reports that an admin has fixed it
				}
				f.Eventually(f.condition(a, v1alpha1.ReadyCondition)).Should(Equal(active), "it must recover by itself")
				f.plant(a)
				f.Expect(f.registered()).To(HaveLen(len(defaultEvents)))
			})
		}
	}
}

func TestOutageKeepsStatusAndWebhooks(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	before := a.Status.DeepCopy()
	remove := platform.InjectFault(rehivetest.Fault{Company: f.company, Path: "/3/admin/webhooks/", Kind: rehivetest.FaultStatus, Status: 503})
	defer remove()
	f.check(a)
	f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal(unavailable))
	f.Expect(verdictOf(a, v1alpha1.TokenValidCondition)).To(Equal(accepted))
	f.Expect(a.Status.Webhooks).To(Equal(before.Webhooks), "an outage must not remove webhooks")
	f.Expect(a.Status.CompanyInfo).To(Equal(before.CompanyInfo))
	remove()
	f.Eventually(f.condition(a, v1alpha1.ReadyCondition)).Should(Equal(active))
}

func TestThrottlingIsHonoured(t *testing.T) {
	f := newFixture(t)
	remove := platform.InjectFault(rehivetest.Fault{Company: f.company, Path: "/3/auth/", Kind: rehivetest.FaultStatus, Status: 429, RetryAfter: "3600", Times: 1})
	defer remove()
	f.activate(f.admin.Token)
	f.Consistently(f.calls).Should(HaveLen(1), "no calls before the end of Retry-After")
}

func TestNewTokenResumesWork(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	before := theLedger.resumptions(f.company)
	f.check(a)
	f.Expect(theLedger.resumptions(f.company)).To(Equal(before), "the token is the same")
	a = f.activate(f.user("admin").Token)
	f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal(active))
	f.Expect(theLedger.resumptions(f.company)).To(Equal(before + 1))
}

func TestMissingPermissionMessage(t *testing.T) {
	f := newFixture(t)
	service := f.service()
	f.Expect(platform.SetPermissions(f.company, service.ID, []rehivetest.Permission{
		{Section: "admin", Type: "company", Level: "view"},
		{Section: "admin", Type: "webhook", Level: "view"},
	})).To(Succeed())
	a := f.activate(service.Token)
	f.Expect(verdictOf(a, v1alpha1.WebhooksRegisteredCondition)).To(Equal(refused))
	f.Expect(messageOf(a, v1alpha1.WebhooksRegisteredCondition)).To(Equal("Rehive refused to register the webhooks for " +
		strings.Join(defaultEvents, ", ") + ": Permission denied. " +
		"Grant the extension the admin permissions webhook: view, add, change, delete, then activate it again."))
	f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal(refused))
	f.Expect(verdictOf(a, v1alpha1.StalledCondition)).To(Equal("True/Refused"))

	f.Expect(platform.SetPermissions(f.company, service.ID, rehivetest.MinimumPermissions())).To(Succeed())
	f.Expect(verdictOf(f.check(a), v1alpha1.ReadyCondition)).To(Equal(active))
}

func TestUnknownEventDoesNotBlockOthers(t *testing.T) {
	f := newFixture(t)
	rule := f.rule("typo", "transaction.exceute")
	f.create(rule)
	a := f.activate(f.admin.Token)
	f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal(active), "a rule's mistake must not affect the company")
	// The cache may not have had the rule when the activation became Ready.
	f.Eventually(f.condition(a, v1alpha1.WebhooksRegisteredCondition)).Should(Equal("False/UnknownEvent"))
	f.Expect(messageOf(a, v1alpha1.WebhooksRegisteredCondition)).To(HavePrefix("Rehive does not know the event transaction.exceute, which the rule typo names: "))
	f.Expect(a.Status.UnknownEvents).To(Equal([]string{"transaction.exceute"}))
	f.Expect(f.registered()).To(HaveLen(len(defaultEvents)))
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("False/UnknownEvent"))
	f.Expect(verdictOf(rule, v1alpha1.StalledCondition)).To(Equal("True/UnknownEvent"))

	f.change(rule, func() { rule.Spec.Event = "transaction.create" })
	f.Eventually(f.condition(a, v1alpha1.WebhooksRegisteredCondition)).Should(Equal(isRegistered))
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("True/Valid"))
}

func TestDriftIsRepaired(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	secret := f.plant(a)
	webhooks := f.registered()
	f.Expect(platform.RemoveWebhook(f.company, webhooks["transaction.execute"].ID)).To(Succeed())
	f.Expect(platform.UpdateWebhook(f.company, webhooks["user.password.set"].ID, func(w *rehivetest.Webhook) {
		w.Secret = "somebody-else-changed-this-secret-to-that"
	})).To(Succeed())
	f.Expect(platform.UpdateWebhook(f.company, webhooks["user.password.reset"].ID, func(w *rehivetest.Webhook) {
		w.Enabled, w.Archived = false, true
	})).To(Succeed())

	f.check(a)
	f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal(active))
	f.Expect(f.registered()).To(HaveLen(len(defaultEvents)))
	for event, webhook := range f.registered() {
		f.Expect(webhook.Secret).To(Equal(secret), event)
		f.Expect(webhook.Enabled).To(BeTrue(), event)
		f.Expect(webhook.Archived).To(BeFalse(), event)
	}
}

// TestForeignWebhooksAreIgnored runs with a platform that ignores the filter of the list.
func TestForeignWebhooksAreIgnored(t *testing.T) {
	f := newFixture(t)
	foreign := registerByHand(f, webhookURL+"another/", "user.create")
	a := f.activate(f.admin.Token)
	remove := platform.InjectFault(rehivetest.Fault{
		Company: f.company, Method: http.MethodGet, Path: "/3/admin/webhooks/", Kind: rehivetest.FaultGarbage,
		Body: fmt.Sprintf(`{"status":"success","data":{"count":1,"next":null,"previous":null,"results":[
			{"id":%d,"url":%q,"event":"user.create","secret":"x","enabled":true,"archived":false}]}}`, foreign, webhookURL+"another/"),
	})
	defer remove()
	before := platform.Webhooks(f.company)
	f.check(a)
	f.Expect(platform.Webhooks(f.company)).To(Equal(before))
}

// TestResync runs a second manager with a short resync period on one namespace.
func TestResync(t *testing.T) {
	f := newFixture(t)
	mgr, err := newManager(f.ctx, ctrl.Options{Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{f.namespace: {}}}},
		Options{ResyncPeriod: 200 * time.Millisecond})
	f.Expect(err).NotTo(HaveOccurred())
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(f.ctx) }()
	t.Cleanup(func() { f.Expect(<-stopped).To(Succeed()) }) // t.Context ends before

	f.activate(f.admin.Token)
	// The shared manager reconciles the company too: each may briefly consider the other's
	// webhook superfluous.
	f.Eventually(func() error {
		return platform.RemoveWebhook(f.company, f.registered()["transaction.execute"].ID)
	}).Should(Succeed())
	f.Eventually(f.registered).Should(HaveKey("transaction.execute"))
}

// TestErasureWebhook checks that a company without a rule for user.update has its webhook, by
// which the operator learns whose data to erase.
func TestErasureWebhook(t *testing.T) {
	f := newFixture(t)
	f.Expect(defaultEvents).NotTo(ContainElement(rehive.EventUserUpdate))
	mgr, err := newManager(f.ctx, ctrl.Options{Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{f.namespace: {}}}},
		Options{ResyncPeriod: 200 * time.Millisecond, ErasureWebhook: true})
	f.Expect(err).NotTo(HaveOccurred())
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(f.ctx) }()
	t.Cleanup(func() { f.Expect(<-stopped).To(Succeed()) }) // t.Context ends before

	f.activate(f.admin.Token)
	// The shared manager, which doesn't have the option, may remove it for a moment.
	f.Eventually(f.registered).Should(HaveKey(rehive.EventUserUpdate))
	f.Expect(f.registered()).To(HaveKey("transaction.execute"))
}

func TestServiceTiedWebhooksAreTolerated(t *testing.T) {
	f := newFixture(t)
	service := f.service()
	a := f.activate(service.Token)
	f.Expect(k8s.Delete(f.ctx, f.rule("shop-set-password", ""))).To(Succeed())
	deletions := func() (n int) {
		for _, call := range f.calls() {
			if call[:6] == http.MethodDelete {
				n++
			}
		}
		return n
	}
	f.Eventually(deletions).ShouldNot(BeZero())
	f.Expect(f.registered()).To(HaveKey("user.password.set"), "the platform keeps it")
	f.check(a)
	tried := deletions() // once, or twice if the cache was stale
	f.check(a)
	f.check(a)
	f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal(active))
	f.Expect(deletions()).To(Equal(tried), "a refused deletion must not be retried")
	f.Expect(a.Status.Webhooks).To(HaveLen(len(defaultEvents)), "it is registered on the platform")
}

func TestRefusedChangeMessage(t *testing.T) {
	f := newFixture(t)
	service := f.service()
	a := f.activate(service.Token)
	webhook := f.registered()["transaction.execute"]
	f.Expect(platform.UpdateWebhook(f.company, webhook.ID, func(w *rehivetest.Webhook) { w.Enabled = false })).To(Succeed())
	f.check(a)
	f.Expect(verdictOf(a, v1alpha1.WebhooksRegisteredCondition)).To(Equal(refused))
	f.Expect(messageOf(a, v1alpha1.WebhooksRegisteredCondition)).To(And(
		HavePrefix("Rehive refused to enable the webhook for transaction.execute: "),
		HaveSuffix("Deactivate the extension, delete this webhook in the dashboard of Rehive, then activate the extension again.")))
	f.Expect(a.Status.Webhooks).To(HaveLen(len(defaultEvents) - 1))
}

func TestLostSecretIsAdoptedFromThePlatform(t *testing.T) {
	for name, lose := range map[string]func(*fixture, *v1alpha1.CompanyActivation, string){
		// The Secret was deleted, and a new activation wrote only a token.
		"none": func(f *fixture, a *v1alpha1.CompanyActivation, token string) {
			f.Expect(k8s.Delete(f.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "shop-rehive"}})).To(Succeed())
			f.Eventually(f.condition(a, v1alpha1.ReadyCondition)).Should(Equal("False/SecretMissing"))
			f.Expect(verdictOf(a, v1alpha1.StalledCondition)).To(Equal("True/SecretMissing"))
			f.save(a, token)
		},
		// It was replaced by a Secret with a different webhook secret, and the platform
		// refuses to change its webhooks.
		"another": func(f *fixture, a *v1alpha1.CompanyActivation, token string) {
			credentials, err := activation.Get(f.ctx, k8s, a)
			f.Expect(err).NotTo(HaveOccurred())
			credentials.WebhookSecret = secrets.add(activation.NewWebhookSecret())
			f.Expect(activation.Save(f.ctx, k8s, a, credentials)).To(Succeed())
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			service := f.service()
			a := f.activate(service.Token)
			secret, before := f.plant(a), f.registered()
			lose(f, a, service.Token)
			f.check(a)
			f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal(active), messageOf(a, v1alpha1.ReadyCondition))
			f.Expect(f.plant(a)).To(Equal(secret))
			f.Expect(f.registered()).To(Equal(before))
		})
	}
}

func TestDuplicateWebhookIsTolerated(t *testing.T) {
	f := newFixture(t)
	// The webhook is created after the list was read, and the answer is lost.
	remove := platform.InjectFault(rehivetest.Fault{Company: f.company, Method: http.MethodPost, Path: "/3/admin/webhooks/", Kind: rehivetest.FaultClose, After: true, Times: 1})
	defer remove()
	a := f.activate(f.admin.Token)
	f.Eventually(f.condition(a, v1alpha1.ReadyCondition)).Should(Equal(active))
	f.plant(a)
	f.Expect(f.registered()).To(HaveLen(len(defaultEvents)))
}

// TestForeignSecretIsNotUsed checks that a Secret with the right name isn't used unless the
// activation owns it.
func TestForeignSecretIsNotUsed(t *testing.T) {
	f := newFixture(t)
	secret := f.secret()
	secret.StringData = map[string]string{v1alpha1.SecretKeyToken: f.admin.Token}
	f.create(secret)
	a := f.declare("shop")
	f.Eventually(f.condition(a, v1alpha1.ReadyCondition)).Should(Equal("False/SecretUnusable"))
	f.Expect(verdictOf(a, v1alpha1.StalledCondition)).To(Equal("True/SecretUnusable"))
	f.Expect(messageOf(a, v1alpha1.ReadyCondition)).To(HavePrefix("The Secret shop-rehive exists, but does not belong to this CompanyActivation. Delete or rename it, "))
	f.Expect(f.calls()).To(BeEmpty())
	rule := f.rule("unheard", "user.create")
	f.create(rule)
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("False/SecretUnusable"))
	f.Expect(verdictOf(rule, v1alpha1.StalledCondition)).To(Equal("True/SecretUnusable"))
	f.Expect(messageOf(rule, v1alpha1.ReadyCondition)).To(HavePrefix("The rule is valid, but not in effect while the CompanyActivation shop isn't ready: The Secret shop-rehive exists, "))
	version := secret.ResourceVersion
	f.Expect(k8s.Delete(f.ctx, a)).To(Succeed())
	f.awaitDeletion(a)
	f.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(secret), secret)).To(Succeed())
	f.Expect(secret.ResourceVersion).To(Equal(version))
}

// TestSecretKeptByFinalizer checks that the status says why a deleted Secret can't be replaced.
func TestSecretKeptByFinalizer(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	secret := f.secret()
	f.change(secret, func() { secret.Finalizers = []string{"example.com/hold"} })
	f.Expect(k8s.Delete(f.ctx, secret)).To(Succeed())
	f.Eventually(f.condition(a, v1alpha1.ReadyCondition)).Should(Equal("False/SecretUnusable"))
	f.Expect(messageOf(a, v1alpha1.ReadyCondition)).To(HavePrefix("The Secret shop-rehive was deleted, but remains until its finalizers are removed: example.com/hold. "))
	f.change(secret, func() { secret.Finalizers = nil })
	f.Eventually(f.condition(a, v1alpha1.ReadyCondition)).Should(Equal("False/SecretMissing"))
	f.save(a, f.admin.Token)
	f.Eventually(f.condition(a, v1alpha1.ReadyCondition)).Should(Equal(active))
}

// TestImmutableSecret checks that an immutable Secret works while its token is valid, and
// that the status explains the problem after that.
func TestImmutableSecret(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	var secret corev1.Secret
	f.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(f.secret()), &secret)).To(Succeed())
	before := secret.DeepCopy()
	secret.Immutable = ptr.To(true)
	delete(secret.Data, v1alpha1.SecretKeyWebhookSecret)
	f.Expect(k8s.Patch(f.ctx, &secret, client.MergeFrom(before))).To(Succeed())
	for event, webhook := range f.registered() {
		f.Expect(platform.RemoveWebhook(f.company, webhook.ID)).To(Succeed(), event)
	}
	f.check(a)
	f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal("False/SecretUnusable"))
	f.Expect(messageOf(a, v1alpha1.ReadyCondition)).To(HavePrefix("The Secret shop-rehive is immutable, "))
}

// TestRepairedSecret checks that an activation is ready again as soon as a Secret is as it
// was before.
func TestRepairedSecret(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	secret := f.secret()
	f.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(secret), secret)).To(Succeed())
	good := secret.DeepCopy()
	for name, test := range map[string]struct {
		spoil func()
		ready string
	}{
		"no owner":        {func() { secret.OwnerReferences = nil }, "False/SecretUnusable"},
		"another's label": {func() { secret.OwnerReferences, secret.Labels[activation.ActivationLabel] = nil, "other" }, "False/SecretUnusable"},
		"an empty token":  {func() { secret.Data[v1alpha1.SecretKeyToken] = []byte("\n") }, "False/SecretMissing"},
		"a wrong token":   {func() { secret.Data[v1alpha1.SecretKeyToken] = []byte("wrong") }, "False/TokenRefused"},
	} {
		f.change(secret, test.spoil)
		f.Eventually(f.condition(a, v1alpha1.ReadyCondition)).Should(Equal(test.ready), name)
		f.change(secret, func() {
			repaired := good.DeepCopy()
			secret.Data, secret.Labels, secret.OwnerReferences = repaired.Data, repaired.Labels, repaired.OwnerReferences
		})
		f.Eventually(f.condition(a, v1alpha1.ReadyCondition)).Should(Equal(active), name)
	}
}

func (f *fixture) makeSecretImmutable() *corev1.Secret {
	f.t.Helper()
	secret := f.secret()
	f.Expect(k8s.Patch(f.ctx, secret, client.RawPatch("application/merge-patch+json", []byte(`{"immutable":true}`)))).To(Succeed())
	return secret
}

// TestImmutableSecretIsAnnounced checks that the status says what will fail while the
// token is still valid.
func TestImmutableSecretIsAnnounced(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	f.makeSecretImmutable()
	f.Eventually(func(g Gomega) {
		g.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(a), a)).To(Succeed())
		g.Expect(messageOf(a, v1alpha1.ReadyCondition)).To(ContainSubstring("The Secret shop-rehive is immutable, so the next token cannot be stored"))
	}).Should(Succeed())
	f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal("True/Active"))
}

// TestRefusedRotationIsReported checks that an activation is not Ready after the HTTP server
// could not store a new token, until its Secret can take one.
func TestRefusedRotationIsReported(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	secret := f.makeSecretImmutable()
	f.check(a, func(a *v1alpha1.CompanyActivation) {
		metav1.SetMetaDataAnnotation(&a.ObjectMeta, v1alpha1.TokenNotStoredAnnotation, "2026-01-31T12:00:00Z")
	})
	f.Expect(verdictOf(a, v1alpha1.ReadyCondition)).To(Equal("False/SecretUnusable"))
	f.Expect(messageOf(a, v1alpha1.ReadyCondition)).To(HavePrefix("Rehive sent a new token, which could not be stored: the Secret shop-rehive is immutable. "))
	f.Expect(verdictOf(a, v1alpha1.TokenValidCondition)).To(Equal("True/TokenAccepted"))
	f.Expect(verdictOf(a, v1alpha1.WebhooksRegisteredCondition)).To(HavePrefix("True/"))

	replacement := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: secret.Namespace, Name: secret.Name, Labels: secret.Labels, OwnerReferences: secret.OwnerReferences,
	}, Data: secret.Data}
	f.Expect(k8s.Delete(f.ctx, secret)).To(Succeed())
	f.Expect(k8s.Create(f.ctx, replacement)).To(Succeed())
	f.Eventually(func() string {
		f.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(a), a)).To(Succeed())
		return verdictOf(a, v1alpha1.ReadyCondition)
	}).Should(Equal("True/Active"))
}

// TestServiceUserIsRecorded checks that the user is stored with the token, also in Secrets
// of earlier versions.
func TestServiceUserIsRecorded(t *testing.T) {
	f := newFixture(t)
	service := f.service()
	a := f.activate(service.Token)
	credentials, err := activation.Get(f.ctx, k8s, a)
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(credentials.ServiceUser).To(Equal(service.User))
	// An admin's token doesn't replace the service user.
	f.activate(f.admin.Token)
	credentials, err = activation.Get(f.ctx, k8s, a)
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(credentials.ServiceUser).To(Equal(service.User))
	f.Expect(credentials.Token).To(Equal(f.admin.Token))
}

// TestNamespaceNotAllowed checks that objects in other namespaces are ignored, with a
// status that names the flag to allow them.
func TestNamespaceNotAllowed(t *testing.T) {
	f := newFixture(t)
	holder := f.activate(f.admin.Token)
	f.namespace = "x-" + f.namespace
	f.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: f.namespace}})
	squatter := f.declare("shop")
	f.save(squatter, f.user("admin").Token)
	rule := f.rule("mine", "user.create")
	f.create(rule)
	f.Eventually(f.condition(squatter, v1alpha1.ReadyCondition)).Should(Equal("False/NamespaceNotAllowed"))
	f.Expect(verdictOf(squatter, v1alpha1.StalledCondition)).To(Equal("True/NamespaceNotAllowed"))
	f.Expect(messageOf(squatter, v1alpha1.ReadyCondition)).To(And(ContainSubstring(f.namespace), HaveSuffix("--activation-namespaces.")))
	f.Eventually(func() (string, error) {
		credentials, err := activation.Get(f.ctx, k8s, squatter)
		return credentials.Token, err
	}).Should(BeEmpty())
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("False/NamespaceNotAllowed"))
	f.Expect(f.registered()).NotTo(HaveKey("user.create"))

	f.purge(squatter)
	f.awaitDeletion(squatter)
	f.Expect(theLedger.callsOf(f.company)).To(BeEmpty())
	f.Expect(f.registered()).To(HaveLen(len(defaultEvents)))
	f.Expect(f.condition(holder, v1alpha1.ReadyCondition)()).To(Equal(active))
}

func TestSecondActivationOfACompany(t *testing.T) {
	f := newFixture(t)
	holder := f.activate(f.admin.Token)
	// Creation times are in seconds; if they are equal, the name decides.
	second := f.declare("zz-second")
	f.Eventually(f.condition(second, v1alpha1.ReadyCondition)).Should(Equal("False/DuplicateCompany"))
	f.Expect(verdictOf(second, v1alpha1.StalledCondition)).To(Equal("True/DuplicateCompany"))
	f.Expect(messageOf(second, v1alpha1.ReadyCondition)).To(And(
		HavePrefix("An older CompanyActivation, shop, holds the company "+f.company+". "),
		ContainSubstring("kubectl get companyactivations --all-namespaces --field-selector spec.company="+f.company)))
	f.Expect(f.condition(holder, v1alpha1.ReadyCondition)()).To(Equal(active))
	rule := f.rule("of-second", "user.create")
	rule.Spec.CompanyRef.Name = "zz-second"
	f.create(rule)
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("False/DuplicateCompany"))
	f.Expect(verdictOf(rule, v1alpha1.StalledCondition)).To(Equal("True/DuplicateCompany"))

	f.Expect(k8s.Delete(f.ctx, holder)).To(Succeed())
	f.Eventually(f.condition(second, v1alpha1.ReadyCondition)).Should(Equal("False/AwaitingActivation"), "it must not inherit the token")
	f.Expect(messageOf(second, v1alpha1.ReadyCondition)).To(HaveSuffix("switch it off and on again."))
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("False/AwaitingActivation"))
	f.Expect(messageOf(rule, v1alpha1.ReadyCondition)).To(Equal("The rule is valid, but no event matches it until Rehive has activated this extension for the company."))
	f.Eventually(f.registered).Should(BeEmpty())
	f.Eventually(func() []string { return theLedger.callsOf(f.company) }).Should(Equal([]string{"cancel"}))
}

// TestDuplicateHoldsNoToken checks that a token from before an activation became a
// duplicate isn't used after the holder is deleted.
func TestDuplicateHoldsNoToken(t *testing.T) {
	f := newFixture(t)
	holder := f.activate(f.admin.Token)
	second := f.declare("zz-second")
	f.save(second, f.user("admin").Token)
	token := func() (string, error) {
		credentials, err := activation.Get(f.ctx, k8s, second)
		return credentials.Token, err
	}
	f.Eventually(token).Should(BeEmpty())
	f.Expect(k8s.Delete(f.ctx, holder)).To(Succeed())
	f.awaitDeletion(holder)
	f.Eventually(f.condition(second, v1alpha1.ReadyCondition)).Should(Equal("False/AwaitingActivation"))
}

func TestDeletingDuplicateKeepsHolder(t *testing.T) {
	f := newFixture(t)
	holder := f.activate(f.admin.Token)
	second := f.declare("zz-second")
	f.save(second, f.admin.Token)
	f.Eventually(f.condition(second, v1alpha1.ReadyCondition)).Should(Equal("False/DuplicateCompany"))
	before := f.registered()
	f.purge(second) // removes more than a plain deletion
	f.awaitDeletion(second)
	f.Expect(f.registered()).To(Equal(before))
	f.Expect(theLedger.callsOf(f.company)).To(BeEmpty())
	f.Expect(f.condition(holder, v1alpha1.ReadyCondition)()).To(Equal(active))
}

// TestOverwrittenStatus checks that an overwritten status is restored by the next
// reconciliation, even without calls to the platform.
func TestOverwrittenStatus(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	before := a.Status.DeepCopy()
	overwrite := client.RawPatch("application/merge-patch+json", []byte(`{"status":{"webhooks":null,"serviceUser":"somebody","defaultRules":null,
		"companyInfo":null,"conditions":[{"type":"Ready","status":"False","reason":"Mischief","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`))
	f.Expect(k8s.Status().Patch(f.ctx, a, overwrite)).To(Succeed())
	calls := len(f.calls())
	f.change(a, func() { metav1.SetMetaDataAnnotation(&a.ObjectMeta, "touched", "yes") })
	f.Eventually(func() v1alpha1.CompanyActivationStatus {
		f.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(a), a)).To(Succeed())
		return a.Status
	}).Should(Equal(*before))
	f.Expect(f.calls()).To(HaveLen(calls))

	// The activity is not the reconciler's, which leaves it alone.
	f.Expect(k8s.Status().Patch(f.ctx, a, client.RawPatch("application/merge-patch+json", []byte(`{"status":{"serviceUser":"somebody","activity":{"pending":7}}}`)))).To(Succeed())
	f.change(a, func() { metav1.SetMetaDataAnnotation(&a.ObjectMeta, "touched", "again") })
	f.Eventually(func() string {
		f.Expect(k8s.Get(f.ctx, client.ObjectKeyFromObject(a), a)).To(Succeed())
		return a.Status.ServiceUser
	}).Should(Equal(before.ServiceUser))
	f.Expect(a.Status.Activity.Pending).To(Equal(int64(7)))
}

// TestTokenStatus checks what the status shows of the token and its rotation.
func TestTokenStatus(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	f.Expect(a.Status.Token).To(Equal(v1alpha1.TokenStatus{}), "the Secret doesn't say when the token came")
	received := metav1.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	receive := func(rotated bool) *v1alpha1.CompanyActivation {
		credentials, err := activation.Get(f.ctx, k8s, a)
		f.Expect(err).NotTo(HaveOccurred())
		credentials.ReceiveToken(f.user("admin").Token, received.Time)
		if rotated {
			credentials.TokenRotated = received.Time
		}
		f.Expect(activation.Save(f.ctx, k8s, a, credentials)).To(Succeed())
		a := f.check(a)
		for _, at := range []*metav1.Time{a.Status.Token.ReceivedTime, a.Status.Token.LastRotationTime, a.Status.Token.NextRotationTime} {
			if at != nil {
				at.Time = at.UTC()
			}
		}
		return a
	}
	f.Expect(receive(false).Status.Token).To(Equal(v1alpha1.TokenStatus{ReceivedTime: &received}), "it is unknown whether Rehive rotates it")
	next := metav1.NewTime(received.AddDate(0, 0, 8))
	f.Expect(receive(true).Status.Token).To(Equal(v1alpha1.TokenStatus{ReceivedTime: &received, LastRotationTime: &received, NextRotationTime: &next}))
}

// TestStatusIsWrittenWhenLedgerFails checks that results are reported even though another
// step failed.
func TestStatusIsWrittenWhenLedgerFails(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	theLedger.failWakingFor(f.company, errors.New("the disk is full"))
	woken := theLedger.wokenFor(f.company, v1alpha1.ChannelEmail)
	before := woken()
	f.change(a, func() {
		a.Spec.Providers.Email = &v1alpha1.DeliveryProviderReference{Name: "missing"}
	})
	f.Eventually(f.condition(a, v1alpha1.ProvidersResolvedCondition)).Should(Equal("False/DeliveryProviderNotFound"))
	f.Expect(woken()).To(Equal(before))
	theLedger.failWakingFor(f.company, nil)
	f.Eventually(woken).Should(BeNumerically(">", before), "waking is retried")
}

func TestInactiveBySpec(t *testing.T) {
	f := newFixture(t)
	a := f.activate(f.admin.Token)
	rule := f.rule("mine", "user.create")
	f.create(rule)
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("True/Valid"))
	f.check(a, func(a *v1alpha1.CompanyActivation) { a.Spec.State = v1alpha1.ActivationInactive })
	f.Expect(messageOf(a, v1alpha1.ReadyCondition)).To(Equal("spec.state is Inactive, so the company's events are refused, though the extension is active on Rehive. Set spec.state to Active to accept them again."))
	f.Eventually(f.condition(rule, v1alpha1.ReadyCondition)).Should(Equal("False/Inactive"))
	f.save(a, "") // like the platform's call
	f.check(a)
	f.Expect(messageOf(a, v1alpha1.ReadyCondition)).To(Equal("The extension was deactivated for the company on Rehive: its events are refused until it is activated again there."))
}

// TestPlatformCallBudget counts calls: the controller's own writes must not cause any, and
// any number of rules cause one check per interval.
func TestPlatformCallBudget(t *testing.T) {
	f := newFixture(t)
	a := f.declare("shop")
	f.check(a, func(a *v1alpha1.CompanyActivation) { a.Spec.State = v1alpha1.ActivationInactive })
	f.save(a, f.admin.Token)
	// The token alone must not cause a check yet: on a busy machine, it would end before
	// the test requests another one.
	f.check(a, func(a *v1alpha1.CompanyActivation) { a.Spec.State = v1alpha1.ActivationActive })
	// Auth, company, list, and one registration for each event.
	f.Consistently(f.calls).Should(HaveLen(3 + len(defaultEvents)))

	checks := func() (n int) {
		for _, call := range f.calls() {
			if call == "GET /3/auth/" {
				n++
			}
		}
		return n
	}
	start := time.Now()
	events := []string{"user.create", "user.update", "address.create", "address.update", "document.create", "document.update", "email.create", "email.update"}
	for _, event := range events {
		f.create(f.rule("on-"+event, event))
		f.Eventually(f.condition(f.rule("on-"+event, event), v1alpha1.ReadyCondition)).Should(Equal("True/Valid"))
	}
	f.Eventually(f.registered).Should(HaveLen(len(defaultEvents) + len(events)))
	f.Expect(checks()).To(BeNumerically("<=", 2+int(time.Since(start)/checkInterval)))
	calls := len(f.calls())
	f.Consistently(f.calls).Should(HaveLen(calls))
}

// TestSentence includes messages of the platform in other languages.
func TestSentence(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		" . ":                   "",
		"no such company":       "No such company.",
		"état inconnu...":       "État inconnu.",
		"会社が見つかりません":            "会社が見つかりません.",
		"Not a valid company. ": "Not a valid company.",
	} {
		if got := sentence(text); got != want {
			t.Errorf("sentence(%q) is %q, want %q", text, got, want)
		}
	}
}
