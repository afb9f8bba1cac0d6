// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/webhookserver/messages"
	"github.com/rehive/extension-operator/webhookserver/notifications"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

const (
	// maxResend is how many messages one call may send again.
	maxResend = 10_000
	// maxFilteredRules is how many rules a filter by name may match.
	maxFilteredRules = 1000
	// maxRecipient is the longest recipient, in characters.
	maxRecipient = 255
)

// logEntry is a message, or the reason why there is none. A quarantined event has one
// too, without a rule.
type logEntry struct {
	delivery *ledger.Delivery

	notification, kind, user, recipient, message string
	state, reason, rule, event, eventID, outcome string
	texts                                        messages.Texts
	sent, verified, viaWhatsApp                  bool
	received                                     *bool
}

// logSerializer has the fields of Rehive's own API, followed by additional ones from state
// on.
var logSerializer = &rest.Serializer[logEntry]{Name: "AdminLog", Fields: logFields()}

func logFields() []rest.Field[logEntry] {
	text := func(name string, at func(*logEntry) *string) rest.Field[logEntry] {
		return rest.Char(name, at).ReadOnly()
	}
	fields := []rest.Field[logEntry]{
		rest.Integer("id", func(l *logEntry) int64 { return l.delivery.ID }),
		text("notification", func(l *logEntry) *string { return &l.notification }).Nullable().Describe("The notification's name; null once it is deleted."),
		text("type", func(l *logEntry) *string { return &l.kind }).Choices(channels...),
		text("user", func(l *logEntry) *string { return &l.user }).Nullable(),
		text("recipient", func(l *logEntry) *string { return &l.recipient }),
	}
	fields = append(fields, messages.TextFields(func(l *logEntry) *messages.Texts { return &l.texts })...)
	return append(fields,
		rest.Boolean("use_twilio_verify", func(l *logEntry) *bool { return &l.verified }).ReadOnly(),
		rest.Boolean("sent_via_whatsapp", func(l *logEntry) *bool { return &l.viaWhatsApp }).ReadOnly(),
		rest.Boolean("sent", func(l *logEntry) *bool { return &l.sent }).ReadOnly(),
		rest.NullBoolean("received", func(l *logEntry) **bool { return &l.received }).ReadOnly(),
		text("error_message", func(l *logEntry) *string { return &l.message }).Nullable(),
		rest.Timestamp("created", func(l *logEntry) time.Time { return l.delivery.CreatedAt }),
		rest.Timestamp("updated", func(l *logEntry) time.Time { return l.delivery.UpdatedAt }),
		text("state", func(l *logEntry) *string { return &l.state }),
		text("reason", func(l *logEntry) *string { return &l.reason }).Nullable(),
		rest.Integer("attempts", func(l *logEntry) int64 { return int64(l.delivery.Attempts) }),
		rest.Integer("copy", func(l *logEntry) int64 { return int64(l.delivery.Copy) }),
		text("rule", func(l *logEntry) *string { return &l.rule }),
		text("event", func(l *logEntry) *string { return &l.event }),
		text("event_id", func(l *logEntry) *string { return &l.eventID }),
		rest.Integer("fallback_of", func(l *logEntry) int64 { return l.delivery.FallbackOf }).Describe("The log entry that this message stands in for; 0 if there is none."),
		rest.Timestamp("expires", func(l *logEntry) time.Time { return l.delivery.ExpiresAt }).Describe("When the message may no longer be sent, in milliseconds since the epoch; 0 if it never expires."),
		rest.Boolean("sensitive", func(l *logEntry) *bool { return &l.delivery.Sensitive }).ReadOnly().Describe("Whether the texts are masked once the message is sent, failed or expired."),
		text("outcome", func(l *logEntry) *string { return &l.outcome }).Nullable().Choices(logOutcomes...).
			Describe("The provider's report about the message after it had accepted it; null if there is none."),
		text("outcome_message", func(l *logEntry) *string { return &l.delivery.OutcomeDetail }).Nullable(),
		rest.Timestamp("outcome_updated", func(l *logEntry) time.Time { return l.delivery.OutcomeAt }).Describe("When that happened, in milliseconds since the epoch; 0 if nothing was reported."),
		text("digest", func(l *logEntry) *string { return &l.delivery.Digest }).Nullable().Describe("The HMAC of texts that were masked."),
	)
}

