// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/rehive"
)

const (
	// platformPatience limits the removal of the webhooks of a company that is being
	// deleted. It is tried once, and the first call that is not answered ends it earlier: a
	// platform that hangs must not block the deletion of a namespace.
	platformPatience = 20 * time.Second

	// ledgerTimeout limits one attempt to clean the ledger, ledgerRetry separates
	// attempts, and ledgerPatience limits all of them, counted from the deletion of the
	// object.
	ledgerTimeout  = 30 * time.Second
	ledgerRetry    = 5 * time.Second
	ledgerPatience = 5 * time.Minute
)

// departure is the data needed to clean up after an activation.
type departure struct {
	uid     types.UID
	company string
	token   string // empty if there is no token to remove webhooks with
	// purge removes all data of the company, beyond its webhooks and pending work.
	purge bool
	since time.Time
	// triedWebhooks: the platform is called only once, even if it fails.
	triedWebhooks bool
}

// cleanUpDeparted cleans up after an activation that was deleted or replaced by the current
// one.
//
// An activation has no finalizer unless it is being purged. With one, its namespace and its
// CustomResourceDefinition could not be deleted without the operator. So cleanUpDeparted
// works from memory, as far as possible: webhooks that remain are refused, pending work is
// cancelled when it is due, and the ledger's rows end with their retention.
func (r *companyActivationReconciler) cleanUpDeparted(ctx context.Context, key types.NamespacedName, current types.UID) (ctrl.Result, error) {
	d := r.memory.departureOf(key, current, r.now())
	if d == nil {
		return ctrl.Result{}, nil
	}
	succeeded, err := r.hasSuccessor(ctx, d)
	if err != nil {
		return ctrl.Result{}, err
	}
	// Webhooks have the same URL and pending work the same company. If another activation
	// is in force, both belong to it.
	cleaned, err := r.cleanUp(ctx, key, d, !succeeded)
	switch {
	case err != nil:
		return ctrl.Result{}, err
	case !cleaned && current == "":
		return ctrl.Result{RequeueAfter: ledgerRetry}, nil
	}
	r.memory.forgetDeparture(key)
	return ctrl.Result{}, nil
}

// hasSuccessor reports whether another activation of the company is in force, one that the
// platform has activated.
func (r *companyActivationReconciler) hasSuccessor(ctx context.Context, d *departure) (bool, error) {
	holder, err := r.namespaces.Find(ctx, r.Client, d.company)
	if err != nil || holder == nil || holder.UID == d.uid {
		return false, err
	}
	credentials, err := activation.Get(ctx, r.apiReader, holder)
	var unusable *activation.UnusableSecretError
	if errors.Is(err, activation.ErrMissing) || errors.As(err, &unusable) {
		return false, nil
	}
	return credentials.Token != "", err
}

// finalize purges an activation that is being deleted, and then removes its finalizer.
func (r *companyActivationReconciler) finalize(ctx context.Context, a *v1alpha1.CompanyActivation) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(a, v1alpha1.CompanyActivationFinalizer) {
		if len(a.Finalizers) == 0 {
			return ctrl.Result{}, nil
		}
		return r.reportDeletionPending(ctx, a)
	}
	d, released := r.memory.departureOfDeleting(a)
	if released {
		return ctrl.Result{}, nil // the cache is stale
	}
	holder, err := r.namespaces.Holder(ctx, r.Client, a.Spec.Company)
	if err != nil {
		return ctrl.Result{}, err
	}
	if credentials, err := activation.Get(ctx, r.apiReader, a); err == nil {
		d.token = credentials.Token
	}
	// State outside the cluster belongs to the holder of the company. Deleting a
	// duplicate does not affect it. It does not pass to a successor either: the company
	// must be activated again, and pending work must not be handled by the rules of
	// another namespace.
	cleaned, err := r.cleanUp(ctx, client.ObjectKeyFromObject(a), d, holder != nil && holder.UID == a.UID)
	switch {
	case err != nil:
		return ctrl.Result{}, err
	case !cleaned:
		return ctrl.Result{RequeueAfter: ledgerRetry}, nil
	}
	rest, err := r.patchFinalizer(ctx, a, controllerutil.RemoveFinalizer)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: cacheDelay}, nil // the cache is stale
	}
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("removing the finalizer: %w", err)
	}
	r.memory.with(a, func(entry *remembered) { entry.released = true })
	if err == nil && len(rest.Finalizers) > 0 {
		return r.reportDeletionPending(ctx, rest)
	}
	return ctrl.Result{}, nil
}

