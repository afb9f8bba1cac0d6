// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package user

import (
	"context"
	"errors"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/webhookserver/messages"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

const (
	// keepAlive is how often something is sent on an idle stream. Proxies often end a
	// connection after a minute of silence.
	keepAlive = 25 * time.Second
	// streamReads is how many messages are read for streams at once.
	streamReads = 4
)

// errTooSlow ends the stream of a client that reads more slowly than its messages arrive.
var errTooSlow = errors.New("the client of the stream reads too slowly")

// inboxEvents returns the operation that streams a user's new in-app messages. Rehive's own
// extension has no equivalent.
func (a *API) inboxEvents() rest.Operation {
	events := rest.Events{
		Path: "user/inbox/events/", For: rest.Users,
		Description: "Server-sent events. Each event message has the id of a new in-app message, and the message as its data, " +
			"as in the list of logs. A message may be repeated after the stream is resumed.",
		Open: func(ctx context.Context, r *rest.Request, after int64) (rest.ServeFunc, error) {
			// Subscribe first, so that nothing is missed in between.
			s, err := a.feed.subscribe(ctx, r.Caller.Company, r.Caller.User)
			if err != nil {
				return nil, messages.Error(err)
			}
			var missed []int64
			if after > 0 {
				if missed, err = a.Ledger.InboxAfter(ctx, r.Caller.Company, r.Caller.User, after); err != nil {
					a.feed.unsubscribe(s)
					return nil, messages.Error(err)
				}
			}
			return func(ctx context.Context, stream *rest.Stream) error {
				defer a.feed.unsubscribe(s)
				if err := stream.Begin(); err != nil {
					return err
				}
				return a.sendMessages(ctx, r, stream, missed, s.ids)
			}, nil
		},
	}
	return events.Operation()
}

// sendMessages sends the messages that were missed, and then new ones until ctx ends.
func (a *API) sendMessages(ctx context.Context, r *rest.Request, stream *rest.Stream, missed []int64, arriving <-chan int64) error {
	// A missed message may have arrived after the subscription began.
	sent := make(map[int64]bool, len(missed))
	for _, id := range missed {
		if err := a.sendMessage(ctx, r, stream, id); err != nil {
			return err
		}
		sent[id] = true
	}
	idle := time.NewTicker(keepAlive)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-idle.C:
			if err := stream.KeepAlive(ctx); err != nil {
				return err
			}
		case id, ok := <-arriving:
			if !ok {
				return errTooSlow
			}
			if sent[id] {
				continue
			}
			if err := a.sendMessage(ctx, r, stream, id); err != nil {
				return err
			}
		}
	}
}

// sendMessage sends a message unless it was deleted meanwhile.
func (a *API) sendMessage(ctx context.Context, r *rest.Request, stream *rest.Stream, id int64) error {
	if err := stream.Admit(ctx); err != nil {
		return err
	}
	data, err := a.readMessage(ctx, r, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return stream.Send("message", id, data)
}

// readMessage returns a message of the caller as JSON.
func (a *API) readMessage(ctx context.Context, r *rest.Request, id int64) ([]byte, error) {
	select {
	case a.reads <- struct{}{}:
		defer func() { <-a.reads }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d, err := a.Ledger.InboxMessage(ctx, r.Caller.Company, r.Caller.User, id)
	if err != nil {
		return nil, err
	}
	names, err := a.names(ctx, r)
	if err != nil {
		return nil, err
	}
	l := readLog(&d, names)
	return logSerializer.Append(nil, &l), nil
}
