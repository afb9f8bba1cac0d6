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

// caller identifies the user behind a call to the admin or user API.
type caller struct {
	// user and company are the platform's identifiers, the user's in lower case as in the
	// ledger.
	user, company string
	// admin and service report whether the user is in the company's groups of those names.
	admin, service bool
	// activation is the company's active CompanyActivation. It is shared with the cache:
	// read only.
	activation *v1alpha1.CompanyActivation
}

// audience is the set of users that may call an endpoint.
type audience int

const (
	forAdmins audience = iota // the group admin, and the service user that activated the company
	forUsers                  // every user of the company
)

// apiFunc answers a request to the admin or user API.
type apiFunc func(context.Context, *call, *caller) (rest.Answer, error)

// authenticated calls a handler with the authenticated caller, once the platform has
// confirmed the token, the company is active and the caller belongs to the audience. The
// handler acts for that company only.
func (s *Server) authenticated(who audience, h apiFunc) handlerFunc {
	return func(ctx context.Context, c *call) (rest.Answer, error) {
		from, err := s.authenticate(ctx, c.request)
		if err != nil {
			return rest.Answer{}, err
		}
		from.activation, err = s.activations.Find(ctx, from.company)
		if err != nil {
			return rest.Answer{}, rest.Unavailable(err, "The company could not be looked up. Try again later.")
		}
		s.vouchFor(c.request, holderOf(from.activation))
		// Unauthenticated callers get no slot, so they can't use them all up.
		slot, ok := s.apiSlots.TryAcquire(from.company, 1)
		if !ok {
			return rest.Answer{}, rest.Unavailable(nil, tooManyCalls)
		}
		defer slot.Release()
		forbidden := &rest.Error{Status: http.StatusForbidden, Message: "You do not have permission to perform this action."}
		if who == forAdmins && !from.admin && !from.service {
			return rest.Answer{}, forbidden
		}
		if from.activation == nil || !from.activation.IsActive() {
			return rest.Answer{}, rest.InvalidField(nil, rest.NonFieldErrors, "Inactive company.")
		}
		if who == forAdmins && !from.admin {
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

// holderOf returns the name of an activation, which may be nil.
func holderOf(a *v1alpha1.CompanyActivation) holder {
	if a == nil {
		return holder{}
	}
	return holder{Namespace: a.Namespace, Name: a.Name}
}

// isServiceUser reports whether the caller is the user who activated this extension for the
// company. Service users of other extensions are not admins of this one.
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

// authenticate resolves the token of a request to its user. The platform's answer is cached
// briefly, under a hash of the token: one page of an app makes several calls, and the
// platform limits the rate of ours.
func (s *Server) authenticate(ctx context.Context, r *http.Request) (*caller, error) {
	token, err := apiToken(r)
	if err != nil {
		return nil, err
	}
	key, chain := s.tokenKey(r, token)
	if known, _, ok := s.tokens.get(key, s.now()); ok {
		return known.answer()
	}
	// Concurrent calls with the same token share one lookup.
	done := waitAside(r)
	unlock, err := s.tokenLocks.lock(ctx, string(key[:]))
	done()
	if err != nil {
		return nil, rest.Unavailable(err, platformUnavailable)
	}
	defer unlock()
	known, companyID, ok := s.tokens.get(key, s.now())
	if ok {
		return known.answer()
	}
	user, err := s.fetchUser(ctx, r, token, chain, companyID)
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
	return known.answer()
}

// tokenKey returns the key of a request's token in the cache, and the addresses of the user.
// The platform also judges these, so they are part of the key.
func (s *Server) tokenKey(r *http.Request, token string) (key tokenKey, chain string) {
	chain = joinAddresses(s.proxies.userChain(r))
	return sha256.Sum256([]byte(token + " " + chain)), chain // a token has no space
}

// apiToken returns the token of "Authorization: Token <token>".
func apiToken(r *http.Request) (string, error) {
	unauthorized := func(message string) error {
		return &rest.Error{Status: http.StatusUnauthorized, Message: message}
	}
	token := credential(r, "token")
	if token == "" {
		return "", unauthorized("Authentication credentials were not provided.")
	}
	if len(token) > maxTokenLength || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", unauthorized("Invalid token.")
	}
	return token, nil
}

// credential returns the credential of a request's only Authorization header, empty if the
// header has another scheme or form. Of two headers, a proxy may have checked the other.
func credential(r *http.Request, scheme string) string {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return ""
	}
	parts := strings.Fields(headers[0])
	if len(parts) != 2 || !strings.EqualFold(parts[0], scheme) {
		return ""
	}
	return parts[1]
}

const platformUnavailable = "Rehive could not be reached to verify the token. Try again later."

// fetchUser asks the platform (GET /3/auth/) for the user of a token. It forwards the end
// user's chain of addresses only if a trusted proxy vouches for it; otherwise anyone could
// forge what the platform's access rules judge. The platform's refusals are passed on
// unchanged. The company is that of the token's last successful lookup, or empty.
func (s *Server) fetchUser(ctx context.Context, r *http.Request, token, chain, companyID string) (*rehive.User, error) {
	turn, err := s.platformTurn(ctx, r, token, companyID)
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
