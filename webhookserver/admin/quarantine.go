// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/webhookserver/messages"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// maxQuarantined is how many quarantined events can be paged through, oldest first.
const maxQuarantined = 1000

// Rehive's own extension has no equivalent.
var quarantineSerializer = &rest.Serializer[ledger.QuarantinedEvent]{Name: "AdminQuarantinedEvent", Fields: []rest.Field[ledger.QuarantinedEvent]{
	rest.Integer("id", func(e *ledger.QuarantinedEvent) int64 { return e.Key }),
	rest.Char("event", func(e *ledger.QuarantinedEvent) *string { return &e.Name }).ReadOnly(),
	rest.Char("event_id", func(e *ledger.QuarantinedEvent) *string { return &e.ID }).ReadOnly(),
	rest.Char("reason", func(e *ledger.QuarantinedEvent) *string { return &e.Reason }).ReadOnly(),
	rest.Char("error_message", func(e *ledger.QuarantinedEvent) *string { return &e.Message }).ReadOnly(),
	rest.Integer("attempts", func(e *ledger.QuarantinedEvent) int64 { return int64(e.Attempts) }),
	rest.Timestamp("created", func(e *ledger.QuarantinedEvent) time.Time { return e.ReceivedAt }),
	rest.Timestamp("quarantined", func(e *ledger.QuarantinedEvent) time.Time { return e.At }),
}}

// quarantine lists the events that are not tried again until an admin releases them.
func (a *API) quarantine() *rest.Resource[ledger.QuarantinedEvent] {
	position := func(e *ledger.QuarantinedEvent) string { return rest.NumberPosition(e.Key) }
	return &rest.Resource[ledger.QuarantinedEvent]{
		Path: "admin/quarantine/", For: rest.Admins, Serializer: quarantineSerializer, Orderings: []string{"created"},
		Position: position,
		List: func(ctx context.Context, r *rest.Request, q *rest.Query) (rest.List[ledger.QuarantinedEvent], error) {
			found, err := a.Ledger.QuarantinedEvents(ctx, r.Caller.Company, 0, maxQuarantined)
			if err != nil {
				return rest.List[ledger.QuarantinedEvent]{}, messages.Error(err)
			}
			return rest.Slice(found, q.Page, position), nil
		},
		FindsLast: true,
	}
}

// releaseQuarantined lets the dispatcher evaluate an event again, with a fresh count of
// attempts.
func (a *API) releaseQuarantined() rest.Operation {
	action := rest.Action[struct{}]{
		Path: "admin/quarantine/{event_id}/release/", NumericID: true, For: rest.Admins,
		Do: func(ctx context.Context, r *rest.Request, _ *struct{}) (rest.Answer, error) {
			released, err := a.Ledger.ReleaseQuarantinedEvent(ctx, r.Caller.Company, r.Number())
			if err == nil && !released {
				err = ledger.ErrNotFound
			}
			if err != nil {
				return rest.Answer{}, messages.Error(err)
			}
			r.Log.Info("Releasing a quarantined event", "company", r.Caller.Company, "user", r.Caller.User, "key", r.Number())
			return rest.Answer{}, nil
		},
	}
	return action.Operation()
}
