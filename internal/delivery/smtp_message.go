// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"bytes"
	netmail "net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wneessen/go-mail"

	"github.com/rehive/extension-operator/internal/address"
)

// maxSubject keeps the subject's header inside what a line may hold.
const maxSubject = 900

// composed is a message as it goes over the wire.
type composed struct {
	from, to string // of the envelope
	id       string // the Message-ID without its brackets
	utf8     bool   // an address needs SMTPUTF8
	raw      []byte
}

// compose builds the mail.
func (s *SMTP) compose(m Message) (*composed, error) {
	from := s.from
	if m.From != "" {
		var err error
		if from, err = address.Parse(m.From); err != nil {
			return nil, Permanent("SenderInvalid", "The sender "+err.Error()+".")
		}
	}
	if from.IsZero() {
		return nil, Misconfigured("SenderMissing", "Neither the rule nor the mail server's configuration names a sender.")
	}
	to, err := address.ParseBare(m.To)
	if err != nil {
		return nil, Permanent("RecipientInvalid", "The recipient "+err.Error()+".")
	}
	if m.Key == "" || strings.ContainsFunc(m.Key, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-'
	}) {
		return nil, Permanent("KeyInvalid", "The mail has no valid key.")
	}
	c := &composed{from: from.Bare(), to: to.Bare(), id: m.Key + "@" + from.Domain}
	text, html := strings.ToValidUTF8(m.Text, "\ufffd"), strings.ToValidUTF8(m.HTML, "\ufffd")
	c.utf8 = !from.IsASCII() || !to.IsASCII()

	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&netmail.Address{Name: from.Name, Address: from.Bare()})
	if m.ReplyTo != "" {
		reply, err := address.ParseBare(m.ReplyTo)
		if err != nil {
			return nil, Permanent("SenderInvalid", "The address for replies "+err.Error()+".")
		}
		msg.ReplyToMailAddress(&netmail.Address{Address: reply.Bare()})
		c.utf8 = c.utf8 || !reply.IsASCII()
	}
	msg.ToMailAddress(&netmail.Address{Address: to.Bare()})
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
