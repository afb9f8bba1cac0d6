// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/rehive"
)

const (
	// platformPatience bounds the removal of a leaving company's webhooks. It is
	// tried once: a platform that hangs must not hold a namespace's deletion.
	platformPatience = 5 * time.Second

	// ledgerTimeout bounds one try at the ledger, ledgerRetry parts it from the
	// next, and ledgerPatience bounds all of them, counted from the deletion of
	// the object.
	ledgerTimeout  = 30 * time.Second
	ledgerRetry    = 5 * time.Second
	ledgerPatience = 5 * time.Minute
)

// finalize removes what a company leaves behind and lets its object go.
func (r *companyActivationReconciler) finalize(ctx context.Context, a *v1alpha1.CompanyActivation) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(a, v1alpha1.CompanyActivationFinalizer) {
		return ctrl.Result{}, nil
	}
	released := false
	r.memory.with(a, func(entry *remembered) { released = entry.released })
	if released {
		return ctrl.Result{}, nil // the cache is behind
	}
	purge := a.Annotations[v1alpha1.PurgeAnnotation] == "true" || a.Annotations[v1alpha1.PurgeAfterAnnotation] != ""
	holder, err := r.namespaces.Holder(ctx, r.Client, a.Spec.Company)
	if err != nil {
		return ctrl.Result{}, err
	}
	// What lies outside the cluster belongs to the holder of the company. A duplicate
	// that goes leaves it alone. It is not left to a successor either: the company must
	// be activated again, and nothing that waits may be handled by the rules of another
	// namespace.
	if holder != nil && holder.UID == a.UID {
		r.removeWebhooks(ctx, a)
		if err := r.cleanLedger(ctx, a, purge); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Waiting for the ledger")
			return ctrl.Result{RequeueAfter: ledgerRetry}, nil
		}
	}
	if purge {
		if err := r.DeleteAllOf(ctx, &v1alpha1.NotificationRule{}, client.InNamespace(a.Namespace),
			client.MatchingFields{RuleActivationField: a.Name}); err != nil {
			return ctrl.Result{}, fmt.Errorf("deleting the NotificationRules: %w", err)
		}
	}
	if err := r.deleteSecret(ctx, a); err != nil {
		return ctrl.Result{}, err
	}
	before := a.DeepCopy()
	controllerutil.RemoveFinalizer(a, v1alpha1.CompanyActivationFinalizer)
	err = r.Patch(ctx, a, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: cacheDelay}, nil // the cache is behind
	}
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("removing the finalizer: %w", err)
	}
	r.memory.with(a, func(entry *remembered) { entry.released = true })
	return ctrl.Result{}, nil
}

// removeWebhooks deletes the company's webhooks as far as the platform lets us
// in the time there is. What stays calls an extension that refuses it.
func (r *companyActivationReconciler) removeWebhooks(ctx context.Context, a *v1alpha1.CompanyActivation) {
	cleaned := false
	r.memory.with(a, func(entry *remembered) { cleaned, entry.cleaned = entry.cleaned, true })
	if cleaned {
		return
	}
	log := ctrl.LoggerFrom(ctx)
	credentials, err := activation.Get(ctx, r.apiReader, a)
	if err != nil || credentials.Token == "" {
		log.V(1).Info("Leaving the webhooks: there is no token to delete them with")
		return
	}
	bounded, cancel := context.WithTimeout(ctx, platformPatience)
	defer cancel()
	session := r.platform.WithToken(credentials.Token)
	webhooks, err := session.Webhooks(bounded, rehive.WebhookFilter{URL: r.webhookURL})
	if err != nil {
		log.Info("Leaving the webhooks", "answer", err.Error())
		return
	}
	for _, webhook := range webhooks {
		if webhook.URL != r.webhookURL {
			continue
		}
		log.Info("Deleting a webhook", "event", webhook.Event, "webhook", webhook.ID)
		if err := session.DeleteWebhook(bounded, webhook.ID); err != nil && !rehive.IsNotFound(err) {
			log.Info("Leaving a webhook", "event", webhook.Event, "webhook", webhook.ID, "answer", err.Error())
			if rehive.IsTransient(err) {
				return
			}
		}
	}
}

// cleanLedger ends or removes the company's work. A ledger that stays out of
// reach is given up after ledgerPatience: its rows fall to the retention.
func (r *companyActivationReconciler) cleanLedger(ctx context.Context, a *v1alpha1.CompanyActivation, purge bool) error {
	bounded, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	clean, what := r.ledger.CancelCompany, "ending the company's pending work"
	if purge {
		clean, what = r.ledger.PurgeCompany, "removing the company from the ledger"
	}
	err := clean(bounded, a.Spec.Company)
	if err == nil {
		return nil
	}
	if r.now().Sub(a.DeletionTimestamp.Time) < ledgerPatience {
		return fmt.Errorf("%s: %w", what, err)
	}
	ctrl.LoggerFrom(ctx).Error(err, "Giving up on the ledger", "what", what)
	r.reporter.recorder.Eventf(a, nil, corev1.EventTypeWarning, "LedgerUnavailable", "Deleting", "%s",
		shorten("The ledger was out of reach: what it holds of the company "+a.Spec.Company+" was left there.", maxNoteRunes))
	return nil
}

// deleteSecret deletes the activation's Secret; not one of somebody else's that
// has its name. Kubernetes' garbage collector would do it too, but later.
func (r *companyActivationReconciler) deleteSecret(ctx context.Context, a *v1alpha1.CompanyActivation) error {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: a.Namespace, Name: activation.SecretName(a)}
	if err := r.apiReader.Get(ctx, key, &secret); err != nil {
		return client.IgnoreNotFound(err)
	}
	if !metav1.IsControlledBy(&secret, a) {
		return nil
	}
	uid := secret.UID
	err := r.Delete(ctx, &secret, client.Preconditions{UID: &uid})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting the Secret %s: %w", key, err)
	}
	return nil
}
