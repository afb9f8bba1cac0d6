// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/webhookserver/admin"
	"github.com/rehive/extension-operator/webhookserver/rest"
	"github.com/rehive/extension-operator/webhookserver/user"
)

// operations returns the operations of all declared resources.
func (s *Server) operations() []rest.Operation {
	admins := admin.New(admin.Options{
		Cache: s.client, APIReader: s.activation.APIReader, Client: s.client, Namespace: s.activation.Namespace,
		WebhookSecret: func(ctx context.Context, a *v1alpha1.CompanyActivation) (string, error) {
			credentials, err := s.activations.Credentials(ctx, a)
			if errors.Is(err, activation.ErrMissing) {
				return "", nil
			}
			return credentials.WebhookSecret, err
		},
		Ledger:     s.ledger,
		SearchTurn: s.searches.lock,
		AdmitWrite: s.writes.admit,
		Quotas:     s.quotas,

		Suppressions: s.suppressions,
		Previews:     s.previews,
	})
	users := user.New(user.Options{Cache: s.client, Ledger: s.ledger})
	return append(admins.Operations(), users.Operations()...)
}

// resources groups operations into routes, one for each path.
func (s *Server) resources(operations []rest.Operation) []route {
	var routes []route
	byPath := make(map[string]int)
	for i := range operations {
		op := &operations[i]
		at, ok := byPath[op.Path]
		if !ok {
			at = len(routes)
			byPath[op.Path] = at
			routes = append(routes, route{
				path: "/api/" + op.Path, methods: make(map[string]handlerFunc),
				maxBody: s.limits.ResourceBody, budget: s.limits.APIBudget, quiet: true,
			})
		}
		routes[at].methods[op.Method] = s.operation(op)
		routes[at].noHead = routes[at].noHead || op.Streams()
	}
	return routes
}

// operation returns the handler of an operation.
func (s *Server) operation(op *rest.Operation) handlerFunc {
	who := forUsers
	if op.For == rest.Admins {
		who = forAdmins
	}
	return s.authenticated(who, func(ctx context.Context, c *call, from *caller) (rest.Answer, error) {
		if op.For == rest.Admins && op.Writes() {
			if err := s.writes.admit(from.company, writeCost); err != nil {
				return rest.Answer{}, err
			}
		}
		party := holderOf(from.activation).String()
		var members map[string]json.RawMessage
		if names := op.Members(); len(names) > 0 {
			memory, err := s.acquire(ctx, c.request, s.apiBodies, party, bodySize(c.request, s.limits.ResourceBody))
			if err != nil {
				return rest.Answer{}, err
			}
			defer memory.Release()
			f, err := s.readFields(c.request, names...)
			if err != nil {
				return rest.Answer{}, err
			}
			members = f.members
		}
		var work flow.Grant
		defer func() { work.Release() }()
		begin := func(ctx context.Context) (err error) {
			if work.Held() == 0 {
				work, err = s.acquire(ctx, c.request, s.apiWork, party, s.workOf(op))
			}
			return err
		}
		r := &rest.Request{
			HTTP: c.request, Log: c.log, BeginWork: begin, EndWork: func() { work.Release() }, KeepWork: func(w rest.Work) { work.Shrink(int64(w)) },
			Caller: &rest.Caller{
				User: from.user, Company: from.company, Activation: from.activation,
				Admin: from.admin || who == forAdmins, // our own service user counts as an admin there
			},
		}
		if err := begin(ctx); err != nil {
			return rest.Answer{}, err
		}
		if op.Streams() {
			return s.openStream(c.request, from, func() (rest.Answer, error) { return op.Serve(ctx, r, members, s.publicURL) })
		}
		answer, err := op.Serve(ctx, r, members, s.publicURL)
		if size := int64(answer.Size()); size > smallAnswer {
			var ok bool
			if c.answer, ok = s.apiAnswers.TryAcquire(party, min(size, s.apiAnswers.Share())); !ok && !op.Writes() {
				return rest.Answer{}, rest.Unavailable(nil, tooManyCalls)
			}
		}
		return answer, err
	})
}

// workOf is what an operation draws on the budget of work, at most a company's share.
func (s *Server) workOf(op *rest.Operation) int64 { return min(int64(op.Work()), s.apiWork.Share()) }
