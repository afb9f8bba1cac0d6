// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/address"
	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// ReasonSentByFallback is the reason of a message that was sent by a provider other than the
// first one that its company names.
const ReasonSentByFallback = "SentByFallback"

// failover sends each message through the first of a company's providers that can send it now.
// A message is passed on only if it did not reach the provider: one that a provider refuses or
// may have accepted is not.
type failover struct {
	members []member
	channel v1alpha1.Channel
}

// member is a provider of a failover, with the rules for senders that apply to it.
type member struct {
	key    types.NamespacedName
	route  delivery.Route
	sender string // its own; may be empty
}

// Send implements [provider.Provider].
func (f failover) Send(ctx context.Context, m provider.Message) (provider.Receipt, error) {
	var first, soonest error // of the providers that could not send it
	for i := range f.members {
		member := &f.members[i]
		receipt, err := member.route.Provider.Send(ctx, f.as(m, i))
		if err == nil {
			if i > 0 {
				receipt.Reason = ReasonSentByFallback
				receipt.Message = fmt.Sprintf("The DeliveryProvider %s sent it, because %s could not: %s", member.key, f.members[0].key, sentenceOf(first))
			}
			return receipt, nil
		}
		if !notReached(err) || ctx.Err() != nil {
			return provider.Receipt{}, err
		}
		if i == 0 {
			first, soonest = err, err
		} else if sooner(err, soonest) {
			soonest = err
		}
	}
	return provider.Receipt{}, soonest
}

// as returns a message as a provider sends it: the own sender of the first one, which a message
// has that names none, is replaced by that of the other.
func (f failover) as(m provider.Message, i int) provider.Message {
	if i == 0 || f.channel != v1alpha1.ChannelEmail || f.members[i].sender == "" {
		return m
	}
	from, err := address.Parse(m.From)
	if err != nil {
		return m
	}
	if first, err := address.Parse(f.members[0].sender); err == nil && first.Bare() == from.Bare() {
		m.From = f.members[i].sender
	}
	return m
}

// notReached reports whether an error means that the provider was not given the message, or that
// it takes no more messages for now.
func notReached(err error) bool {
	var classed *provider.Error
	return provider.IsHeldBack(err) || provider.IsMisconfigured(err) ||
		errors.As(err, &classed) && classed.Reason == provider.ReasonThrottled && !provider.IsUnknown(err) && !provider.IsPermanent(err)
}

// sooner reports whether a message may be tried again sooner by one error than by another. One
// that waits for a person comes last.
func sooner(a, b error) bool {
	if provider.IsMisconfigured(a) != provider.IsMisconfigured(b) {
		return provider.IsMisconfigured(b)
	}
	var x, y *provider.Error
	return errors.As(a, &x) && errors.As(b, &y) && x.RetryAfter < y.RetryAfter
}

func sentenceOf(err error) string {
	var classed *provider.Error
	if errors.As(err, &classed) {
		return classed.Error()
	}
	return "it failed."
}

// route returns the route through the providers. Its gate is that of the first one that has room
// now, or the one that has room soonest.
func (f failover) route() delivery.Route {
	route := delivery.Route{Provider: f}
	var soonest time.Time
	for i := range f.members {
		r := &f.members[i].route
		if r.Gate == nil {
			continue
		}
		n, again := r.Gate.Room()
		if n > 0 {
			route.Gate = r.Gate
			break
		}
		if route.Gate == nil || !again.IsZero() && (soonest.IsZero() || again.Before(soonest)) {
			route.Gate, soonest = r.Gate, again
		}
	}
	if f.canBeAsked() {
		route.Asker = f
	}
	for i := range f.members {
		route.Patience = max(route.Patience, f.members[i].route.Patience)
	}
	return route
}

// canBeAsked reports whether every provider that may have got a message can be asked about it.
func (f failover) canBeAsked() bool {
	return !slices.ContainsFunc(f.members, func(m member) bool { return m.route.Asker == nil })
}

// Find implements [provider.Asker]. A message that no provider has accepted was not sent; if
// one of them doesn't say, nobody knows.
func (f failover) Find(ctx context.Context, m provider.Message) (provider.Receipt, bool, error) {
	var unknown error
	for i := range f.members {
		receipt, found, err := f.members[i].route.Asker.Find(ctx, m)
		if found {
			return receipt, true, nil
		}
		unknown = errors.Join(unknown, err)
	}
	return provider.Receipt{}, false, unknown
}

// throughSeveral returns the route through the DeliveryProviders that a company names. The
// error is that of the first one, if none can be used.
func (r *Registry) throughSeveral(ctx context.Context, a *v1alpha1.CompanyActivation, channel v1alpha1.Channel, names []string) (delivery.Route, error) {
	f := failover{channel: channel, members: make([]member, len(names))}
	var unusable error
	usable := false
	for i, name := range names {
		m := &f.members[i]
		m.key = types.NamespacedName{Namespace: a.Namespace, Name: name}
		route, sender, shared, err := r.to(ctx, m.key, channel)
		if err != nil {
			m.route.Provider = broken{err}
			if unusable == nil {
				unusable = err
			}
			continue
		}
		route.Provider = r.sending(a, channel, route.Provider, sender, shared)
		m.route, m.sender, usable = route, sender, true
	}
	if !usable {
		return delivery.Route{}, unusable
	}
	return f.route(), nil
}

// broken is a provider that can't be used.
type broken struct{ err error }

// Send implements [provider.Provider].
func (b broken) Send(context.Context, provider.Message) (provider.Receipt, error) {
	var classed *provider.Error
	if errors.As(b.err, &classed) {
		return provider.Receipt{}, b.err
	}
	return provider.Receipt{}, provider.HeldBack("ProviderUnknown", "The provider could not be looked up.", time.Second)
}
