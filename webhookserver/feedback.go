// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"errors"
	"net/http"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/feedback"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

const (
	// feedbackCalls is how many reports of providers are handled at once, once they have
	// arrived. One provider can use half of it.
	feedbackCalls = 8
	// callbackBody is the largest body of a report about one message, in bytes.
	callbackBody = 16 << 10
)

// Feedback finds the provider that reports at a URL. *feedback.Receiver implements it.
type Feedback interface {
	Source(ctx context.Context, namespace, name, secret string) (*feedback.Source, error)
}

// feedbackRoutes are the paths at which providers report what happened to messages.
func (s *Server) feedbackRoutes() []route {
	if s.feedback == nil {
		return nil
	}
	at := func(path string, maxBody int64) route {
		return route{
			path: feedback.PathPrefix + path, methods: map[string]handlerFunc{http.MethodPost: s.receiveFeedback},
			maxBody: maxBody, budget: s.limits.WebhookBudget, quiet: true,
		}
	}
	return []route{
		at("{namespace}/{name}/{secret}/", s.limits.WebhookBody),
		at("{namespace}/{name}/{secret}/{reference}/", callbackBody),
	}
}

// receiveFeedback answers a provider's report. Nothing is read from a caller who doesn't know
// the provider's URL, and nothing is parsed that the provider didn't sign. Reports about
// unknown messages succeed, so that the provider doesn't repeat them.
func (s *Server) receiveFeedback(ctx context.Context, c *call) (rest.Answer, error) {
	r := c.request
	namespace, name := r.PathValue("namespace"), r.PathValue("name")
	source, err := s.feedback.Source(ctx, namespace, name, r.PathValue("secret"))
	if errors.Is(err, feedback.ErrUnknown) {
		return rest.Answer{}, rest.NotFound()
	}
	if err != nil {
		return rest.Answer{}, rest.Unavailable(err, "The provider could not be looked up. Try again later.")
	}
	party := "provider " + namespace + "/" + name // not an activation of the same name
	memory, err := s.acquire(ctx, r, s.bodyBytes, party, bodySize(r, s.limits.WebhookBody))
	if err != nil {
		return rest.Answer{}, err
	}
	defer memory.Release()
	body, err := readBody(r)
	if err != nil {
		return rest.Answer{}, err
	}
	slot, err := s.acquire(ctx, r, s.feedbackSlots, party, 1)
	if err != nil {
		return rest.Answer{}, err
	}
	defer slot.Release()
	reference := r.PathValue("reference")
	callback := &provider.Callback{URL: source.URL(reference), Header: r.Header, Body: body, Reference: reference, Now: s.now()}
	if query := r.URL.RawQuery; query != "" {
		callback.URL += "?" + query
	}
	switch err := source.Receive(ctx, callback); {
	case errors.Is(err, provider.ErrNotSigned):
		return rest.Answer{}, &rest.Error{Status: http.StatusForbidden, Message: "The signature of the report is missing, wrong or too old.", Cause: err}
	case errors.Is(err, provider.ErrMalformed):
		return rest.Answer{}, rest.BadRequest("The report can't be read.")
	case err != nil:
		return rest.Answer{}, rest.Unavailable(err, "The report could not be stored. Try again later.")
	}
	return rest.Answer{}, nil
}
