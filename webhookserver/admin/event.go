// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/webhookserver/messages"
	"github.com/rehive/extension-operator/webhookserver/notifications"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// maxDecisions is how many decisions an event shows. The log lists all of them.
const maxDecisions = 100

// event is a stored event and, when it is retrieved by itself, its outcome.
type event struct {
	ledger.StoredEvent

	state, explanation string
	data               json.RawMessage
	outcomes           []outcome
	decisions          []decision
	more               bool
	replays            []event
}

// outcome counts decisions with the same outcome.
type outcome struct {
	ledger.Outcome

	state string
}

// decision is what a notification decided about an event, for one recipient or for all of
// them.
type decision struct {
	logEntry

	id          int64 // of the notification; 0 if it is deleted
	explanation string
	providerID  string
	timeline    []step
}

// step is something that happened to a message, or several consecutive attempts with the
// same result.
type step struct {
	at, until              time.Time
	times                  int
	state, reason, message string
}

func eventFields() []rest.Field[event] {
	text := func(name string, at func(*event) *string) rest.Field[event] {
		return rest.Char(name, at).ReadOnly()
	}
	return []rest.Field[event]{
		rest.Integer("id", func(e *event) int64 { return e.Key }),
		text("event", func(e *event) *string { return &e.Name }),
		text("event_id", func(e *event) *string { return &e.ID }).Describe("The platform's identifier of the event."),
		text("state", func(e *event) *string { return &e.state }).Choices(eventStates...),
		text("reason", func(e *event) *string { return &e.Reason }).Nullable().Describe("Why it is quarantined, as one word."),
		text("error_message", func(e *event) *string { return &e.Message }).Nullable(),
		rest.Integer("attempts", func(e *event) int64 { return int64(e.Attempts) }),
		rest.Integer("size", func(e *event) int64 { return int64(e.Size) }).Describe("The size of its data in bytes."),
		rest.NullInteger("replay_of", func(e *event) (int64, bool) {
			if e.Name != notify.ReplayEvent {
				return 0, false
			}
			return ledger.ReplayOf(e.ID)
		}).Describe("The id of the event that this one replays."),
		rest.Timestamp("created", func(e *event) time.Time { return e.ReceivedAt }),
		rest.Timestamp("updated", func(e *event) time.Time { return e.UpdatedAt }),
		rest.Timestamp("next_attempt", func(e *event) time.Time {
			if e.State != ledger.EventPending {
				return time.Time{}
			}
			return e.NextAttemptAt
		}).Describe("When a pending event is tried again, in milliseconds since the epoch; 0 for others."),
	}
}

func decisionFields() []rest.Field[decision] {
	text := func(name string, at func(*decision) *string) rest.Field[decision] {
		return rest.Char(name, at).ReadOnly()
	}
	return []rest.Field[decision]{
		rest.Integer("id", func(d *decision) int64 { return d.delivery.ID }).Describe("The entry's id in the log."),
		rest.NullInteger("notification_id", func(d *decision) (int64, bool) { return d.id, d.id != 0 }).Describe("Null once the notification is deleted."),
		text("notification", func(d *decision) *string { return &d.notification }).Nullable().Describe("The notification's name; null once it is deleted."),
		text("rule", func(d *decision) *string { return &d.rule }),
		text("type", func(d *decision) *string { return &d.kind }),
		text("user", func(d *decision) *string { return &d.user }).Nullable(),
		text("recipient", func(d *decision) *string { return &d.recipient }).Nullable(),
		text("state", func(d *decision) *string { return &d.state }).Choices(logStates...),
		text("reason", func(d *decision) *string { return &d.reason }).Nullable(),
		text("error_message", func(d *decision) *string { return &d.message }).Nullable(),
		text("explanation", func(d *decision) *string { return &d.explanation }).Describe("The outcome in one sentence, for people."),
		rest.Integer("attempts", func(d *decision) int64 { return int64(d.delivery.Attempts) }),
		rest.Integer("copy", func(d *decision) int64 { return int64(d.delivery.Copy) }),
		text("provider_id", func(d *decision) *string { return &d.providerID }).Nullable().Describe("The provider's identifier for the message."),
		rest.Timestamp("created", func(d *decision) time.Time { return d.delivery.CreatedAt }),
		rest.Timestamp("updated", func(d *decision) time.Time { return d.delivery.UpdatedAt }),
		rest.Timestamp("next_attempt", func(d *decision) time.Time {
			if d.delivery.State != ledger.DeliveryPending {
				return time.Time{}
			}
			return d.delivery.NextAttemptAt
		}).Describe("When a pending message is tried again, in milliseconds since the epoch; 0 for others."),
		rest.NestedList("timeline", stepSerializer, func(d *decision) []step { return d.timeline }).
			Describe("The message's history, oldest first."),
	}
}

