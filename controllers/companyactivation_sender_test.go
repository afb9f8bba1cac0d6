// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/internal/senderdomain"
)

// domains are what is known about domains, for any selectors.
type domains map[string]senderdomain.Result

func (d domains) Result(domain string, _ []string, _ func()) (senderdomain.Result, bool) {
	result, ok := d[domain]
	return result, ok
}

// TestSenderDomain checks the condition for each state of a domain, and that it disappears
// with the domain.
func TestSenderDomain(t *testing.T) {
	g := NewWithT(t)
	r := &companyActivationReconciler{senderDomains: domains{
		"good.example": {Known: true, Ready: true, Message: "Good."}, "bad.example": {Known: true, Message: "Publish an SPF record."},
		"failing.example": {Message: "It could not be looked up."},
	}}
	a := &v1alpha1.CompanyActivation{}
	for _, test := range []struct{ email, want, message string }{
		{"hello@Good.example", "True/RecordsFound", "Good."},
		{"Shop <hello@bad.example>", "False/RecordsMissing", "Publish an SPF record."},
		{"hello@failing.example", "Unknown/LookupFailed", "It could not be looked up."},
		{"hello@new.example", "Unknown/LookupPending", "The DNS records of new.example are being looked up."},
		{"hello@localhost", "", ""},
		{"hello@good.example", "True/RecordsFound", "Good."},
		{"nobody", "", ""},
		{"", "", ""},
	} {
		a.Status.CompanyInfo.SystemEmail = test.email
		s := &scope{activation: a}
		g.Expect(r.checkSenderDomain(t.Context(), s)).To(Succeed())
		s.concludeSenderDomain()
		g.Expect(verdictOf(a, v1alpha1.SenderDomainReadyCondition)).To(Equal(test.want), test.email)
		g.Expect(messageOf(a, v1alpha1.SenderDomainReadyCondition)).To(Equal(test.message), test.email)
	}
	a.Status.CompanyInfo.SystemEmail = "hello@good.example"
	without := &scope{activation: a}
	g.Expect((&companyActivationReconciler{}).checkSenderDomain(t.Context(), without)).To(Succeed())
	g.Expect(without.senderDomain).To(BeNil())
}

// lookups are the lookups of the shared manager: domains below late.example are found when a
// test says so, and all others at once.
type lookups struct {
	mu      sync.Mutex
	found   map[string]bool
	waiting map[string][]func()
}

var senderDomains = lookups{found: map[string]bool{}, waiting: map[string][]func(){}}

func (l *lookups) Result(domain string, _ []string, done func()) (senderdomain.Result, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.HasSuffix(domain, ".late.example") && !l.found[domain] {
		l.waiting[domain] = append(l.waiting[domain], done)
		return senderdomain.Result{}, false
	}
	return senderdomain.Result{Known: true, Ready: true, Message: "Good."}, true
}

func (l *lookups) finish(domain string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found[domain] = true
	for _, done := range l.waiting[domain] {
		done()
	}
}

// TestSenderDomainIsFoundLater has a lookup take longer than the reconciliation, which doesn't
// wait for the next resync.
func TestSenderDomainIsFoundLater(t *testing.T) {
	f := newFixture(t)
	domain := f.namespace + ".late.example"
	f.company += "-late"
	_, err := platform.AddCompany(rehivetest.Company{ID: f.company, Name: "Shop", SystemEmail: "hello@" + domain, Mode: "production"})
	f.Expect(err).NotTo(HaveOccurred())
	a := f.activate(f.user("admin").Token)
	condition := f.condition(a, v1alpha1.SenderDomainReadyCondition)
	f.Eventually(condition).Should(Equal("Unknown/" + v1alpha1.LookupPendingReason))
	senderDomains.finish(domain)
	f.Eventually(condition).Should(Equal("True/" + v1alpha1.RecordsFoundReason))
}

// TestDKIMSelectors checks whose selectors count: those of all providers that may send a
// company's emails.
func TestDKIMSelectors(t *testing.T) {
	g := NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	provider := func(namespace, name string, spec v1alpha1.DeliveryProviderSpec) client.Object {
		return &v1alpha1.DeliveryProvider{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: spec}
	}
	r := &companyActivationReconciler{dkimSelectors: []string{"own"}, Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		provider("team", "grid", v1alpha1.DeliveryProviderSpec{SendGrid: &v1alpha1.SendGridProvider{}}),
		provider("team", "mail", v1alpha1.DeliveryProviderSpec{SMTP: &v1alpha1.SMTPProvider{}, DKIMSelectors: []string{"S2", "mail"}}),
		provider("team", "unnamed", v1alpha1.DeliveryProviderSpec{SMTP: &v1alpha1.SMTPProvider{}}),
		provider("operator", "mail", v1alpha1.DeliveryProviderSpec{SMTP: &v1alpha1.SMTPProvider{}, DKIMSelectors: []string{"default"}}),
	).Build()}
	for _, test := range []struct {
		names, want []string
		byDefault   string
	}{
		{names: []string{"grid", "missing", "mail"}, want: []string{"s1", "s2", "mail"}},
		{names: []string{"unnamed"}, byDefault: "mail"},
		{byDefault: "mail", want: []string{"default"}},
		{want: []string{"own"}},
	} {
		a := &v1alpha1.CompanyActivation{ObjectMeta: metav1.ObjectMeta{Namespace: "team"}}
		if len(test.names) > 0 {
			a.Spec.Providers.Email = &v1alpha1.DeliveryProviderReference{Name: test.names[0], Fallbacks: test.names[1:]}
		}
		r.emailProvider = types.NamespacedName{}
		if test.byDefault != "" {
			r.emailProvider = types.NamespacedName{Namespace: "operator", Name: test.byDefault}
		}
		selectors, err := r.selectorsOf(t.Context(), a)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(selectors).To(Equal(test.want), "%+v", test)
	}
}
