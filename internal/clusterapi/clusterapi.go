// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package clusterapi is the contract between kubectl rehive and a running operator: the
// operations, their requests and results, and the permissions that they require. The
// operator serves them beside its admission webhook, where the API server's proxy of
// Services reaches it. See docs/adr/0021-identity-of-kubectl-users.md.
package clusterapi

import "time"

const (
	// Prefix is the path of all operations.
	Prefix = "/cluster/v1/"
	// Audience is that of the tokens, so that neither is a token of the API server accepted
	// by the operator, nor one for the operator by the API server.
	Audience = "rehive-extension-operator"
	// TokenHeader carries the token of a service account. The API server's proxy removes the
	// header Authorization.
	TokenHeader = "Rehive-Token" //nolint:gosec // the name of a header
	// UserHeader carries the name that the API server knows the caller by. It is for the
	// audit log only and is not verified.
	UserHeader = "Rehive-User"

	// Service is the Service of the operations in the manifests, in the operator's namespace.
	Service = "rehive-extension-admission"
	// Port is the name of its port.
	Port = "https"
	// Viewer is the service account of the manifests, in each watched namespace, that may see
	// things.
	Viewer = "rehive-extension-cli-viewer"
	// Editor is the one that may also change things.
	Editor = "rehive-extension-cli-editor"

	// Group is the API group of all permissions.
	Group = "extensions.rehive.com"
	// Resource is the resource of all permissions, with [Operation.Subresource].
	Resource = "companyactivations"
)

// Operation is one call. It requires a permission on a subresource of the
// CompanyActivation that its request names. The subresources exist for authorization only.
type Operation struct {
	// Path is relative to Prefix.
	Path string
	// Subresource and Verb are the permission.
	Subresource, Verb string
}

// The operations. All are POST requests with a JSON body, so that the API server's audit
// log, which records URLs, receives no customer data.
var (
	// ListMessages returns messages of a company: MessageQuery to MessageList.
	ListMessages = Operation{"messages/list", "messages", "get"}
	// ReplayMessages sends messages again and releases quarantined ones: Replay to Replayed.
	ReplayMessages = Operation{"messages/replay", "messages", "create"}
	// EraseUser erases what the operator stores about a user: Erase to Erased.
	EraseUser = Operation{"users/erase", "users", "delete"}
	// ListSuppressions returns the recipients that receive none of a company's messages:
	// SuppressionQuery to SuppressionList.
	ListSuppressions = Operation{"suppressions/list", "suppressions", "get"}
	// AddSuppression adds one: NewSuppression to AddedSuppression.
	AddSuppression = Operation{"suppressions/add", "suppressions", "create"}
	// ImportSuppressions adds exported ones: SuppressionImport to ImportedSuppressions.
	ImportSuppressions = Operation{"suppressions/import", "suppressions", "create"}
	// RemoveSuppressions removes some: SuppressionRemoval to RemovedSuppressions.
	RemoveSuppressions = Operation{"suppressions/remove", "suppressions", "delete"}
)

// Target is the CompanyActivation that a request is about. It is part of every request.
type Target struct {
	Namespace  string `json:"namespace"`
	Activation string `json:"activation"`
}

// Of returns the target; requests embed it.
func (t Target) Of() Target { return t }

const (
	// MaxMessages is the size of a page of messages.
	MaxMessages = 250
	// MaxIDs is how many messages or suppressions one request may name.
	MaxIDs = 100
	// MaxReplayed is how many messages one request sends again.
	MaxReplayed = 10_000
)

// Selection selects messages of a company. Empty fields match everything.
type Selection struct {
	// Rule is the name of a NotificationRule in the activation's namespace.
	Rule      string `json:"rule,omitempty"`
	Channel   string `json:"channel,omitempty"`
	Recipient string `json:"recipient,omitempty"`
	User      string `json:"user,omitempty"`
	// Event is the platform's identifier of an event.
	Event  string   `json:"event,omitempty"`
	States []string `json:"states,omitempty"`
	Reason string   `json:"reason,omitempty"`
	// Since is exclusive.
	Since time.Time `json:"since,omitzero"`
}

// MessageQuery asks for messages.
type MessageQuery struct {
	Target
	Selection
	// IDs, if any, are the messages to return; everything else is ignored. Unknown ones are
	// left out.
	IDs []int64 `json:"ids,omitempty"`
	// After, if not 0, is the ID that the messages follow in the order of the list.
	After int64 `json:"after,omitempty"`
	// OldestFirst reverses the order, which is newest first.
	OldestFirst bool `json:"oldestFirst,omitempty"`
	// Limit is at most MaxMessages, which 0 also means.
	Limit int `json:"limit,omitempty"`
	// All includes the decisions of rules that are disabled or whose expression was false.
	All bool `json:"all,omitempty"`
}

// MessageList is a page of messages.
type MessageList struct {
	Messages []Message `json:"messages"`
	// More reports whether there are messages after these.
	More bool `json:"more,omitempty"`
}

// Message is a message, or the decision not to send one, without its texts.
type Message struct {
	ID int64 `json:"id"`
	// Created and Updated are when it was decided and when its state last changed.
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	// Company is the platform's identifier. Rule is namespace/name, and empty for an event
	// that is quarantined.
	Company    string `json:"company"`
	Rule       string `json:"rule,omitempty"`
	Channel    string `json:"channel"`
	Recipient  string `json:"recipient,omitempty"`
	User       string `json:"user,omitempty"`
	Event      string `json:"event"`
	EventID    string `json:"eventID"`
	State      string `json:"state"`
	Reason     string `json:"reason,omitempty"`
	Message    string `json:"message,omitempty"`
	Attempts   int    `json:"attempts"`
	Copy       int    `json:"copy,omitempty"`
	ProviderID string `json:"providerID,omitempty"`
	// Outcome is the provider's report after it had accepted the message, such as delivered
	// or bounced, with one sentence about it; empty if there is none.
	Outcome       string `json:"outcome,omitempty"`
	OutcomeDetail string `json:"outcomeDetail,omitempty"`
	// Expires is when it may no longer be sent.
	Expires time.Time `json:"expires,omitzero"`
}