var (
	eventStates = []string{
		string(ledger.EventPending), string(ledger.EventDone), string(ledger.EventFailed),
		string(ledger.EventCancelled), string(ledger.EventQuarantined),
	}
	eventSerializer   = &rest.Serializer[event]{Name: "AdminEvent", Fields: eventFields()}
	outcomeSerializer = &rest.Serializer[outcome]{Name: "AdminEventOutcome", Fields: []rest.Field[outcome]{
		rest.Char("state", func(o *outcome) *string { return &o.state }).ReadOnly().Choices(logStates...),
		rest.Char("reason", func(o *outcome) *string { return &o.Reason }).ReadOnly().Nullable(),
		rest.Integer("count", func(o *outcome) int64 { return int64(o.Count) }),
	}}
	stepSerializer = &rest.Serializer[step]{Name: "AdminEventStep", Fields: []rest.Field[step]{
		rest.Timestamp("at", func(s *step) time.Time { return s.at }),
		rest.Timestamp("until", func(s *step) time.Time { return s.until }).Describe("When the last of several attempts ended, in milliseconds since the epoch."),
		rest.Integer("times", func(s *step) int64 { return int64(s.times) }).Describe("How many consecutive attempts ended like this."),
		rest.Char("state", func(s *step) *string { return &s.state }).ReadOnly().Describe("The message's state afterwards, or received."),
		rest.Char("reason", func(s *step) *string { return &s.reason }).ReadOnly().Nullable(),
		rest.Text("message", func(s *step) *string { return &s.message }).ReadOnly().Nullable().Describe("The error, including the provider's answer if there was one."),
	}}
	decisionSerializer = &rest.Serializer[decision]{Name: "AdminEventDecision", Fields: decisionFields()}
	explainSerializer  = &rest.Serializer[event]{Name: "AdminEventDetail", Fields: append(eventFields(),
		rest.Text("explanation", func(e *event) *string { return &e.explanation }).ReadOnly().Describe("The outcome in a sentence or two, for people."),
		rest.JSON("data", func(e *event) *json.RawMessage { return &e.data }, nil).ReadOnly().Describe("Its data, as received."),
		rest.NestedList("outcomes", outcomeSerializer, func(e *event) []outcome { return e.outcomes }).
			Describe("How many of its decisions had each outcome, most frequent first."),
		rest.NestedList("decisions", decisionSerializer, func(e *event) []decision { return e.decisions }).
			Describe("The decisions of each notification for each recipient, up to 100. To list all of them, filter the log by event_id."),
		rest.Boolean("more_decisions", func(e *event) *bool { return &e.more }).ReadOnly(),
		rest.NestedList("replays", eventSerializer, func(e *event) []event { return e.replays }).
			Describe("The replays of this event, oldest first."),
	)}
)

func readEvent(stored *ledger.StoredEvent) event {
	return event{StoredEvent: *stored, state: string(stored.State)}
}

// events lists received events. Rehive's own extension has no equivalent.
func (a *API) events() *rest.Resource[event] {
	return &rest.Resource[event]{
		Path: "admin/events/", For: rest.Admins, Serializer: eventSerializer,
		Filters: []rest.Filter{
			rest.TextFilter("event"), rest.TextFilter("event_id"), rest.ChoiceFilter("state", eventStates...),
			rest.TextFilter("data__contains"), rest.TimeFilter("created__gt"), rest.TimeFilter("created__lt"),
		},
		Orderings: []string{"created"},
		Position:  func(e *event) string { return rest.NumberPosition(e.Key) },
		List:      a.listEvents,
	}
}

func (a *API) listEvents(ctx context.Context, r *rest.Request, q *rest.Query) (rest.List[event], error) {
	filter := ledger.EventFilter{
		Company: r.Caller.Company, ID: q.Text("event_id"), Name: q.Text("event"), DataContains: q.Text("data__contains"),
		ReceivedAfter: q.Time("created__gt"), ReceivedBefore: q.Time("created__lt"),
	}
	if states := q.Choices("state"); len(states) > 0 {
		filter.State = ledger.EventState(states[0])
	}
	window, err := q.Window(ledger.MaxLogCount)
	if err != nil {
		return rest.List[event]{}, err
	}
	filter.OldestFirst, filter.After = window.OldestFirst, window.After
	leave, err := a.searchTurn(ctx, r.Caller.Company)
	if err != nil {
		return rest.List[event]{}, err
	}
	defer leave()
	found, err := a.Ledger.Events(ctx, filter, window.Offset, q.Page.Size)
	if err != nil {
		return rest.List[event]{}, historyError(err)
	}
	if q.Page.Backward {
		slices.Reverse(found.Events)
	}
	list := rest.List[event]{Items: make([]event, len(found.Events)), Count: found.Count, More: found.More}
	for i := range found.Events {
		list.Items[i] = readEvent(&found.Events[i])
	}
	return list, nil
}