func readLogEntry(d *ledger.Delivery, names map[string]string) logEntry {
	l := logEntry{
		delivery: d, notification: names[d.RuleName], kind: d.Channel, user: d.UserID, recipient: d.Recipient,
		message: d.Message, state: string(d.State), outcome: string(d.Outcome), reason: d.Reason, rule: d.RuleName, event: d.EventName, eventID: d.EventID,
		texts: messages.TextsOf(d), sent: d.State == ledger.DeliverySent,
	}
	l.verified, l.viaWhatsApp = d.Content.SMS.Verify, l.sent && d.Content.SMS.ContentSID != ""
	if l.message == "" {
		l.message = d.Reason
	}
	if d.RuleName == "" {
		l.message = "The event is quarantined and was not evaluated: " + sentence(l.message) + " See /api/admin/quarantine/ to release it."
	}
	if d.Channel == ledger.ChannelSystem && l.sent {
		received := !d.ReceivedAt.IsZero()
		l.received = &received
	}
	return l
}

var logStates = []string{
	string(ledger.DeliveryPending), string(ledger.DeliverySent), string(ledger.DeliveryFailed),
	string(ledger.DeliverySkipped), string(ledger.DeliveryCancelled), string(ledger.DeliveryQuarantined),
}

var logOutcomes = func() []string {
	outcomes := make([]string, len(ledger.DeliveryOutcomes))
	for i, outcome := range ledger.DeliveryOutcomes {
		outcomes[i] = string(outcome)
	}
	return outcomes
}()

var logFilters = []rest.Filter{
	rest.TimeFilter("created__gt"), rest.TimeFilter("created__lt"),
	rest.TextFilter("notification"), rest.TextFilter("notification__name"), rest.TextFilter("notification__name__contains"),
	rest.BooleanFilter("received"), rest.TextFilter("recipient"), rest.TextFilter("recipient__contains"),
	rest.BooleanFilter("sent"), rest.ChoiceFilter("type", channels...), rest.ChoicesFilter("type__in", channels...),
	rest.TextFilter("user__identifier"),
	// Not in Rehive's own API:
	rest.ChoiceFilter("state", logStates...), rest.ChoicesFilter("state__in", logStates...), rest.TextFilter("reason"), rest.TextFilter("event_id"),
	rest.ChoiceFilter("outcome", logOutcomes...), rest.ChoicesFilter("outcome__in", logOutcomes...),
}

func (a *API) logs() *rest.Resource[logEntry] {
	return &rest.Resource[logEntry]{
		Path: "admin/logs/", Param: "log_id", NumericID: true, For: rest.Admins, Serializer: logSerializer,
		Filters: logFilters, Orderings: []string{"created"},
		Position: func(l *logEntry) string { return rest.NumberPosition(l.delivery.ID) },
		List:     a.listLogs,
		Retrieve: func(ctx context.Context, r *rest.Request) (*logEntry, error) {
			d, err := a.Ledger.LogEntry(ctx, r.Caller.Company, r.Number())
			if err != nil {
				return nil, messages.Error(err)
			}
			rules, err := notifications.Of(ctx, a.Cache, r.Caller.Activation)
			if err != nil {
				return nil, unreadable(err)
			}
			l := readLogEntry(&d, rules.DisplayNames())
			return &l, nil
		},
	}
}

