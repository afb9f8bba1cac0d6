// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// caller is who makes a call of the admin or the user API.
type caller struct {
	// user and company are the platform's identifiers; the user's in lower case, as
	// the ledger has it.
	user, company string
	// admin is whether the user is in the company's group admin, service whether in
	// its group service.
	admin, service bool
	// activation is the company's, which is active. It is the cache's own and must
	// not be changed.
	activation *v1alpha1.CompanyActivation
}

// section is who may call an endpoint.
type section int

const (
	adminSection section = iota // the group admin, and the service user that activated the company
	userSection                 // everybody
)

// apiFunc answers a request of the admin or the user API.
type apiFunc func(context.Context, *call, *caller) (rest.Answer, error)

// authenticated has a handler called with the caller, who may be there: a user of
// a company that is active, as the platform says. Whatever the handler does, it
// does for that company only.
func (s *Server) authenticated(who section, h apiFunc) handlerFunc {
	return func(ctx context.Context, c *call) (rest.Answer, error) {
		from, err := s.authenticate(ctx, c.request)
		if err != nil {
			return rest.Answer{}, err
		}
		// Strangers have no slot, so they can't take all of them.
		slot, ok := s.apiSlots.TryAcquire(from.company, 1)
		if !ok {
			return rest.Answer{}, rest.Unavailable(nil, tooManyCalls)
		}
		defer slot.Release()
		forbidden := &rest.Error{Status: http.StatusForbidden, Message: "You do not have permission to perform this action."}
		if who == adminSection && !from.admin && !from.service {
			return rest.Answer{}, forbidden
		}
		from.activation, err = s.activations.Find(ctx, from.company)
		if err != nil {
			return rest.Answer{}, rest.Unavailable(err, "The company could not be looked up. Try again later.")
		}
		if from.activation == nil || !from.activation.IsActive() {
			return rest.Answer{}, rest.InvalidField(nil, rest.NonFieldErrors, "Inactive company.")
		}
		if who == adminSection && !from.admin {
			own, err := s.isServiceUser(ctx, from)
			if err != nil {
				return rest.Answer{}, err
			}
			if !own {
				return rest.Answer{}, forbidden
			}
		}
		return h(ctx, c, from)
	}
}

// isServiceUser reports whether the caller is the user who activated this extension for
// the company. The service users of other extensions have no business here.
func (s *Server) isServiceUser(ctx context.Context, from *caller) (bool, error) {
	credentials, err := s.activations.Credentials(ctx, from.activation)
	if errors.Is(err, activation.ErrMissing) {
		return false, nil
	}
	if err != nil {
		return false, rest.Unavailable(err, "The company could not be looked up. Try again later.")
	}
	return activation.SameUser(credentials.ServiceUser, from.user), nil
}

// authenticate finds out whose token a request carries. The platform's answer is
// remembered for a moment, under a hash of the token: a page of an app makes several
// calls, and the platform has a budget of them.
func (s *Server) authenticate(ctx context.Context, r *http.Request) (*caller, error) {
	token, err := apiToken(r)
	if err != nil {
		return nil, err
	}
	// Where the platform judges the caller's addresses, its verdict is about them too.
	chain := joinAddresses(s.proxies.userChain(r))
	key := tokenKey(sha256.Sum256([]byte(token + " " + chain))) // a token has no space
	if known, _, ok := s.tokens.get(key, s.now()); ok {
		return known.answer()
	}
	// Of calls that come together one asks.
	unlock, err := s.tokenLocks.lock(ctx, string(key[:]))
	if err != nil {
		return nil, rest.Unavailable(err, platformUnavailable)
	}
	defer unlock()
	known, company, ok := s.tokens.get(key, s.now())
	if ok {
		return known.answer()
	}
	user, err := s.askWhose(ctx, r, token, chain, company)
	if err != nil {
		refusal := new(rest.Error)
		if errors.As(err, &refusal) && refusal.Status < http.StatusTooManyRequests {
			s.tokens.put(key, tokenVerdict{refusal: refusal}, s.now())
		}
		return nil, err
	}
	known = tokenVerdict{
		caller: caller{
			user: strings.ToLower(user.ID), company: user.Company,
			admin: user.InGroup(activation.GroupAdmin), service: user.InGroup(activation.GroupService),
		},
	}
	s.tokens.put(key, known, s.now())
	s.vouchFor(r)
	return known.answer()
}

// apiToken returns the token of "Authorization: Token <token>".
func apiToken(r *http.Request) (string, error) {
	unauthorized := func(message string) error {
		return &rest.Error{Status: http.StatusUnauthorized, Message: message}
	}
	parts := strings.Fields(r.Header.Get("Authorization"))
	if len(parts) != 2 || !strings.EqualFold(parts[0], "token") {
		return "", unauthorized("Authentication credentials were not provided.")
	}
	token := parts[1]
	if len(token) > maxTokenLength || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", unauthorized("Invalid token.")
	}
	return token, nil
}

const platformUnavailable = "Rehive could not be asked whose token this is. Try again later."

// askWhose asks the platform (GET /3/auth/) whose token it is, passing on the end
// user's chain of addresses if a trusted proxy vouches for it: otherwise anyone could
// write what the platform's access rules judge. The platform's refusals are returned as
// they came. Company is whose the token was when it was last asked about, or empty.
func (s *Server) askWhose(ctx context.Context, r *http.Request, token, chain, company string) (*rehive.User, error) {
	turn, err := s.platformTurn(ctx, r, token, company)
	if err != nil {
		return nil, err
	}
	defer turn.leave()
	ctx, cancel := context.WithTimeout(ctx, s.limits.PlatformCall)
	defer cancel()
	session := turn.session
	if chain != "" {
		session = session.WithForwardedFor(strings.Split(chain, ",")...)
	}
	user, err := session.Auth(ctx)
	if err == nil {
		return user, nil
	}
	if rehive.IsPermanent(err) {
		turn.refused()
	}
	var refusal *rehive.Error
	if !errors.As(err, &refusal) {
		return nil, rest.Internal(err)
	}
	switch {
	case rehive.IsThrottled(err):
		return nil, &rest.Error{
			Status: http.StatusTooManyRequests, Message: "Request was throttled.", RetryAfter: refusal.RetryAfter, Cause: err,
		}
	case rehive.IsPermanent(err) && (refusal.Status == http.StatusBadRequest || refusal.Status == http.StatusUnauthorized || refusal.Status == http.StatusForbidden):
		passed := &rest.Error{Status: refusal.Status, Message: refusal.Message, Cause: err}
		for _, field := range slices.Sorted(maps.Keys(refusal.Data)) {
			passed.Fields = append(passed.Fields, rest.FieldError{Field: field, Messages: refusal.Data[field]})
		}
		return nil, passed
	case refusal.Status == 0:
		return nil, rest.Unavailable(err, platformUnavailable)
	default:
		return nil, &rest.Error{Status: http.StatusBadGateway, Message: platformUnavailable, RetryAfter: rest.RetryAfter, Cause: err}
	}
}
