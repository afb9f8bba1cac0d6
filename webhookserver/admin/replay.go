// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/rehive/extension-operator/internal/catalog"
	"github.com/rehive/extension-operator/internal/dispatch"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/webhookserver/notifications"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

const (
	// maxRepeat is how many messages one replay may repeat.
	maxRepeat = 100
	// maxDryRunMessages is how many messages a dry run shows.
	maxDryRunMessages = 250
	// maxDryRunNotSent is how many recipients who receive nothing a dry run shows.
	maxDryRunNotSent = 1000
	// maxDryRunText is how many bytes of text a dry run shows; it omits further texts.
	maxDryRunText = 512 << 10
	// dryRunMemory is the memory that the texts of a dry run take: unencoded, and encoded
	// as JSON, where a character can take six bytes.
	dryRunMemory = 7 * maxDryRunText
)

// replaying is the request body for replaying an event.
type replaying struct {
	send   bool
	repeat []int64
}

// replay is the result of a replay or a dry run.
type replay struct {
	sent          bool
	id            int64
	eventID       string
	notifications []replayedNotification
	more          bool

	shown, notSent, text int // numbers of messages, of recipients who receive nothing, and of bytes of text
}

// replayedNotification is the decision of one notification in a dry run.
type replayedNotification struct {
	id                 int64
	notification, rule string
	kind               string
	messages           []messagePreview
	withheld           []withheldMessage
	notSent            []notSentPreview
}

// withheldMessage is a message that its recipient may have received before.
type withheldMessage struct {
	ledger.Earlier

	kind, recipient, user, state string
}

var (
	replayRequest = &rest.Serializer[replaying]{Name: "AdminEventReplayRequest", Fields: []rest.Field[replaying]{
		rest.Boolean("send", func(r *replaying) *bool { return &r.send }).
			Describe("If false, nothing is sent or stored: the answer shows what would be sent."),
		rest.Integers("repeat", maxRepeat, func(r *replaying) *[]int64 { return &r.repeat }).Nullable().
			Describe("Ids of log entries of the event and of its replays. Their recipients receive the message even if they may have received it before."),
	}}
	withheldSerializer = &rest.Serializer[withheldMessage]{Name: "ReplayWithheld", Fields: []rest.Field[withheldMessage]{
		rest.Integer("id", func(w *withheldMessage) int64 { return w.ID }).Describe("The log entry of the message that the recipient may have received. Add it to repeat to send it again."),
		rest.Char("type", func(w *withheldMessage) *string { return &w.kind }).ReadOnly(),
		rest.Char("recipient", func(w *withheldMessage) *string { return &w.recipient }).ReadOnly(),
		rest.Char("user", func(w *withheldMessage) *string { return &w.user }).ReadOnly().Nullable(),
		rest.Char("state", func(w *withheldMessage) *string { return &w.state }).ReadOnly().Choices(logStates...).Describe("The state of the log entry."),
	}}
	replayedSerializer = &rest.Serializer[replayedNotification]{Name: "ReplayNotification", Fields: []rest.Field[replayedNotification]{
		rest.NullInteger("notification_id", func(n *replayedNotification) (int64, bool) { return n.id, n.id != 0 }),
		rest.Char("notification", func(n *replayedNotification) *string { return &n.notification }).ReadOnly().Nullable(),
		rest.Char("rule", func(n *replayedNotification) *string { return &n.rule }).ReadOnly(),
		rest.Char("type", func(n *replayedNotification) *string { return &n.kind }).ReadOnly(),
		rest.NestedList("messages", messagePreviewSerializer, func(n *replayedNotification) []messagePreview { return n.messages }).
			Describe("The messages that would be sent."),
		rest.NestedList("withheld", withheldSerializer, func(n *replayedNotification) []withheldMessage { return n.withheld }).
			Describe("The messages that would not be sent because their recipients may have received them before."),
		rest.NestedList("not_sent", notSentSerializer, func(n *replayedNotification) []notSentPreview { return n.notSent }),
	}}
	replaySerializer = &rest.Serializer[replay]{Name: "AdminEventReplay", Fields: []rest.Field[replay]{
		rest.Boolean("sent", func(r *replay) *bool { return &r.sent }).ReadOnly().Describe("Whether the event is replayed; false for a dry run."),
		rest.NullInteger("id", func(r *replay) (int64, bool) { return r.id, r.id != 0 }).Describe("The id of the replay, which is an event itself and shows the outcome; null for a dry run."),
		rest.Char("event_id", func(r *replay) *string { return &r.eventID }).ReadOnly().Nullable(),
		rest.NestedList("notifications", replayedSerializer, func(r *replay) []replayedNotification { return r.notifications }).
			Describe("The decisions of each notification for the event; only for a dry run."),
		rest.Boolean("more", func(r *replay) *bool { return &r.more }).ReadOnly().Describe("Whether messages or texts were omitted because there are too many."),
	}}
)

