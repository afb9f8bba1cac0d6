// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package user

import (
	"context"
	"slices"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/webhookserver/messages"
	"github.com/rehive/extension-operator/webhookserver/notifications"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// maxInbox is the maximum offset of a page of an inbox.
const maxInbox = 10_000

// log is an in-app message as its user sees it. Messages of other channels are not listed:
// a code sent to a phone must not be readable from the session that it is meant to confirm.
type log struct {
	delivery *ledger.Delivery

	notification, kind, updated string
	texts                       messages.Texts
	received                    bool
}

var logSerializer = &rest.Serializer[log]{Name: "UserLog", Fields: logFields()}

func logFields() []rest.Field[log] {
	fields := []rest.Field[log]{
		rest.Integer("id", func(l *log) int64 { return l.delivery.ID }),
		rest.Char("notification", func(l *log) *string { return &l.notification }).Nullable().ReadOnly(),
		rest.Char("type", func(l *log) *string { return &l.kind }).Choices(channels...).ReadOnly(),
	}
	fields = append(fields, messages.TextFields(func(l *log) *messages.Texts { return &l.texts })...)
	return append(fields,
		rest.Timestamp("created", func(l *log) time.Time { return l.delivery.CreatedAt }),
		rest.Char("updated", func(l *log) *string { return &l.updated }).ReadOnly().Describe("In ISO 8601, unlike all other times."),
		rest.Boolean("received", func(l *log) *bool { return &l.received }).Required(),
	)
}

func readLog(d *ledger.Delivery, names map[string]string) log {
	updated := d.UpdatedAt
	if d.ReceivedAt.After(updated) {
		updated = d.ReceivedAt
	}
	return log{
		delivery: d, notification: names[d.RuleName], kind: d.Channel, texts: messages.TextsOf(d),
		updated: updated.UTC().Format("2006-01-02T15:04:05.000Z"), received: !d.ReceivedAt.IsZero(),
	}
}

func (a *API) logs() *rest.Resource[log] {
	return &rest.Resource[log]{
		Path: "user/logs/", Param: "log_id", NumericID: true, For: rest.Users, Serializer: logSerializer, Work: rest.ReadingWork,
		Filters:   []rest.Filter{rest.TimeFilter("created__gt"), rest.TimeFilter("created__lt"), rest.BooleanFilter("received")},
		Orderings: []string{"created"},
		Position:  func(l *log) string { return rest.NumberPosition(l.delivery.ID) },
		List:      a.listLogs,
		Retrieve:  a.log,
		Update: func(ctx context.Context, r *rest.Request, l *log) error {
			if !r.Given("received") {
				return nil
			}
			if err := a.Ledger.SetReceived(ctx, r.Caller.Company, r.Caller.User, l.delivery.ID, l.received); err != nil {
				return messages.Error(err)
			}
			fresh, err := a.log(ctx, r)
			if err != nil {
				return err
			}
			*l = *fresh
			return nil
		},
	}
}

func (a *API) names(ctx context.Context, r *rest.Request) (map[string]string, error) {
	rules, err := notifications.Of(ctx, a.Cache, r.Caller.Activation)
	if err != nil {
		return nil, rest.Unavailable(err, "The company's notifications could not be read. Try again later.")
	}
	return rules.DisplayNames(), nil
}

func (a *API) log(ctx context.Context, r *rest.Request) (*log, error) {
	d, err := a.Ledger.InboxMessage(ctx, r.Caller.Company, r.Caller.User, r.Number())
	if err != nil {
		return nil, messages.Error(err)
	}
	names, err := a.names(ctx, r)
	if err != nil {
		return nil, err
	}
	l := readLog(&d, names)
	return &l, nil
}

func (a *API) listLogs(ctx context.Context, r *rest.Request, q *rest.Query) (rest.List[log], error) {
	var list rest.List[log]
	window, err := q.Window(maxInbox)
	if err != nil {
		return list, err
	}
	filter := ledger.InboxFilter{
		Company: r.Caller.Company, UserID: r.Caller.User, Received: q.Boolean("received"),
		CreatedAfter: q.Time("created__gt"), CreatedBefore: q.Time("created__lt"),
		OldestFirst: window.OldestFirst, After: window.After, Offset: window.Offset, Limit: q.Page.Size + 1,
	}
	if !q.Page.ByCursor {
		if list.Count, err = a.Ledger.InboxCount(ctx, filter); err != nil {
			return list, messages.Error(err)
		}
	}
	found, err := a.Ledger.Inbox(ctx, filter)
	if err != nil {
		return list, messages.Error(err)
	}
	list.More = len(found) > q.Page.Size
	found = found[:min(len(found), q.Page.Size)]
	if q.Page.Backward {
		slices.Reverse(found)
	}
	names, err := a.names(ctx, r)
	if err != nil {
		return list, err
	}
	list.Items = make([]log, len(found))
	for i := range found {
		list.Items[i] = readLog(&found[i], names)
	}
	return list, nil
}
