// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
)

// pollInterval is how often the cache, which costs next to nothing, is asked
// whether a controller has acted.
const pollInterval = 20 * time.Millisecond

// activateCompany gives the company's activation the token, makes it active and
// waits for the controller's verdict as long as time allows. A refusal that a
// person must mend undoes it; an outage doesn't, since the controller goes on
// trying.
func (s *Server) activateCompany(ctx context.Context, company, token string) error {
	log := logr.FromContextOrDiscard(ctx)
	a, created, err := s.findOrCreate(ctx, company)
	if err != nil {
		return err
	}
	before := state{ActivationState: a.Spec.State}
	if created {
		before.ActivationState = v1alpha1.ActivationInactive
	}
	if before.token, err = s.saveToken(ctx, a, token); err != nil {
		return err
	}
	requestedAt, err := s.request(ctx, a, func(a *v1alpha1.CompanyActivation) error {
		a.Spec.State = v1alpha1.ActivationActive
		return nil
	})
	if err != nil {
		s.restore(ctx, a, before)
		return err
	}
	observed := s.awaitController(ctx, a, requestedAt)
	if observed == nil {
		log.Info("Activated the company; its webhooks are not registered yet", "companyActivation", klog.KObj(a))
		return nil
	}
	if refusal := refusalOf(observed); refusal != nil {
		s.restore(ctx, a, before)
		return refusal
	}
	if meta.IsStatusConditionTrue(observed.Status.Conditions, v1alpha1.WebhooksRegisteredCondition) {
		s.awaitCredentials(ctx, a, token)
	}
	log.Info("Activated the company", "companyActivation", klog.KObj(a))
	return nil
}

// deactivateCompany makes the company's activation inactive and forgets its
// token. What was decided before, the webhook secret included, is kept. Doing it
// twice is fine.
func (s *Server) deactivateCompany(ctx context.Context, company string) error {
	a, err := s.activated(ctx, company)
	if err != nil {
		return err
	}
	if _, err := s.request(ctx, a, func(a *v1alpha1.CompanyActivation) error {
		a.Spec.State = v1alpha1.ActivationInactive
		return nil
	}); err != nil {
		return err
	}
	if _, err = s.saveToken(ctx, a, ""); err != nil {
		return err
	}
	s.awaitInactive(ctx, a)
	return nil
}

