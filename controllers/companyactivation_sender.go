// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/address"
	"github.com/rehive/extension-operator/internal/senderdomain"
)

// SenderDomains knows the DNS records of domains. *senderdomain.Checker implements it.
type SenderDomains interface {
	// Result returns what is known without waiting; ok is false while that is nothing. done is
	// called when more is known. The selectors are those of DKIM.
	Result(domain string, selectors []string, done func()) (result senderdomain.Result, ok bool)
}

// checkSenderDomain reports whether the domain of the company's system email has the records
// that mailbox providers expect. Missing records don't stop the reconciliation.
func (r *companyActivationReconciler) checkSenderDomain(ctx context.Context, s *scope) error {
	s.senderDomainChecked = true
	sender, err := address.Parse(strings.TrimSpace(s.activation.Profile().SystemEmail))
	if r.senderDomains == nil || err != nil || !strings.Contains(sender.Domain, ".") {
		return nil //nolint:nilerr // the condition of the sender says that the address is invalid
	}
	selectors, err := r.selectorsOf(ctx, s.activation)
	if err != nil {
		s.senderDomainChecked = false
		return err
	}
	request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(s.activation)}
	result, ok := r.senderDomains.Result(strings.ToLower(sender.Domain), selectors, func() { r.queue.Add(request) })
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

// selectorsOf returns the DKIM selectors of the providers that send a company's emails, each
// once; none if they aren't known.
func (r *companyActivationReconciler) selectorsOf(ctx context.Context, a *v1alpha1.CompanyActivation) (selectors []string, err error) {
	var keys []client.ObjectKey
	for _, name := range a.Spec.Providers.All(v1alpha1.ChannelEmail) {
		keys = append(keys, client.ObjectKey{Namespace: a.Namespace, Name: name})
	}
	if len(keys) == 0 {
		if r.emailProvider.Name == "" {
			return r.dkimSelectors, nil
		}
		keys = append(keys, r.emailProvider)
	}
	for _, key := range keys {
		var p v1alpha1.DeliveryProvider
		switch err := r.Get(ctx, key, &p, client.UnsafeDisableDeepCopy); {
		case apierrors.IsNotFound(err):
			continue // another condition reports it
		case err != nil:
			return nil, fmt.Errorf("reading the DeliveryProvider %s: %w", key, err)
		}
		for _, selector := range p.Spec.Selectors() {
			if selector = strings.ToLower(selector); !slices.Contains(selectors, selector) {
				selectors = append(selectors, selector)
			}
		}
	}
	return selectors, nil
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
