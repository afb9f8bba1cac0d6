// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"

	"github.com/rehive/extension-operator/internal/ledger"
)

// maxInbox is the greatest offset of a page of an inbox.
const maxInbox = 10_000

// userLog is an in-app message as its user sees it. Messages of other channels are
// not listed: a code that was sent to a phone must not be readable with the session
// that it is to confirm.
type userLog struct {
	ID           int64   `json:"id"`
	Notification *string `json:"notification"`
	Type         string  `json:"type"`
	messageTexts
	Created  int64  `json:"created"`
	Updated  string `json:"updated"` // a text, other than everywhere else
	Received bool   `json:"received"`
}

func newUserLog(d *ledger.Delivery, names map[string]string) userLog {
	updated := d.UpdatedAt
	if d.ReceivedAt.After(updated) {
		updated = d.ReceivedAt
	}
	return userLog{
		ID: d.ID, Notification: nameOf(names, d), Type: d.Channel, messageTexts: textsOf(d),
		Created: d.CreatedAt.UnixMilli(), Updated: updated.UTC().Format("2006-01-02T15:04:05.000Z"), Received: !d.ReceivedAt.IsZero(),
	}
}

// listUserLogs answers GET /api/user/logs/.
func (s *Server) listUserLogs(ctx context.Context, c *call, from *caller) (answer, error) {
	f, err := newFilters(c.request)
	if err != nil {
		return answer{}, err
	}
	p, err := f.paging(maxInbox)
	if err != nil {
		return answer{}, err
	}
	filter := ledger.InboxFilter{
		Company: from.company, UserID: from.user, Received: f.boolean("received"),
		CreatedAfter: f.time("created__gt"), CreatedBefore: f.time("created__lt"),
		Offset: p.offset(), Limit: p.size + 1,
	}
	if err := f.err(); err != nil {
		return answer{}, err
	}
	count, found := 0, []ledger.Delivery(nil)
	if !f.nothing {
		if count, err = s.messages.InboxCount(ctx, filter); err != nil {
			return answer{}, logError(err)
		}
		if p = p.counted(min(count, maxInbox)); p.last {
			filter.Offset = p.offset()
		}
		if found, err = s.messages.Inbox(ctx, filter); err != nil {
			return answer{}, logError(err)
		}
	}
	rules, err := s.notifications(ctx, from.activation)
	if err != nil {
		return answer{}, err
	}
	more := len(found) > p.size
	found = found[:min(len(found), p.size)]
	names := rules.names()
	results := make([]userLog, len(found))
	for i := range found {
		results[i] = newUserLog(&found[i], names)
	}
	return s.page(c.request, p, count, more, results, len(results))
}

// retrieveUserLog answers GET /api/user/logs/{id}/.
func (s *Server) retrieveUserLog(ctx context.Context, c *call, from *caller) (answer, error) {
	id, err := pathID(c.request)
	if err != nil {
		return answer{}, err
	}
	d, err := s.messages.InboxMessage(ctx, from.company, from.user, id)
	if err != nil {
		return answer{}, logError(err)
	}
	rules, err := s.notifications(ctx, from.activation)
	if err != nil {
		return answer{}, err
	}
	return answer{data: newUserLog(&d, rules.names())}, nil
}

// updateUserLog answers PUT and PATCH /api/user/logs/{id}/: the user says whether the
// message was received. A PATCH may leave it as it is.
func (s *Server) updateUserLog(ctx context.Context, c *call, from *caller) (answer, error) {
	received, err := s.readChoice(c.request, "received")
	if err != nil {
		return answer{}, err
	}
	id, err := pathID(c.request)
	if err != nil {
		return answer{}, err
	}
	if received != nil {
		if err := s.messages.SetReceived(ctx, from.company, from.user, id, *received); err != nil {
			return answer{}, logError(err)
		}
	}
	return s.retrieveUserLog(ctx, c, from)
}
