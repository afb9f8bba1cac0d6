// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// Messages of Rehive's extension framework.
const (
	invalidUser      = "Invalid user."
	invalidAdminUser = "Invalid admin user."
	invalidCompany   = "Invalid company."
	notActivatedYet  = "Company has not been activated yet."
	webhooksRefused  = "Unable to configure event webhooks."
)

// companyPattern matches the identifiers that spec.company of a CompanyActivation allows.
var companyPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)

// activate answers POST /api/activate/, which activates the extension for the token's
// company.
func (s *Server) activate(ctx context.Context, c *call) (rest.Answer, error) {
	f, err := s.readFields(c.request, "token")
	if err != nil {
		return rest.Answer{}, err
	}
	token := f.char("token", maxTokenLength)
	if err := f.err(); err != nil {
		return rest.Answer{}, err
	}
	return s.lifecycle(ctx, c, token, func(ctx context.Context, user *rehive.User) error {
		if err := s.checkCompany(ctx, token, user); err != nil {
			return rest.InvalidField(err, "token", invalidCompany)
		}
		return s.activation.Activate(ctx, user, token)
	})
}

// deactivate answers POST /api/deactivate/: from then on the company's events are refused,
// and its token is deleted. With "purge", all of its data is deleted.
func (s *Server) deactivate(ctx context.Context, c *call) (rest.Answer, error) {
	f, err := s.readFields(c.request, "token", "purge")
	if err != nil {
		return rest.Answer{}, err
	}
	token, purge := f.char("token", maxTokenLength), f.boolean("purge", false)
	if err := f.err(); err != nil {
		return rest.Answer{}, err
	}
	return s.lifecycle(ctx, c, token, func(ctx context.Context, user *rehive.User) error {
		if purge {
			return s.activation.Purge(ctx, user, token)
		}
		return s.activation.Deactivate(ctx, user, token)
	})
}

// rotate answers POST /api/rotate/: the company's service token is replaced.
func (s *Server) rotate(ctx context.Context, c *call) (rest.Answer, error) {
	f, err := s.readFields(c.request, "token")
	if err != nil {
		return rest.Answer{}, err
	}
	token := f.char("token", maxTokenLength)
	if err := f.err(); err != nil {
		return rest.Answer{}, err
	}
	return s.lifecycle(ctx, c, token, func(ctx context.Context, user *rehive.User) error {
		return s.activation.Rotate(ctx, user, token)
	})
}

// lifecycle runs do with the token's user once the platform has confirmed the token, one
// call at a time per company. From then on, a closed connection doesn't cancel the call,
// so that no company is left half activated; the time budget still applies.
func (s *Server) lifecycle(ctx context.Context, c *call, token string, do func(context.Context, *rehive.User) error) (rest.Answer, error) {
	user, err := s.verify(ctx, c, token)
	if err != nil {
		return rest.Answer{}, err
	}
	slot, err := s.acquire(ctx, c.request, s.lifecycleSlots, user.Company, 1)
	if err != nil {
		return rest.Answer{}, err
	}
	defer slot.Release()
	c.log = c.log.WithValues("company", rest.Truncate(user.Company, maxCompanyLength), "user", rest.Truncate(user.ID, maxIDLength))

	unlock, err := s.companies.lock(ctx, user.Company)
	if err != nil {
		return rest.Answer{}, rest.Unavailable(err, "Another call for this company is in progress. Try again later.")
	}
	defer unlock()
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(context.WithoutCancel(ctx), deadline)
		defer cancel()
	}
	start := time.Now()
	if err := do(logr.NewContext(ctx, c.log), user); err != nil {
		return rest.Answer{}, lifecycleError(ctx, err)
	}
	c.log.Info("Handled a lifecycle call", "took", time.Since(start).Round(time.Millisecond).String())
	return rest.Answer{}, nil
}

