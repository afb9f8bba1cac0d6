// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/check"
	"github.com/rehive/extension-operator/internal/notify"
)

func TestCompanyActivationValidation(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.CompanyActivation)
		want   string // part of the error; empty if accepted
	}{
		"good":                     {func(*v1alpha1.CompanyActivation) {}, ""},
		"capitals and signs":       {func(a *v1alpha1.CompanyActivation) { a.Spec.Company = "My_Shop.2-x" }, ""},
		"no company":               {func(a *v1alpha1.CompanyActivation) { a.Spec.Company = "" }, "spec.company"},
		"company with a slash":     {func(a *v1alpha1.CompanyActivation) { a.Spec.Company = "a/b" }, "spec.company"},
		"company with a space":     {func(a *v1alpha1.CompanyActivation) { a.Spec.Company = "a b" }, "spec.company"},
		"longest company":          {func(a *v1alpha1.CompanyActivation) { a.Spec.Company = strings.Repeat("a", 100) }, ""},
		"too long company":         {func(a *v1alpha1.CompanyActivation) { a.Spec.Company = strings.Repeat("a", 101) }, "spec.company"},
		"unknown state":            {func(a *v1alpha1.CompanyActivation) { a.Spec.State = "Paused" }, "spec.state"},
		"longest name":             {func(a *v1alpha1.CompanyActivation) { a.Name = strings.Repeat("a", 63) }, ""},
		"too long name":            {func(a *v1alpha1.CompanyActivation) { a.Name = strings.Repeat("a", 64) }, "must not be longer than 63 characters"},
		"name that is not a label": {func(a *v1alpha1.CompanyActivation) { a.Name = "Shop" }, "metadata.name"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			a := &v1alpha1.CompanyActivation{Spec: v1alpha1.CompanyActivationSpec{Company: f.company}}
			a.Namespace, a.Name = f.namespace, "shop"
			test.change(a)
			err := k8s.Create(f.ctx, a)
			if test.want != "" {
				f.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
				f.Expect(err).To(MatchError(ContainSubstring(test.want)))
				return
			}
			f.Expect(err).NotTo(HaveOccurred())
			f.Expect(a.Spec.State).To(Equal(v1alpha1.ActivationActive), "the default")
			f.Expect(*a.Spec.PushEnabled).To(BeTrue(), "the default")
			f.Expect(a.Status.ObservedGeneration).To(Equal(int64(-1)), "the default, so that kstatus waits")
		})
	}
}

func TestCompanyIsImmutable(t *testing.T) {
	f := newFixture(t)
	a := f.declare("shop")
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"company":"other"}}`))
	f.Expect(k8s.Patch(f.ctx, a, patch)).To(MatchError(ContainSubstring("company can't be changed")))
	state := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"state":"Inactive"}}`))
	f.Expect(k8s.Patch(f.ctx, a, state)).To(Succeed())
}