// Ended reports whether the message will not change unless somebody sends it again.
func (m *Message) Ended() bool { return m.State != "pending" }

// Replay sends messages again, or releases quarantined ones.
type Replay struct {
	Target
	// IDs are messages. If there are none, the Selection is used, whose States may be
	// failed, cancelled and quarantined, and are failed if empty.
	IDs []int64 `json:"ids,omitempty"`
	Selection
	// After, if not 0, is the Next of the request before: only later messages are sent.
	After int64 `json:"after,omitempty"`
	// DryRun only counts.
	DryRun bool `json:"dryRun,omitempty"`
}

// Replayed says what was sent again.
type Replayed struct {
	// Count is how many messages are sent again, and Events how many quarantined events are
	// evaluated again.
	Count  int `json:"count"`
	Events int `json:"events,omitempty"`
	// More reports whether the selection has more messages than one request sends. Next is
	// then the After of the request for them, so that those that failed again by then are not
	// sent once more; it is 0 for a dry run.
	More bool  `json:"more,omitempty"`
	Next int64 `json:"next,omitempty"`
	// Refused are the messages among the IDs that can't be sent again.
	Refused []Refusal `json:"refused,omitempty"`
}

// Refusal says in one sentence why a message can't be sent again.
type Refusal struct {
	ID      int64  `json:"id"`
	Message string `json:"message"`
}

// Erase erases what the operator stores about one of the company's users.
type Erase struct {
	Target
	// User is the platform's identifier of the user, a UUID.
	User string `json:"user"`
	// Addresses are email addresses and phone numbers of the user, at most 20. Messages to
	// them are erased even if they name no user.
	Addresses []string `json:"addresses,omitempty"`
	// DryRun only counts.
	DryRun bool `json:"dryRun,omitempty"`
}

// Erased counts what was erased or, after a dry run, would be.
type Erased struct {
	Messages    int64 `json:"messages"`
	Events      int64 `json:"events"`
	Preferences int64 `json:"preferences"`
	// Subject identifies the record of the erasure without naming the user: see
	// /api/admin/erasures/. It is empty after a dry run.
	Subject string `json:"subject,omitempty"`
}

// SuppressionQuery asks for suppressions, the newest first. Empty fields match everything.
type SuppressionQuery struct {
	Target
	Channel   string `json:"channel,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Recipient string `json:"recipient,omitempty"`
	// After, if not 0, is the ID that the suppressions follow in the order of the list.
	After int64 `json:"after,omitempty"`
}

// SuppressionList is a page of at most MaxMessages suppressions.
type SuppressionList struct {
	Suppressions []Suppression `json:"suppressions"`
	// More reports whether there are suppressions after these.
	More bool `json:"more,omitempty"`
}

// Suppression is a recipient that receives none of a company's messages on a channel.
type Suppression struct {
	ID int64 `json:"id"`
	// Company is the platform's identifier.
	Company string `json:"company"`
	Channel string `json:"channel"`
	// Recipient is an email address, a phone number or, for push, the user's identifier; a
	// digest if the user's data was erased.
	Recipient string `json:"recipient"`
	// Device is the hash of the push token if only one of the user's devices is suppressed.
	Device string    `json:"device,omitempty"`
	Reason string    `json:"reason"`
	Source string    `json:"source"`
	Note   string    `json:"note,omitempty"`
	Since  time.Time `json:"since"`
	// Until is when it ends; it is absent if it doesn't end by itself.
	Until time.Time `json:"until,omitzero"`
}

// NewSuppression adds a recipient.
type NewSuppression struct {
	Target
	Channel   string `json:"channel"`
	Recipient string `json:"recipient"`
	// Note is a remark of at most 250 characters.
	Note string `json:"note,omitempty"`
}

// AddedSuppression says which recipient was suppressed, in the form of the list.
type AddedSuppression struct {
	Company   string `json:"company"`
	Recipient string `json:"recipient"`
}

// SuppressionImport adds suppressions as [SuppressionList] has them, at most MaxIDs. Those that
// exist stay as they are. IDs and Since are ignored.
type SuppressionImport struct {
	Target
	Suppressions []Suppression `json:"suppressions"`
	// DryRun changes nothing.
	DryRun bool `json:"dryRun,omitempty"`
}

// ImportedSuppressions says what became, or would become, of each suppression of a request, in
// the same order.
type ImportedSuppressions struct {
	Results []ImportResult `json:"results"`
}

// ImportResult is the outcome of one suppression. It existed already if Added is false and
// Problem is empty.
type ImportResult struct {
	Added bool `json:"added,omitempty"`
	// Problem is a sentence about a suppression that is invalid or has ended.
	Problem string `json:"problem,omitempty"`
}

// SuppressionRemoval removes the suppressions with the IDs.
type SuppressionRemoval struct {
	Target
	IDs []int64 `json:"ids"`
}

// RemovedSuppressions says which of the suppressions were removed, and which did not exist.
type RemovedSuppressions struct {
	Removed []int64 `json:"removed"`
	Unknown []int64 `json:"unknown,omitempty"`
}
