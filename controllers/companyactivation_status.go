// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/rehive"
)

// stopError ends a reconciliation with a result rather than a failure: repeating it
// immediately would have the same result.
type stopError struct {
	reason, message string
	// stalled: a person must act.
	stalled bool
	// checkAgain: the cause may disappear without an event, so the resync checks again.
	checkAgain bool
	// after is when to check again, if it is not 0.
	after time.Duration
}

func (e *stopError) Error() string { return e.message }

func isStop(err error, stop **stopError) bool { return errors.As(err, stop) }

// classify converts errors that repetition cannot resolve into stops.
func classify(err error) error {
	var unusable *activation.UnusableSecretError
	switch {
	case errors.As(err, &unusable):
		return &stopError{reason: v1alpha1.SecretUnusableReason, message: sentence(unusable.Error()), stalled: true, checkAgain: true}
	case activation.IsTerminating(err):
		return &stopError{reason: v1alpha1.NamespaceTerminatingReason, checkAgain: true,
			message: "The namespace is being deleted, so nothing can be created in it. The company needs an activation in another namespace."}
	}
	return err
}

// conclude is the only place that sets conditions. They depend on the results of the
// phases, never on what an earlier reconciliation wrote. It returns false if there are no
// results.
func (s *scope) conclude(outcome error) bool {
	a := s.activation
	if s.providersResolved != nil {
		set(a, v1alpha1.ProvidersResolvedCondition, *s.providersResolved)
	}
	s.concludeSenderDomain()
	if s.unchanged {
		s.markHandled()
		return true
	}
	var stop *stopError
	ready := verdict{metav1.ConditionTrue, v1alpha1.ActiveReason, s.summary()}
	stalled := false
	switch {
	case outcome == nil && s.lacksNewToken():
		ready, stalled = verdict{metav1.ConditionFalse, v1alpha1.SecretUnusableReason,
			fmt.Sprintf("Rehive sent a new token, which could not be stored: the Secret %s is immutable. Delete it, then activate the extension again in the dashboard of Rehive. "+
				"Until Rehive withdraws the stored token, the company's events are handled.", activation.SecretName(a))}, true
	case outcome == nil:
	case isStop(outcome, &stop):
		ready = verdict{metav1.ConditionFalse, stop.reason, stop.message}
		stalled = stop.stalled
	case rehive.IsTransient(outcome):
		ready = verdict{metav1.ConditionUnknown, v1alpha1.PlatformUnavailableReason, sentence(outcome.Error()) + " It will be retried."}
	default:
		// The API server failed or there was a conflict: the conditions stay until the
		// next attempt.
		return false
	}

	setReady(a, ready, stalled)
	set(a, v1alpha1.TokenValidCondition, s.tokenValid.or(ready))
	set(a, v1alpha1.WebhooksRegisteredCondition, s.webhooksRegistered.or(ready))
	s.markHandled()
	return true
}

// lacksNewToken reports whether the platform sent a token that the immutable Secret could
// not take.
func (s *scope) lacksNewToken() bool {
	return s.credentials.IsImmutable() && s.activation.Annotations[v1alpha1.TokenNotStoredAnnotation] != ""
}

// markHandled shows that the requested check took place.
func (s *scope) markHandled() {
	a := s.activation
	a.Status.ObservedGeneration = a.Generation
	a.Status.LastHandledRequestedAt = shorten(a.Annotations[v1alpha1.RequestedAtAnnotation], maxRequestedAt)
}

// maxRequestedAt is the length limit of status.lastHandledRequestedAt.
const maxRequestedAt = 64

// or returns the verdict, or that of a condition whose phase was not reached: unknown, for
// the reason that ended the reconciliation.
func (v *verdict) or(ready verdict) verdict {
	if v != nil {
		return *v
	}
	return verdict{metav1.ConditionUnknown, ready.reason, ready.message}
}

func (s *scope) summary() string {
	message := fmt.Sprintf("The company is active. Webhooks on Rehive: %d.", len(s.activation.Status.Webhooks))
	if n := len(s.activation.Status.UnknownEvents); n > 0 {
		message += fmt.Sprintf(" Events that Rehive doesn't know: %s.", strings.Join(s.activation.Status.UnknownEvents, ", "))
	}
	if s.credentials.IsImmutable() {
		message += fmt.Sprintf(" The Secret %s is immutable, so the next token cannot be stored: delete it, then activate the extension again in the dashboard of Rehive.", activation.SecretName(s.activation))
	}
	return message
}

// recordEvents records an event for each change that people want to see.
func (s *scope) recordEvents() {
	before := s.report.before.(*v1alpha1.CompanyActivation)
	if len(s.created) > 0 {
		s.report.note(corev1.EventTypeNormal, "WebhookRegistered", "Registering", "Registered webhooks for "+strings.Join(s.created, ", "))
	}
	if len(s.removed) > 0 {
		s.report.note(corev1.EventTypeNormal, "WebhookRemoved", "Removing", "Removed the webhooks for "+strings.Join(s.removed, ", "))
	}
	if !s.report.readyChanged() && before.Status.ServiceUser == s.activation.Status.ServiceUser {
		return
	}
	message := conditionMessage(s.activation, v1alpha1.ReadyCondition)
	switch reason := conditionReason(s.activation, v1alpha1.ReadyCondition); reason {
	case v1alpha1.ActiveReason:
		s.report.note(corev1.EventTypeNormal, "Activated", "Activating", message)
	case v1alpha1.InactiveReason:
		s.report.note(corev1.EventTypeNormal, "Deactivated", "Deactivating", message)
	case v1alpha1.AwaitingActivationReason, "":
	default:
		s.report.note(corev1.EventTypeWarning, reason, "Reconciling", message)
	}
}

// sentence begins a text with a capital and ends it with a full stop.
func sentence(text string) string { return notify.Capitalized(notify.Sentence(text)) }