// historyError turns an error of the ledger's events into an answer.
func historyError(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return rest.Unavailable(err, "The events could not be searched in time. Narrow the search, by created__gt for instance, or try again later.")
	case errors.Is(err, ledger.ErrUnavailable):
		return rest.Unavailable(err, "The events are not available. Try again later.")
	}
	return messages.Error(err)
}

// explain returns the operation that explains what happened to one event.
func (a *API) explain() rest.Operation {
	action := rest.Action[struct{}]{
		Method: "GET", Path: "admin/events/{event_id}/", NumericID: true, For: rest.Admins, Result: rest.ResultOf(explainSerializer),
		Do: func(ctx context.Context, r *rest.Request, _ *struct{}) (rest.Answer, error) {
			// In its turn, because an event can have a megabyte of data.
			leave, err := a.searchTurn(ctx, r.Caller.Company)
			if err != nil {
				return rest.Answer{}, err
			}
			defer leave()
			stored, err := a.Ledger.EventByKey(ctx, r.Caller.Company, r.Number())
			if err != nil {
				return rest.Answer{}, historyError(err)
			}
			rules, err := notifications.Of(ctx, a.Cache, r.Caller.Activation)
			if err != nil {
				return rest.Answer{}, unreadable(err)
			}
			e := readEvent(&stored)
			if e.data = stored.Data; !json.Valid(e.data) {
				e.data = nil
			}
			if err := a.addDecisions(ctx, &e, rules); err != nil {
				return rest.Answer{}, historyError(err)
			}
			e.explanation = explanation(&e, rules)
			if e.Masked {
				e.explanation += " Its data was masked, because a notification for it is sensitive."
			}
			return rest.DataOf(explainSerializer, &e), nil
		},
	}
	return action.Operation()
}

// addDecisions adds the event's outcomes, decisions and replays from the ledger.
func (a *API) addDecisions(ctx context.Context, e *event, rules notifications.All) error {
	outcomes, err := a.Ledger.EventOutcomes(ctx, e.Company, e.Key)
	if err != nil {
		return err
	}
	for _, o := range outcomes {
		e.outcomes = append(e.outcomes, outcome{Outcome: o, state: string(o.State)})
	}
	found, more, err := a.Ledger.EventDeliveries(ctx, e.Company, e.Key, 0, maxDecisions)
	if err != nil {
		return err
	}
	deliveries := make([]int64, len(found))
	for i := range found {
		deliveries[i] = found[i].ID
	}
	attempts, err := a.Ledger.Attempts(ctx, deliveries)
	if err != nil {
		return err
	}
	ids, names := make(map[string]int64, len(rules)), rules.DisplayNames()
	for i := range rules {
		ids[rules[i].Name()] = rules[i].ID
	}
	e.more, e.decisions = more, make([]decision, len(found))
	for i := range found {
		d := &found[i]
		e.decisions[i] = decision{
			logEntry: readLogEntry(d, names), id: ids[d.RuleName], providerID: d.ProviderID, explanation: explained(d), timeline: timeline(d, attempts[d.ID]),
		}
	}
	replays, err := a.Ledger.Replays(ctx, e.Company, e.Key)
	if err != nil {
		return err
	}
	for i := range replays {
		e.replays = append(e.replays, readEvent(&replays[i]))
	}
	return nil
}

// timeline returns what happened to a message, oldest first.
func timeline(d *ledger.Delivery, attempts []ledger.Attempt) []step {
	one := func(at time.Time, state, reason, message string) step {
		return step{at: at, until: at, times: 1, state: state, reason: reason, message: message}
	}
	if d.State == ledger.DeliverySkipped || d.State == ledger.DeliveryFailed && len(attempts) == 0 {
		return []step{one(d.CreatedAt, string(d.State), d.Reason, d.Message)} // there was no message
	}
	steps := []step{one(d.CreatedAt, string(ledger.DeliveryPending), "", "")}
	last := ledger.Attempt{State: ledger.DeliveryPending}
	for _, last = range attempts {
		steps = append(steps, step{at: last.First, until: last.Last, times: last.Times, state: string(last.State), reason: last.Reason, message: last.Message})
	}
	switch {
	case d.State != last.State && d.State == ledger.DeliveryPending:
		steps = append(steps, one(d.UpdatedAt, string(d.State), "", "")) // an admin sent it again
	case d.State != last.State, d.Reason == ledger.ReasonReplayed:
		steps = append(steps, one(d.UpdatedAt, string(d.State), d.Reason, d.Message))
	}
	if !d.ReceivedAt.IsZero() {
		steps = append(steps, one(d.ReceivedAt, "received", "", ""))
	}
	return steps
}

