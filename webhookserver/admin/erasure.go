// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/webhookserver/messages"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// maxErasures is how many erasures can be paged through, newest first.
const maxErasures = 1000

// erasing is the body of an erasure.
type erasing struct{ user, email, mobile string }

// Rehive's own extension has no equivalent.
var (
	erasureSerializer = &rest.Serializer[ledger.Erasure]{Name: "AdminErasure", Fields: []rest.Field[ledger.Erasure]{
		rest.Integer("id", func(e *ledger.Erasure) int64 { return e.ID }),
		rest.Char("subject", func(e *ledger.Erasure) *string { return &e.Subject }).ReadOnly().
			Describe("The SHA-256 of the company's identifier, a zero byte and the user's, in hexadecimal digits."),
		rest.Char("cause", func(e *ledger.Erasure) *string { return &e.Cause }).ReadOnly().Choices(ledger.ErasedByPlatform, ledger.ErasedByAdmin),
		rest.Integer("messages", func(e *ledger.Erasure) int64 { return e.Deliveries }),
		rest.Integer("events", func(e *ledger.Erasure) int64 { return e.Events }),
		rest.Integer("preferences", func(e *ledger.Erasure) int64 { return e.Preferences }),
		rest.Timestamp("created", func(e *ledger.Erasure) time.Time { return e.ErasedAt }),
	}}
	erasingSerializer = &rest.Serializer[erasing]{Name: "AdminErasureRequest", Fields: []rest.Field[erasing]{
		rest.Char("user", func(e *erasing) *string { return &e.user }).Required().MaxLength(36).Describe("The user's identifier on the platform, a UUID."),
		rest.Char("email", func(e *erasing) *string { return &e.email }).Nullable().Blank().MaxLength(maxRecipient).
			Describe("The user's email address, to erase messages that name no user as well."),
		rest.Char("mobile", func(e *erasing) *string { return &e.mobile }).Nullable().Blank().MaxLength(maxRecipient).
			Describe("The user's phone number, in international format."),
	}}
)

// erasures lists the erasures of users' data.
func (a *API) erasures() *rest.Resource[ledger.Erasure] {
	position := func(e *ledger.Erasure) string { return rest.NumberPosition(e.ID) }
	return &rest.Resource[ledger.Erasure]{
		Path: "admin/erasures/", For: rest.Admins, Serializer: erasureSerializer, Orderings: []string{"created"}, Position: position,
		List: func(ctx context.Context, r *rest.Request, q *rest.Query) (rest.List[ledger.Erasure], error) {
			found, err := a.Ledger.Erasures(ctx, r.Caller.Company, maxErasures)
			if err != nil {
				return rest.List[ledger.Erasure]{}, messages.Error(err)
			}
			return rest.Slice(found, q.Page, position), nil
		},
		FindsLast: true,
	}
}

// erase erases what the ledger holds about a user of the company.
func (a *API) erase() rest.Operation {
	action := rest.Action[erasing]{
		ID: "adminErasuresCreate", Path: "admin/erasures/", For: rest.Admins, Body: erasingSerializer, Result: rest.ResultOf(erasureSerializer),
		Do: func(ctx context.Context, r *rest.Request, e *erasing) (rest.Answer, error) {
			if uuid.Validate(e.user) != nil || len(e.user) != len(uuid.Nil.String()) {
				return rest.Answer{}, rest.InvalidField(nil, "user", "Must be a valid UUID.")
			}
			subject := ledger.Subject{Company: r.Caller.Company, UserID: strings.ToLower(e.user)}
			for _, address := range []string{e.email, e.mobile} {
				if address = strings.TrimSpace(address); address != "" {
					subject.Addresses = append(subject.Addresses, address)
				}
			}
			leave, err := a.searchTurn(ctx, r.Caller.Company)
			if err != nil {
				return rest.Answer{}, err
			}
			defer leave()
			done, err := a.Ledger.EraseUser(ctx, subject, ledger.ErasedByAdmin, 0)
			if err != nil {
				return rest.Answer{}, rest.Unavailable(err, "The user's data is not erased completely yet. Send the request again.")
			}
			r.Log.Info("Erased a user's data", "company", r.Caller.Company, "by", r.Caller.User, "subject", done.Subject, "messages", done.Deliveries, "events", done.Events)
			return rest.DataOf(erasureSerializer, &done), nil
		},
	}
	return action.Operation()
}
