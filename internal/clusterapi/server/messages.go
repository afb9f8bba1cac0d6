// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rehive/extension-operator/internal/clusterapi"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
)

// maxReleased is how many quarantined events a dry run counts.
const maxReleased = 1000

// filter converts a selection.
func (c *call) filter(s *clusterapi.Selection) ledger.LogFilter {
	f := ledger.LogFilter{
		Company: c.company, Recipient: s.Recipient, UserID: strings.ToLower(s.User), EventID: s.Event, Reason: s.Reason, CreatedAfter: s.Since,
	}
	if s.Rule != "" {
		f.Rules = []string{c.target.Namespace + "/" + s.Rule}
	}
	if s.Channel != "" {
		f.Channels = []string{s.Channel}
	}
	for _, state := range s.States {
		f.States = append(f.States, ledger.DeliveryState(state))
	}
	return f
}

func (s *Server) listMessages(ctx context.Context, c *call, q *clusterapi.MessageQuery) (*clusterapi.MessageList, error) {
	list := &clusterapi.MessageList{Messages: []clusterapi.Message{}}
	if len(q.IDs) > 0 {
		if err := checkIDs(q.IDs); err != nil {
			return nil, err
		}
		for _, id := range q.IDs {
			d, err := s.o.Ledger.LogEntry(ctx, c.company, id)
			switch {
			case errors.Is(err, ledger.ErrNotFound):
			case err != nil:
				return nil, statusOf(err)
			default:
				list.Messages = append(list.Messages, messageOf(&d))
			}
		}
		return list, nil
	}
	filter := c.filter(&q.Selection)
	filter.OldestFirst, filter.After = q.OldestFirst, q.After
	if !q.All && len(filter.States) == 0 && filter.Reason == "" && filter.EventID == "" {
		filter.NotReasons = []string{string(notify.ExpressionFalse), string(notify.RuleDisabled)}
	}
	limit := q.Limit
	if limit <= 0 || limit > clusterapi.MaxMessages {
		limit = clusterapi.MaxMessages
	}
	page, err := s.o.Ledger.Log(ctx, filter, 0, limit)
	if err != nil {
		return nil, statusOf(err)
	}
	list.More = page.More
	for i := range page.Deliveries {
		list.Messages = append(list.Messages, messageOf(&page.Deliveries[i]))
	}
	return list, nil
}

func messageOf(d *ledger.Delivery) clusterapi.Message {
	return clusterapi.Message{
		ID: d.ID, Created: d.CreatedAt, Updated: d.UpdatedAt, Company: d.Company, Rule: d.RuleName, Channel: d.Channel,
		Recipient: d.Recipient, User: d.UserID, Event: d.EventName, EventID: d.EventID, State: string(d.State),
		Reason: d.Reason, Message: d.Message, Attempts: d.Attempts, Copy: d.Copy, ProviderID: d.ProviderID, Outcome: string(d.Outcome), OutcomeDetail: d.OutcomeDetail, Expires: d.ExpiresAt,
	}
}

func (s *Server) replayMessages(ctx context.Context, c *call, r *clusterapi.Replay) (*clusterapi.Replayed, error) {
	if len(r.IDs) > 0 {
		return s.replayByID(ctx, c, r)
	}
	filter := c.filter(&r.Selection)
	filter.After = r.After
	if len(filter.States) == 0 {
		filter.States = []ledger.DeliveryState{ledger.DeliveryFailed}
	}
	for _, state := range filter.States {
		if state != ledger.DeliveryFailed && state != ledger.DeliveryCancelled && state != ledger.DeliveryQuarantined {
			return nil, apierrors.NewBadRequest("Only failed, cancelled and quarantined messages can be sent again in bulk.")
		}
	}
	// A quarantined event has neither a rule nor a recipient yet.
	one := &r.Selection
	events := slices.Contains(filter.States, ledger.DeliveryQuarantined) &&
		one.Rule == "" && one.Channel == "" && one.Recipient == "" && one.User == "" && one.Event == "" && one.Reason == "" && one.Since.IsZero()
	if r.DryRun {
		return s.countReplay(ctx, c, filter, events)
	}
	done := &clusterapi.Replayed{}
	var err error
	done.Count, done.Next, err = s.o.Ledger.ResendAll(ctx, filter, clusterapi.MaxReplayed)
	done.More = done.Next != 0
	if err == nil && events {
		done.Events, err = s.o.Ledger.ReleaseQuarantinedEvents(ctx, c.company)
	}
	if done.Count+done.Events > 0 || err == nil {
		// Not the recipient, which is customer data.
		c.log.Info("Sending messages again", "states", filter.States, "rules", filter.Rules, "channels", filter.Channels,
			"since", filter.CreatedAfter, "count", done.Count, "events", done.Events, "more", done.More)
	}
	if err != nil && done.Count+done.Events == 0 {
		return nil, statusOf(err)
	}
	done.More = done.More || err != nil
	return done, nil
}