func TestNotificationRuleValidation(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.NotificationRule)
		want   string
	}{
		"good":                  {func(*v1alpha1.NotificationRule) {}, ""},
		"no event":              {func(r *v1alpha1.NotificationRule) { r.Spec.Event = "" }, ""},
		"event of three parts":  {func(r *v1alpha1.NotificationRule) { r.Spec.Event = "transaction.transition.create" }, ""},
		"event with capitals":   {func(r *v1alpha1.NotificationRule) { r.Spec.Event = "Transaction.execute" }, "spec.event"},
		"event ending in a dot": {func(r *v1alpha1.NotificationRule) { r.Spec.Event = "transaction." }, "spec.event"},
		"too long event":        {func(r *v1alpha1.NotificationRule) { r.Spec.Event = strings.Repeat("a", 101) }, "spec.event"},
		"no channel":            {func(r *v1alpha1.NotificationRule) { r.Spec.Email = nil }, "exactly one channel must be set"},
		"no company":            {func(r *v1alpha1.NotificationRule) { r.Spec.CompanyRef.Name = "" }, "spec.companyRef.name"},
		"company's identifier":  {func(r *v1alpha1.NotificationRule) { r.Spec.CompanyRef.Name = "My_Shop" }, "spec.companyRef.name"},
		"too long company":      {func(r *v1alpha1.NotificationRule) { r.Spec.CompanyRef.Name = strings.Repeat("a", 64) }, "spec.companyRef.name"},
		"no display name":       {func(r *v1alpha1.NotificationRule) { r.Spec.DisplayName = "" }, "spec.displayName"},
		"blank display name":    {func(r *v1alpha1.NotificationRule) { r.Spec.DisplayName = " " }, "spec.displayName"},
		"too long name":         {func(r *v1alpha1.NotificationRule) { r.Spec.DisplayName = strings.Repeat("a", 251) }, "spec.displayName"},
		"no recipient":          {func(r *v1alpha1.NotificationRule) { r.Spec.Email.To = "" }, "spec.email.to"},
		"blank recipient":       {func(r *v1alpha1.NotificationRule) { r.Spec.Email.To = " \n" }, "spec.email.to"},
		"no subject":            {func(r *v1alpha1.NotificationRule) { r.Spec.Email.Subject = "" }, "spec.email.subject"},
		"blank subject":         {func(r *v1alpha1.NotificationRule) { r.Spec.Email.Subject = " " }, "spec.email.subject"},
		"no text":               {func(r *v1alpha1.NotificationRule) { r.Spec.Email.Text = "" }, "spec.email.text"},
		"blank text":            {func(r *v1alpha1.NotificationRule) { r.Spec.Email.Text = "\n\n" }, "spec.email.text"},
		"longest text":          {func(r *v1alpha1.NotificationRule) { r.Spec.Email.Text = strings.Repeat("a", 262144) }, ""},
		"too long text":         {func(r *v1alpha1.NotificationRule) { r.Spec.Email.Text = strings.Repeat("a", 262145) }, "spec.email.text"},
		"too long HTML":         {func(r *v1alpha1.NotificationRule) { r.Spec.Email.HTML = strings.Repeat("a", 262145) }, "spec.email.html"},
		"two channels":          {func(r *v1alpha1.NotificationRule) { r.Spec.SMS = &v1alpha1.SMSMessage{To: "a", Message: "b"} }, "exactly one channel must be set"},
		"an SMS": {func(r *v1alpha1.NotificationRule) {
			onSMS(r, v1alpha1.SMSMessage{To: "a", Message: "b", DefaultRegion: "ZA"})
		}, ""},
		"SMS to nobody": {func(r *v1alpha1.NotificationRule) { onSMS(r, v1alpha1.SMSMessage{Message: "b"}) }, "spec.sms.to"},
		"blank SMS":     {func(r *v1alpha1.NotificationRule) { onSMS(r, v1alpha1.SMSMessage{To: "a", Message: " "}) }, "spec.sms.message"},
		"too long SMS": {func(r *v1alpha1.NotificationRule) {
			onSMS(r, v1alpha1.SMSMessage{To: "a", Message: strings.Repeat("a", 16385)})
		}, "spec.sms.message"},
		"region": {func(r *v1alpha1.NotificationRule) {
			onSMS(r, v1alpha1.SMSMessage{To: "a", Message: "b", DefaultRegion: "za"})
		}, "spec.sms.defaultRegion"},
		"a push message":     {func(r *v1alpha1.NotificationRule) { onPush(r, v1alpha1.PushMessage{ToUser: "a", Message: "b"}) }, ""},
		"push to nobody":     {func(r *v1alpha1.NotificationRule) { onPush(r, v1alpha1.PushMessage{Message: "b"}) }, "spec.push.toUser"},
		"blank push message": {func(r *v1alpha1.NotificationRule) { onPush(r, v1alpha1.PushMessage{ToUser: "a", Message: "\n"}) }, "spec.push.message"},
		"an in-app message": {func(r *v1alpha1.NotificationRule) {
			r.Spec.Email, r.Spec.System = nil, &v1alpha1.SystemMessage{ToUser: "a", Message: "b"}
		}, ""},
		"in-app to nobody": {func(r *v1alpha1.NotificationRule) {
			r.Spec.Email, r.Spec.System = nil, &v1alpha1.SystemMessage{Message: "b"}
		}, "spec.system.toUser"},
		"in-app beside its own channel": {func(r *v1alpha1.NotificationRule) {
			r.Spec.PreferenceEnabled, r.Spec.SystemEnabled, r.Spec.Email.ToUser = true, true, "{{ partner.user.id }}"
		}, ""},
		"in-app twice": {func(r *v1alpha1.NotificationRule) {
			r.Spec.Email, r.Spec.System, r.Spec.SystemEnabled = nil, &v1alpha1.SystemMessage{ToUser: "a", Message: "b"}, true
		}, "systemEnabled can't be set together with system"},
		"too long user": {func(r *v1alpha1.NotificationRule) { r.Spec.Email.ToUser = strings.Repeat("a", 4097) }, "spec.email.toUser"},
		"a layout": {func(r *v1alpha1.NotificationRule) {
			r.Spec.Email.LayoutRef = &v1alpha1.NotificationLayoutReference{Name: "brand"}
		}, ""},
		"layout without a name": {func(r *v1alpha1.NotificationRule) { r.Spec.Email.LayoutRef = &v1alpha1.NotificationLayoutReference{} }, "spec.email.layoutRef.name"},
		"too long expression":   {func(r *v1alpha1.NotificationRule) { r.Spec.Expression = strings.Repeat("a", 8193) }, "spec.expression"},
		"too long description":  {func(r *v1alpha1.NotificationRule) { r.Spec.Description = strings.Repeat("a", 4097) }, "spec.description"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			rule := f.rule("rule", "transaction.execute")
			test.change(rule)
			err := k8s.Create(f.ctx, rule)
			if test.want != "" {
				f.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
				f.Expect(err).To(MatchError(ContainSubstring(test.want)))
				return
			}
			f.Expect(err).NotTo(HaveOccurred())
			f.Expect(*rule.Spec.Enabled).To(BeTrue(), "the default")
			f.Expect(rule.Status.ObservedGeneration).To(Equal(int64(-1)))
		})
	}
}

