// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import "time"

// DeliveryState is where a delivery stands.
type DeliveryState string

// The states of a delivery.
const (
	// DeliveryPending: to be sent, now or at its next attempt.
	DeliveryPending DeliveryState = "pending"
	// DeliverySent: the provider accepted it.
	DeliverySent DeliveryState = "sent"
	// DeliveryFailed: refused for good, or its attempts are exhausted.
	DeliveryFailed DeliveryState = "failed"
	// DeliverySkipped: it was decided not to send; the reason says why.
	DeliverySkipped DeliveryState = "skipped"
	// DeliveryCancelled: its company went before it was sent.
	DeliveryCancelled DeliveryState = "cancelled"
)

// Channels of a delivery, as the platform's notifications name them.
const (
	ChannelEmail  = "email"
	ChannelSMS    = "sms"
	ChannelPush   = "push"
	ChannelSystem = "system"
)

// Reasons that the ledger itself gives. Others are the callers'.
const (
	// ReasonCompanyInactive: the company was deactivated.
	ReasonCompanyInactive = "CompanyInactive"
	// ReasonCompanyDeleted: the company's activation was deleted.
	ReasonCompanyDeleted = "CompanyDeleted"
)

// Content is what a delivery says, rendered. It is stored as JSON.
type Content struct {
	From    string `json:"from,omitempty"`
	Subject string `json:"subject,omitempty"`
	Text    string `json:"text,omitempty"`
	HTML    string `json:"html,omitempty"`
}

// NewDelivery is a decision about one rule and one recipient of an event.
type NewDelivery struct {
	// RuleUID and RuleName are of the NotificationRule; the name is
	// namespace/name. The UID is what makes the delivery unique.
	RuleUID, RuleName string
	// Channel is one of the Channel constants.
	Channel string
	// Recipient is one address in the channel's own form. It is empty in a
	// skipped delivery that found none.
	Recipient string
	// Content is what to say; zero in a skipped delivery.
	Content Content
	// SkipReason, if it isn't empty, stores the delivery as skipped: one CamelCase
	// word such as ExpressionFalse or NoRecipient.
	SkipReason string
	// SkipMessage says in one sentence, without customer data, why it is skipped.
	SkipMessage string
	// FailReason and FailMessage store the delivery as failed in the same way: the
	// rule fired, but its message could not be made (a template that fails on this
	// event, an address that is none).
	FailReason, FailMessage string
}

// Delivery is a row of the log.
type Delivery struct {
	ID int64
	// Company, EventID, EventName and EventReceivedAt are the event's.
	Company, EventID, EventName string
	EventReceivedAt             time.Time
	RuleUID, RuleName           string
	Channel, Recipient          string
	Content                     Content
	State                       DeliveryState
	// Reason is one CamelCase word, Message one sentence; of the last attempt, or
	// of the decision not to send.
	Reason, Message string
	// Attempts counts the claims.
	Attempts int
	// NextAttemptAt is when a pending delivery may be claimed; while it is
	// claimed, when the lease ends.
	NextAttemptAt time.Time
	// ProviderID is what the provider calls the message.
	ProviderID           string
	CreatedAt, UpdatedAt time.Time
}

// ClaimedDelivery is a delivery that the caller may send until its lease ends.
type ClaimedDelivery struct {
	Delivery
	// LeaseUntil is when another worker may claim it.
	LeaseUntil time.Time

	lease int64
}

// DeliveryFilter narrows [Store.ListDeliveries]. Zero fields don't narrow.
type DeliveryFilter struct {
	Company string
	EventID string
	RuleUID string
	State   DeliveryState
	// After lists only deliveries whose ID is greater; pages are made with it.
	After int64
	// Limit is the greatest number of deliveries to return; 0 means 100, more
	// than 1000 is 1000.
	Limit int
}
