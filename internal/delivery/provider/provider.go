// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Message is what a provider sends to one recipient.
type Message struct {
	// Key is the idempotency key: the same on every attempt to send this message, and
	// different for every other message. It consists of letters, digits and dashes.
	Key string
	// Delivery is the ledger's number of the message.
	Delivery int64
	// Company is the identifier of the company whose message it is.
	Company string
	// From may be empty: the provider's own sender is used then.
	From string
	// ReplyTo is the address, without a name, that replies to an email go to; empty if
	// they go to From.
	ReplyTo string
	// OwnSender is true if the rule itself rendered From. If a provider refuses the
	// sender, it is then the rule that has to change, and waiting doesn't help.
	OwnSender bool
	To        string
	// Subject, Text and HTML are the rendered content. HTML may be empty.
	Subject, Text, HTML string
	// SMS changes how an SMS is sent.
	SMS SMSOptions
	// Rule is the namespace/name of the rule, and User the identifier of the user on Rehive
	// whom the message is about; empty if that isn't known.
	Rule, User string
	// Unsubscribe is the URL by which the user of an email opts out of the rule's messages;
	// empty if there is none.
	Unsubscribe string
	// BIMISelector is the value of an email's header BIMI-Selector; empty if there is none.
	BIMISelector string
	// Date is when the delivery was decided.
	Date time.Time
	// ValidFor is how long the message may still be delivered; 0 if it never expires.
	// Providers that can hold a message back pass it on.
	ValidFor time.Duration
}

// Header is a header of an email.
type Header struct{ Name, Value string }

// Headers returns the headers of an email that not every email has. Values that are not
// printable ASCII are left out: they would break the header.
func (m *Message) Headers() []Header {
	var headers []Header
	add := func(name, value string) {
		if value != "" && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			headers = append(headers, Header{name, value})
		}
	}
	if m.Unsubscribe != "" {
		// RFC 8058: a POST with this body unsubscribes, and a link scanner's GET doesn't.
		add("List-Unsubscribe", "<"+m.Unsubscribe+">")
		add("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
	}
	add("BIMI-Selector", m.BIMISelector)
	return headers
}

// SMSOptions are ways to send an SMS that only some providers know. A provider that doesn't
// know the one that is set refuses the message.
type SMSOptions struct {
	// ContentSID is the SID of a Twilio content template, which is sent through WhatsApp
	// instead of the text; empty to send the text.
	ContentSID string
	// ContentVariables are the values of the template's placeholders as a JSON object of
	// strings; empty if there are none.
	ContentVariables string
	// Verify sends the one-time code in the text through Twilio Verify.
	Verify bool
}

// maxKeyLength bounds Key, which becomes part of headers.
const maxKeyLength = 200

// CheckKey returns a permanent error if Key is not valid. Drivers that put it into a
// header call it first.
func (m *Message) CheckKey() error {
	if m.Key == "" || len(m.Key) > maxKeyLength || strings.ContainsFunc(m.Key, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return Permanent("KeyInvalid", "The message has no valid key.")
	}
	return nil
}

// maxSubject keeps the header of a subject within the length that a line may have.
const maxSubject = 900

// SubjectLine returns Subject as a single line of bounded length. Templates leave line
// breaks around tags, and one of them in a header would start another header.
func (m *Message) SubjectLine() string {
	s := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(m.Subject, "\ufffd"))
	s = strings.Join(strings.Fields(s), " ")
	// Mail readers decode what looks like an encoded word, to line breaks for instance.
	// An invisible character inside makes it plain text.
	s = strings.ReplaceAll(s, "=?", "=\u200b?")
	if len(s) > maxSubject {
		cut := maxSubject
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return s
}

// Receipt is a provider's acknowledgement of a message that it accepted.
type Receipt struct {
	// ID is the provider's identifier of the message; empty if it has none.
	ID string
	// Reason and Message, one CamelCase word and one sentence, say what is unusual about how
	// it was sent; empty if nothing is.
	Reason, Message string
}

// Provider sends messages of one channel. Its errors are made by [Permanent],
// [Transient], [Deferred], [HeldBack], [Misconfigured] and [Unknown]; any other error
// counts as transient. It is safe for concurrent use and returns soon after ctx is done.
type Provider interface {
	Send(ctx context.Context, m Message) (Receipt, error)
}

// Patient is a [Provider] that may have to wait long for the answer to a message that it
// has handed over completely: giving up could send the message twice.
type Patient interface {
	Provider
	// Patience is how much longer than usual a send may take.
	Patience() time.Duration
}

// PatienceOf returns the patience of a provider, 0 if it isn't [Patient].
func PatienceOf(p Provider) time.Duration {
	if patient, ok := p.(Patient); ok {
		return patient.Patience()
	}
	return 0
}