func (r *companyActivationReconciler) reportDeletionPending(ctx context.Context, a *v1alpha1.CompanyActivation) (ctrl.Result, error) {
	return r.reporter.reportDeletionPending(ctx, a, func() { a.Status.ObservedGeneration = a.Generation },
		"the company's events are refused, and the company can't be activated again yet")
}

// patchFinalizer adds or removes the finalizer of an activation, and returns the resulting
// activation. It doesn't modify its argument.
func (r *companyActivationReconciler) patchFinalizer(ctx context.Context, a *v1alpha1.CompanyActivation, change func(client.Object, string) bool) (*v1alpha1.CompanyActivation, error) {
	changed := a.DeepCopy()
	if !change(changed, v1alpha1.CompanyActivationFinalizer) {
		return a, nil
	}
	err := r.Patch(ctx, changed, client.MergeFromWithOptions(a, client.MergeFromWithOptimisticLock{}))
	return changed, err
}

// cleanUp removes the data of a deleted activation: state outside the cluster if it held
// the company, the rules if the company is purged, and the Secret. It returns false if
// the ledger is unavailable.
func (r *companyActivationReconciler) cleanUp(ctx context.Context, key types.NamespacedName, d *departure, held bool) (bool, error) {
	if held {
		if !d.triedWebhooks {
			d.triedWebhooks = true
			r.removeWebhooks(ctx, d.token)
		}
		if err := r.cleanLedger(ctx, key, d); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Waiting for the ledger")
			return false, nil
		}
	}
	if d.purge {
		if err := r.DeleteAllOf(ctx, &v1alpha1.NotificationRule{}, client.InNamespace(key.Namespace),
			client.MatchingFields{RuleActivationField: key.Name}); err != nil {
			return false, fmt.Errorf("deleting the NotificationRules: %w", err)
		}
	}
	return true, r.deleteSecret(ctx, key, d)
}

// removeWebhooks deletes the company's webhooks, as far as the platform permits in the
// available time. The events of those that remain are refused.
func (r *companyActivationReconciler) removeWebhooks(ctx context.Context, token string) {
	log := ctrl.LoggerFrom(ctx)
	if token == "" {
		log.V(1).Info("Leaving the webhooks: there is no token to delete them with")
		return
	}
	bounded, cancel := context.WithTimeout(ctx, platformPatience)
	defer cancel()
	session := r.platform.WithToken(token)
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

// cleanLedger cancels the company's pending work, or purges the company from the ledger.
// It gives up after ledgerPatience: the rows then end with their retention.
func (r *companyActivationReconciler) cleanLedger(ctx context.Context, key types.NamespacedName, d *departure) error {
	bounded, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	var err error
	what := "cancelling the company's pending work"
	if d.purge {
		what = "removing the company from the ledger"
		err = r.ledger.PurgeCompany(bounded, d.company)
	} else {
		err = r.ledger.CancelCompany(bounded, d.company, ledger.ReasonCompanyDeleted, "the company's activation was deleted")
	}
	if err == nil {
		return nil
	}
	if r.now().Sub(d.since) < ledgerPatience {
		return fmt.Errorf("%s: %w", what, err)
	}
	ctrl.LoggerFrom(ctx).Error(err, "Giving up on the ledger", "what", what)
	r.reporter.recorder.Eventf(d.object(key), nil, corev1.EventTypeWarning, "LedgerUnavailable", "Deleting", "%s",
		shorten("The ledger is unavailable, so the data of the company "+d.company+" remains in it until its retention ends.", maxNoteRunes))
	return nil
}

// object returns the deleted activation, for events and owner references.
func (d *departure) object(key types.NamespacedName) *v1alpha1.CompanyActivation {
	return &v1alpha1.CompanyActivation{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, UID: d.uid}}
}

// deleteSecret deletes the activation's Secret, but not one of the same name that belongs
// to something else. Kubernetes' garbage collector would also delete it, but later.
func (r *companyActivationReconciler) deleteSecret(ctx context.Context, key types.NamespacedName, d *departure) error {
	owner := d.object(key)
	var secret corev1.Secret
	secretKey := client.ObjectKey{Namespace: key.Namespace, Name: activation.SecretName(owner)}
	if err := r.apiReader.Get(ctx, secretKey, &secret); err != nil {
		return client.IgnoreNotFound(err)
	}
	if !metav1.IsControlledBy(&secret, owner) {
		return nil
	}
	uid := secret.UID
	err := r.Delete(ctx, &secret, client.Preconditions{UID: &uid})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting the Secret %s: %w", secretKey, err)
	}
	return nil
}