func (a *API) listLogs(ctx context.Context, r *rest.Request, q *rest.Query) (rest.List[logEntry], error) {
	rules, err := notifications.Of(ctx, a.Cache, r.Caller.Activation)
	if err != nil {
		return rest.List[logEntry]{}, unreadable(err)
	}
	filter, err := logFilter(q, r.Caller.Company, rules)
	if err != nil {
		return rest.List[logEntry]{}, err
	}
	if len(filter.States) == 0 && len(filter.Outcomes) == 0 && filter.Reason == "" && filter.EventID == "" {
		// Most rules ignore most events. Clients must ask explicitly to see that.
		filter.NotReasons = []string{string(notify.ExpressionFalse), string(notify.RuleDisabled)}
	}
	window, err := q.Window(ledger.MaxLogCount)
	if err != nil {
		return rest.List[logEntry]{}, err
	}
	filter.OldestFirst, filter.After = window.OldestFirst, window.After
	leave, err := a.searchTurn(ctx, r.Caller.Company)
	if err != nil {
		return rest.List[logEntry]{}, err
	}
	defer leave()
	found, err := a.Ledger.Log(ctx, filter, window.Offset, q.Page.Size)
	if err != nil {
		return rest.List[logEntry]{}, messages.Error(err)
	}
	if q.Page.Backward {
		slices.Reverse(found.Deliveries)
	}
	names := rules.DisplayNames()
	list := rest.List[logEntry]{Items: make([]logEntry, len(found.Deliveries)), Count: found.Count, More: found.More}
	for i := range found.Deliveries {
		list.Items[i] = readLogEntry(&found.Deliveries[i], names)
	}
	return list, nil
}

// searchTurn waits until no other call of the company is searching the log: a search can
// take seconds, and a company must not delay the searches of others.
func (a *API) searchTurn(ctx context.Context, company string) (leave func(), err error) {
	leave, err = a.SearchTurn(ctx, company)
	if err != nil {
		return nil, messages.Error(err)
	}
	return leave, nil
}

// logFilter reads the filters of the log.
func logFilter(q *rest.Query, company string, rules notifications.All) (ledger.LogFilter, error) {
	names, err := ruleNames(q, rules)
	filter := ledger.LogFilter{
		Company:           company,
		Rules:             names,
		Channels:          q.Choices("type"),
		Sent:              q.Boolean("sent"),
		Received:          q.Boolean("received"),
		Reason:            q.Text("reason"),
		EventID:           q.Text("event_id"),
		UserID:            strings.ToLower(q.Text("user__identifier")),
		Recipient:         q.Text("recipient"),
		RecipientContains: q.Text("recipient__contains"),
		CreatedAfter:      q.Time("created__gt"),
		CreatedBefore:     q.Time("created__lt"),
	}
	for _, outcome := range q.Choices("outcome") {
		filter.Outcomes = append(filter.Outcomes, ledger.DeliveryOutcome(outcome))
	}
	for _, state := range q.Choices("state") {
		filter.States = append(filter.States, ledger.DeliveryState(state))
	}
	return filter, err
}

// ruleNames returns the rules, as namespace/name, that match the filters by number and
// name; nil if none of these filters is set.
func ruleNames(q *rest.Query, rules notifications.All) ([]string, error) {
	id, name, part := q.Text("notification"), q.Text("notification__name"), q.Text("notification__name__contains")
	if id == "" && name == "" && part == "" {
		return nil, nil
	}
	found := []string{}
	for i := range rules {
		displayName := rules[i].Rule.Spec.DisplayName
		if (id == "" || id == strconv.FormatInt(rules[i].ID, 10)) && (name == "" || name == displayName) && strings.Contains(displayName, part) {
			found = append(found, rules[i].Name())
		}
	}
	if len(found) > maxFilteredRules {
		return nil, rest.InvalidField(nil, "notification__name__contains", "Too many notifications match. Use a longer part of the name.")
	}
	return found, nil
}

// logSend is the request body for sending a message again.
type logSend struct{ recipient string }

