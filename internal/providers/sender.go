// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"slices"
	"strings"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/address"
	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// ReasonSenderNotAllowed is of a message from a domain that the company may not send from
// through the operator's provider, which has no sender to take its place.
const ReasonSenderNotAllowed = "SenderNotAllowed"

// sharedEmail sends one company's emails through a provider of the operator, which other
// companies use as well and whose reputation, and often whose right to send for a
// domain, they share. A sender at a domain that isn't the company's becomes the address
// for replies, and the operator's own sender takes its place. This happens when a
// message is sent, not when it is decided, so that it holds also for messages that
// waited meanwhile or are sent again.
type sharedEmail struct {
	next    provider.Provider
	company *v1alpha1.CompanyActivation
	domains *Domains
	own     string // the operator's sender; may be empty
}

// Send implements [provider.Provider].
func (s sharedEmail) Send(ctx context.Context, m provider.Message) (provider.Receipt, error) {
	m, err := s.permit(ctx, m)
	if err != nil {
		return provider.Receipt{}, err
	}
	return s.next.Send(ctx, m)
}

// permit returns the message as the company may send it.
func (s sharedEmail) permit(ctx context.Context, m provider.Message) (provider.Message, error) {
	from, err := address.Parse(m.From)
	if err != nil {
		return m, nil //nolint:nilerr // the provider says what is wrong with it, or takes its own
	}
	own, err := address.Parse(s.own)
	if err != nil {
		own = address.Address{}
	}
	if !own.IsZero() && from == own {
		return m, nil
	}
	// A company doesn't speak in the operator's name either.
	if own.IsZero() || from.Bare() != own.Bare() {
		allowed, err := s.domains.Allows(ctx, s.company, from.Domain, own.Domain)
		if err != nil || allowed {
			return m, err
		}
		if own.IsZero() {
			return m, provider.Misconfigured(ReasonSenderNotAllowed, "The company may not send from the domain of the message's sender through the operator's mail provider, "+
				"and that has no sender of its own: add the domain to spec.senderDomains of the CompanyActivation, or set the provider's spec.sender or --email-from.")
		}
		m.ReplyTo = from.Bare()
	}
	name := s.company.Profile().Name
	if name == "" {
		name = own.Name
	}
	m.From = own.WithName(name).String()
	return m, nil
}

// knownSenders is a provider of messages whose sender is the rule's own unless it is one
// of those that messages have without the rule's doing.
type knownSenders struct {
	next    provider.Provider
	senders [3]string // of the DeliveryProvider, the operator and the company; may be empty
}

// Send implements [provider.Provider].
func (k knownSenders) Send(ctx context.Context, m provider.Message) (provider.Receipt, error) {
	if from, err := address.Parse(m.From); err == nil {
		m.OwnSender = !slices.ContainsFunc(k.senders[:], func(sender string) bool {
			known, err := address.Parse(strings.TrimSpace(sender))
			return err == nil && known.Bare() == from.Bare()
		})
	}
	return k.next.Send(ctx, m)
}
