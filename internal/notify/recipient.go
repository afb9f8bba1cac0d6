// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"net/mail"
	"strings"

	"github.com/google/uuid"
)

// MaxRecipients is how many recipients one rule can have for one event.
const MaxRecipients = 50

// maxAddressLength is RFC 5321's limit of a path, less its brackets.
const maxAddressLength = 254

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
