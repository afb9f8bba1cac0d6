// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package user

import (
	"context"
	"slices"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/webhookserver/notifications"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// notification is a rule that users may opt out of.
type notification struct {
	notifications.Notification

	name, description, event, kind string
	enabled                        bool // the user's preference; true by default
}

var notificationSerializer = &rest.Serializer[notification]{Name: "UserNotification", Fields: []rest.Field[notification]{
	rest.Integer("id", func(n *notification) int64 { return n.ID }),
	rest.Char("name", func(n *notification) *string { return &n.name }).ReadOnly(),
	rest.Char("description", func(n *notification) *string { return &n.description }).Nullable().ReadOnly(),
	rest.Char("event", func(n *notification) *string { return &n.event }).ReadOnly(),
	rest.Char("type", func(n *notification) *string { return &n.kind }).ReadOnly(),
	rest.Boolean("enabled", func(n *notification) *bool { return &n.enabled }).Required(),
}}

func (a *API) notifications() *rest.Resource[notification] {
	return &rest.Resource[notification]{
		Path: "user/notifications/", Param: "notification_id", NumericID: true, For: rest.Users,
		Serializer: notificationSerializer, Request: "UserUpdateNotification",
		Filters: []rest.Filter{
			rest.TextFilter("event"), rest.TextFilter("layout"), rest.TextFilter("name"), rest.ChoiceFilter("type", channels...), rest.ChoicesFilter("type__in", channels...),
		},
		Orderings: []string{"created"},
		Position:  func(n *notification) string { return rest.NumberPosition(n.ID) },
		List:      a.listNotifications, FindsLast: true,
		Retrieve: func(ctx context.Context, r *rest.Request) (*notification, error) {
			all, err := a.optional(ctx, r)
			if err != nil {
				return nil, err
			}
			for i := range all {
				if all[i].ID == r.Number() {
					return &all[i], nil
				}
			}
			return nil, rest.NotFound()
		},
		Update: func(ctx context.Context, r *rest.Request, n *notification) error {
			if !r.Given("enabled") {
				return nil
			}
			err := a.Ledger.SetPreference(ctx, ledger.Preference{
				Company: r.Caller.Company, UserID: r.Caller.User, Rule: ledger.Rule{Name: n.Name(), UID: string(n.Rule.UID)}, Enabled: n.enabled,
			})
			if err != nil {
				return rest.Unavailable(err, "The preference could not be stored. Try again later.")
			}
			return nil
		},
	}
}

func (a *API) listNotifications(ctx context.Context, r *rest.Request, q *rest.Query) (rest.List[notification], error) {
	all, err := a.optional(ctx, r)
	if err != nil {
		return rest.List[notification]{}, err
	}
	event, layout, name, kinds := q.Text("event"), q.Text("layout"), q.Text("name"), q.Choices("type")
	matching := all[:0]
	for _, n := range all {
		if (event == "" || event == n.event) && (layout == "" || layout == n.Rule.Spec.Layout()) &&
			(name == "" || name == n.name) && (kinds == nil || slices.Contains(kinds, n.kind)) {
			matching = append(matching, n)
		}
	}
	return rest.Slice(matching, q.Page, func(n *notification) string { return rest.NumberPosition(n.ID) }), nil
}

// optional returns the notifications that users may opt out of, with the user's
// preferences.
func (a *API) optional(ctx context.Context, r *rest.Request) ([]notification, error) {
	all, err := notifications.Of(ctx, a.Cache, r.Caller.Activation)
	if err != nil {
		return nil, rest.Unavailable(err, "The company's notifications could not be read. Try again later.")
	}
	preferences, err := a.Ledger.Preferences(ctx, r.Caller.Company, r.Caller.User)
	if err != nil {
		return nil, rest.Unavailable(err, "The preferences are not available. Try again later.")
	}
	byName, byUID := make(map[string]bool), make(map[string]bool)
	for _, p := range preferences {
		if p.Name != "" {
			byName[p.Name] = p.Enabled
		} else {
			byUID[p.UID] = p.Enabled
		}
	}
	var found []notification
	for _, n := range all {
		spec := &n.Rule.Spec
		if !n.Rule.IsEnabled() || !spec.PreferenceEnabled {
			continue
		}
		enabled, ok := byName[n.Name()]
		if !ok {
			enabled, ok = byUID[string(n.Rule.UID)]
		}
		found = append(found, notification{
			Notification: n, name: spec.DisplayName, description: spec.Description, event: spec.Event,
			kind: string(spec.Channel()), enabled: enabled || !ok,
		})
	}
	return found, nil
}
