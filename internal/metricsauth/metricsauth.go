// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package metricsauth serves metrics only to callers that Kubernetes authenticates and
// authorizes.
//
// It asks the API server with the caller's own token, through a SelfSubjectAccessReview,
// which every authenticated user may create. controller-runtime's filter asks with the
// operator's credentials, which requires permissions on the whole cluster; see
// docs/adr/0019-own-filter-of-metrics.md.
package metricsauth

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/lru"
)

const (
	// trustTime is how long a permission is cached, and so how long a revoked permission
	// still works.
	trustTime = time.Minute
	// maxTrusted bounds the cached permissions.
	maxTrusted = 64
	// maxReviews bounds the concurrent requests to the API server.
	maxReviews = 4
	// reviewTimeout bounds one request, including waiting for a slot.
	reviewTimeout = 10 * time.Second
)

// reviewer asks the API server about callers. It is safe for concurrent use.
type reviewer struct {
	client  rest.Interface // without credentials of its own
	turns   chan struct{}
	trusted *lru.Cache // of time.Time, when to ask again, by digest
	now     func() time.Time
}

// New returns a function that lets only permitted callers reach a handler. It answers 401
// without a token that the API server accepts, 403 to a caller that may not get the URL, and
// 503 if the API server does not answer.
func New(config *rest.Config, log logr.Logger) (func(http.Handler) http.Handler, error) {
	r, err := newReviewer(config, time.Now)
	if err != nil {
		return nil, err
	}
	return func(handler http.Handler) http.Handler { return r.filter(log, handler) }, nil
}

func newReviewer(config *rest.Config, now func() time.Time) (*reviewer, error) {
	// With the operator's credentials, a caller whose token is not sent would have the
	// operator's permissions.
	anonymous := rest.AnonymousClientConfig(config)
	anonymous.QPS = -1 // turns bound it
	client, err := authorizationclient.NewForConfig(anonymous)
	if err != nil {
		return nil, fmt.Errorf("creating a client that authorizes readers of metrics: %w", err)
	}
	return &reviewer{
		client:  client.RESTClient(),
		turns:   make(chan struct{}, maxReviews),
		trusted: lru.New(maxTrusted),
		now:     now,
	}, nil
}

func (r *reviewer) filter(log logr.Logger, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		token, ok := bearerToken(request)
		if !ok {
			unauthorized(w)
			return
		}
		permitted, err := r.review(request.Context(), token, strings.ToLower(request.Method), request.URL.Path)
		switch {
		case apierrors.IsUnauthorized(err):
			unauthorized(w)
		case err != nil:
			log.Error(err, "Could not authorize a reader of metrics")
			http.Error(w, "The Kubernetes API server could not check your permissions. Try again later.", http.StatusServiceUnavailable)
		case !permitted:
			http.Error(w, "You may not read this URL: it requires a ClusterRole that permits it as a nonResourceURL.", http.StatusForbidden)
		default:
			handler.ServeHTTP(w, request)
		}
	})
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="metrics"`)
	http.Error(w, "A valid Kubernetes bearer token is required.", http.StatusUnauthorized)
}

// bearerToken returns the token of a request's only Authorization header.
func bearerToken(request *http.Request) (string, bool) {
	headers := request.Header.Values("Authorization")
	if len(headers) != 1 {
		return "", false
	}
	scheme, token, found := strings.Cut(headers[0], " ")
	token = strings.TrimSpace(token)
	return token, found && strings.EqualFold(scheme, "Bearer") && token != "" && !strings.ContainsAny(token, " \t,")
}

// review reports whether the token's owner may use a verb on a URL's path. The error is
// apierrors.IsUnauthorized if the token is invalid.
func (r *reviewer) review(ctx context.Context, token, verb, path string) (bool, error) {
	key := sha256.Sum256([]byte(verb + " " + path + " " + token))
	if until, found := r.trusted.Get(key); found && r.now().Before(until.(time.Time)) {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	select {
	case r.turns <- struct{}{}:
		defer func() { <-r.turns }()
	case <-ctx.Done():
		return false, fmt.Errorf("waiting to ask the API server: %w", ctx.Err())
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: verb, Path: path},
	}}
	answer := &authorizationv1.SelfSubjectAccessReview{}
	err := r.client.Post().Resource("selfsubjectaccessreviews").SetHeader("Authorization", "Bearer "+token).
		Body(review).Do(ctx).Into(answer)
	switch {
	case apierrors.IsForbidden(err):
		return false, nil // a caller that may not create the review may not read metrics either
	case err != nil:
		return false, fmt.Errorf("asking the API server: %w", err)
	}
	if answer.Status.Allowed {
		r.trusted.Add(key, r.now().Add(trustTime))
	}
	return answer.Status.Allowed, nil
}
