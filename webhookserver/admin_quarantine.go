// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"

	"github.com/rehive/extension-operator/internal/ledger"
)

// maxQuarantined is how many quarantined events can be paged through: the oldest.
const maxQuarantined = 1000

// quarantinedEvent is an event that is not tried again until an admin releases it.
type quarantinedEvent struct {
	ID           int64  `json:"id"`
	Event        string `json:"event"`
	EventID      string `json:"event_id"`
	Reason       string `json:"reason"`
	ErrorMessage string `json:"error_message"`
	Attempts     int    `json:"attempts"`
	Created      int64  `json:"created"`
	Quarantined  int64  `json:"quarantined"`
}

// listQuarantine answers GET /api/admin/quarantine/. Rehive's own extension has
// nothing of the kind.
func (s *Server) listQuarantine(ctx context.Context, c *call, from *caller) (answer, error) {
	f, err := newFilters(c.request)
	if err != nil {
		return answer{}, err
	}
	p, err := f.paging(maxQuarantined)
	if err != nil {
		return answer{}, err
	}
	if err := f.err(); err != nil {
		return answer{}, err
	}
	found, err := s.messages.QuarantinedEvents(ctx, from.company, 0, maxQuarantined)
	if err != nil {
		return answer{}, logError(err)
	}
	count := len(found)
	found = found[min(p.offset(), count):]
	more := len(found) > p.size
	found = found[:min(p.size, len(found))]
	results := make([]quarantinedEvent, len(found))
	for i := range found {
		e := &found[i]
		results[i] = quarantinedEvent{
			ID: e.Key, Event: e.Name, EventID: e.ID, Reason: e.Reason, ErrorMessage: e.Message, Attempts: e.Attempts,
			Created: e.ReceivedAt.UnixMilli(), Quarantined: e.At.UnixMilli(),
		}
	}
	return s.page(c.request, p, count, more, results, len(results))
}

// releaseQuarantine answers POST /api/admin/quarantine/{id}/release/: the event is
// decided again, with all its attempts.
func (s *Server) releaseQuarantine(ctx context.Context, c *call, from *caller) (answer, error) {
	id, err := pathID(c.request)
	if err != nil {
		return answer{}, err
	}
	released, err := s.messages.ReleaseQuarantinedEvent(ctx, from.company, id)
	switch {
	case err != nil:
		return answer{}, logError(err)
	case !released:
		return answer{}, logError(ledger.ErrNotFound)
	}
	c.log.Info("Releasing a quarantined event", "company", from.company, "user", from.user, "key", id)
	return answer{}, nil
}
