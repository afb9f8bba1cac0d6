// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package activation

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/rehive"
)

// The platform's groups whose users may act for a company.
const (
	GroupAdmin   = rehive.GroupAdmin
	GroupService = rehive.GroupService
)

const (
	// pollInterval is how often the cache is checked for the controller's reaction. A
	// check is cheap.
	pollInterval = 20 * time.Millisecond
	// maxNameAttempts limits the search for an unused name.
	maxNameAttempts = 8
)

// Errors of a Lifecycle. Other errors come from the API server or the platform.
var (
	// ErrNotActivated means that the platform has not activated the company, or that the
	// company is inactive and the call requires an active one.
	ErrNotActivated = errors.New("the company has not been activated")
	// ErrOtherUser means that the caller is neither the user who activated the company
	// nor an admin.
	ErrOtherUser = errors.New("only an admin or the service user that activated the company may do this")
	// ErrStillRemoving means that the company's earlier activation still exists.
	ErrStillRemoving = errors.New("the company's earlier activation is still being removed")
	// ErrTokenRefused means that the platform refused the token while the company was
	// being activated. The activation was rolled back.
	ErrTokenRefused = errors.New("the platform refused the token")
)

// WebhooksRefusedError means that the platform refused webhooks for a reason that only a
// person can resolve. The activation was rolled back.
type WebhooksRefusedError struct {
	// Message says what to do.
	Message string
}

// Error implements error.
func (e *WebhooksRefusedError) Error() string { return "webhooks were refused: " + e.Message }

// Finder finds the CompanyActivation in force for a company, nil if there is none, and
// its credentials. It is implemented by *Index.
type Finder interface {
	Find(ctx context.Context, company string) (*v1alpha1.CompanyActivation, error)
	FindSecret(ctx context.Context, secret string) (types.NamespacedName, error)
	Credentials(ctx context.Context, a *v1alpha1.CompanyActivation) (Credentials, error)
}

// Lifecycle carries out the platform's requests: it activates and deactivates companies,
// replaces their tokens and purges them. Its calls wait for the controllers to act, as
// long as their context allows, so that their changes are in effect when they return.
// Within a process, calls for one company must not be concurrent; other processes may
// make them at any time.
type Lifecycle struct {
	// Client reads from the manager's cache, and writes.
	Client client.Client
	// APIReader reads from the API server. Decisions are based on it.
	APIReader client.Reader
	// Cache is used to authenticate webhooks.
	Cache Finder
	// Platform is asked for the user of the stored token.
	Platform *rehive.Client
	// Namespaces are those whose activations count.
	Namespaces Namespaces
	// Namespace is where the activation of a company is created if it was not declared.
	Namespace string
	// PurgeGrace is how long a purged company's data is kept, inaccessible, in case the
	// company is activated again. If 0, it is removed immediately.
	PurgeGrace time.Duration
	// Reserve is the part of a call's time that is reserved for rolling back an
	// activation.
	Reserve time.Duration
	// PlatformTimeout limits one call of the platform.
	PlatformTimeout time.Duration
	// Now is the clock.
	Now func() time.Time
}

// Activate stores the user's token for the company's activation, makes it active and
// waits for the controller's verdict. A refusal that only a person can resolve rolls the
// activation back; an outage does not, because the controller keeps retrying.
//
// While the company is active and its stored token is valid, only an admin or the user
// who activated it may replace the token.
func (l *Lifecycle) Activate(ctx context.Context, user *rehive.User, token string) error {
	log := logr.FromContextOrDiscard(ctx)
	a, created, err := l.findOrCreate(ctx, user.Company)
	if err != nil {
		return err
	}
	before := formerState{state: a.Spec.State, purgeAfter: a.Annotations[v1alpha1.PurgeAfterAnnotation]}
	if created {
		before.state = v1alpha1.ActivationInactive
	}
	before.Credentials, err = l.updateCredentials(ctx, a, func(c *Credentials) error {
		if a.IsActive() && !created {
			if err := l.mayReplace(ctx, user, *c); err != nil {
				return err
			}
		}
		c.ReceiveToken(token, l.Now())
		c.RecordUser(user)
		return nil
	})
	if err != nil {
		l.reportNotStored(ctx, a, err)
		return err
	}
	requested, err := l.request(ctx, a, func(a *v1alpha1.CompanyActivation) error {
		a.Spec.State = v1alpha1.ActivationActive
		delete(a.Annotations, v1alpha1.PurgeAfterAnnotation)
		delete(a.Annotations, v1alpha1.TokenNotStoredAnnotation)
		return nil
	})
	if err != nil {
		l.restore(ctx, a, token, requested, before)
		return err
	}
	observed := l.awaitController(ctx, a, requested)
	if observed == nil {
		log.Info("Activated the company; its webhooks are not registered yet", "companyActivation", klog.KObj(a))
		return nil
	}
	if refusal := refusalOf(observed); refusal != nil {
		l.restore(ctx, a, token, requested, before)
		return refusal
	}
	if meta.IsStatusConditionTrue(observed.Status.Conditions, v1alpha1.WebhooksRegisteredCondition) {
		l.awaitCredentials(ctx, a, token)
	}
	log.Info("Activated the company", "companyActivation", klog.KObj(a))
	return nil
}

