// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/address"
	"github.com/rehive/extension-operator/internal/delivery"
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
	delivery.Provider
	company *v1alpha1.CompanyActivation
	domains *Domains
	own     string // the operator's sender; may be empty
}

// Send implements [delivery.Provider].
func (s sharedEmail) Send(ctx context.Context, m delivery.Message) (delivery.Receipt, error) {
	m, err := s.permit(ctx, m)
	if err != nil {
		return delivery.Receipt{}, err
	}
	return s.Provider.Send(ctx, m)
}

// Gates implements [delivery.Gated].
func (s sharedEmail) Gates() []delivery.Gate { return gatesOf(s.Provider) }

// Patience implements [delivery.Patient].
func (s sharedEmail) Patience() time.Duration { return delivery.PatienceOf(s.Provider) }

// permit returns the message as the company may send it.
func (s sharedEmail) permit(ctx context.Context, m delivery.Message) (delivery.Message, error) {
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
			return m, delivery.Misconfigured(ReasonSenderNotAllowed, "The company may not send from the domain of the message's sender through the operator's mail provider, "+
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
	delivery.Provider
	senders [3]string // of the DeliveryProvider, the operator and the company; may be empty
}

// Send implements [delivery.Provider].
func (k knownSenders) Send(ctx context.Context, m delivery.Message) (delivery.Receipt, error) {
	if from, err := address.Parse(m.From); err == nil {
		m.OwnSender = !slices.ContainsFunc(k.senders[:], func(sender string) bool {
			known, err := address.Parse(strings.TrimSpace(sender))
			return err == nil && known.Bare() == from.Bare()
		})
	}
	return k.Provider.Send(ctx, m)
}

// Gates implements [delivery.Gated].
func (k knownSenders) Gates() []delivery.Gate {
	if gated, ok := k.Provider.(delivery.Gated); ok {
		return gated.Gates()
	}
	return nil
}

// Patience implements [delivery.Patient].
func (k knownSenders) Patience() time.Duration { return delivery.PatienceOf(k.Provider) }