// replay returns the operation that evaluates an event again, or shows what that would
// send. Rehive's own extension has no equivalent.
func (a *API) replay() rest.Operation {
	action := rest.Action[replaying]{
		Path: "admin/events/{event_id}/replay/", NumericID: true, For: rest.Admins,
		Body: replayRequest, Optional: true, Idempotent: true, Result: rest.ResultOf(replaySerializer),
		Do: func(ctx context.Context, r *rest.Request, body *replaying) (rest.Answer, error) {
			original, err := a.replayable(ctx, r)
			if err != nil {
				return rest.Answer{}, err
			}
			if err := a.checkRepeat(ctx, &original, body.repeat); err != nil {
				return rest.Answer{}, err
			}
			if !body.send {
				return a.dryRun(ctx, r, &original, body)
			}
			return a.startReplay(ctx, r, &original, body)
		},
	}
	return action.Operation()
}

// replayable returns the event of a request, without its data, if it can be replayed.
func (a *API) replayable(ctx context.Context, r *rest.Request) (ledger.StoredEvent, error) {
	original, err := a.Ledger.EventHead(ctx, r.Caller.Company, r.Number())
	if err != nil {
		return original, historyError(err)
	}
	key, isReplay := ledger.ReplayOf(original.ID)
	switch {
	case original.Name == notify.ReplayEvent && isReplay:
		return original, rest.Conflict(fmt.Sprintf("This event is a replay. Replay the event %d instead.", key))
	case notify.IsOwnEvent(original.Name):
		return original, rest.Conflict("This event was not sent by the platform. Trigger the notification again instead.")
	case original.Masked:
		return original, rest.Conflict("The data of this event was masked, because a notification for it is sensitive, so it can't be evaluated again. Trigger a new one instead, for example by requesting another code or link.")
	case original.State == ledger.EventPending:
		return original, rest.Conflict("This event has not been evaluated yet.")
	case original.State == ledger.EventQuarantined:
		return original, rest.Conflict(fmt.Sprintf("This event is quarantined. Release it instead, with POST /api/admin/quarantine/%d/release/.", original.Key))
	}
	return original, nil
}

// checkRepeat returns an error unless each of the log entries belongs to the event or to one
// of its replays.
func (a *API) checkRepeat(ctx context.Context, original *ledger.StoredEvent, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	known, err := a.Ledger.InFamily(ctx, original.Company, original.Key, ids)
	if err != nil {
		return historyError(err)
	}
	for _, id := range ids {
		if _, ok := slices.BinarySearch(known, id); !ok {
			return rest.InvalidFields(noSuchKey("repeat", strconv.FormatInt(id, 10)))
		}
	}
	return nil
}

// startReplay stores the replay as an event of its own kind, which the dispatcher evaluates
// like any other.
func (a *API) startReplay(ctx context.Context, r *rest.Request, original *ledger.StoredEvent, body *replaying) (rest.Answer, error) {
	data, err := json.Marshal(notify.Replay{Event: original.Key, Repeat: body.repeat})
	if err != nil {
		return rest.Answer{}, rest.Internal(fmt.Errorf("encoding a replay: %w", err))
	}
	event := ledger.Event{
		Company: original.Company, Name: notify.ReplayEvent, Data: data,
		ID: ledger.ReplayID(original.Key, idempotentName(r, strconv.FormatInt(original.Key, 10))),
	}
	replays, err := a.Ledger.Replays(ctx, original.Company, original.Key)
	if err != nil {
		return rest.Answer{}, historyError(err)
	}
	known := slices.ContainsFunc(replays, func(e ledger.StoredEvent) bool { return e.ID == event.ID })
	if len(replays) >= ledger.MaxReplays && !known {
		return rest.Answer{}, rest.Conflict(fmt.Sprintf("This event was already replayed %d times, which is the limit.", len(replays)))
	}
	duplicate, err := a.accept(ctx, event, "The event could not be replayed. Try again later.")
	if err != nil {
		return rest.Answer{}, err
	}
	stored, err := a.Ledger.StoredEvent(ctx, original.Company, event.ID)
	if err != nil {
		return rest.Answer{}, historyError(err)
	}
	r.Log.Info("Replaying an event", "company", original.Company, "user", r.Caller.User, "event", original.Key, "as", stored.Key, "replayed", duplicate)
	answer := rest.DataOf(replaySerializer, &replay{sent: true, id: stored.Key, eventID: event.ID})
	answer.Replayed = duplicate
	return answer, nil
}