// Deactivate makes the company's activation inactive and removes its token. Everything
// else, including the webhook secret, is kept. It is idempotent.
func (l *Lifecycle) Deactivate(ctx context.Context, user *rehive.User, token string) error {
	a, err := l.managed(ctx, user, token)
	if err != nil {
		return err
	}
	return l.suspend(ctx, a, func(*v1alpha1.CompanyActivation) {})
}

// suspend applies a change to an activation, makes it inactive and removes its token.
func (l *Lifecycle) suspend(ctx context.Context, a *v1alpha1.CompanyActivation, change func(*v1alpha1.CompanyActivation)) error {
	if _, err := l.request(ctx, a, func(a *v1alpha1.CompanyActivation) error {
		a.Spec.State = v1alpha1.ActivationInactive
		change(a)
		return nil
	}); err != nil {
		return err
	}
	_, err := l.updateCredentials(ctx, a, func(c *Credentials) error {
		c.Token = ""
		return nil
	})
	var unusable *UnusableSecretError
	if errors.As(err, &unusable) && l.secretIsForeign(ctx, a) {
		err = nil // the Secret is not ours, so it has no token of ours
	}
	if err != nil {
		return err
	}
	l.poll(ctx, func() bool {
		known, err := l.Cache.Find(ctx, a.Spec.Company)
		return err == nil && (known == nil || !known.IsActive())
	})
	return nil
}

// secretIsForeign reports whether the Secret with the activation's name belongs to
// something else.
func (l *Lifecycle) secretIsForeign(ctx context.Context, a *v1alpha1.CompanyActivation) bool {
	_, err := Get(ctx, l.APIReader, a)
	var unusable *UnusableSecretError
	return errors.As(err, &unusable)
}

