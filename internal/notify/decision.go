// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

// Reason says in one word why a message is not sent. Support staff search for it when a
// customer asks.
type Reason string

// The reasons.
const (
	// ExpressionFalse: the rule's expression was false.
	ExpressionFalse Reason = "ExpressionFalse"
	// ExpressionFault: the rule's expression could not be evaluated, which counts as
	// false.
	ExpressionFault Reason = "ExpressionFault"
	// RuleDisabled: the rule is disabled.
	RuleDisabled Reason = "RuleDisabled"
	// Muted: the rule is muted for a time.
	Muted Reason = "Muted"
	// RuleInvalid: the rule does not parse.
	RuleInvalid Reason = "RuleInvalid"
	// RenderFailed: a template of the rule failed on this event.
	RenderFailed Reason = "RenderFailed"
	// TooSlow: the rule's expression or templates, or all rules of the event together, took
	// longer on this event than is allowed.
	TooSlow Reason = "TooSlow"
	// TooManyRules: the company has more rules for the event than are evaluated.
	TooManyRules Reason = "TooManyRules"
	// InternalError: deciding the rule failed because of a bug in this program.
	InternalError Reason = "InternalError"
	// NoRecipient: the recipient rendered as empty text.
	NoRecipient Reason = "NoRecipient"
	// MalformedRecipient: a recipient is not an address.
	MalformedRecipient Reason = "MalformedRecipient"
	// TooManyRecipients: the recipient field rendered more than MaxRecipients.
	TooManyRecipients Reason = "TooManyRecipients"
	// NoSender: neither the rule, the company nor the operator has a sender, or the
	// sender is not an address.
	NoSender Reason = "NoSender"
	// EmptyText: the text rendered as blank. Rehive does not send such an email.
	EmptyText Reason = "EmptyText"
	// Expired: the event waited until its messages were no longer valid.
	Expired Reason = "Expired"
	// OptedOut: the user opted out of the rule's messages, which the rule permits.
	OptedOut Reason = "OptedOut"
	// Suppressed: the recipient's address doesn't exist, or the recipient wants no messages.
	Suppressed Reason = "Suppressed"
	// UnknownUser: the company has no such user, or the user is archived or deactivated.
	UnknownUser Reason = "UnknownUser"
	// UnknownGroup: the company has no such group, or no active user is in it.
	UnknownGroup Reason = "UnknownGroup"
	// TooManyUsers: a rule was triggered for more users than is allowed.
	TooManyUsers Reason = "TooManyUsers"
	// RuleNotFound: a rule was triggered and then deleted.
	RuleNotFound Reason = "RuleNotFound"
	// DigestRemoved: messages were collected for a digest, and before it was sent, the rule or
	// its digest was deleted, or the rule's channel changed.
	DigestRemoved Reason = "DigestRemoved"
	// PushDisabled: push messages are disabled for the company.
	PushDisabled Reason = "PushDisabled"
	// TestModeOnly: the company is in test mode, in which the recipient is not allowed.
	TestModeOnly Reason = "TestMode"
)

// Failure reports whether the reason is a mistake that somebody should fix, rather than
// the rule working as intended.
func (r Reason) Failure() bool {
	switch r {
	case RuleDisabled, Muted, ExpressionFalse, DigestRemoved, NoRecipient, OptedOut, Suppressed, PushDisabled, TestModeOnly:
		return false
	}
	return true
}

// Channel is the way by which a message reaches its recipient.
type Channel string

// The channels.
const (
	ChannelEmail Channel = "email"
	ChannelSMS   Channel = "sms"
	ChannelPush  Channel = "push"
	// ChannelSystem is the user's inbox in the app.
	ChannelSystem Channel = "system"
)

// Message is a message ready to be delivered to one recipient.
type Message struct {
	Channel Channel
	// Recipient is a bare email address, a phone number as E.164, or a user's
	// identifier on Rehive.
	Recipient string
	// User is the identifier of the user on Rehive that the message is about; empty
	// if that isn't known.
	User string
	// Language is the tag of the translation that the texts are of; empty for the rule's own.
	Language string
	// From and HTML are of emails only. Subject is the title of a push or in-app
	// message.
	From    string
	Subject string
	Text    string
	HTML    string
	// SMS changes how an SMS is sent.
	SMS SMSOptions
}

// SMSOptions are ways to send an SMS other than as its text.
type SMSOptions struct {
	// ContentSID is the SID of the Twilio content template that is sent through WhatsApp;
	// empty to send the text.
	ContentSID string
	// ContentVariables are the rendered values of the template's placeholders, as a JSON
	// object; empty if there are none.
	ContentVariables string
	// Verify sends the code in the text through Twilio Verify.
	Verify bool
}

// NotSent is a message that is not sent.
type NotSent struct {
	// Channel is the message's channel; empty for the rule's own.
	Channel Channel
	// Recipient is the message's recipient; empty if that was not known yet.
	Recipient string
	// User is the same as in a Message.
	User   string
	Reason Reason
	// Detail is a sentence for a person. It quotes what the rule's author wrote,
	// and never the event's data.
	Detail string
}

// Decision is the result of a rule for an event.
type Decision struct {
	Messages []Message
	NotSent  []NotSent
}

func (d *Decision) add(not NotSent) { d.NotSent = append(d.NotSent, not) }
