// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package user

import (
	"context"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/webhookserver/messages"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

// inbox summarizes a user's in-app messages. Rehive's own extension has no equivalent.
type inbox struct {
	unread, newest int64
	upTo           int64 // of a request
}

var (
	inboxSerializer = &rest.Serializer[inbox]{Name: "UserInbox", Fields: []rest.Field[inbox]{
		rest.Integer("unread", func(i *inbox) int64 { return i.unread }).Describe("How many messages the user has not received."),
		rest.Integer("newest", func(i *inbox) int64 { return i.newest }).Describe("The id of the newest message; 0 if there is none."),
	}}
	readInboxSerializer = &rest.Serializer[inbox]{Name: "UserReadInbox", Fields: []rest.Field[inbox]{
		rest.Number("up_to", func(i *inbox) *int64 { return &i.upTo }).Required().
			Describe("The id of the newest message that the user has seen. Newer ones stay unread."),
	}}
)

// summary reads the state of a user's inbox.
func (a *API) summary(ctx context.Context, r *rest.Request) (*inbox, error) {
	no := false
	unread, err := a.Ledger.InboxCount(ctx, ledger.InboxFilter{Company: r.Caller.Company, UserID: r.Caller.User, Received: &no})
	if err != nil {
		return nil, messages.Error(err)
	}
	newest, err := a.Ledger.Inbox(ctx, ledger.InboxFilter{Company: r.Caller.Company, UserID: r.Caller.User, Limit: 1})
	if err != nil {
		return nil, messages.Error(err)
	}
	i := &inbox{unread: int64(unread)}
	if len(newest) > 0 {
		i.newest = newest[0].ID
	}
	return i, nil
}

// inbox returns the operation that counts the unread messages.
func (a *API) inbox() rest.Operation {
	action := rest.Action[struct{}]{
		Method: "GET", Path: "user/inbox/", For: rest.Users, Result: rest.ResultOf(inboxSerializer),
		Do: func(ctx context.Context, r *rest.Request, _ *struct{}) (rest.Answer, error) {
			i, err := a.summary(ctx, r)
			if err != nil {
				return rest.Answer{}, err
			}
			return rest.DataOf(inboxSerializer, i), nil
		},
	}
	return action.Operation()
}

// readInbox returns the operation that marks all messages as received that the user has seen.
func (a *API) readInbox() rest.Operation {
	action := rest.Action[inbox]{
		Path: "user/inbox/read/", For: rest.Users, Body: readInboxSerializer, Result: rest.ResultOf(inboxSerializer),
		Do: func(ctx context.Context, r *rest.Request, asked *inbox) (rest.Answer, error) {
			if _, err := a.Ledger.SetAllReceived(ctx, r.Caller.Company, r.Caller.User, asked.upTo); err != nil {
				return rest.Answer{}, messages.Error(err)
			}
			i, err := a.summary(ctx, r)
			if err != nil {
				return rest.Answer{}, err
			}
			return rest.DataOf(inboxSerializer, i), nil
		},
	}
	return action.Operation()
}