// dryRun shows what a replay would send.
func (a *API) dryRun(ctx context.Context, r *rest.Request, original *ledger.StoredEvent, body *replaying) (rest.Answer, error) {
	// One at a time, because an event can have a megabyte of data.
	leave, err := a.searchTurn(ctx, original.Company)
	if err != nil {
		return rest.Answer{}, err
	}
	defer leave()
	whole, err := a.Ledger.EventByKey(ctx, original.Company, original.Key)
	if err != nil {
		return rest.Answer{}, historyError(err)
	}
	rules, err := notifications.Of(ctx, a.Cache, r.Caller.Activation)
	if err != nil {
		return rest.Answer{}, unreadable(err)
	}
	byName := make(map[string]int64, len(rules))
	for i := range rules {
		byName[rules[i].Name()] = rules[i].ID
	}
	var result replay
	err = a.Previews.DryRun(ctx, r.Caller.Activation, whole.Event, dryRunMemory, func(rule *catalog.Rule, decision *notify.Decision) error {
		shown := replayedNotification{
			notification: rule.DisplayName, rule: r.Caller.Activation.Namespace + "/" + rule.Name, kind: string(rule.Channel),
			notSent: result.limitNotSent(readNotSent(decision.NotSent, string(rule.Channel))),
		}
		shown.id = byName[shown.rule]
		send, err := a.withhold(ctx, original, body, decision, &shown, &result)
		if err != nil {
			return err
		}
		shown.messages = groupMessages(send)
		for i := range shown.messages {
			result.limitText(&shown.messages[i])
		}
		result.notifications = append(result.notifications, shown)
		return nil
	})
	if err != nil {
		return rest.Answer{}, dryRunError(err)
	}
	return rest.DataOf(replaySerializer, &result), nil
}

// withhold returns the messages of a decision that a replay would send.
func (a *API) withhold(ctx context.Context, original *ledger.StoredEvent, body *replaying, decision *notify.Decision, shown *replayedNotification, result *replay) (send []notify.Message, err error) {
	for i := range decision.Messages {
		if result.shown++; result.shown > maxDryRunMessages {
			result.more = true
			break
		}
		m := &decision.Messages[i]
		earlier, err := a.Ledger.EarlierTo(ctx, original.Company, original.Key, shown.rule, string(m.Channel), m.Recipient)
		if err != nil {
			return nil, err
		}
		if len(earlier) == 0 || slices.ContainsFunc(earlier, func(e ledger.Earlier) bool { return slices.Contains(body.repeat, e.ID) }) {
			send = append(send, *m)
			continue
		}
		last := earlier[len(earlier)-1]
		shown.withheld = append(shown.withheld, withheldMessage{
			Earlier: last, kind: string(m.Channel), recipient: m.Recipient, user: m.User, state: string(last.State),
		})
	}
	return send, nil
}

// limitNotSent returns as many of the entries as the dry run may still show.
func (r *replay) limitNotSent(all []notSentPreview) []notSentPreview {
	if left := maxDryRunNotSent - r.notSent; len(all) > left {
		all, r.more = all[:left], true
	}
	r.notSent += len(all)
	for i := range all {
		r.limit(&all[i].message)
	}
	return all
}

// limitText omits the texts of a message that exceed what the dry run may still show.
func (r *replay) limitText(m *messagePreview) {
	for _, text := range []*string{&m.texts.Subject, &m.texts.Text, &m.texts.HTML, &m.texts.SMS, &m.texts.Push} {
		r.limit(text)
	}
}

func (r *replay) limit(text *string) {
	if r.text+len(*text) > maxDryRunText {
		*text, r.more = "", true
	}
	r.text += len(*text)
}

func dryRunError(err error) error {
	switch {
	case errors.Is(err, ledger.ErrUnavailable):
		return historyError(err)
	case errors.Is(err, dispatch.ErrDataTooLarge):
		return rest.Conflict("The event's data is too large to be evaluated.")
	case errors.Is(err, dispatch.ErrInvalidData):
		return rest.Conflict("The event's data can't be read.")
	}
	return previewError(err)
}
