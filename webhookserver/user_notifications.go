// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"slices"

	"github.com/rehive/extension-operator/internal/ledger"
)

// userNotification is a rule whose messages users may choose not to get.
type userNotification struct {
	ID          int64   `json:"id"`
	Name        string  `json:"name"`
	Description *string `json:"description"`
	Event       string  `json:"event"`
	Type        string  `json:"type"`
	Enabled     bool    `json:"enabled"` // the user's choice; true until there is one
}

func newUserNotification(n notification, optedOut map[string]bool) userNotification {
	spec := &n.rule.Spec
	return userNotification{
		ID: n.id, Name: spec.DisplayName, Description: textOrNull(spec.Description), Event: spec.Event,
		Type: string(spec.Channel()), Enabled: !optedOut[n.name()],
	}
}

// choosable are the notifications that a user may choose about.
func (s *Server) choosable(ctx context.Context, from *caller) (notifications, error) {
	all, err := s.notifications(ctx, from.activation)
	if err != nil {
		return nil, err
	}
	choosable := all[:0]
	for _, n := range all {
		if n.rule.IsEnabled() && n.rule.Spec.PreferenceEnabled {
			choosable = append(choosable, n)
		}
	}
	return choosable, nil
}

// optedOut are those of the rules that a user wants no messages of, by namespace/name.
func (s *Server) optedOut(ctx context.Context, from *caller, rules notifications) (map[string]bool, error) {
	chosen, err := s.messages.Preferences(ctx, from.company, from.user)
	if err != nil {
		return nil, unavailable(err, "The preferences are not available. Try again later.")
	}
	byName, byUID := make(map[string]bool), make(map[string]bool)
	for _, p := range chosen {
		if p.Name != "" {
			byName[p.Name] = !p.Enabled
		} else {
			byUID[p.UID] = !p.Enabled
		}
	}
	out := make(map[string]bool)
	for _, n := range rules {
		refused, chose := byName[n.name()]
		if !chose {
			refused = byUID[string(n.rule.UID)]
		}
		out[n.name()] = refused
	}
	return out, nil
}

// listUserNotifications answers GET /api/user/notifications/.
func (s *Server) listUserNotifications(ctx context.Context, c *call, from *caller) (answer, error) {
	f, err := newFilters(c.request)
	if err != nil {
		return answer{}, err
	}
	all, err := s.choosable(ctx, from)
	if err != nil {
		return answer{}, err
	}
	event, layout, name, kinds := f.text("event"), f.text("layout"), f.text("name"), f.choices("type", channels...)
	p, err := f.paging(len(all))
	if err != nil {
		return answer{}, err
	}
	if err := f.err(); err != nil {
		return answer{}, err
	}
	matching := all[:0]
	for _, n := range all {
		spec := &n.rule.Spec
		if !f.nothing && (event == "" || event == spec.Event) && (layout == "" || layout == spec.Layout()) &&
			(name == "" || name == spec.DisplayName) && (len(kinds) == 0 || slices.Contains(kinds, string(spec.Channel()))) {
			matching = append(matching, n)
		}
	}
	optedOut, err := s.optedOut(ctx, from, matching)
	if err != nil {
		return answer{}, err
	}
	p = p.counted(len(matching))
	first := min(p.offset(), len(matching))
	last := min(first+p.size, len(matching))
	results := make([]userNotification, 0, last-first)
	for _, n := range matching[first:last] {
		results = append(results, newUserNotification(n, optedOut))
	}
	return s.page(c.request, p, len(matching), last < len(matching), results, len(results))
}

func (s *Server) userNotification(ctx context.Context, c *call, from *caller) (notification, error) {
	id, err := pathID(c.request)
	if err != nil {
		return notification{}, err
	}
	all, err := s.choosable(ctx, from)
	if err != nil {
		return notification{}, err
	}
	n, ok := all.byID(id)
	if !ok {
		return notification{}, notFound()
	}
	return n, nil
}

// retrieveUserNotification answers GET /api/user/notifications/{id}/.
func (s *Server) retrieveUserNotification(ctx context.Context, c *call, from *caller) (answer, error) {
	n, err := s.userNotification(ctx, c, from)
	if err != nil {
		return answer{}, err
	}
	optedOut, err := s.optedOut(ctx, from, notifications{n})
	if err != nil {
		return answer{}, err
	}
	return answer{data: newUserNotification(n, optedOut)}, nil
}

// updateUserNotification answers PUT and PATCH /api/user/notifications/{id}/: the
// user chooses whether to get the messages. A PATCH may leave it as it is.
func (s *Server) updateUserNotification(ctx context.Context, c *call, from *caller) (answer, error) {
	enabled, err := s.readChoice(c.request, "enabled")
	if err != nil {
		return answer{}, err
	}
	n, err := s.userNotification(ctx, c, from)
	if err != nil {
		return answer{}, err
	}
	if enabled == nil {
		return s.retrieveUserNotification(ctx, c, from)
	}
	chosen := ledger.Preference{
		Company: from.company, UserID: from.user, Enabled: *enabled,
		Rule: ledger.Rule{Name: n.name(), UID: string(n.rule.UID)},
	}
	if err := s.messages.SetPreference(ctx, chosen); err != nil {
		return answer{}, unavailable(err, "The preference could not be stored. Try again later.")
	}
	return answer{data: newUserNotification(n, map[string]bool{n.name(): !*enabled})}, nil
}
