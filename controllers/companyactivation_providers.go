// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/ledger"
)

// providerChannels are the channels for which a company may name a DeliveryProvider.
var providerChannels = []v1alpha1.Channel{v1alpha1.ChannelEmail, v1alpha1.ChannelSMS, v1alpha1.ChannelPush}

// activationsOfProvider maps a DeliveryProvider to the activations that name it.
func (r *companyActivationReconciler) activationsOfProvider(ctx context.Context, o client.Object) []reconcile.Request {
	var list v1alpha1.CompanyActivationList
	if err := r.List(ctx, &list, client.InNamespace(o.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing the CompanyActivations of a DeliveryProvider failed")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		a := &list.Items[i]
		for _, channel := range providerChannels {
			if slices.Contains(a.Spec.Providers.All(channel), o.GetName()) {
				requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(a)})
				break
			}
		}
	}
	return requests
}

// resolveProviders checks whether the DeliveryProviders that the company names exist. It
// never stops the reconciliation, because the other channels work without them.
func (r *companyActivationReconciler) resolveProviders(ctx context.Context, s *scope) error {
	a := s.activation
	reason, problems := v1alpha1.ResolvedReason, []string{}
	problem := func(why string, channel v1alpha1.Channel, name, what string) {
		if len(problems) == 0 {
			reason = why
		}
		problems = append(problems, fmt.Sprintf("spec.providers.%s names the DeliveryProvider %s, %s.", channel, name, what))
	}
	blocked := false // some channel has none that works
	for _, channel := range providerChannels {
		usable := 0
		names := a.Spec.Providers.All(channel)
		for _, name := range names {
			var p v1alpha1.DeliveryProvider
			err := r.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: name}, &p, client.UnsafeDisableDeepCopy)
			if apierrors.IsNotFound(err) {
				problem(v1alpha1.DeliveryProviderNotFoundReason, channel, name, "which does not exist in this namespace")
				continue
			} else if err != nil {
				return fmt.Errorf("reading the DeliveryProvider %s: %w", name, err)
			}
			if kind, serves := p.Spec.Type(); serves != channel {
				problem(v1alpha1.WrongChannelReason, channel, name, fmt.Sprintf("which has the type %s and does not send %s", kind, channel))
				continue
			}
			usable++
		}
		blocked = blocked || usable == 0 && len(names) > 0
	}
	s.providersResolved = &verdict{metav1.ConditionTrue, reason, "Each DeliveryProvider in spec.providers exists and serves its channel."}
	if len(problems) > 0 {
		consequence := " The others send its messages."
		if blocked {
			consequence = " Messages on that channel stay pending."
		}
		s.providersResolved = &verdict{metav1.ConditionFalse, reason, strings.Join(problems, " ") + consequence}
	}
	return nil
}

// wake makes the company's pending messages due immediately if the providers that it
// names may have changed, and records an event if one is missing.
func (r *companyActivationReconciler) wake(ctx context.Context, s *scope) error {
	a, before := s.activation, s.report.before.(*v1alpha1.CompanyActivation)
	was, is := conditionReason(before, v1alpha1.ProvidersResolvedCondition), conditionReason(a, v1alpha1.ProvidersResolvedCondition)
	resolved := is == v1alpha1.ResolvedReason
	if !resolved && is != "" && was != is {
		s.report.note(corev1.EventTypeWarning, is, "Resolving", conditionMessage(a, v1alpha1.ProvidersResolvedCondition))
	}
	owed := before.Status.ObservedGeneration > 0 && before.Status.ObservedGeneration != a.Generation ||
		resolved && was != is && was != ""
	r.memory.with(a, func(entry *remembered) {
		owed = owed || entry.wakePending
		entry.wakePending = owed // until it succeeds: the status will not show it a second time
	})
	if !owed {
		return nil
	}
	for _, channel := range providerChannels {
		if err := r.ledger.WakeDeliveries(ctx, ledger.Lane{Company: a.Spec.Company, Channel: string(channel)}); err != nil {
			return fmt.Errorf("waking the messages that wait for the company's providers: %w", err)
		}
	}
	r.memory.with(a, func(entry *remembered) { entry.wakePending = false })
	return nil
}
