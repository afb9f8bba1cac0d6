// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"strings"
	"time"
)

// DeliveryState is the state of a delivery.
type DeliveryState string

// The states of a delivery.
const (
	// DeliveryPending: to be sent, now or at its next attempt.
	DeliveryPending DeliveryState = "pending"
	// DeliverySent: the provider accepted it.
	DeliverySent DeliveryState = "sent"
	// DeliveryFailed: rejected for good, or out of attempts.
	DeliveryFailed DeliveryState = "failed"
	// DeliverySkipped: the decision was not to send; the reason says why.
	DeliverySkipped DeliveryState = "skipped"
	// DeliveryCancelled: its company left before it was sent.
	DeliveryCancelled DeliveryState = "cancelled"
	// DeliveryQuarantined: set aside, because another attempt did harm or would.
	DeliveryQuarantined DeliveryState = "quarantined"
)

// Channels of a delivery, as the platform's notifications name them.
const (
	ChannelEmail  = "email"
	ChannelSMS    = "sms"
	ChannelPush   = "push"
	ChannelSystem = "system"
)

// Reasons that the ledger itself sets. All others come from its callers.
const (
	// ReasonCompanyInactive: the company was deactivated.
	ReasonCompanyInactive = "CompanyInactive"
	// ReasonCompanyDeleted: the company's activation was deleted.
	ReasonCompanyDeleted = "CompanyDeleted"
	// ReasonErased: a user whom the event names was erased.
	ReasonErased = "Erased"
	// ReasonFallbackWaiting: the message stands in for another one, which has not ended yet.
	ReasonFallbackWaiting = "FallbackWaiting"
	// ReasonFallbackUnread: the message is sent unless the one that it stands in for is read.
	ReasonFallbackUnread = "FallbackUnread"
	// ReasonFallbackNotNeeded: the message that this one stands in for was sent or read.
	ReasonFallbackNotNeeded = "FallbackNotNeeded"
	// ReasonSuppressed: messages to the address are suppressed.
	ReasonSuppressed = "Suppressed"
	// ReasonExpired: the message was not sent within its validity.
	ReasonExpired = "Expired"
	// ReasonThrottled: the recipient already received as many messages of the rule as its
	// throttle allows.
	ReasonThrottled = "Throttled"
	// ReasonCollected: the same, and the message is part of a digest.
	ReasonCollected = "Collected"
)

// Mask replaces texts that were masked.
const Mask = "•••"

// Content is the rendered text of a delivery.
type Content struct {
	From, Subject, Text, HTML string
	// SMS changes how an SMS is sent.
	SMS SMSOptions
}

// SMSOptions are ways to send an SMS other than as its text.
type SMSOptions struct {
	// ContentSID is the SID of a Twilio content template, which is sent through WhatsApp
	// instead of the text; empty to send the text.
	ContentSID string `json:"contentSid,omitempty"`
	// ContentVariables are the values of the template's placeholders, as a JSON object.
	ContentVariables string `json:"contentVariables,omitempty"`
	// Verify sends the code in the text through Twilio Verify.
	Verify bool `json:"verify,omitempty"`
}

// Size is the length of all texts in bytes.
func (c *Content) Size() int {
	return len(c.From) + len(c.Subject) + len(c.Text) + len(c.HTML) + len(c.SMS.ContentSID) + len(c.SMS.ContentVariables)
}

// NewDelivery is a decision about one rule and one recipient of an event.
type NewDelivery struct {
	// RuleName is the namespace/name of the NotificationRule. The name identifies the
	// delivery, not the UID: a rule that was replaced or restored is the same rule.
	RuleName string
	// Channel is one of the Channel constants.
	Channel string
	// Recipient is one address in the channel's own form. It is empty if the delivery
	// was skipped because there was none.
	Recipient string
	// UserID is the user on Rehive that the message is about; empty if unknown. For an
	// in-app message it is the recipient.
	UserID string
	// Content is the message; zero if the delivery is skipped.
	Content Content
	// ValidFor is how long after the event was received the message may be sent; 0 if it
	// never expires.
	ValidFor time.Duration
	// Sensitive has the texts masked once the delivery has ended.
	Sensitive bool
	// Fallback, if not nil, has the delivery stand in for another one of the event.
	Fallback *Fallback
	// Throttle, if not nil, limits the messages of the rule to the recipient. A message
	// beyond the limit is stored as skipped, without its content.
	Throttle *Throttle
	// SkipReason, if not empty, stores the delivery as skipped: one CamelCase word such
	// as ExpressionFalse or NoRecipient.
	SkipReason string
	// SkipMessage says in one sentence, without customer data, why it is skipped.
	SkipMessage string
	// FailReason and FailMessage store the delivery as failed in the same way: the rule
	// matched, but its message could not be rendered (a template that fails on this
	// event, an invalid address).
	FailReason, FailMessage string
}

// Fallback says which delivery of the same event a new one replaces. It is the first
// delivery of a rule and channel to a recipient, which is stored before it or with it.
type Fallback struct {
	RuleName, Channel, Recipient string
	// Waits keeps the new delivery from being sent until the other one has failed or was
	// suppressed. If that is sent, the new one is not.
	Waits bool
	// IfUnread, if not 0, sends the new delivery also if the user has not read the other one,
	// or its in-app copy, so long after it was sent.
	IfUnread time.Duration
}