func (s *Server) countReplay(ctx context.Context, c *call, filter ledger.LogFilter, events bool) (*clusterapi.Replayed, error) {
	counted := &clusterapi.Replayed{}
	var err error
	if counted.Count, counted.More, err = s.o.Ledger.CountResendable(ctx, filter, clusterapi.MaxReplayed); err != nil {
		return nil, statusOf(err)
	}
	if events {
		found, err := s.o.Ledger.QuarantinedEvents(ctx, c.company, 0, maxReleased)
		if err != nil {
			return nil, statusOf(err)
		}
		counted.Events = len(found)
	}
	return counted, nil
}

func (s *Server) replayByID(ctx context.Context, c *call, r *clusterapi.Replay) (*clusterapi.Replayed, error) {
	if err := checkIDs(r.IDs); err != nil {
		return nil, err
	}
	done := &clusterapi.Replayed{}
	for _, id := range r.IDs {
		pending, isEvent, err := s.replayOne(ctx, c, id, r.DryRun)
		switch refusal := refusalOf(err); {
		case refusal != "":
			done.Refused = append(done.Refused, clusterapi.Refusal{ID: id, Message: refusal})
		case err != nil && done.Count+done.Events == 0:
			return nil, statusOf(err)
		case err != nil:
			done.Refused = append(done.Refused, clusterapi.Refusal{ID: id, Message: "The ledger is not available. Try again later."})
		default:
			if isEvent {
				done.Events++
			} else {
				done.Count++
			}
			if !r.DryRun {
				c.log.Info("Sending a message again", "delivery", id, "as", pending, "event", isEvent)
			}
		}
	}
	return done, nil
}

// replayOne sends a message again, or releases the event that the entry of the log stands
// for.
func (s *Server) replayOne(ctx context.Context, c *call, id int64, dryRun bool) (pending int64, isEvent bool, err error) {
	d, err := s.o.Ledger.LogEntry(ctx, c.company, id)
	if err != nil {
		return 0, false, err
	}
	isEvent = d.RuleName == ""
	if dryRun {
		if isEvent {
			return 0, true, nil
		}
		return 0, false, d.Resendable()
	}
	if !isEvent {
		pending, err = s.o.Ledger.Resend(ctx, c.company, id, "")
		return pending, false, err
	}
	event, err := s.o.Ledger.StoredEvent(ctx, c.company, d.EventID)
	if err != nil {
		return 0, true, err
	}
	released, err := s.o.Ledger.ReleaseQuarantinedEvent(ctx, c.company, event.Key)
	if err == nil && !released {
		err = ledger.ErrNotFound
	}
	return event.Key, true, err
}

// refusalOf returns why a message can't be sent again; empty for other errors.
func refusalOf(err error) string {
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return "There is no such message."
	case errors.Is(err, ledger.ErrPending):
		return "It has not been sent yet."
	case errors.Is(err, ledger.ErrMasked):
		return "It is sensitive and was masked. Trigger a new one instead, for example by requesting another code."
	case errors.Is(err, ledger.ErrNoMessage):
		return "There is no message to send: see its reason."
	}
	return ""
}

func checkIDs(ids []int64) error {
	if len(ids) > clusterapi.MaxIDs {
		return apierrors.NewBadRequest(fmt.Sprintf("One request may have at most %d IDs.", clusterapi.MaxIDs))
	}
	return nil
}

// statusOf converts an error of the ledger that a caller can do something about.
func statusOf(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return unavailable("The ledger could not be searched in time. Narrow the search, for instance with --since, or try again later.")
	case errors.Is(err, ledger.ErrUnavailable):
		return unavailable("The ledger is not available. Try again later.")
	}
	return err
}

func unavailable(message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusServiceUnavailable, Reason: metav1.StatusReasonServiceUnavailable, Message: message,
	}}
}
