// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"time"

	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// Gate bounds how many messages are claimed. The others stay in the ledger, where they delay
// nothing, instead of being claimed and released. It is only a forecast: the provider decides
// when the message is sent. It is safe for concurrent use, makes no calls
// and is comparable.
type Gate interface {
	// Room returns how many more messages may be claimed now. If there is no room, again is
	// when to ask again; zero if a claimed message must leave first.
	Room() (n int, again time.Time)
	// Enter counts a claimed message until leave is called.
	Enter() (leave func())
}

// Route is how a company's messages of one channel are sent. The zero Route has no provider.
type Route struct {
	// Provider sends the messages.
	Provider provider.Provider
	// Gate bounds the number of claimed messages; nil if nothing does.
	Gate Gate
	// Asker answers questions about messages whose outcome is unknown; nil if the provider
	// can't.
	Asker provider.Asker
	// Patience is how much longer than usual a send may take, see [provider.Patient].
	Patience time.Duration
}

// RouteTo returns the route to a provider, with the provider's own gate and patience.
func RouteTo(p provider.Provider) Route {
	gate, _ := p.(Gate)
	asker, _ := p.(provider.Asker)
	return Route{Provider: p, Gate: gate, Asker: asker, Patience: provider.PatienceOf(p)}
}

// Routes find the route of a company's channel. A zero Route without an error means that
// there is none. An error made by package provider decides about the message; any other
// counts as transient and isn't shown.
type Routes interface {
	Route(ctx context.Context, company, channel string) (Route, error)
}

// ByChannel are the providers of every company, by channel.
type ByChannel map[string]provider.Provider

// Route implements [Routes].
func (b ByChannel) Route(_ context.Context, _, channel string) (Route, error) {
	p := b[channel]
	if p == nil {
		return Route{}, nil
	}
	return RouteTo(p), nil
}

// Companies reports whether a company's messages may still be sent.
type Companies interface {
	// Active is false if the company is inactive or unknown. After an error, nothing is
	// sent, and the delivery is tried again.
	Active(ctx context.Context, company string) (bool, error)
}

// Inbox is the provider of in-app messages. Users read the ledger's own rows, so a message
// is in the inbox as soon as it is recorded as sent.
type Inbox struct{}

// Send implements [provider.Provider].
func (Inbox) Send(context.Context, provider.Message) (provider.Receipt, error) {
	return provider.Receipt{}, nil
}
