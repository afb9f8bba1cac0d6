// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehive

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Auth returns the user that the token belongs to (GET auth/). It needs no
// permission.
func (s Session) Auth(ctx context.Context) (*User, error) {
	const op = "checking the token"
	user := new(User)
	if err := s.do(ctx, call{op: op, method: http.MethodGet, path: []string{"auth"}}, user); err != nil {
		return nil, err
	}
	if user.ID == "" || user.Company == "" {
		return nil, garbled(op, http.StatusOK, "the answer names no user or no company")
	}
	return user, nil
}

// Company returns the company of the token's user in the form that admins and
// services see (GET admin/company/).
func (s Session) Company(ctx context.Context) (*Company, error) {
	const op = "reading the company"
	company := new(Company)
	if err := s.do(ctx, call{op: op, method: http.MethodGet, path: []string{"admin", "company"}}, company); err != nil {
		return nil, err
	}
	if company.ID == "" {
		return nil, garbled(op, http.StatusOK, "the answer names no company")
	}
	return company, nil
}

// WebhookFilter narrows a list of webhooks; an empty field doesn't.
type WebhookFilter struct {
	URL   string
	Event string
}

// Webhooks lists all webhooks of the company, including those that others registered.
func (s Session) Webhooks(ctx context.Context, filter WebhookFilter) ([]Webhook, error) {
	query := url.Values{}
	if filter.URL != "" {
		query.Set("url", filter.URL)
	}
	if filter.Event != "" {
		query.Set("event", filter.Event)
	}
	in := call{op: "listing webhooks", path: []string{"admin", "webhooks"}, query: query}
	return list(ctx, s, in, func(w Webhook) int64 { return w.ID })
}

// WebhookRequest is a webhook to register. A company has at most one for an URL
// and event.
type WebhookRequest struct {
	URL       string `json:"url"`
	Event     string `json:"event"`
	Secret    string `json:"secret"`
	Condition string `json:"condition,omitempty"`
}

// CreateWebhook registers a webhook. See IsDuplicateWebhook.
func (s Session) CreateWebhook(ctx context.Context, request WebhookRequest) (*Webhook, error) {
	const op = "registering a webhook"
	webhook := new(Webhook)
	in := call{op: op, method: http.MethodPost, path: []string{"admin", "webhooks"}, body: request, secret: request.Secret}
	if err := s.do(ctx, in, webhook); err != nil {
		return nil, err
	}
	if webhook.ID == 0 {
		return nil, garbled(op, http.StatusCreated, "the answer names no webhook")
	}
	return webhook, nil
}

// WebhookPatch changes the fields that are not nil.
type WebhookPatch struct {
	Secret    *string `json:"secret,omitempty"`
	Condition *string `json:"condition,omitempty"`
	Enabled   *bool   `json:"enabled,omitempty"`
	Archived  *bool   `json:"archived,omitempty"`
}

// UpdateWebhook changes a webhook. The platform refuses (400 or 403) when the
// webhook was registered by a service that is active.
func (s Session) UpdateWebhook(ctx context.Context, id int64, patch WebhookPatch) (*Webhook, error) {
	const op = "changing a webhook"
	webhook := new(Webhook)
	in := call{op: op, method: http.MethodPatch, path: webhookPath(id), body: patch}
	if patch.Secret != nil {
		in.secret = *patch.Secret
	}
	if err := s.do(ctx, in, webhook); err != nil {
		return nil, err
	}
	if webhook.ID == 0 {
		return nil, garbled(op, http.StatusOK, "the answer names no webhook")
	}
	return webhook, nil
}

// DeleteWebhook removes a webhook. The platform refuses (400 or 403) when the
// webhook was registered by a service that is active.
func (s Session) DeleteWebhook(ctx context.Context, id int64) error {
	return s.do(ctx, call{op: "deleting a webhook", method: http.MethodDelete, path: webhookPath(id)}, nil)
}

func webhookPath(id int64) []string {
	return []string{"admin", "webhooks", strconv.FormatInt(id, 10)}
}

// Transaction returns one transaction.
func (s Session) Transaction(ctx context.Context, id string) (*Transaction, error) {
	const op = "reading a transaction"
	transaction := new(Transaction)
	if err := s.do(ctx, call{op: op, method: http.MethodGet, path: []string{"admin", "transactions", id}}, transaction); err != nil {
		return nil, err
	}
	if transaction.ID == "" {
		return nil, garbled(op, http.StatusOK, "the answer names no transaction")
	}
	return transaction, nil
}