// verify asks the platform for the token's user, who must be allowed to act for the
// company. As in Rehive's framework, every failure of the platform is answered as an
// invalid user; only the log distinguishes an outage from a refusal.
func (s *Server) verify(ctx context.Context, c *call, token string) (*rehive.User, error) {
	turn, err := s.platformTurn(ctx, c.request, token, "")
	if err != nil {
		return nil, err
	}
	defer turn.leave()
	ctx, cancel := context.WithTimeout(ctx, s.limits.PlatformCall)
	defer cancel()
	user, err := turn.session.Auth(ctx)
	if err != nil {
		if rehive.IsPermanent(err) {
			turn.refused()
		}
		return nil, rest.InvalidField(err, "token", invalidUser)
	}
	if !user.InGroup(activation.GroupAdmin, activation.GroupService) {
		err := fmt.Errorf("user %s is neither in the group admin nor in service", rest.Truncate(user.ID, maxIDLength))
		return nil, rest.InvalidField(err, "token", invalidAdminUser)
	}
	s.vouchFor(c.request, holder{})
	return user, nil
}

// checkCompany checks that the token can read its own company, and that a CompanyActivation
// can hold the company's identifier.
func (s *Server) checkCompany(ctx context.Context, token string, user *rehive.User) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.PlatformCall)
	defer cancel()
	company, err := s.platform.WithToken(token).Company(ctx)
	switch {
	case err != nil:
		return err
	case company.ID != user.Company:
		return errors.New("the token's user and the token's company don't belong together")
	case !companyPattern.MatchString(company.ID):
		return errors.New("the company's identifier has characters or a length that spec.company doesn't allow")
	}
	return nil
}

// lifecycleError turns an error of a lifecycle call into an answer.
func lifecycleError(ctx context.Context, err error) error {
	var answered *rest.Error
	var webhooks *activation.WebhooksRefusedError
	var secret *activation.UnusableSecretError
	switch {
	case errors.As(err, &answered):
		return err
	case errors.Is(err, activation.ErrNotActivated):
		return rest.InvalidField(err, "token", notActivatedYet)
	case errors.Is(err, activation.ErrOtherUser):
		return rest.InvalidField(err, "token", invalidAdminUser)
	case errors.Is(err, activation.ErrTokenRefused):
		return rest.InvalidField(err, "token", invalidUser)
	case errors.As(err, &webhooks):
		return rest.InvalidField(nil, rest.NonFieldErrors, webhooksRefused, rest.Truncate(webhooks.Message, maxMessageLength))
	case errors.Is(err, activation.ErrStillRemoving):
		return rest.Unavailable(err, "The company's earlier activation is still being removed. Try again later.")
	case errors.As(err, &secret):
		return rest.Unavailable(err, "The company's token cannot be stored. Ask the operator of this extension to look at the company's CompanyActivation, then try again.")
	case activation.IsTerminating(err):
		return rest.Unavailable(err, "The namespace that holds this extension's state is being deleted. Ask the operator of this extension to restore it, then try again.")
	case activation.IsOverQuota(err):
		return rest.Unavailable(err, "A quota of the namespace that holds this extension's state is used up. Ask the operator of this extension to raise it, then try again.")
	case apierrors.IsForbidden(err):
		return rest.Unavailable(err, "The cluster that holds this extension's state doesn't allow the change. Ask the operator of this extension to look at its log, then try again.")
	case rehive.IsTransient(err):
		return rest.Unavailable(err, "Rehive could not be reached to verify the stored token. Try again later.")
	case transient(err) || ctx.Err() != nil:
		return rest.Unavailable(err, "The cluster that holds this extension's state is not available. Try again later.")
	}
	return rest.Internal(err)
}

// transient reports whether the same request to the API server may succeed later.
func transient(err error) bool {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) ||
			apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err) || activation.IsConflict(err)
	}
	var exchange *url.Error // there was no answer: connection refused or reset, timeout, unknown host
	return errors.As(err, &exchange) || errors.Is(err, context.DeadlineExceeded)
}
