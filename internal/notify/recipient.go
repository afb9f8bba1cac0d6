// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"fmt"
	"net/mail"
	"strings"

	"github.com/google/uuid"

	"github.com/rehive/extension-operator/internal/phone"
	"github.com/rehive/extension-operator/internal/python"
)

// MaxRecipients is how many recipients one rule can have for one event.
const MaxRecipients = 50

// maxAddressLength is RFC 5321's limit of a path, less its brackets.
const maxAddressLength = 254

// toUsers tells whether the channel's recipients are users on Rehive.
func (r *Rule) toUsers() bool { return r.channel == ChannelPush || r.channel == ChannelSystem }

// about returns the user whom an email or SMS is about, or why that isn't known.
func (r *Rule) about(ctx context.Context, event *Event, values *python.Dict) (user string, nobody NotSent, err error) {
	if r.toUsers() {
		return "", NotSent{}, nil
	}
	if r.user == nil {
		return event.user(), NotSent{Reason: NoRecipient, Detail: fmt.Sprintf("the event's data names no user: set spec.%s.toUser", r.channel)}, nil
	}
	text, err := r.user.render(ctx, event, values)
	if err != nil {
		return "", NotSent{}, err
	}
	switch text = strings.TrimSpace(text); {
	case text == "":
		return "", NotSent{Reason: NoRecipient, Detail: r.user.path + " rendered as nothing"}, nil
	case !isUser(text):
		return "", NotSent{Recipient: shown(text), Reason: MalformedRecipient, Detail: r.user.path + " rendered something that is no identifier of a user"}, nil
	}
	return strings.ToLower(text), NotSent{}, nil
}

// recipients returns whom the message goes to on the rule's own channel. The
// decision says what became of the others.
func (r *Rule) recipients(to, user string) (recipients []string, decision Decision) {
	parts := splitRecipients(to)
	switch {
	case len(parts) == 0:
		decision.add(NotSent{User: user, Reason: NoRecipient, Detail: r.to.path + " rendered as nothing"})
		return nil, decision
	case len(parts) > MaxRecipients:
		decision.add(NotSent{User: user, Reason: TooManyRecipients, Detail: fmt.Sprintf("%s rendered %d recipients, more than the %d that one rule can have", r.to.path, len(parts), MaxRecipients)})
		return nil, decision
	}
	seen := make(map[string]bool, len(parts))
	for _, part := range parts {
		address, problem := Recipient(r.channel, r.region, part)
		if problem != "" {
			decision.add(NotSent{Recipient: shown(part), User: user, Reason: MalformedRecipient, Detail: r.to.path + " rendered something that " + problem})
			continue
		}
		if seen[strings.ToLower(address)] {
			continue
		}
		seen[strings.ToLower(address)] = true
		recipients = append(recipients, address)
	}
	return recipients, decision
}

// copies returns the users who get an in-app copy. Whom it can't go to is in the
// decision once more, for that channel.
func (r *Rule) copies(recipients []string, user string, nobody NotSent, decision *Decision) []string {
	switch {
	case !r.systemEnabled:
		return nil
	case r.toUsers():
		for _, not := range decision.NotSent {
			not.Channel = ChannelSystem
			decision.add(not)
		}
		return recipients
	case user == "":
		nobody.Channel = ChannelSystem
		decision.add(nobody)
		return nil
	}
	return []string{user}
}

// Recipient returns a recipient in the form that the channel's providers take, or
// the end of a sentence about what is wrong with it. Phone numbers without a country
// code are of the region, an ISO 3166 code; wrong if that is empty.
func Recipient(channel Channel, region, text string) (address, problem string) {
	switch channel {
	case ChannelSMS:
		number, err := phone.E164(text, region)
		if err != nil {
			return "", err.Error()
		}
		return number, ""
	case ChannelPush, ChannelSystem:
		if !isUser(text) {
			return "", "is no identifier of a user"
		}
		return strings.ToLower(text), ""
	default:
		address, ok := emailAddress(text)
		if !ok {
			return "", "is no email address"
		}
		return address, ""
	}
}

// shown cuts what was rendered instead of a recipient to the length that one can
// have: the ledger has an index on it.
func shown(text string) string {
	if len(text) <= maxAddressLength {
		return text
	}
	return strings.ToValidUTF8(text[:maxAddressLength], "") + "…"
}

// splitRecipients cuts a rendered recipient field at its commas and semicolons,
// but for those inside quotes or angle brackets, drops what is empty and what
// repeats, and keeps the order.
func splitRecipients(field string) []string {
	var parts []string
	start, quoted, angled := 0, false, false
	for i := 0; i < len(field); i++ {
		switch c := field[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			angled = true
		case c == '>':
			angled = false
		case (c == ',' || c == ';' || c == '\n') && !angled:
			parts = append(parts, field[start:i])
			start = i + 1
		}
	}
	parts = append(parts, field[start:])

	seen := make(map[string]bool, len(parts))
	recipients := parts[:0]
	for _, part := range parts {
		part = strings.TrimSpace(part)
		if part == "" || seen[strings.ToLower(part)] {
			continue
		}
		seen[strings.ToLower(part)] = true
		recipients = append(recipients, part)
	}
	return recipients
}

// emailAddress returns the bare address of a recipient such as
// "Joe <joe@example.com>"; false if it isn't one that mail can be sent to.
func emailAddress(recipient string) (string, bool) {
	address, ok := parseAddress(recipient)
	if !ok {
		return "", false
	}
	return address.Address, true
}

// parseAddress reads one address with or without a display name.
func parseAddress(text string) (*mail.Address, bool) {
	if len(text) > 2*maxAddressLength || strings.ContainsFunc(text, isControl) {
		return nil, false
	}
	address, err := mail.ParseAddress(text)
	if err != nil || len(address.Address) > maxAddressLength {
		return nil, false
	}
	local, domain, ok := cutLast(address.Address, '@')
	// A domain literal names a machine by its number: nothing a customer has.
	if !ok || local == "" || domain == "" || strings.HasPrefix(domain, "[") || strings.ContainsAny(address.Address, " \t") {
		return nil, false
	}
	return address, true
}

// isUser tells whether a recipient can be the identifier of a user on Rehive, which
// is a UUID.
func isUser(recipient string) bool {
	_, err := uuid.Parse(recipient)
	return err == nil && len(recipient) == 36
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// oneLine makes a header's text of what a template rendered: line breaks and
// other controls become spaces, runs of white space one.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || isControl(r) || r == '\u2028' || r == '\u2029' || r == '\u0085' }), " ")
}