func onSMS(rule *v1alpha1.NotificationRule, message v1alpha1.SMSMessage) {
	rule.Spec.Email, rule.Spec.SMS = nil, &message
}

func onPush(rule *v1alpha1.NotificationRule, message v1alpha1.PushMessage) {
	rule.Spec.Email, rule.Spec.Push = nil, &message
}

func TestCompanyRefIsImmutable(t *testing.T) {
	f := newFixture(t)
	rule := f.rule("rule", "transaction.execute")
	f.create(rule)
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"companyRef":{"name":"other"}}}`))
	f.Expect(k8s.Patch(f.ctx, rule, patch)).To(MatchError(ContainSubstring("companyRef can't be changed")))
}

func TestSelectableFields(t *testing.T) {
	f := newFixture(t)
	f.declare("shop")
	f.create(f.rule("one", "user.create"))
	f.create(f.rule("two", "user.update"))
	var activations v1alpha1.CompanyActivationList
	f.Expect(k8s.List(f.ctx, &activations, client.MatchingFields{"spec.company": f.company})).To(Succeed())
	f.Expect(activations.Items).To(HaveLen(1))
	var rules v1alpha1.NotificationRuleList
	f.Expect(k8s.List(f.ctx, &rules, client.InNamespace(f.namespace), client.MatchingFields{"spec.event": "user.update"})).To(Succeed())
	f.Expect(rules.Items).To(ConsistOf(HaveField("Name", "two")))
	f.Expect(k8s.List(f.ctx, &rules, client.InNamespace(f.namespace), client.MatchingFields{"spec.companyRef.name": "shop"})).To(Succeed())
	f.Expect(rules.Items).To(HaveLen(2))
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestExamplesApply creates every sample, and every example in the reference pages, with
// strict validation, and compiles the rules.
func TestExamplesApply(t *testing.T) {
	g := NewWithT(t)
	documents := make(map[string]string)
	samples, err := filepath.Glob("../config/samples/extensions_*.yaml")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(samples)).To(BeNumerically(">=", 2))
	for _, sample := range samples {
		raw, err := os.ReadFile(sample)
		g.Expect(err).NotTo(HaveOccurred())
		documents[sample] = string(raw)
	}
	for _, page := range []string{"../docs/companyactivation.md", "../docs/deliveryprovider.md", "../docs/notificationlayout.md", "../docs/notificationrule.md", "../docs/rule-tests.md"} {
		raw, err := os.ReadFile(page)
		g.Expect(err).NotTo(HaveOccurred())
		blocks := yamlBlock.FindAllStringSubmatch(string(raw), -1)
		g.Expect(blocks).NotTo(BeEmpty(), "%s has no example", page)
		for i, block := range blocks {
			documents[page+" example "+string(rune('1'+i))] = block[1]
		}
	}
	for name, document := range documents {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			for _, part := range strings.Split(document, "\n---\n") {
				var object unstructured.Unstructured
				f.Expect(yaml.Unmarshal([]byte(part), &object.Object)).To(Succeed())
				object.SetNamespace(f.namespace)
				if object.GetKind() == "CompanyActivation" {
					// Each example is isolated.
					f.Expect(unstructured.SetNestedField(object.Object, f.company, "spec", "company")).To(Succeed())
				}
				var options []client.CreateOption
				if object.GetKind() == "DeliveryProvider" {
					// It names a provider on the internet, which the controller would
					// check.
					options = append(options, client.DryRunAll)
				}
				f.Expect(k8s.Create(f.ctx, &object, options...)).To(Succeed())
				if object.GetKind() == "NotificationLayout" {
					var layout v1alpha1.NotificationLayout
					f.Expect(yaml.UnmarshalStrict([]byte(part), &layout)).To(Succeed())
					_, problems := notify.CompileLayout(&layout)
					f.Expect(problems).To(BeEmpty())
				}
				if object.GetKind() == "NotificationRule" {
					var rule v1alpha1.NotificationRule
					f.Expect(yaml.UnmarshalStrict([]byte(part), &rule)).To(Succeed())
					checked := check.Rule(f.ctx, &rule, nil, notify.CompileLayout)
					f.Expect(checked.Problems).To(BeEmpty())
					f.Expect(checked.FailedTests()).To(BeEmpty())
				}
			}
		})
	}
}

func TestDefaultRulesCompile(t *testing.T) {
	g := NewWithT(t)
	rules, err := DefaultRules()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(rules).NotTo(BeEmpty())
	for i := range rules {
		_, problems := notify.Compile(&rules[i])
		g.Expect(problems).To(BeEmpty(), rules[i].Name)
		g.Expect(rules[i].Spec.CompanyRef.Name).To(BeEmpty(), rules[i].Name)
		g.Expect(rules[i].Labels).To(HaveKeyWithValue(DefaultRulesLabel, rules[i].Name))
	}
}
