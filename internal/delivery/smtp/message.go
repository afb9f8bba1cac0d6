// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"bytes"
	netmail "net/mail"
	"strings"

	"github.com/wneessen/go-mail"

	"github.com/rehive/extension-operator/internal/address"
	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// composed is a message as it goes over the wire.
type composed struct {
	from, to string // of the envelope
	id       string // the Message-ID without its brackets
	utf8     bool   // an address needs SMTPUTF8
	utf8To   bool   // the recipient does
	raw      []byte
}

// compose builds the mail.
func (s *Provider) compose(m provider.Message) (*composed, error) {
	from := s.from
	if m.From != "" {
		var err error
		if from, err = address.Parse(m.From); err != nil {
			return nil, provider.Permanent("SenderInvalid", "The sender "+err.Error()+".")
		}
	}
	if from.IsZero() {
		return nil, provider.Misconfigured("SenderMissing", "Neither the rule nor the mail server's configuration names a sender.")
	}
	to, err := address.ParseBare(m.To)
	if err != nil {
		return nil, provider.Permanent("RecipientInvalid", "The recipient "+err.Error()+".")
	}
	if err := m.CheckKey(); err != nil {
		return nil, err
	}
	c := &composed{from: from.Bare(), to: to.Bare(), id: m.Key + "@" + from.Domain}
	text, html := strings.ToValidUTF8(m.Text, "\ufffd"), strings.ToValidUTF8(m.HTML, "\ufffd")
	c.utf8To = !to.IsASCII()
	c.utf8 = c.utf8To || !from.IsASCII()

	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&netmail.Address{Name: from.Name, Address: from.Bare()})
	if m.ReplyTo != "" {
		reply, err := address.ParseBare(m.ReplyTo)
		if err != nil {
			return nil, provider.Permanent("SenderInvalid", "The reply address "+err.Error()+".")
		}
		msg.ReplyToMailAddress(&netmail.Address{Address: reply.Bare()})
		c.utf8 = c.utf8 || !reply.IsASCII()
	}
	msg.ToMailAddress(&netmail.Address{Address: to.Bare()})
	msg.Subject(m.SubjectLine())
	msg.SetMessageIDWithValue(c.id)
	msg.SetDateWithValue(m.Date.UTC())
	// No machine should answer it (RFC 3834).
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	for _, header := range m.Headers() {
		msg.SetGenHeader(mail.Header(header.Name), header.Value)
	}
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
		return nil, provider.Permanent("MessageInvalid", "The mail could not be built.")
	}
	c.raw = raw.Bytes()
	return c, nil
}
