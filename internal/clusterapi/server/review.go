// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/internal/clusterapi"
)

// credentialKey is where a TokenReview says which token it was. The API server's audit log
// records the same value beside the user who requested the token.
const credentialKey = "authentication.kubernetes.io/credential-id"

// maxToken bounds a token in bytes.
const maxToken = 8 << 10

// looksValid reports whether a token is a JWT for the operator that has not expired, without
// verifying it: others are not worth a request to the API server.
func looksValid(token string, now time.Time) bool {
	if len(token) > maxToken {
		return false
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return false
	}
	var claims struct {
		Audience []string `json:"aud"`
		Expires  int64    `json:"exp"`
	}
	return json.Unmarshal(payload, &claims) == nil &&
		slices.Contains(claims.Audience, clusterapi.Audience) && claims.Expires > now.Unix()
}

// authenticate returns the user of a token; nil if the API server does not accept it.
func (s *Server) authenticate(ctx context.Context, token string) (*authenticationv1.UserInfo, error) {
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{clusterapi.Audience}}}
	answer, err := s.o.Kubernetes.AuthenticationV1().TokenReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("reviewing a token: %w", err)
	}
	// An API server that doesn't know audiences accepts its own tokens, and names none.
	if !answer.Status.Authenticated || !slices.Contains(answer.Status.Audiences, clusterapi.Audience) {
		return nil, nil //nolint:nilnil // documented above
	}
	return &answer.Status.User, nil
}

// authorize reports whether a user may carry out an operation on a target. It asks within
// the target's namespace, because the operator has permissions only in those it watches.
func (s *Server) authorize(ctx context.Context, user *authenticationv1.UserInfo, operation clusterapi.Operation, target clusterapi.Target) (bool, error) {
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for key, values := range user.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	review := &authorizationv1.LocalSubjectAccessReview{
		ObjectMeta: metav1.ObjectMeta{Namespace: target.Namespace},
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, Groups: user.Groups, UID: user.UID, Extra: extra,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: target.Namespace, Name: target.Activation, Verb: operation.Verb,
				Group: clusterapi.Group, Resource: clusterapi.Resource, Subresource: operation.Subresource,
			},
		},
	}
	answer, err := s.o.Kubernetes.AuthorizationV1().LocalSubjectAccessReviews(target.Namespace).Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("reviewing a permission: %w", err)
	}
	return answer.Status.Allowed && !answer.Status.Denied, nil
}

// credential returns the identifier of a user's token; empty if the API server names none.
func credential(user *authenticationv1.UserInfo) string {
	if values := user.Extra[credentialKey]; len(values) == 1 {
		return values[0]
	}
	return ""
}