// ChildTransactions lists the transactions whose parent is the given one: the
// fees that the platform inferred for it.
func (s Session) ChildTransactions(ctx context.Context, parent string) ([]Transaction, error) {
	const op = "listing child transactions"
	if parent == "" {
		// An empty filter would mean every transaction of the company.
		return nil, &Error{Op: op, Status: http.StatusNotFound, Message: "the identifier is empty or malformed", local: true}
	}
	in := call{op: op, path: []string{"admin", "transactions"}, query: url.Values{"parent": {parent}}}
	return list(ctx, s, in, func(t Transaction) string { return t.ID })
}

// User returns a user of the company by UUID.
func (s Session) User(ctx context.Context, id string) (*User, error) {
	const op = "reading a user"
	user := new(User)
	if err := s.do(ctx, call{op: op, method: http.MethodGet, path: []string{"admin", "users", id}}, user); err != nil {
		return nil, err
	}
	if user.ID == "" {
		return nil, garbled(op, http.StatusOK, "the answer names no user")
	}
	return user, nil
}

// MaxUserIDs is how many identifiers [Session.UsersByID] takes: they are part of the URL.
const MaxUserIDs = 100

// UsersByID returns the users of the company that have one of at most [MaxUserIDs]
// identifiers, which are UUIDs. Those that the company doesn't have are missing.
func (s Session) UsersByID(ctx context.Context, ids []string) ([]UserRecord, error) {
	const op = "listing users"
	if len(ids) == 0 || len(ids) > MaxUserIDs {
		// An empty filter would mean every user of the company.
		return nil, &Error{Op: op, Status: http.StatusBadRequest, Message: fmt.Sprintf("from 1 to %d identifiers are needed, not %d", MaxUserIDs, len(ids)), local: true}
	}
	in := call{op: op, path: []string{"admin", "users"}, query: url.Values{"id__in": {strings.Join(ids, ",")}}}
	return list(ctx, s, in, func(u UserRecord) string { return u.ID })
}

// UsersInGroup yields the users of a group that are neither archived nor
// deactivated, reading page after page as it is ranged over. An error ends it.
// A user may be yielded twice when the list changes meanwhile.
func (s Session) UsersInGroup(ctx context.Context, group string) iter.Seq2[UserRecord, error] {
	in, err := usersInGroup(group)
	if err != nil {
		return func(yield func(UserRecord, error) bool) { yield(UserRecord{}, err) }
	}
	return stream[UserRecord](ctx, s, in, maxStreamedPages)
}

// Limits of [Session.Admins].
const (
	// MaxAdmins is how many admins of a company are read.
	MaxAdmins = pageSize
	// maxAdminPages is enough for them if the platform's pages hold a fifth of what was asked for.
	maxAdminPages = 5
)

// Admins yields the first MaxAdmins active users of the group [GroupAdmin], like
// [Session.UsersInGroup]. In case the platform ignores the filter, users that it doesn't report
// as members of the group are left out.
func (s Session) Admins(ctx context.Context) iter.Seq2[User, error] {
	return func(yield func(User, error) bool) {
		in, err := usersInGroup(GroupAdmin)
		if err != nil {
			yield(User{}, err)
			return
		}
		read := 0
		for user, err := range stream[User](ctx, s, in, maxAdminPages) {
			wanted := err != nil || user.InGroup(GroupAdmin) && !user.Archived && !user.Deactivated
			if wanted && !yield(user, err) {
				return
			}
			if read++; read == MaxAdmins {
				return
			}
		}
	}
}

// CountUsersInGroup returns how many users [Session.UsersInGroup] yields.
func (s Session) CountUsersInGroup(ctx context.Context, group string) (int, error) {
	in, err := usersInGroup(group)
	if err != nil {
		return 0, err
	}
	in.method = http.MethodGet
	in.query.Set("page_size", "1")
	var found struct {
		Count *int `json:"count"`
	}
	if err := s.do(ctx, in, &found); err != nil {
		return 0, err
	}
	if found.Count == nil || *found.Count < 0 {
		return 0, garbled(in.op, http.StatusOK, "the answer is not a list with a count")
	}
	return *found.Count, nil
}

func usersInGroup(group string) (call, error) {
	const op = "listing the users of a group"
	if group == "" {
		// An empty filter would mean every user of the company.
		return call{}, &Error{Op: op, Status: http.StatusNotFound, Message: "the identifier is empty or malformed", local: true}
	}
	query := url.Values{"group": {group}, "archived": {"false"}, "deactivated": {"false"}}
	return call{op: op, path: []string{"admin", "users"}, query: query}, nil
}

// UserDevices lists a user's devices with their push tokens.
func (s Session) UserDevices(ctx context.Context, user string) ([]Device, error) {
	const op = "listing a user's devices"
	if user == "" {
		return nil, &Error{Op: op, Status: http.StatusNotFound, Message: "the identifier is empty or malformed", local: true}
	}
	in := call{op: op, path: []string{"admin", "users", "devices"}, query: url.Values{"user": {user}}}
	return list(ctx, s, in, func(d Device) int64 { return d.ID })
}