// Purge deletes the company's activation, with its rules and all stored data of the
// company, and waits for the controller to do so. With a grace period, it makes the
// activation inactive instead, and the controller deletes it when the period is over,
// unless the company is activated again before then.
func (l *Lifecycle) Purge(ctx context.Context, user *rehive.User, token string) error {
	log := logr.FromContextOrDiscard(ctx)
	a, err := l.managed(ctx, user, token)
	if err != nil {
		return err
	}
	if l.PurgeGrace > 0 {
		after := l.Now().Add(l.PurgeGrace).UTC().Format(time.RFC3339)
		log.Info("Keeping the company's data for the grace period", "companyActivation", klog.KObj(a), "until", after)
		return l.suspend(ctx, a, func(a *v1alpha1.CompanyActivation) {
			if a.Annotations[v1alpha1.PurgeAfterAnnotation] == "" {
				metav1.SetMetaDataAnnotation(&a.ObjectMeta, v1alpha1.PurgeAfterAnnotation, after)
			}
		})
	}
	// The controller needs a token to remove webhooks from the platform, and after a
	// deactivation this one is the only one. It can work without.
	if _, err := l.updateCredentials(ctx, a, func(c *Credentials) error {
		c.Token = token
		return nil
	}); err != nil {
		log.Info("Purging the company without removing its webhooks", "companyActivation", klog.KObj(a), "cause", err.Error())
	}
	if _, err := l.request(ctx, a, func(a *v1alpha1.CompanyActivation) error {
		metav1.SetMetaDataAnnotation(&a.ObjectMeta, v1alpha1.PurgeAnnotation, "true")
		// It lasts until the company's data is gone.
		controllerutil.AddFinalizer(a, v1alpha1.CompanyActivationFinalizer)
		return nil
	}); err != nil {
		return err
	}
	if err := l.Client.Delete(ctx, a, client.Preconditions{UID: &a.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting the CompanyActivation %s: %w", klog.KObj(a), err)
	}
	gone := l.poll(ctx, func() bool {
		var current v1alpha1.CompanyActivation
		err := l.Client.Get(ctx, client.ObjectKeyFromObject(a), &current)
		return apierrors.IsNotFound(err) || err == nil && current.UID != a.UID
	})
	if !gone {
		log.Info("The company's data is still being removed", "companyActivation", klog.KObj(a))
	}
	return nil
}

// Rotate replaces the token of an active company.
func (l *Lifecycle) Rotate(ctx context.Context, user *rehive.User, token string) error {
	a, err := l.managed(ctx, user, token)
	if err != nil {
		return err
	}
	if !a.IsActive() {
		return fmt.Errorf("%w: it is inactive", ErrNotActivated)
	}
	if _, err := l.updateCredentials(ctx, a, func(c *Credentials) error {
		c.ReceiveToken(token, l.Now())
		c.TokenRotated = c.TokenReceived
		c.RecordUser(user)
		return nil
	}); err != nil {
		l.reportNotStored(ctx, a, err)
		return err
	}
	_, err = l.request(ctx, a, func(a *v1alpha1.CompanyActivation) error {
		delete(a.Annotations, v1alpha1.TokenNotStoredAnnotation)
		return nil
	})
	return err
}

// reportNotStored makes the controller report that a token of the platform could not be
// stored, if that is what the error says. It is best effort: the caller reports the error.
func (l *Lifecycle) reportNotStored(ctx context.Context, a *v1alpha1.CompanyActivation, err error) {
	var unusable *UnusableSecretError
	if !errors.As(err, &unusable) {
		return
	}
	_, err = l.request(ctx, a, func(a *v1alpha1.CompanyActivation) error {
		metav1.SetMetaDataAnnotation(&a.ObjectMeta, v1alpha1.TokenNotStoredAnnotation, l.Now().UTC().Format(time.RFC3339))
		return nil
	})
	if err != nil {
		logr.FromContextOrDiscard(ctx).Error(err, "Could not report that the token was not stored", "companyActivation", klog.KObj(a))
	}
}

// managed returns the company's activation if the platform has activated the company
// before and the user may deactivate, rotate or purge it. An activation that was only
// declared was never activated, and neither was a duplicate whose holder was deleted.
func (l *Lifecycle) managed(ctx context.Context, user *rehive.User, token string) (*v1alpha1.CompanyActivation, error) {
	a, err := l.Namespaces.Find(ctx, l.APIReader, user.Company)
	if err != nil {
		return nil, err
	}
	if a == nil {
		return nil, fmt.Errorf("%w: it has no CompanyActivation", ErrNotActivated)
	}
	held, err := Get(ctx, l.APIReader, a)
	var unusable *UnusableSecretError
	if err != nil && !errors.Is(err, ErrMissing) && !errors.As(err, &unusable) {
		return nil, err
	}
	if held.Token == "" && held.ServiceUser == "" && a.Status.ServiceUser == "" {
		return nil, fmt.Errorf("%w: its CompanyActivation was only declared", ErrNotActivated)
	}
	if user.InGroup(GroupAdmin) {
		return a, nil
	}
	known := held.ServiceUser
	switch {
	case known != "":
	case held.Token == token:
		return a, nil
	case held.Token != "":
		// The Secret was written before users were recorded.
		if known, err = l.ownerOf(ctx, held.Token, user.Company); err != nil {
			return nil, err
		}
	default:
		known = a.Status.ServiceUser
	}
	if !SameUser(known, user.ID) {
		return nil, ErrOtherUser
	}
	return a, nil
}

// mayReplace returns ErrOtherUser if the user may not replace the token of an active
// company.
func (l *Lifecycle) mayReplace(ctx context.Context, user *rehive.User, held Credentials) error {
	if held.Token == "" || user.InGroup(GroupAdmin) || SameUser(held.ServiceUser, user.ID) {
		return nil
	}
	switch owner, err := l.ownerOf(ctx, held.Token, user.Company); {
	case err != nil:
		return err
	case owner != "" && !SameUser(owner, user.ID):
		return ErrOtherUser
	}
	return nil
}

// ownerOf asks the platform for the token's user. It returns an empty string if the token
// is no longer valid for the company.
func (l *Lifecycle) ownerOf(ctx context.Context, token, company string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, l.PlatformTimeout)
	defer cancel()
	owner, err := l.Platform.WithToken(token).Auth(ctx)
	switch {
	case rehive.IsPermanent(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("asking for the user of the stored token: %w", err)
	case owner.Company != company:
		return "", nil
	}
	return owner.ID, nil
}

// SameUser reports whether two identifiers are non-empty and identify the same user.
func SameUser(a, b string) bool { return a != "" && strings.EqualFold(a, b) }

// findOrCreate returns the activation in force for the company, which may have been
// declared, or creates it.
func (l *Lifecycle) findOrCreate(ctx context.Context, company string) (_ *v1alpha1.CompanyActivation, created bool, err error) {
	waiting := false
	defer func() {
		// The time may also run out during a call between two waits.
		if err != nil && waiting && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ErrStillRemoving, err)
		}
	}()
	attempt := 0
	for {
		holder, err := l.Namespaces.Holder(ctx, l.APIReader, company)
		if err != nil {
			return nil, false, err
		}
		if a := inForce(holder); a != nil {
			return a, false, nil
		}
		if holder == nil {
			a := &v1alpha1.CompanyActivation{}
			a.Namespace, a.Name = l.Namespace, NameFor(company, attempt)
			a.Spec = v1alpha1.CompanyActivationSpec{Company: company, State: v1alpha1.ActivationActive}
			switch err := l.Client.Create(ctx, a); {
			case err == nil:
				return a, true, nil
			case !apierrors.IsAlreadyExists(err):
				return nil, false, fmt.Errorf("creating the CompanyActivation %s: %w", klog.KObj(a), err)
			}
			switch other, err := l.otherCompany(ctx, a); {
			case err != nil:
				return nil, false, err
			case other && attempt >= maxNameAttempts:
				return nil, false, fmt.Errorf("the name %s and %d others are taken by the CompanyActivations of other companies", NameFor(company, 0), attempt)
			case other:
				attempt++
				continue
			}
		}
		// It is being deleted, or another replica was faster.
		waiting = true
		select {
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-time.After(10 * pollInterval):
		}
	}
}

