// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
)

const (
	// maxResend is how many messages one call has sent again.
	maxResend = 10_000
	// maxFilteredRules is how many rules a filter by name may mean.
	maxFilteredRules = 1000
)

var channels = []string{ledger.ChannelEmail, ledger.ChannelSMS, ledger.ChannelPush, ledger.ChannelSystem}

// adminLog is a message, or why there was none, as admins see it. What stands
// behind Created is not in Rehive's own API.
type adminLog struct {
	ID           int64   `json:"id"`
	Notification *string `json:"notification"` // null once the rule is deleted
	Type         string  `json:"type"`
	User         *string `json:"user"`
	Recipient    string  `json:"recipient"`
	messageTexts
	Sent         bool    `json:"sent"`
	Received     *bool   `json:"received"`
	ErrorMessage *string `json:"error_message"`
	Created      int64   `json:"created"`
	Updated      int64   `json:"updated"`
	State        string  `json:"state"`
	Reason       *string `json:"reason"`
	Attempts     int     `json:"attempts"`
	Copy         int     `json:"copy"`
	Rule         string  `json:"rule"`
	Event        string  `json:"event"`
	EventID      string  `json:"event_id"`
}

// messageTexts are the texts of a message: each where its channel has it.
type messageTexts struct {
	Subject     *string `json:"subject"`
	TextMessage *string `json:"text_message"`
	HTMLMessage *string `json:"html_message"`
	SMSMessage  *string `json:"sms_message"`
	PushMessage *string `json:"push_message"`
}

func textsOf(d *ledger.Delivery) messageTexts {
	texts := messageTexts{Subject: textOrNull(d.Content.Subject)}
	switch text := textOrNull(d.Content.Text); d.Channel {
	case ledger.ChannelSMS:
		texts.SMSMessage = text
	case ledger.ChannelPush:
		texts.PushMessage = text
	default:
		texts.TextMessage, texts.HTMLMessage = text, textOrNull(d.Content.HTML)
	}
	return texts
}

func textOrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// nameOf is the name that a rule has now, nil if it was deleted.
func nameOf(names map[string]string, d *ledger.Delivery) *string {
	if name, ok := names[d.RuleName]; ok {
		return &name
	}
	return nil
}

func newAdminLog(d *ledger.Delivery, names map[string]string) adminLog {
	log := adminLog{
		ID: d.ID, Notification: nameOf(names, d), Type: d.Channel, User: textOrNull(d.UserID), Recipient: d.Recipient,
		messageTexts: textsOf(d),
		Sent:         d.State == ledger.DeliverySent,
		Created:      d.CreatedAt.UnixMilli(), Updated: d.UpdatedAt.UnixMilli(),
		State: string(d.State), Reason: textOrNull(d.Reason), Attempts: d.Attempts, Copy: d.Copy,
		Rule: d.RuleName, Event: d.EventName, EventID: d.EventID,
	}
	if log.ErrorMessage = textOrNull(d.Message); log.ErrorMessage == nil {
		log.ErrorMessage = log.Reason
	}
	if d.Channel == ledger.ChannelSystem && log.Sent {
		received := !d.ReceivedAt.IsZero()
		log.Received = &received
	}
	return log
}

