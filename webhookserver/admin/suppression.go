// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/webhookserver/messages"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// suppression is an address in the API's form.
type suppression struct {
	ledger.Suppression

	recipient, device, reason string
	hidden                    bool
	until                     time.Time
}

var (
	suppressibleChannels = []string{ledger.ChannelEmail, ledger.ChannelSMS, ledger.ChannelPush}
	suppressionReasons   = func() []string {
		reasons := make([]string, len(ledger.SuppressionReasons))
		for i, reason := range ledger.SuppressionReasons {
			reasons[i] = string(reason)
		}
		return reasons
	}()
)

// Rehive's own extension has no equivalent.
var suppressionSerializer = &rest.Serializer[suppression]{Name: "AdminSuppression", Fields: []rest.Field[suppression]{
	rest.Integer("id", func(s *suppression) int64 { return s.ID }),
	rest.Char("type", func(s *suppression) *string { return &s.Channel }).Required().Choices(suppressibleChannels...),
	rest.Char("recipient", func(s *suppression) *string { return &s.recipient }).Required().MaxLength(maxRecipient).
		Describe("The email address, the phone number or, for push messages, the user's identifier. A keyed hash if the user's data was erased."),
	rest.Char("device", func(s *suppression) *string { return &s.device }).Nullable().ReadOnly().
		Describe("The hash of the push token if only one of the user's devices is suppressed."),
	rest.Char("reason", func(s *suppression) *string { return &s.reason }).ReadOnly().Choices(suppressionReasons...),
	rest.Char("source", func(s *suppression) *string { return &s.Source }).ReadOnly().Choices(ledger.SourceProvider, ledger.SourceFeedback, ledger.SourceAdmin),
	rest.Char("note", func(s *suppression) *string { return &s.Note }).Blank().MaxLength(ledger.MaxNote),
	rest.Boolean("erased", func(s *suppression) *bool { return &s.hidden }).ReadOnly(),
	rest.Timestamp("created", func(s *suppression) time.Time { return s.Since }),
	rest.Timestamp("until", func(s *suppression) time.Time { return s.until }).
		Describe("When the suppression ends, in milliseconds since the epoch; 0 if it doesn't end by itself."),
}}

func readSuppression(s ledger.Suppression) suppression {
	out := suppression{Suppression: s, reason: string(s.Reason), hidden: s.Hidden(), until: s.Until}
	out.recipient, out.device = s.Owner()
	return out
}

// suppressions are the addresses that receive none of the company's messages.
func (a *API) suppressions() *rest.Resource[suppression] {
	return &rest.Resource[suppression]{
		Path: "admin/suppressions/", Param: "suppression_id", NumericID: true, For: rest.Admins, Serializer: suppressionSerializer,
		Filters: []rest.Filter{
			rest.ChoiceFilter("type", suppressibleChannels...), rest.ChoiceFilter("reason", suppressionReasons...), rest.TextFilter("recipient"),
		},
		Orderings: []string{"created"},
		Position:  func(s *suppression) string { return rest.NumberPosition(s.ID) },
		List:      a.listSuppressions,
		Retrieve: func(ctx context.Context, r *rest.Request) (*suppression, error) {
			found, err := a.Ledger.Suppression(ctx, r.Caller.Company, r.Number())
			if err != nil {
				return nil, messages.Error(err)
			}
			s := readSuppression(found)
			return &s, nil
		},
		Create: a.createSuppression,
		Delete: func(ctx context.Context, r *rest.Request, s *suppression) error {
			if err := a.Ledger.DeleteSuppression(ctx, r.Caller.Company, s.ID); err != nil {
				return messages.Error(err)
			}
			r.Log.Info("Deleted a suppression", "company", r.Caller.Company, "user", r.Caller.User, "suppression", s.ID, "reason", s.reason)
			return nil
		},
	}
}

func (a *API) listSuppressions(ctx context.Context, r *rest.Request, q *rest.Query) (rest.List[suppression], error) {
	window, err := q.Window(ledger.MaxLogCount)
	if err != nil {
		return rest.List[suppression]{}, err
	}
	filter := ledger.SuppressionFilter{
		Company: r.Caller.Company, Address: q.Text("recipient"), OldestFirst: window.OldestFirst, After: window.After,
	}
	for _, channel := range q.Choices("type") {
		filter.Channel = channel
	}
	for _, reason := range q.Choices("reason") {
		filter.Reason = ledger.SuppressionReason(reason)
	}
	leave, err := a.searchTurn(ctx, r.Caller.Company)
	if err != nil {
		return rest.List[suppression]{}, err
	}
	defer leave()
	page, err := a.Ledger.ListSuppressions(ctx, filter, window.Offset, q.Page.Size)
	if err != nil {
		return rest.List[suppression]{}, messages.Error(err)
	}
	if q.Page.Backward {
		slices.Reverse(page.Suppressions)
	}
	list := rest.List[suppression]{Items: make([]suppression, len(page.Suppressions)), Count: page.Count, More: page.More}
	for i := range page.Suppressions {
		list.Items[i] = readSuppression(page.Suppressions[i])
	}
	return list, nil
}

func (a *API) createSuppression(ctx context.Context, r *rest.Request, s *suppression) error {
	recipient, problem := notify.Recipient(notify.Channel(s.Channel), "", s.recipient)
	if problem != "" {
		return rest.InvalidField(nil, "recipient", "This "+problem+".")
	}
	one := ledger.Suppression{
		Company: r.Caller.Company, Channel: s.Channel, Address: recipient, Reason: ledger.SuppressedManual, Source: ledger.SourceAdmin, Note: s.Note,
	}
	err := a.Ledger.Suppress(ctx, one, 0)
	if errors.Is(err, ledger.ErrSuppressionsFull) {
		return rest.Conflict("The company has as many suppressed recipients of this type as it may. Delete some first.")
	}
	if err != nil {
		return messages.Error(err)
	}
	filter := ledger.SuppressionFilter{Company: one.Company, Channel: one.Channel, Reason: one.Reason, Address: recipient}
	page, err := a.Ledger.ListSuppressions(ctx, filter, 0, 1)
	if err != nil || len(page.Suppressions) == 0 {
		return rest.Unavailable(err, "The recipient is suppressed, and could not be read again. List the suppressions.")
	}
	*s = readSuppression(page.Suppressions[0])
	r.Log.Info("Suppressed a recipient", "company", r.Caller.Company, "user", r.Caller.User, "suppression", s.ID, "channel", s.Channel)
	return nil
}

// maySend returns a 409 if the recipient of a message that is to be sent again is
// suppressed.
func (a *API) maySend(ctx context.Context, d *ledger.Delivery) error {
	reason, err := a.Suppressions(ctx, d)
	if err != nil {
		return messages.Error(err)
	}
	if reason != "" {
		return rest.Conflict("The recipient is suppressed (" + string(reason) + "), so the message was not sent. See /api/admin/suppressions/.")
	}
	return nil
}