// purgeCompany deletes the company's activation and waits, as long as time
// allows, for the controller to clean up behind it.
func (s *Server) purgeCompany(ctx context.Context, company, token string) error {
	a, err := s.activated(ctx, company)
	if err != nil {
		return err
	}
	// The controller deletes what it can on the platform, and after a
	// deactivation this token is the only one there is.
	if _, err := s.saveToken(ctx, a, token); err != nil {
		return err
	}
	if _, err := s.request(ctx, a, func(a *v1alpha1.CompanyActivation) error {
		a.Annotations[v1alpha1.PurgeAnnotation] = "true"
		return nil
	}); err != nil {
		return err
	}
	if err := s.client.Delete(ctx, a, client.Preconditions{UID: &a.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting the CompanyActivation %s: %w", klog.KObj(a), err)
	}
	if !s.awaitGone(ctx, a) {
		logr.FromContextOrDiscard(ctx).Info("The company's data is still being removed", "companyActivation", klog.KObj(a))
	}
	return nil
}

// rotateToken replaces the token of an active company.
func (s *Server) rotateToken(ctx context.Context, company, token string) error {
	a, err := s.activated(ctx, company)
	if err != nil {
		return err
	}
	if !a.IsActive() {
		return invalidField(errors.New("the company is inactive"), "token", notActivatedYet)
	}
	if _, err := s.saveToken(ctx, a, token); err != nil {
		return err
	}
	_, err = s.request(ctx, a, func(*v1alpha1.CompanyActivation) error { return nil })
	return err
}

// activated returns the company's activation, provided that the platform has
// activated the company at some time: one that was only declared has neither
// credentials nor been asked for anything.
func (s *Server) activated(ctx context.Context, company string) (*v1alpha1.CompanyActivation, error) {
	a, err := activation.Find(ctx, s.apiReader, company)
	if err != nil {
		return nil, err
	}
	if a == nil {
		return nil, invalidField(errors.New("there is no CompanyActivation of the company"), "token", notActivatedYet)
	}
	if a.Annotations[v1alpha1.RequestedAtAnnotation] != "" || a.Status.ServiceUser != "" {
		return a, nil
	}
	switch credentials, err := activation.Get(ctx, s.apiReader, a); {
	case err != nil && !errors.Is(err, activation.ErrMissing):
		return nil, err
	case credentials.Token == "" && credentials.WebhookSecret == "":
		return nil, invalidField(errors.New("the CompanyActivation was declared but never activated"), "token", notActivatedYet)
	}
	return a, nil
}

// findOrCreate returns the company's activation, which somebody may have
// declared in any namespace, and otherwise creates it in the operator's.
func (s *Server) findOrCreate(ctx context.Context, company string) (_ *v1alpha1.CompanyActivation, created bool, err error) {
	waiting := false
	defer func() {
		// The time may also end in one of the calls between two waits.
		if err != nil && waiting && ctx.Err() != nil {
			err = unavailable(err, "The company's earlier activation is still being removed. Try again later.")
		}
	}()
	for {
		a, err := activation.Find(ctx, s.apiReader, company)
		if a != nil || err != nil {
			return a, false, err
		}
		a = &v1alpha1.CompanyActivation{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: activation.NameFor(company)},
			Spec:       v1alpha1.CompanyActivationSpec{Company: company, State: v1alpha1.ActivationActive},
		}
		switch err := s.client.Create(ctx, a); {
		case err == nil:
			return a, true, nil
		case !apierrors.IsAlreadyExists(err):
			return nil, false, fmt.Errorf("creating the CompanyActivation %s: %w", klog.KObj(a), err)
		}
		// It is the company's own and being deleted, or another replica was
		// faster, or somebody gave another company's object that name.
		var occupant v1alpha1.CompanyActivation
		err = s.apiReader.Get(ctx, client.ObjectKeyFromObject(a), &occupant)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return nil, false, fmt.Errorf("reading the CompanyActivation %s: %w", klog.KObj(a), err)
		case occupant.Spec.Company != company:
			return nil, false, fmt.Errorf("the CompanyActivation %s is of another company", klog.KObj(a))
		}
		waiting = true
		select {
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-time.After(10 * pollInterval):
		}
	}
}

// saveToken writes the token into the activation's Secret, removes it when it is
// empty, and returns the one before. The webhook secret is left alone: the
// controller makes it, or finds what the platform's webhooks carry already.
func (s *Server) saveToken(ctx context.Context, a *v1alpha1.CompanyActivation, token string) (before string, err error) {
	first := true
	err = retry.OnError(retry.DefaultBackoff, activation.IsConflict, func() error {
		credentials, err := activation.Get(ctx, s.apiReader, a)
		missing := errors.Is(err, activation.ErrMissing)
		if err != nil && !missing {
			return err
		}
		if first {
			first, before = false, credentials.Token
		}
		if missing && token == "" {
			return nil
		}
		credentials.Token = token
		return activation.Save(ctx, s.client, a, credentials)
	})
	if err != nil {
		return before, fmt.Errorf("saving the token: %w", err)
	}
	return before, nil
}

// request changes the activation and asks the controller to look at it at once.
// It returns the value that status.lastHandledRequestedAt has once it did.
func (s *Server) request(ctx context.Context, a *v1alpha1.CompanyActivation, change func(*v1alpha1.CompanyActivation) error) (string, error) {
	requestedAt := s.now().UTC().Format(time.RFC3339Nano) + "-" + rand.Text()[:8]
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		var current v1alpha1.CompanyActivation
		if err := s.apiReader.Get(ctx, client.ObjectKeyFromObject(a), &current); err != nil {
			return err
		}
		patch := client.MergeFromWithOptions(current.DeepCopy(), client.MergeFromWithOptimisticLock{})
		metav1.SetMetaDataAnnotation(&current.ObjectMeta, v1alpha1.RequestedAtAnnotation, requestedAt)
		if err := change(&current); err != nil {
			return err
		}
		return s.client.Patch(ctx, &current, patch)
	})
	if err != nil {
		return "", fmt.Errorf("changing the CompanyActivation %s: %w", klog.KObj(a), err)
	}
	return requestedAt, nil
}

// state is what an activation is put back to when the platform refused it.
type state struct {
	v1alpha1.ActivationState
	token string
}