func (a *API) sendLog() rest.Operation {
	action := rest.Action[logSend]{
		Path: "admin/logs/{log_id}/send/", NumericID: true, For: rest.Admins, Optional: true,
		Body: &rest.Serializer[logSend]{Name: "AdminLogSend", Fields: []rest.Field[logSend]{
			rest.Char("recipient", func(s *logSend) *string { return &s.recipient }).MaxLength(maxRecipient),
		}},
		Do: func(ctx context.Context, r *rest.Request, s *logSend) (rest.Answer, error) {
			d, err := a.Ledger.LogEntry(ctx, r.Caller.Company, r.Number())
			if err != nil {
				return rest.Answer{}, messages.Error(err)
			}
			if s.recipient != "" {
				address, problem := notify.Recipient(notify.Channel(d.Channel), "", s.recipient)
				if problem != "" {
					return rest.Answer{}, rest.InvalidField(nil, "recipient", "This "+problem+".")
				}
				s.recipient = address
			}
			to := d
			to.Recipient = cmp.Or(s.recipient, d.Recipient)
			if err := a.maySend(ctx, &to); err != nil {
				return rest.Answer{}, err
			}
			pending, err := a.Ledger.Resend(ctx, r.Caller.Company, d.ID, s.recipient)
			if err != nil {
				return rest.Answer{}, messages.Error(err)
			}
			r.Log.Info("Sending a message again", "company", r.Caller.Company, "user", r.Caller.User, "delivery", d.ID, "as", pending)
			return rest.Answer{}, nil
		},
	}
	return action.Operation()
}

// resent reports how many messages are sent again, and whether the filters match more than
// one call may send.
type resent struct {
	count int64
	more  bool
}

var resentSerializer = &rest.Serializer[resent]{Name: "AdminLogsSend", Fields: []rest.Field[resent]{
	rest.Integer("count", func(s *resent) int64 { return s.count }),
	rest.Boolean("more", func(s *resent) *bool { return &s.more }).ReadOnly(),
}}

// sendLogs resends the failed messages that match the filters. Rehive's own API can only
// resend them one by one.
func (a *API) sendLogs() rest.Operation {
	action := rest.Action[struct{}]{
		ID: "adminLogsSendAllCreate", Path: "admin/logs/send/", For: rest.Admins, Filters: logFilters, Result: rest.ResultOf(resentSerializer),
		Do: func(ctx context.Context, r *rest.Request, _ *struct{}) (rest.Answer, error) {
			rules, err := notifications.Of(ctx, a.Cache, r.Caller.Activation)
			if err != nil {
				return rest.Answer{}, unreadable(err)
			}
			filter, err := logFilter(r.Query, r.Caller.Company, rules)
			if err != nil {
				return rest.Answer{}, err
			}
			for _, state := range filter.States {
				if state != ledger.DeliveryFailed && state != ledger.DeliveryCancelled && state != ledger.DeliveryQuarantined {
					return rest.Answer{}, rest.InvalidField(nil, "state", "Only failed, cancelled and quarantined messages can be sent again in bulk.")
				}
			}
			if !r.Query.IsSet() {
				return rest.Answer{}, rest.InvalidField(nil, rest.NonFieldErrors, "Set at least one filter, such as state=failed for all failed messages.")
			}
			var done resent
			if !r.Query.Nothing {
				leave, err := a.searchTurn(ctx, r.Caller.Company)
				if err != nil {
					return rest.Answer{}, err
				}
				defer leave()
				n, next, err := a.Ledger.ResendAll(ctx, filter, maxResend)
				if err != nil && n == 0 {
					return rest.Answer{}, messages.Error(err)
				}
				done = resent{count: int64(n), more: next != 0 || err != nil}
			}
			r.Log.Info("Sending messages again", "company", r.Caller.Company, "user", r.Caller.User, "count", done.count, "more", done.more)
			return rest.DataOf(resentSerializer, &done), nil
		},
	}
	return action.Operation()
}