// explanation describes in a sentence or two what happened to an event.
func explanation(e *event, rules notifications.All) string {
	switch e.State {
	case ledger.EventPending:
		switch {
		case e.Message != "":
			return "It will be evaluated again: " + sentence(e.Message)
		case e.Attempts > 0:
			return "It is being evaluated."
		}
		return "It is waiting to be evaluated."
	case ledger.EventFailed:
		return "It could not be evaluated, and nothing was sent: " + sentence(e.Message)
	case ledger.EventCancelled:
		return "Nothing was sent, because the company's activation was deleted before the event was evaluated."
	case ledger.EventQuarantined:
		return fmt.Sprintf("It is quarantined, and nothing is sent until an admin releases it with POST /api/admin/quarantine/%d/release/: %s", e.Key, sentence(e.Message))
	case ledger.EventDone:
	}
	if len(e.outcomes) > 0 {
		return summary(e.outcomes)
	}
	today := 0
	for i := range rules {
		if rules[i].Rule.Spec.Event == e.Name {
			today++
		}
	}
	switch today {
	case 0:
		return fmt.Sprintf("There is no notification for %s.", e.Name)
	case 1:
		return fmt.Sprintf("There was no notification for %s when the event was evaluated. Now there is one, which a replay would evaluate.", e.Name)
	}
	return fmt.Sprintf("There was no notification for %s when the event was evaluated. Now there are %d, which a replay would evaluate.", e.Name, today)
}

// summary lists outcomes with their counts in a sentence.
func summary(outcomes []outcome) string {
	var parts []string
	for i := range outcomes {
		o := &outcomes[i]
		part := fmt.Sprintf("%d %s", o.Count, o.state)
		if o.Reason != "" {
			part += " (" + o.Reason + ")"
		}
		parts = append(parts, part)
	}
	return "Its notifications were evaluated: " + strings.Join(parts, ", ") + "."
}

// explained describes in a sentence what happened to a decision.
func explained(d *ledger.Delivery) string {
	switch d.State {
	case ledger.DeliverySent:
		if d.Channel == ledger.ChannelSystem {
			return "It is in the user's inbox."
		}
		return "The provider accepted the message."
	case ledger.DeliveryPending:
		switch {
		case d.Message != "":
			return "It will be sent later: " + sentence(d.Message)
		case d.Attempts > 0:
			return "It is being sent."
		}
		return "It is waiting to be sent."
	case ledger.DeliveryQuarantined:
		return "The message is quarantined until an admin sends it again: " + sentence(d.Message)
	case ledger.DeliveryCancelled:
		return "The message was not sent: " + sentence(d.Message)
	case ledger.DeliveryFailed, ledger.DeliverySkipped:
	}
	if d.Reason == ledger.ReasonAlreadySent {
		return sentence(d.Message)
	}
	if text, ok := explanations[d.Reason]; ok {
		if d.Message == "" {
			return text
		}
		return strings.TrimSuffix(text, ".") + ": " + sentence(d.Message)
	}
	return "Nothing was sent: " + sentence(d.Message)
}

// explanations describes the reasons for which nothing is sent.
var explanations = map[string]string{
	string(notify.ExpressionFalse):    "The notification's expression was false. Preview the notification with this event to see the compared values.",
	string(notify.ExpressionFault):    "The notification's expression could not be evaluated, which counts as false.",
	string(notify.RuleDisabled):       "The notification was disabled.",
	string(notify.Muted):              "The notification was muted.",
	string(notify.RuleInvalid):        "The notification has mistakes.",
	string(notify.RenderFailed):       "A template of the notification failed on this event.",
	string(notify.NoRecipient):        "The notification's recipient was empty for this event.",
	string(notify.MalformedRecipient): "The recipient is not a valid address.",
	string(notify.NoSender):           "There was no valid sender.",
	string(notify.EmptyText):          "The text was blank.",
	string(notify.Expired):            "It was too late to send the message.",
	string(notify.OptedOut):           "The user opted out of this notification.",
	string(notify.Suppressed):         "The recipient is suppressed: see /api/admin/suppressions/.",
	string(notify.PushDisabled):       "The company has push messages turned off.",
	string(notify.TestModeOnly):       "The company is in test mode on Rehive.",
	ledger.ReasonThrottled:            "The recipient already received as many messages of this notification as it allows.",
	ledger.ReasonCollected:            "The recipient already received as many messages of this notification as it allows, so this one is part of a digest.",
	string(notify.DigestRemoved):      "Messages had been collected for a digest, which was not sent.",
	ledger.ReasonReplayed:             "The message failed.",
}

// sentence makes sure that a text ends with one full stop.
func sentence(text string) string {
	if text == "" {
		return "no reason was recorded."
	}
	return strings.TrimRight(text, ".") + "."
}