// listAdminLogs answers GET /api/admin/logs/.
func (s *Server) listAdminLogs(ctx context.Context, c *call, from *caller) (answer, error) {
	f, err := newFilters(c.request)
	if err != nil {
		return answer{}, err
	}
	rules, err := s.notifications(ctx, from.activation)
	if err != nil {
		return answer{}, err
	}
	p, err := f.paging(ledger.MaxLogCount)
	if err != nil {
		return answer{}, err
	}
	filter := logFilter(f, from.company, rules)
	if err := f.err(); err != nil {
		return answer{}, err
	}
	if len(filter.States) == 0 && filter.Reason == "" {
		// Most rules let most events pass by. Who wants to see that asks for it.
		filter.NotReasons = []string{string(notify.ExpressionFalse), string(notify.RuleDisabled)}
	}
	var found ledger.LogPage
	if !f.nothing {
		leave, err := s.search(ctx, from)
		if err != nil {
			return answer{}, err
		}
		defer leave()
		if found, err = s.messages.Log(ctx, filter, p.offset(), p.size); err != nil {
			return answer{}, logError(err)
		}
		if p = p.counted(found.Count); p.last && p.number > 1 {
			if found, err = s.messages.Log(ctx, filter, p.offset(), p.size); err != nil {
				return answer{}, logError(err)
			}
		}
	}
	names := rules.names()
	results := make([]adminLog, len(found.Deliveries))
	for i := range found.Deliveries {
		results[i] = newAdminLog(&found.Deliveries[i], names)
	}
	return s.page(c.request, p, found.Count, found.More, results, len(results))
}

// search waits until nobody else of the company searches the log: one search can
// take seconds, and other companies are to have their turn.
func (s *Server) search(ctx context.Context, from *caller) (leave func(), err error) {
	leave, err = s.searches.lock(ctx, from.company)
	if err != nil {
		return nil, logError(err)
	}
	return leave, nil
}

// logFilter reads the filters of the log.
func logFilter(f *filters, company string, rules notifications) ledger.LogFilter {
	filter := ledger.LogFilter{
		Company:           company,
		Rules:             ruleNames(f, rules),
		Channels:          f.choices("type", channels...),
		Sent:              f.boolean("sent"),
		Received:          f.boolean("received"),
		Reason:            f.text("reason"),
		UserID:            strings.ToLower(f.text("user__identifier")),
		Recipient:         f.text("recipient"),
		RecipientContains: f.text("recipient__contains"),
		CreatedAfter:      f.time("created__gt"),
		CreatedBefore:     f.time("created__lt"),
	}
	for _, state := range f.choices("state", string(ledger.DeliveryPending), string(ledger.DeliverySent),
		string(ledger.DeliveryFailed), string(ledger.DeliverySkipped), string(ledger.DeliveryCancelled), string(ledger.DeliveryQuarantined)) {
		filter.States = append(filter.States, ledger.DeliveryState(state))
	}
	return filter
}

// ruleNames are the rules, as namespace/name, that the filters by number and name mean; nil if none of
// them is set.
func ruleNames(f *filters, rules notifications) []string {
	id, name, part := f.text("notification"), f.text("notification__name"), f.text("notification__name__contains")
	if id == "" && name == "" && part == "" {
		return nil
	}
	found := []string{}
	for _, n := range rules {
		called := n.rule.Spec.DisplayName
		if (id == "" || id == strconv.FormatInt(n.id, 10)) && (name == "" || name == called) && strings.Contains(called, part) {
			found = append(found, n.name())
		}
	}
	if len(found) > maxFilteredRules {
		f.refuse("notification__name__contains", "Too many notifications have such a name. Name more of it.")
	}
	return found
}

// retrieveAdminLog answers GET /api/admin/logs/{id}/.
func (s *Server) retrieveAdminLog(ctx context.Context, c *call, from *caller) (answer, error) {
	d, err := s.logEntry(ctx, c, from)
	if err != nil {
		return answer{}, err
	}
	rules, err := s.notifications(ctx, from.activation)
	if err != nil {
		return answer{}, err
	}
	return answer{data: newAdminLog(&d, rules.names())}, nil
}

func (s *Server) logEntry(ctx context.Context, c *call, from *caller) (ledger.Delivery, error) {
	id, err := pathID(c.request)
	if err != nil {
		return ledger.Delivery{}, err
	}
	d, err := s.messages.LogEntry(ctx, from.company, id)
	if err != nil {
		return ledger.Delivery{}, logError(err)
	}
	return d, nil
}

