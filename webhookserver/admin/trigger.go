// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/webhookserver/notifications"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

const (
	// maxTriggerName is the maximum length of a user's identifier or a group's name, in
	// characters.
	maxTriggerName = 255
	// fullRetryAfter is the Retry-After of a company that has used up its share of the
	// ledger.
	fullRetryAfter = time.Minute
)

// triggering is the request body for triggering a notification.
type triggering struct {
	data          json.RawMessage
	users, groups []string
	id, status    string
}

var triggerSerializer = &rest.Serializer[triggering]{Name: "AdminTriggerNotification", Fields: []rest.Field[triggering]{
	rest.JSON("data", func(t *triggering) *json.RawMessage { return &t.data }, rest.IsObject).Nullable().
		Describe("The data for the notification's templates, in the form of an event's data."),
	rest.Strings("users", notify.MaxTriggerUsers, func(t *triggering) *[]string { return &t.users }).Nullable().MaxLength(maxTriggerName).
		Describe("Identifiers of the users to send the notification for. In templates, each one is user."),
	rest.Strings("groups", notify.MaxTriggerGroups, func(t *triggering) *[]string { return &t.groups }).Nullable().MaxLength(maxTriggerName).
		Describe("Names of groups whose users to send the notification for."),
	rest.Char("id", func(t *triggering) *string { return &t.id }).ReadOnly(),
	rest.Char("status", func(t *triggering) *string { return &t.status }).Choices("pending", "processing", "completed", "failed").ReadOnly(),
}}

func (a *API) triggerNotification() *rest.Action[triggering] {
	return &rest.Action[triggering]{
		Path: "admin/notifications/{notification_id}/trigger/", NumericID: true, For: rest.Admins,
		Body: triggerSerializer, Optional: true, Idempotent: true, Do: a.trigger,
	}
}

// trigger stores an event of its own kind, which the dispatcher evaluates like any other.
func (a *API) trigger(ctx context.Context, r *rest.Request, t *triggering) (rest.Answer, error) {
	all, err := notifications.Of(ctx, a.Cache, r.Caller.Activation)
	if err != nil {
		return rest.Answer{}, unreadable(err)
	}
	found, ok := all.ByID(r.Number())
	if !ok {
		return rest.Answer{}, rest.NotFound()
	}
	if err := notify.CheckData(t.data); err != nil {
		return rest.Answer{}, rest.InvalidField(err, "data", fmt.Sprintf("Ensure this field holds no more than %d values.", notify.MaxValues))
	}
	data, err := json.Marshal(notify.Trigger{
		Rule: found.Name(), Channel: notify.Channel(found.Rule.Spec.Channel()), Data: t.data, Users: t.users, Groups: t.groups,
	})
	if err != nil {
		return rest.Answer{}, rest.Internal(fmt.Errorf("encoding a trigger: %w", err))
	}
	event := ledger.Event{Company: r.Caller.Company, ID: triggerID(r, found.Name()), Name: notify.TriggerEvent, Data: data}
	duplicate, err := a.accept(ctx, event, "The notification could not be triggered. Try again later.")
	if err != nil {
		return rest.Answer{}, err
	}
	r.Log.Info("Triggered a notification", "company", r.Caller.Company, "user", r.Caller.User, "rule", found.Rule.Name, "id", event.ID, "replayed", duplicate)
	return rest.Answer{Replayed: duplicate}, nil
}

// accept stores an event that an admin creates, and reports whether it was stored before.
// Failed is the answer's message if the ledger is unavailable.
func (a *API) accept(ctx context.Context, event ledger.Event, failed string) (duplicate bool, err error) {
	duplicate, err = a.Ledger.AcceptEvent(ctx, event)
	switch {
	case errors.Is(err, ledger.ErrCompanyFull):
		return false, &rest.Error{
			Status: http.StatusInsufficientStorage, RetryAfter: fullRetryAfter, Cause: err,
			Message: "The company has too many events waiting or stored. Try again later.",
		}
	case err != nil:
		return false, rest.Unavailable(fmt.Errorf("accepting %s: %w", event.Name, err), failed)
	}
	return duplicate, nil
}

// triggerID returns the id of a trigger's event. Calls of one user with the same
// idempotency key for the same notification share it.
func triggerID(r *rest.Request, rule string) string { return "trigger:" + idempotentName(r, rule) }

// idempotentName identifies a call that acts on target. Calls of one user with the same
// idempotency key and target get the same name; all other names are unique.
func idempotentName(r *rest.Request, target string) string {
	if r.IdempotencyKey == "" {
		return uuid.NewString()
	}
	key := sha256.Sum256([]byte(strings.Join([]string{r.Caller.User, target, r.IdempotencyKey}, "\x00")))
	return hex.EncodeToString(key[:])
}
