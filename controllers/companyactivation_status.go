// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/rehive"
)

// stopError ends a reconciliation with something to tell, not with a failure:
// repeating it at once would end the same.
type stopError struct {
	reason, message string
	// stalled: a person must act.
	stalled bool
	// lookAgain: the cause may vanish without an event, so the resync looks.
	lookAgain bool
}

func (e *stopError) Error() string { return e.message }

func isStop(err error, stop **stopError) bool { return errors.As(err, stop) }

// verdict is what a phase found out for its condition.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
}

// conclude is the only place that sets conditions. What the phases found out
// decides; what an earlier reconciliation wrote doesn't.
func (s *scope) conclude(outcome error) {
	a := s.activation
	if s.providersResolved != nil {
		setVerdict(a, v1alpha1.ProvidersResolvedCondition, *s.providersResolved)
	}
	if s.recalled {
		s.markHandled()
		return
	}
	var stop *stopError
	ready := verdict{metav1.ConditionTrue, v1alpha1.ActiveReason, s.summary()}
	stalled := false
	switch {
	case outcome == nil:
	case isStop(outcome, &stop):
		ready = verdict{metav1.ConditionFalse, stop.reason, stop.message}
		stalled = stop.stalled
	case rehive.IsTransient(outcome):
		ready = verdict{metav1.ConditionUnknown, v1alpha1.PlatformUnavailableReason, sentence(outcome.Error()) + " It is tried again."}
	default:
		// The API server failed or somebody else wrote first: nothing was found
		// out, so the last word stands until the next try.
		return
	}

	setVerdict(a, v1alpha1.ReadyCondition, ready)
	setVerdict(a, v1alpha1.TokenValidCondition, s.tokenValid.or(ready))
	setVerdict(a, v1alpha1.WebhooksRegisteredCondition, s.webhooksRegistered.or(ready))
	if stalled {
		setCondition(a, v1alpha1.StalledCondition, metav1.ConditionTrue, ready.reason, ready.message)
	} else {
		removeCondition(a, v1alpha1.StalledCondition)
	}
	s.markHandled()
}

// markHandled tells whoever asked for this look that it took place.
func (s *scope) markHandled() {
	a := s.activation
	a.Status.ObservedGeneration = a.Generation
	a.Status.LastHandledRequestedAt = shorten(a.Annotations[v1alpha1.RequestedAtAnnotation], maxRequestedAt)
}

// maxRequestedAt is the length limit of status.lastHandledRequestedAt.
const maxRequestedAt = 64

// or is what a condition says whose phase was not reached: nothing is known,
// for the reason that ended the reconciliation.
func (v *verdict) or(ready verdict) verdict {
	if v != nil {
		return *v
	}
	return verdict{metav1.ConditionUnknown, ready.reason, ready.message}
}

func setVerdict(a *v1alpha1.CompanyActivation, kind string, v verdict) {
	setCondition(a, kind, v.status, v.reason, v.message)
}

func (s *scope) summary() string {
	message := fmt.Sprintf("The company is active. Webhooks on Rehive: %d.", len(s.activation.Status.Webhooks))
	if n := len(s.activation.Status.UnknownEvents); n > 0 {
		message += fmt.Sprintf(" Events that Rehive doesn't know: %s.", strings.Join(s.activation.Status.UnknownEvents, ", "))
	}
	return message
}

// tell records an event for each change that a person wants to know of.
func (r *companyActivationReconciler) tell(before *v1alpha1.CompanyActivation, s *scope) {
	a := s.activation
	if len(s.created) > 0 {
		r.event(a, corev1.EventTypeNormal, "WebhookRegistered", "Registering", "Registered webhooks for "+strings.Join(s.created, ", "))
	}
	if len(s.removed) > 0 {
		r.event(a, corev1.EventTypeNormal, "WebhookRemoved", "Removing", "Removed the webhooks for "+strings.Join(s.removed, ", "))
	}
	reason := conditionReason(a, v1alpha1.ReadyCondition)
	if reason == conditionReason(before, v1alpha1.ReadyCondition) && before.Status.ServiceUser == a.Status.ServiceUser {
		return
	}
	var message string
	for _, condition := range a.Status.Conditions {
		if condition.Type == v1alpha1.ReadyCondition {
			message = condition.Message
		}
	}
	switch reason {
	case v1alpha1.ActiveReason:
		r.event(a, corev1.EventTypeNormal, "Activated", "Activating", message)
	case v1alpha1.InactiveReason:
		r.event(a, corev1.EventTypeNormal, "Deactivated", "Deactivating", message)
	case v1alpha1.AwaitingActivationReason, "":
	default:
		r.event(a, corev1.EventTypeWarning, reason, "Reconciling", message)
	}
}

func (r *companyActivationReconciler) event(a *v1alpha1.CompanyActivation, kind, reason, action, note string) {
	r.recorder.Eventf(a, nil, kind, reason, action, "%s", shorten(note, maxNoteRunes))
}

// sentence begins a text with a capital and ends it with a full stop.
func sentence(text string) string {
	text = fullStop(text)
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

func fullStop(text string) string {
	text = strings.TrimRight(strings.TrimSpace(text), ".")
	if text == "" {
		return ""
	}
	return text + "."
}
