// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package testmode decides to whom companies that are in test mode on Rehive may send.
package testmode

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/address"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/phone"
)

// The policies.
const (
	// Deliver sends like in production. Rehive's own extension does the same.
	Deliver = "deliver"
	// Redirect sends to the operator's own recipients instead of unknown ones.
	Redirect = "redirect"
	// Record sends nothing to unknown recipients.
	Record = "record"
)

// mode is the platform's word for test mode.
const mode = "test"

// CompanyAdmins stands for the company's own admins on Rehive, among the allowed recipients.
const CompanyAdmins = "company-admins"

// Guard knows the recipients of companies in test mode. Its methods accept nil, which lets
// all companies send to everyone. It is safe for concurrent use.
type Guard struct {
	admins     *Admins         // nil if they are not allowed
	recipients map[string]bool // mailbox keys, phone numbers and users
	domains    []string
	redirects  map[v1alpha1.Channel]string
}

// New returns the guard for a policy; nil for Deliver. Allowed are email addresses, domains
// with their subdomains, phone numbers, identifiers of users and CompanyAdmins, for which admins
// is asked; it may be nil if the guard only validates. Redirects are an email address, a phone
// number or both, and required for Redirect only. The error is a sentence that begins with the
// name of a flag.
func New(policy string, allowed, redirects []string, admins *Admins) (*Guard, error) {
	switch {
	case policy != Deliver && policy != Redirect && policy != Record:
		return nil, fmt.Errorf("--test-mode must be %s, %s or %s, not %q", Deliver, Redirect, Record, policy)
	case policy != Redirect && len(redirects) > 0:
		return nil, fmt.Errorf("--test-mode-redirect is for --test-mode=%s", Redirect)
	case policy == Redirect && len(redirects) == 0:
		return nil, errors.New("--test-mode-redirect is required with --test-mode=" + Redirect)
	case policy == Deliver && len(allowed) > 0:
		return nil, fmt.Errorf("--test-mode-allow is for --test-mode=%s and %s", Redirect, Record)
	}
	g := &Guard{recipients: map[string]bool{}, redirects: map[v1alpha1.Channel]string{}}
	for _, text := range redirects {
		channel, recipient := parse(text)
		if channel != v1alpha1.ChannelEmail && channel != v1alpha1.ChannelSMS {
			return nil, fmt.Errorf("--test-mode-redirect: %q is not an email address or an international phone number", text)
		}
		if g.redirects[channel] != "" {
			return nil, fmt.Errorf("--test-mode-redirect: there is more than one recipient of the channel %s", channel)
		}
		g.redirects[channel] = recipient
	}
	for _, text := range allowed {
		if strings.TrimSpace(text) == CompanyAdmins {
			g.admins = admins
			continue
		}
		switch channel, recipient := parse(text); {
		case strings.Contains(text, "*"):
			return nil, fmt.Errorf("--test-mode-allow: there are no wildcards, as in %q: write a domain, such as example.com, for all addresses in it", text)
		case channel != "":
			g.recipients[key(channel, recipient)] = true
		case recipient != "":
			g.domains = append(g.domains, recipient)
		default:
			return nil, fmt.Errorf("--test-mode-allow: %q is not an email address, a domain, an international phone number, the identifier of a user or %s", text, CompanyAdmins)
		}
	}
	if policy == Deliver {
		return nil, nil //nolint:nilnil // documented above
	}
	return g, nil
}

// parse returns a recipient and its channel. The channel is empty for a domain, and both are
// for anything else.
func parse(text string) (channel v1alpha1.Channel, recipient string) {
	text = strings.TrimSpace(text)
	if user, err := uuid.Parse(text); err == nil && len(text) == len(uuid.Nil.String()) {
		return v1alpha1.ChannelPush, user.String()
	}
	if strings.HasPrefix(text, "+") {
		if number, err := phone.E164(text, ""); err == nil {
			return v1alpha1.ChannelSMS, number
		}
	}
	if a, err := address.ParseBare(text); err == nil {
		return v1alpha1.ChannelEmail, a.Bare()
	}
	if a, err := address.ParseBare("x@" + strings.TrimPrefix(text, "@")); err == nil && strings.Contains(a.Domain, ".") && strings.Trim(a.Domain, "0123456789.") != "" {
		return "", strings.ToLower(a.Domain)
	}
	return "", ""
}

// key returns what a recipient is compared by.
func key(channel v1alpha1.Channel, recipient string) string {
	return ledger.RecipientKey(string(channel), recipient)
}

// Company is the guard of one company in test mode. It is immutable and safe for concurrent use.
type Company struct {
	guard      *Guard
	activation *v1alpha1.CompanyActivation
}

// Of returns the guard of a company; nil if the company's recipients are not limited.
func (g *Guard) Of(a *v1alpha1.CompanyActivation) *Company {
	if g == nil || a.Status.CompanyInfo.Mode != mode {
		return nil
	}
	return &Company{guard: g, activation: a}
}

// Allows reports whether the company may send to a recipient. In-app messages are always
// allowed: they don't leave the operator, and only users of the company can read them. The error
// is temporary: the company's admins, one of whom the recipient may be, could not be read.
func (c *Company) Allows(ctx context.Context, channel v1alpha1.Channel, recipient string) (bool, error) {
	if c.guard.lists(channel, recipient) {
		return true, nil
	}
	if c.guard.admins == nil {
		return false, nil
	}
	return c.guard.admins.include(ctx, c.activation, channel, recipient)
}

// RedirectTo returns the recipient of messages to recipients who are not allowed; empty if
// such messages are not sent.
func (c *Company) RedirectTo(channel v1alpha1.Channel) string { return c.guard.redirects[channel] }

// lists reports whether a recipient is allowed for every company.
func (g *Guard) lists(channel v1alpha1.Channel, recipient string) bool {
	if channel == v1alpha1.ChannelSystem || recipient != "" && recipient == g.redirects[channel] || g.recipients[key(channel, recipient)] {
		return true
	}
	if channel != v1alpha1.ChannelEmail {
		return false
	}
	domain := strings.ToLower(recipient[strings.LastIndexByte(recipient, '@')+1:])
	for _, allowed := range g.domains {
		if domain == allowed || strings.HasSuffix(domain, "."+allowed) {
			return true
		}
	}
	return false
}