// pathID reads the number in a path: digits, and no zero before them.
func pathID(r *http.Request) (int64, error) {
	text := r.PathValue("id")
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 || strconv.FormatInt(id, 10) != text {
		return 0, notFound()
	}
	return id, nil
}

// resendLog answers POST /api/admin/logs/{id}/send/: one message is sent again.
func (s *Server) resendLog(ctx context.Context, c *call, from *caller) (answer, error) {
	f, err := s.readFields(c.request, "recipient")
	if err != nil {
		return answer{}, err
	}
	recipient := ""
	if _, given := f.members["recipient"]; given {
		recipient = f.char("recipient", maxIDLength)
	}
	if err := f.err(); err != nil {
		return answer{}, err
	}
	d, err := s.logEntry(ctx, c, from)
	if err != nil {
		return answer{}, err
	}
	if recipient != "" {
		address, problem := notify.Recipient(notify.Channel(d.Channel), "", recipient)
		if problem != "" {
			return answer{}, invalidField(nil, "recipient", "This "+problem+".")
		}
		recipient = address
	}
	pending, err := s.messages.Resend(ctx, from.company, d.ID, recipient)
	if err != nil {
		return answer{}, logError(err)
	}
	c.log.Info("Sending a message again", "company", from.company, "user", from.user, "delivery", d.ID, "as", pending)
	return answer{}, nil
}

// resent tells what became of a set.
type resent struct {
	// Count is how many messages are sent again, More whether the filters mean more
	// than one call sends.
	Count int  `json:"count"`
	More  bool `json:"more"`
}

// resendLogs answers POST /api/admin/logs/send/: the messages that failed, and that
// the filters mean, are sent again. Rehive's own API has only the one by one.
func (s *Server) resendLogs(ctx context.Context, c *call, from *caller) (answer, error) {
	f, err := newFilters(c.request)
	if err != nil {
		return answer{}, err
	}
	rules, err := s.notifications(ctx, from.activation)
	if err != nil {
		return answer{}, err
	}
	filter := logFilter(f, from.company, rules)
	f.refuseUnknown()
	for _, state := range filter.States {
		if state != ledger.DeliveryFailed && state != ledger.DeliveryCancelled && state != ledger.DeliveryQuarantined {
			f.refuse("state", "Only messages that failed, were cancelled or are quarantined can be sent again as a set.")
		}
	}
	if err := f.err(); err != nil {
		return answer{}, err
	}
	if strings.Trim(c.request.URL.RawQuery, "&") == "" || f.empty() {
		return answer{}, invalidField(nil, nonFieldErrors, "Name at least one filter; state=failed is for all that failed.")
	}
	var done resent
	if !f.nothing {
		leave, err := s.search(ctx, from)
		if err != nil {
			return answer{}, err
		}
		defer leave()
		if done.Count, done.More, err = s.messages.ResendAll(ctx, filter, maxResend); err != nil && done.Count == 0 {
			return answer{}, logError(err)
		}
	}
	c.log.Info("Sending messages again", "company", from.company, "user", from.user, "count", done.Count, "more", done.More)
	return answer{data: done}, nil
}

// empty says whether no filter is set.
func (f *filters) empty() bool {
	for _, values := range f.values {
		if strings.Join(values, "") != "" {
			return false
		}
	}
	return true
}

// logError turns what the ledger said about messages into an answer.
func logError(err error) error {
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return notFound()
	case errors.Is(err, ledger.ErrPending):
		return &apiError{status: http.StatusConflict, message: "This message is still to be sent."}
	case errors.Is(err, ledger.ErrNoMessage):
		return invalidField(nil, nonFieldErrors, "There is no message that could be sent: see error_message.")
	case errors.Is(err, context.DeadlineExceeded):
		return unavailable(err, "The log could not be searched in time. Narrow the search, by created__gt for instance, or try again later.")
	case errors.Is(err, ledger.ErrUnavailable):
		return unavailable(err, "The log is not available. Try again later.")
	}
	return internal(err)
}
