// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"time"
)

// Message is what a provider sends to one recipient.
type Message struct {
	// Key is the same whenever this delivery is sent, and never another's: the
	// provider's idempotency key. It is made of letters, digits and dashes.
	Key string
	// From may be empty: the provider's own sender is used.
	From string
	// ReplyTo is the address, without a name, that answers to an email go to; empty if
	// that is From.
	ReplyTo string
	// OwnSender says that the rule itself rendered From, so that it is the rule that
	// has to change if a provider refuses it, and waiting doesn't help.
	OwnSender bool
	To        string
	// Subject, Text and HTML are of the rendered content. HTML may be empty.
	Subject, Text, HTML string
	// Date is when the delivery was decided.
	Date time.Time
}

// Receipt is what a provider says about a message that it accepted.
type Receipt struct {
	// ID is what the provider calls the message.
	ID string
}

// Provider sends messages of one channel. Errors are classed with [Permanent],
// [Transient], [Deferred], [Misconfigured] and [Unknown]; any other counts as
// transient. It is safe for concurrent use and returns soon after ctx is done.
type Provider interface {
	Send(ctx context.Context, m Message) (Receipt, error)
}

// Patient is a [Provider] that may have to wait long for the answer to a message that
// it has handed over completely, when giving up could send the message twice.
type Patient interface {
	Provider
	// Patience is the time that a send may take beyond the usual.
	Patience() time.Duration
}

// PatienceOf returns the patience of a provider, 0 if it isn't [Patient].
func PatienceOf(p Provider) time.Duration {
	if patient, ok := p.(Patient); ok {
		return patient.Patience()
	}
	return 0
}

// Providers find the provider for a company's channel. A nil Provider without an
// error means that there is none. Errors classed as those of a Provider decide about
// the message; any other counts as transient and isn't shown.
type Providers interface {
	Provider(ctx context.Context, company, channel string) (Provider, error)
}

// ByChannel are the providers of every company, by channel.
type ByChannel map[string]Provider

// Provider implements [Providers].
func (b ByChannel) Provider(_ context.Context, _, channel string) (Provider, error) {
	return b[channel], nil
}

// Companies tell whether a company's messages may still leave.
type Companies interface {
	// Active is false if the company is inactive or unknown. With an error nothing
	// is sent, and the delivery is tried again.
	Active(ctx context.Context, company string) (bool, error)
}
