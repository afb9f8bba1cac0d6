// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"bytes"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wneessen/go-mail"
	"golang.org/x/net/idna"
)

const (
	// maxAddress is the longest address there can be (RFC 5321, 4.5.3.1).
	maxAddress = 254
	// maxSubject keeps the subject's header inside what a line may hold.
	maxSubject = 900
)

// composed is a message as it goes over the wire.
type composed struct {
	from, to string // of the envelope
	id       string // the Message-ID without its brackets
	utf8     bool   // an address needs SMTPUTF8
	raw      []byte
}

// sender is a parsed sender.
type sender struct {
	name, address, domain string
}

// parseSender reads an address that may have a name before it.
func parseSender(s string) (sender, error) {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return sender{}, errors.New("the sender holds control characters")
	}
	a, err := netmail.ParseAddress(s)
	if err != nil {
		return sender{}, errors.New("the sender is not one e-mail address")
	}
	address, domain, err := checkAddress(a.Address)
	if err != nil {
		return sender{}, fmt.Errorf("the sender is not valid: %w", err)
	}
	return sender{name: a.Name, address: address, domain: domain}, nil
}

// parseRecipient reads a bare address: no name, no list, no route, no comment.
func parseRecipient(s string) (address string, err error) {
	a, err := netmail.ParseAddress(s)
	if err != nil || a.Address != s {
		return "", errors.New("it is not one bare e-mail address")
	}
	address, _, err = checkAddress(s)
	return address, err
}

// checkAddress checks both sides of the @ and gives the domain its ASCII form.
func checkAddress(s string) (address, domain string, err error) {
	at := strings.LastIndexByte(s, '@')
	local, domain := s[:max(at, 0)], s[at+1:]
	if local == "" || domain == "" || len(s) > maxAddress || len(local) > 64 {
		return "", "", errors.New("its length is wrong")
	}
	// Not quoted local parts: they can hold spaces, brackets and line ends.
	if strings.ContainsFunc(local, func(r rune) bool {
		return r <= ' ' || r == 0x7f || strings.ContainsRune("\"(),:;<>@[\\]", r) || r > 0x7f && !unicode.IsPrint(r)
	}) {
		return "", "", errors.New("it holds characters that it must not")
	}
	domain, err = idna.Lookup.ToASCII(domain)
	if err != nil {
		return "", "", errors.New("its domain is not valid")
	}
	return local + "@" + domain, domain, nil
}

// compose builds the mail.
func (s *SMTP) compose(m Message) (*composed, error) {
	from := s.from
	if m.From != "" {
		var err error
		if from, err = parseSender(m.From); err != nil {
			return nil, Permanent("SenderInvalid", "The mail's sender is not one e-mail address.")
		}
	}
	if from.address == "" {
		return nil, Misconfigured("SenderMissing", "Neither the rule nor the mail server's configuration names a sender.")
	}
	to, err := parseRecipient(m.To)
	if err != nil {
		return nil, Permanent("RecipientInvalid", "The recipient is not one bare e-mail address.")
	}
	if m.Key == "" || strings.ContainsFunc(m.Key, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-'
	}) {
		return nil, Permanent("KeyInvalid", "The mail has no valid key.")
	}
	c := &composed{from: from.address, to: to, id: m.Key + "@" + from.domain}
	text, html := strings.ToValidUTF8(m.Text, "\ufffd"), strings.ToValidUTF8(m.HTML, "\ufffd")
	c.utf8 = !isASCII(from.address) || !isASCII(to)

	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&netmail.Address{Name: from.name, Address: from.address})
	msg.ToMailAddress(&netmail.Address{Address: to})
	msg.Subject(tidySubject(m.Subject))
	msg.SetMessageIDWithValue(c.id)
	msg.SetDateWithValue(m.Date.UTC())
	// No machine should answer it (RFC 3834).
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	if text != "" || html == "" {
		msg.SetBodyString(mail.TypeTextPlain, text)
		if html != "" {
			msg.AddAlternativeString(mail.TypeTextHTML, html)
		}
	} else {
		msg.SetBodyString(mail.TypeTextHTML, html)
	}
	var raw bytes.Buffer
	raw.Grow(1024 + (len(text)+len(html))*9/8)
	if _, err := msg.WriteTo(&raw); err != nil {
		return nil, Permanent("MessageInvalid", "The mail could not be built.")
	}
	c.raw = raw.Bytes()
	return c, nil
}

// tidySubject makes one line of a rendered subject: templates leave line ends
// around tags, and one in a header would begin another header.
func tidySubject(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	s = strings.Join(strings.Fields(s), " ")
	// What looks like an encoded word would be decoded by the reader, to line ends
	// for instance. An invisible letter inside makes it plain text.
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

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f })
}