// otherCompany reports whether the object with the activation's name is of another
// company.
func (l *Lifecycle) otherCompany(ctx context.Context, a *v1alpha1.CompanyActivation) (bool, error) {
	var occupant v1alpha1.CompanyActivation
	if err := l.APIReader.Get(ctx, client.ObjectKeyFromObject(a), &occupant); apierrors.IsNotFound(err) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("reading the CompanyActivation %s: %w", klog.KObj(a), err)
	}
	return occupant.Spec.Company != a.Spec.Company, nil
}

// updateCredentials changes the content of the activation's Secret and returns the
// previous content. It repeats the change if there is a conflict. The webhook secret is
// managed by the controller, which generates it or adopts the one of the platform's
// webhooks.
func (l *Lifecycle) updateCredentials(ctx context.Context, a *v1alpha1.CompanyActivation, change func(*Credentials) error) (before Credentials, err error) {
	err = retry.OnError(retry.DefaultBackoff, IsConflict, func() error {
		credentials, err := Get(ctx, l.APIReader, a)
		missing := errors.Is(err, ErrMissing)
		if err != nil && !missing {
			return err
		}
		before = credentials
		if err := change(&credentials); err != nil {
			return err
		}
		if missing && credentials.Token == "" {
			return nil
		}
		return Save(ctx, l.Client, a, credentials)
	})
	if err != nil {
		return before, fmt.Errorf("saving the token: %w", err)
	}
	return before, nil
}

// request changes the activation and requests an immediate check by the controller.
func (l *Lifecycle) request(ctx context.Context, a *v1alpha1.CompanyActivation, change func(*v1alpha1.CompanyActivation) error) (checkRequest, error) {
	requested := checkRequest{at: l.Now().UTC().Format(time.RFC3339Nano) + "-" + rand.Text()[:8]}
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		var current v1alpha1.CompanyActivation
		if err := l.APIReader.Get(ctx, client.ObjectKeyFromObject(a), &current); err != nil {
			return err
		}
		patch := client.MergeFromWithOptions(current.DeepCopy(), client.MergeFromWithOptimisticLock{})
		if err := change(&current); err != nil {
			return err
		}
		metav1.SetMetaDataAnnotation(&current.ObjectMeta, v1alpha1.RequestedAtAnnotation, requested.at)
		if err := l.Client.Patch(ctx, &current, patch); err != nil {
			return err
		}
		requested.version = current.ResourceVersion
		return nil
	})
	if err != nil {
		return requested, fmt.Errorf("changing the CompanyActivation %s: %w", klog.KObj(a), err)
	}
	return requested, nil
}

// checkRequest is a request that the controller check an activation.
type checkRequest struct {
	at      string // the value of status.lastHandledRequestedAt once the controller has done so
	version string // the activation's resource version with the request
}

