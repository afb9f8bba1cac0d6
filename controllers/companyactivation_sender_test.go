// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/senderdomain"
)

// domains are what is known about domains.
type domains map[string]senderdomain.Result

func (d domains) Result(domain string) (senderdomain.Result, bool) {
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
