// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/rehive/extension-operator/internal/address"
	"github.com/rehive/extension-operator/internal/django"
	"github.com/rehive/extension-operator/internal/phone"
	"github.com/rehive/extension-operator/internal/python"
)

// MaxRecipients is how many recipients one rule can have for one event.
const MaxRecipients = 50

// addressee is a recipient of a rule's message on one channel: the rule's own, or the inbox.
type addressee struct {
	channel   Channel
	recipient string
	user      string // see [Message]
}

// addressees renders the recipients of the message, and records those who can't be reached.
// User is the user that an email or SMS is about. The in-app copy does not depend on the
// rule's own channel: a user without an email address has an inbox.
func (r *Rule) addressees(ctx context.Context, event *Event, values *python.Dict) (to []addressee, user string, decision Decision, err error) {
	user, nobody, err := r.about(ctx, event, values)
	if err != nil {
		return nil, "", Decision{}, err
	}
	rendered, err := r.to.renderSegments(ctx, event, values)
	if err != nil {
		return nil, "", Decision{}, err
	}
	recipients, decision := r.recipients(rendered, user)
	copies := r.copies(recipients, user, nobody, &decision)
	to = make([]addressee, 0, len(recipients)+len(copies))
	for _, recipient := range recipients {
		a := addressee{r.channel, recipient, user}
		if r.toUsers() {
			a.user = recipient
		}
		to = append(to, a)
	}
	for _, user := range copies {
		to = append(to, addressee{ChannelSystem, user, user})
	}
	return to, user, decision, nil
}

// toUsers reports whether the channel's recipients are users on Rehive.
func (r *Rule) toUsers() bool { return r.channel == ChannelPush || r.channel == ChannelSystem }

// about returns the user that an email or SMS is about, or why that isn't known.
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
	case isNothing(text):
		return "", NotSent{Reason: NoRecipient, Detail: r.user.path + " rendered as nothing"}, nil
	case !isUser(text):
		return "", NotSent{Recipient: shown(text), Reason: MalformedRecipient, Detail: r.user.path + " rendered something that is not the identifier of a user"}, nil
	}
	return strings.ToLower(text), NotSent{}, nil
}

// recipients returns the recipients on the rule's own channel. It records the others in the
// decision.
func (r *Rule) recipients(to []django.Segment, user string) (recipients []string, decision Decision) {
	entries := splitField(to)
	seen := make(map[string]bool, min(len(entries), MaxRecipients))
	var distinct []entry
	for _, e := range entries {
		if text := strings.ToLower(strings.TrimSpace(e.String())); !seen[text] {
			seen[text] = true
			distinct = append(distinct, e)
		}
	}
	switch {
	case len(distinct) == 0:
		decision.add(NotSent{User: user, Reason: NoRecipient, Detail: r.to.path + " rendered as nothing"})
		return nil, decision
	case len(distinct) > MaxRecipients:
		decision.add(NotSent{User: user, Reason: TooManyRecipients, Detail: fmt.Sprintf("%s rendered %d recipients, more than the %d that one rule can have", r.to.path, len(distinct), MaxRecipients)})
		return nil, decision
	}
	clear(seen)
	for _, e := range distinct {
		found, problem := recipient(r.channel, r.region, e)
		if problem != "" {
			decision.add(NotSent{Recipient: shown(strings.TrimSpace(e.String())), User: user, Reason: MalformedRecipient, Detail: r.to.path + " rendered something that " + problem})
			continue
		}
		if seen[strings.ToLower(found)] {
			continue
		}
		seen[strings.ToLower(found)] = true
		recipients = append(recipients, found)
	}
	return recipients, decision
}

// copies returns the users who receive an in-app copy. Recipients who can't receive one are
// recorded in the decision again, for that channel.
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

// Recipient returns a recipient in the form that the channel's providers accept, or an
// error that completes a sentence. Phone numbers without a country code belong to the
// region, an ISO 3166 code; they are errors if it is empty.
func Recipient(channel Channel, region, text string) (found, problem string) {
	return recipient(channel, region, authored(text))
}

func recipient(channel Channel, region string, e entry) (found, problem string) {
	switch channel {
	case ChannelSMS:
		number, err := phone.E164(e.String(), region)
		if err != nil {
			return "", err.Error()
		}
		return number, ""
	case ChannelPush, ChannelSystem:
		user := strings.TrimSpace(e.String())
		if !isUser(user) {
			return "", "is not the identifier of a user"
		}
		return strings.ToLower(user), ""
	default:
		a, err := e.address()
		if err != nil {
			return "", err.Error()
		}
		return a.Bare(), ""
	}
}

// checkConstant checks the constant entries of an address field when the rule is written:
// those whose text, or the address in brackets, contains no tag. It returns the end of a
// sentence about the first invalid entry.
func checkConstant(channel Channel, region string, entries []entry) (problem string) {
	for _, e := range entries {
		if _, inside, ok := e.angled(); ok && channel == ChannelEmail {
			e = inside
		}
		if e.isAuthored() {
			if _, problem := recipient(channel, region, e); problem != "" {
				return problem
			}
		}
	}
	return ""
}

// literals splits a template into its text and, as data, its variables. It returns nothing
// for a template with block tags, because the event determines which text is rendered.
func literals(source string) []django.Segment {
	if strings.Contains(source, "{%") || strings.Contains(source, "{#") {
		return nil
	}
	var segments []django.Segment
	for {
		before, rest, found := strings.Cut(source, "{{")
		segments = append(segments, django.Segment{Text: before})
		if !found {
			return segments
		}
		variable, after, closed := strings.Cut(rest, "}}")
		if !closed {
			return nil // Django prints it unchanged; it is not an address
		}
		segments = append(segments, django.Segment{Text: "{{" + variable + "}}", Data: true})
		source = after
	}
}

// shown truncates text that was rendered instead of a recipient to the maximum length of
// one, because the ledger has an index on it.
func shown(text string) string {
	if len(text) <= address.MaxLength {
		return text
	}
	return strings.ToValidUTF8(text[:address.MaxLength], "") + "…"
}

// isUser reports whether a recipient can be the identifier of a user on Rehive, which is
// a UUID.
func isUser(recipient string) bool {
	_, err := uuid.Parse(recipient)
	return err == nil && len(recipient) == 36
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// oneLine converts rendered text to a header's value: line breaks and other control
// characters become spaces, and runs of white space one space.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || isControl(r) || r == '\u2028' || r == '\u2029' || r == '\u0085' }), " ")
}