// isIn reports whether an activation from a cache is at least as new as the request.
func (k checkRequest) isIn(a *v1alpha1.CompanyActivation) bool {
	if a.Annotations[v1alpha1.RequestedAtAnnotation] == k.at {
		return true
	}
	newer, err := resourceversion.CompareResourceVersion(a.ResourceVersion, k.version)
	return err == nil && newer >= 0
}

// formerState is the state to which an activation is restored when the platform refuses
// it.
type formerState struct {
	Credentials
	state      v1alpha1.ActivationState
	purgeAfter string
}

// errOvertaken means that a later call has changed what restore would restore.
var errOvertaken = errors.New("a later call has changed it")

// restore rolls back an activation that stored a token and requested a check. It does not
// touch changes of later calls, possibly of other replicas. It is best effort: if the API
// server is unavailable, the controller finds the token refused and reports that in the
// conditions.
func (l *Lifecycle) restore(ctx context.Context, a *v1alpha1.CompanyActivation, token string, requested checkRequest, before formerState) {
	log := logr.FromContextOrDiscard(ctx).WithValues("companyActivation", klog.KObj(a))
	_, tokenErr := l.updateCredentials(ctx, a, func(c *Credentials) error {
		if c.Token != token {
			return errOvertaken
		}
		c.Token, c.TokenReceived, c.ServiceUser = before.Token, before.TokenReceived, before.ServiceUser
		return nil
	})
	_, stateErr := l.request(ctx, a, func(a *v1alpha1.CompanyActivation) error {
		if a.Annotations[v1alpha1.RequestedAtAnnotation] != requested.at {
			return errOvertaken
		}
		a.Spec.State = before.state
		if before.purgeAfter != "" {
			metav1.SetMetaDataAnnotation(&a.ObjectMeta, v1alpha1.PurgeAfterAnnotation, before.purgeAfter)
		}
		return nil
	})
	switch err := errors.Join(tokenErr, stateErr); {
	case errors.Is(err, errOvertaken):
		log.Info("Did not undo the activation: a later call has changed it")
	case err != nil:
		log.Error(err, "Could not undo the activation")
	default:
		log.Info("Undid the activation", "state", before.state)
	}
}

// awaitController returns the activation after the controller has acted on the request,
// nil if it did not in time.
func (l *Lifecycle) awaitController(ctx context.Context, a *v1alpha1.CompanyActivation, requested checkRequest) *v1alpha1.CompanyActivation {
	var observed v1alpha1.CompanyActivation
	acted := l.poll(ctx, func() bool {
		if l.Client.Get(ctx, client.ObjectKeyFromObject(a), &observed) != nil || observed.UID != a.UID {
			return false
		}
		handled := observed.Status.LastHandledRequestedAt
		// A later request, from another replica or kubectl, covers this one.
		return handled == requested.at || handled == observed.Annotations[v1alpha1.RequestedAtAnnotation] && requested.isIn(&observed)
	})
	if !acted {
		return nil
	}
	return &observed
}

// awaitCredentials waits until the cache has the credentials, so that a webhook that
// follows immediately is not refused.
func (l *Lifecycle) awaitCredentials(ctx context.Context, a *v1alpha1.CompanyActivation, token string) {
	l.poll(ctx, func() bool {
		known, err := l.Cache.Find(ctx, a.Spec.Company)
		if err != nil || known == nil || !known.IsActive() {
			return false
		}
		credentials, err := l.Cache.Credentials(ctx, known)
		if err != nil || credentials.Token != token {
			return false
		}
		holder, err := l.Cache.FindSecret(ctx, credentials.WebhookSecret)
		return err == nil && holder != (types.NamespacedName{})
	})
}

// poll calls done until it returns true, or until the rest of the time is needed for
// rolling back. It returns the last result.
func (l *Lifecycle) poll(ctx context.Context, done func() bool) bool {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-l.Reserve))
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

// refusalOf returns why the platform permanently refused an activation, nil if it did
// not.
func refusalOf(a *v1alpha1.CompanyActivation) error {
	if c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.TokenValidCondition); c != nil &&
		c.Status == metav1.ConditionFalse && c.Reason == v1alpha1.TokenRefusedReason {
		return fmt.Errorf("%w: the controller found: %s", ErrTokenRefused, c.Message)
	}
	if c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.WebhooksRegisteredCondition); c != nil &&
		c.Status == metav1.ConditionFalse && c.Reason == v1alpha1.RefusedReason {
		return &WebhooksRefusedError{Message: c.Message}
	}
	return nil
}
