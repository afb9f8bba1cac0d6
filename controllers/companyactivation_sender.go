// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/address"
	"github.com/rehive/extension-operator/internal/senderdomain"
)

// SenderDomains knows the DNS records of domains. *senderdomain.Checker implements it.
type SenderDomains interface {
	// Result returns what is known without waiting; ok is false while that is nothing.
	Result(domain string) (result senderdomain.Result, ok bool)
}

// checkSenderDomain reports whether the domain of the company's system email has the records
// that mailbox providers expect. It never stops the reconciliation.
func (r *companyActivationReconciler) checkSenderDomain(_ context.Context, s *scope) error {
	s.senderDomainChecked = true
	sender, err := address.Parse(strings.TrimSpace(s.activation.Profile().SystemEmail))
	if r.senderDomains == nil || err != nil || !strings.Contains(sender.Domain, ".") {
		return nil //nolint:nilerr // the condition of the sender says that the address is invalid
	}
	result, ok := r.senderDomains.Result(strings.ToLower(sender.Domain))
	switch {
	case !ok:
		s.senderDomain = &verdict{metav1.ConditionUnknown, v1alpha1.LookupPendingReason, "The DNS records of " + sender.Domain + " are being looked up."}
	case !result.Known:
		s.senderDomain = &verdict{metav1.ConditionUnknown, v1alpha1.LookupFailedReason, result.Message}
	case result.Ready:
		s.senderDomain = &verdict{metav1.ConditionTrue, v1alpha1.RecordsFoundReason, result.Message}
	default:
		s.senderDomain = &verdict{metav1.ConditionFalse, v1alpha1.RecordsMissingReason, result.Message}
	}
	return nil
}

// concludeSenderDomain sets the condition, or removes it if there is no domain.
func (s *scope) concludeSenderDomain() {
	switch {
	case s.senderDomain != nil:
		set(s.activation, v1alpha1.SenderDomainReadyCondition, *s.senderDomain)
	case s.senderDomainChecked:
		removeCondition(s.activation, v1alpha1.SenderDomainReadyCondition)
	}
}