// Throttle limits how many messages of a rule one recipient receives on a channel in a
// period, which begins with the first of them.
type Throttle struct {
	// Key is what the recipient is counted by: the same for all spellings of a mailbox.
	Key string
	// Messages is the limit, at least 1.
	Messages int64
	Period   time.Duration
	// Digest, if not nil, collects the messages beyond the limit.
	Digest *Digest
}

// Digest is an event that is stored when the first message beyond a limit is collected, and is
// due at the end of the period. Its decision is one message about all that were collected, see
// [EventQueue.Collected]. It counts as received at the end of the period.
type Digest struct {
	Name string
	Data []byte
}

// Outcome is the state that a new delivery is stored in, with its reason.
func (d *NewDelivery) Outcome() (state DeliveryState, reason, message string) {
	switch {
	case d.FailReason != "":
		return DeliveryFailed, d.FailReason, d.FailMessage
	case d.SkipReason != "":
		return DeliverySkipped, d.SkipReason, d.SkipMessage
	case d.Fallback != nil && d.Fallback.Waits:
		return DeliverySkipped, ReasonFallbackWaiting, "It is sent only if the message that it stands in for can't be delivered."
	}
	return DeliveryPending, "", ""
}

// Delivery is a message to one recipient: a job, a line of the log and the audit record.
type Delivery struct {
	ID int64
	// Company, EventID, EventName and EventReceivedAt are the event's.
	Company, EventID, EventName string
	EventReceivedAt             time.Time
	// RuleName is the rule as namespace/name. It is empty for a quarantined event, which
	// the log shows as an in-app message without a recipient.
	RuleName string
	// Copy is 0 for a delivery as it was decided; the others are copies that a person
	// sent again, see [Log.Resend].
	Copy               int
	Channel, Recipient string
	// UserID is the user on Rehive that the message is about; empty if unknown.
	UserID  string
	Content Content
	// Sealed is the Content as it is encrypted in the database. A [Store] decrypts it, and
	// returns nil.
	Sealed []byte
	// Size is the length of the Content's subject, text and HTML in bytes; of an encrypted
	// Content that a claim left out, a little more.
	Size  int
	State DeliveryState
	// Reason is one CamelCase word and Message one sentence, about the last attempt or
	// the decision not to send.
	Reason, Message string
	// Attempts counts the claims.
	Attempts int
	// Unfinished counts the claims since the last outcome that ended without one because
	// the process died or hung. It does not include a claim in progress.
	Unfinished int
	// ExpiresAt is when the message may no longer be sent; zero if it never expires.
	ExpiresAt time.Time
	// FallbackOf is the ID of the delivery that this one stands in for; 0 for none.
	FallbackOf int64
	// Sensitive says that the texts are masked once the delivery has ended.
	Sensitive bool
	// Digest is the HMAC-SHA-256 of texts that were masked, in hexadecimal digits; empty if
	// they were not, or the ledger has no key for it.
	Digest string
	// NextAttemptAt is when a pending delivery may be claimed; while it is claimed, when
	// the lease ends.
	NextAttemptAt time.Time
	// ProviderID is the provider's identifier of the message.
	ProviderID string
	// Outcome is what the provider reported after it had accepted the message, OutcomeDetail
	// one sentence about it (may be empty), and OutcomeAt when that happened.
	Outcome       DeliveryOutcome
	OutcomeDetail string
	OutcomeAt     time.Time
	// ReceivedAt is when the user marked an in-app message as received; zero if the user
	// did not.
	ReceivedAt           time.Time
	CreatedAt, UpdatedAt time.Time
}

// Ended reports whether the delivery is neither pending nor quarantined.
func (d *Delivery) Ended() bool {
	return d.State != DeliveryPending && d.State != DeliveryQuarantined
}

// Resendable returns nil if the delivery can be sent again, and otherwise the error of
// [Log.Resend].
func (d *Delivery) Resendable() error {
	switch {
	case d.Content == Content{} && d.Sealed == nil:
		return ErrNoMessage
	case d.State == DeliveryPending:
		return ErrPending
	case d.Sensitive && d.Ended():
		return ErrMasked
	}
	return nil
}

// Complete reports whether a claim returned all of the Content.
func (d *Delivery) Complete() bool {
	return d.Size == len(d.Content.Subject)+len(d.Content.Text)+len(d.Content.HTML)
}

// ClaimedDelivery is a delivery that the caller may send until its lease ends.
type ClaimedDelivery struct {
	Delivery
	// Age is how long ago the delivery was decided, however the clocks were set since.
	Age time.Duration
	// Validity is how long after the claim the message may be sent, however the clocks were
	// set since; negative if it has expired, and meaningless without an ExpiresAt.
	Validity time.Duration
	// Lease is the caller's right to the delivery.
	Lease Lease
}

// ExpiredMessage says, in sentences for a person, that a delivery expired and why it was not
// sent before.
func (d *Delivery) ExpiredMessage() string {
	message := "The message was not sent within " + duration(d.ExpiresAt.Sub(d.EventReceivedAt)) + " after its event and has expired."
	switch {
	case d.Message != "":
		message += " Before that: " + d.Message
	case d.Unfinished > 0:
		message += " An attempt was interrupted, so it may have arrived."
	default:
		message += " It was never tried, because its provider was busy, limited or failing, or the operator was not running."
	}
	return message
}

// duration writes a duration without units that are zero.
func duration(d time.Duration) string {
	text := d.Round(time.Second).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