// restore undoes an activation. It can only be tried: when the API server is
// away, the controller finds the token refused and says so in the conditions.
func (s *Server) restore(ctx context.Context, a *v1alpha1.CompanyActivation, before state) {
	log := logr.FromContextOrDiscard(ctx)
	_, tokenErr := s.saveToken(ctx, a, before.token)
	_, stateErr := s.request(ctx, a, func(a *v1alpha1.CompanyActivation) error {
		a.Spec.State = before.ActivationState
		return nil
	})
	if err := errors.Join(tokenErr, stateErr); err != nil {
		log.Error(err, "Could not undo the activation", "companyActivation", klog.KObj(a))
		return
	}
	log.Info("Undid the activation", "companyActivation", klog.KObj(a), "state", before.ActivationState)
}

// awaitController returns the activation as the controller left it after it had
// acted on the request, nil when it has not in time.
func (s *Server) awaitController(ctx context.Context, a *v1alpha1.CompanyActivation, requestedAt string) *v1alpha1.CompanyActivation {
	var observed v1alpha1.CompanyActivation
	seen := false // the cache has the request
	acted := s.poll(ctx, func() bool {
		if s.client.Get(ctx, client.ObjectKeyFromObject(a), &observed) != nil || observed.UID != a.UID {
			return false
		}
		requested, handled := observed.Annotations[v1alpha1.RequestedAtAnnotation], observed.Status.LastHandledRequestedAt
		seen = seen || requested == requestedAt
		// A later request, another replica's or kubectl's, covers this one.
		return handled == requestedAt || seen && handled == requested
	})
	if !acted {
		return nil
	}
	return &observed
}

// awaitCredentials waits until what webhooks are checked against is known, so that one
// which follows at once is not refused.
func (s *Server) awaitCredentials(ctx context.Context, a *v1alpha1.CompanyActivation, token string) {
	s.poll(ctx, func() bool {
		known, err := s.activations.Find(ctx, a.Spec.Company)
		if err != nil || known == nil || !known.IsActive() {
			return false
		}
		credentials, err := s.activations.Credentials(ctx, known)
		return err == nil && credentials.Token == token && credentials.WebhookSecret != ""
	})
}

// awaitInactive waits until it is known that webhooks are to be refused.
func (s *Server) awaitInactive(ctx context.Context, a *v1alpha1.CompanyActivation) {
	s.poll(ctx, func() bool {
		known, err := s.activations.Find(ctx, a.Spec.Company)
		return err == nil && (known == nil || !known.IsActive())
	})
}

// awaitGone says whether the activation went in time.
func (s *Server) awaitGone(ctx context.Context, a *v1alpha1.CompanyActivation) bool {
	return s.poll(ctx, func() bool {
		var current v1alpha1.CompanyActivation
		err := s.client.Get(ctx, client.ObjectKeyFromObject(a), &current)
		return apierrors.IsNotFound(err) || err == nil && current.UID != a.UID
	})
}

// poll asks until the answer is true, which it returns, or until what is left of
// the budget is needed to undo things.
func (s *Server) poll(ctx context.Context, done func() bool) bool {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-s.limits.RollbackReserve))
		defer cancel()
	}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		if done() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

// refusalOf returns the answer to an activation that the platform refused in a
// way that waiting can't mend, nil when it did not.
func refusalOf(a *v1alpha1.CompanyActivation) error {
	if c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.TokenValidCondition); c != nil &&
		c.Status == metav1.ConditionFalse && c.Reason == v1alpha1.TokenRefusedReason {
		return invalidField(errors.New("the controller found: "+c.Message), "token", invalidUser)
	}
	if c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.WebhooksRegisteredCondition); c != nil &&
		c.Status == metav1.ConditionFalse && c.Reason == v1alpha1.RefusedReason {
		return invalidField(nil, nonFieldErrors, webhooksRefused, truncate(c.Message, maxMessageLength))
	}
	return nil
}

// clusterError turns what the Kubernetes API said into an answer.
func clusterError(ctx context.Context, err error) error {
	var answered *apiError
	if errors.As(err, &answered) {
		return err
	}
	if transient(err) || ctx.Err() != nil {
		return unavailable(err, "The cluster that holds this extension's state is not available. Try again later.")
	}
	return internal(err)
}

// transient says whether the same request to the API server may succeed later.
func transient(err error) bool {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) ||
			apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err) || activation.IsConflict(err)
	}
	var exchange *url.Error // no answer at all: refused, reset, timed out, no such host
	return errors.As(err, &exchange) || errors.Is(err, context.DeadlineExceeded)
}
