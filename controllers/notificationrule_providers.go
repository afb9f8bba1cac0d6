// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/notify"
)

// ActivationProviderField is the index of CompanyActivations by the names of their
// DeliveryProviders, and by [unnamedProvider] for each channel without one.
const ActivationProviderField = "spec.providers"

// unnamedProvider is the index value for the operator's own provider of a channel. No object
// can have this name.
func unnamedProvider(channel v1alpha1.Channel) string { return ":" + string(channel) }

// providerIndex returns the values of an activation in the index ActivationProviderField.
func providerIndex(o client.Object) []string {
	var values []string
	for _, channel := range providerChannels {
		names := o.(*v1alpha1.CompanyActivation).Spec.Providers.All(channel)
		if len(names) == 0 {
			names = []string{unnamedProvider(channel)}
		}
		values = append(values, names...)
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// providerFault returns why a DeliveryProvider can't send; the reason is empty if it can. An outage
// passes, and a provider that is being deleted sends while it remains.
func providerFault(p *v1alpha1.DeliveryProvider) (reason, message string) {
	ready := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ReadyCondition)
	if ready == nil || ready.Status != metav1.ConditionFalse || ready.Reason == v1alpha1.DeletionPendingReason {
		return "", ""
	}
	return ready.Reason, ready.Message
}

// providerFaultChanged keeps everything from the rules that doesn't change their verdict: a
// default provider has those of all companies. Rules are reconciled at the start anyway.
func (r *notificationRuleReconciler) providerFaultChanged() predicate.Funcs {
	fault := func(p *v1alpha1.DeliveryProvider) string {
		reason, message := providerFault(p)
		if r.isDefault(client.ObjectKeyFromObject(p)) {
			return reason
		}
		return reason + message
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return !e.IsInInitialList },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*v1alpha1.DeliveryProvider)
			after, also := e.ObjectNew.(*v1alpha1.DeliveryProvider)
			if !ok || !also {
				return false
			}
			_, served := before.Spec.Type()
			_, serves := after.Spec.Type()
			return served != serves || fault(before) != fault(after)
		},
	}
}

// isDefault reports whether a DeliveryProvider is one of the operator's own.
func (r *notificationRuleReconciler) isDefault(key types.NamespacedName) bool {
	for _, d := range r.defaults {
		if d == key {
			return true
		}
	}
	return false
}

// rulesOfProvider maps a DeliveryProvider to the rules whose messages it sends.
func (r *notificationRuleReconciler) rulesOfProvider(ctx context.Context, o client.Object) []reconcile.Request {
	var requests []reconcile.Request
	add := func(value string, uses func(a *v1alpha1.CompanyActivation, channel v1alpha1.Channel) bool, in ...client.ListOption) {
		var list v1alpha1.CompanyActivationList
		options := append(in, client.MatchingFields{ActivationProviderField: value}, client.UnsafeDisableDeepCopy)
		if err := r.List(ctx, &list, options...); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Listing the CompanyActivations of a DeliveryProvider failed")
			return
		}
		for i := range list.Items {
			a := &list.Items[i]
			requests = append(requests, r.rulesWith(ctx, a, func(channel v1alpha1.Channel) bool { return uses(a, channel) })...)
		}
	}
	add(o.GetName(), func(a *v1alpha1.CompanyActivation, channel v1alpha1.Channel) bool {
		return slices.Contains(a.Spec.Providers.All(channel), o.GetName())
	}, client.InNamespace(o.GetNamespace()))
	for channel, key := range r.defaults {
		if key == client.ObjectKeyFromObject(o) {
			add(unnamedProvider(channel), func(_ *v1alpha1.CompanyActivation, of v1alpha1.Channel) bool { return of == channel })
		}
	}
	return requests
}

// rulesWith returns the rules of an activation on some channels.
func (r *notificationRuleReconciler) rulesWith(ctx context.Context, a *v1alpha1.CompanyActivation, wanted func(v1alpha1.Channel) bool) []reconcile.Request {
	var list v1alpha1.NotificationRuleList
	if err := r.List(ctx, &list, client.InNamespace(a.Namespace), client.MatchingFields{RuleActivationField: a.Name}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing the NotificationRules of a CompanyActivation failed")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if rule := &list.Items[i]; wanted(rule.Spec.Channel()) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(rule)})
		}
	}
	return requests
}

// providerProblem returns why no provider can send what a company's rules send on a channel; its
// reason is empty if one can.
func (r *notificationRuleReconciler) providerProblem(ctx context.Context, a *v1alpha1.CompanyActivation, channel v1alpha1.Channel) (ruleProblem, error) {
	if !slices.Contains(providerChannels, channel) {
		return ruleProblem{}, nil
	}
	var keys []types.NamespacedName
	for _, name := range a.Spec.Providers.All(channel) {
		keys = append(keys, types.NamespacedName{Namespace: a.Namespace, Name: name})
	}
	own := len(keys) > 0
	if !own {
		if key, ok := r.defaults[channel]; ok {
			keys = append(keys, key)
		} else if slices.Contains(r.served, channel) {
			return ruleProblem{}, nil
		}
	}
	if len(keys) == 0 {
		return ruleProblem{v1alpha1.NoProviderReason, fmt.Sprintf(
			"No provider can send the messages of this rule: name a DeliveryProvider in spec.providers.%[1]s of the CompanyActivation %[2]s, or a default one with the operator's flag --default-%[1]s-provider.",
			channel, a.Name), true}, nil
	}
	var faults []string
	for _, key := range keys {
		fault := "doesn't exist."
		p := new(v1alpha1.DeliveryProvider)
		switch err := r.Get(ctx, key, p, client.UnsafeDisableDeepCopy); {
		case err == nil:
			reason, message := providerFault(p)
			kind, serves := p.Spec.Type()
			switch {
			case serves != channel:
				fault = fmt.Sprintf("has the type %s, which doesn't send %s.", kind, channel)
			case reason == "":
				return ruleProblem{}, nil
			case own:
				fault = fmt.Sprintf("can't send (%s): %s", reason, message)
			default: // the operator's configuration is not for companies to read
				fault = fmt.Sprintf("can't send (%s): its status says why.", reason)
			}
		case !apierrors.IsNotFound(err):
			return ruleProblem{}, fmt.Errorf("reading a DeliveryProvider of the company: %w", err)
		}
		whose := "The DeliveryProvider " + key.Name
		if !own {
			whose = "The operator's DeliveryProvider " + key.String()
		}
		faults = append(faults, notify.Sentence(whose+" "+fault))
	}
	return ruleProblem{v1alpha1.ProviderNotReadyReason, strings.Join(faults, " ") + " Messages of this rule stay pending until that is fixed.", true}, nil
}
