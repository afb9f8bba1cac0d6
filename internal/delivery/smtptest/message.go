// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtptest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"time"
)

// Message is a mail as it came.
type Message struct {
	// Number counts the messages from 1.
	Number int
	// From and To are of the envelope.
	From string
	To   []string
	// TLS says whether it came encrypted.
	TLS        bool
	ReceivedAt time.Time
	Raw        []byte
}

// Content is a mail as a reader sees it.
type Content struct {
	Header mail.Header
	// Subject is decoded.
	Subject string
	// Text and HTML are the parts of these types, decoded. Alternatives are the
	// types of a multipart/alternative in their order, or nil.
	Text, HTML   string
	Alternatives []string
}

// Parse reads the mail. It is strict: what a mail program would have to guess at
// is an error.
func (m *Message) Parse() (Content, error) {
	parsed, err := mail.ReadMessage(bytes.NewReader(m.Raw))
	if err != nil {
		return Content{}, fmt.Errorf("reading the mail: %w", err)
	}
	c := Content{Header: parsed.Header}
	c.Subject, err = new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
	if err != nil {
		return Content{}, fmt.Errorf("decoding the subject: %w", err)
	}
	kind, params, err := mime.ParseMediaType(parsed.Header.Get("Content-Type"))
	if err != nil {
		return Content{}, fmt.Errorf("reading the content type: %w", err)
	}
	if kind != "multipart/alternative" {
		return c, c.part(kind, params, parsed.Header.Get("Content-Transfer-Encoding"), parsed.Body)
	}
	parts := multipart.NewReader(parsed.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return c, nil
		}
		if err != nil {
			return Content{}, fmt.Errorf("reading a part: %w", err)
		}
		kind, params, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil {
			return Content{}, fmt.Errorf("reading a part's content type: %w", err)
		}
		c.Alternatives = append(c.Alternatives, kind)
		if err := c.part(kind, params, p.Header.Get("Content-Transfer-Encoding"), p); err != nil {
			return Content{}, err
		}
	}
}

func (c *Content) part(kind string, params map[string]string, encoding string, body io.Reader) error {
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("decoding the %s part: %w", kind, err)
	}
	if charset := params["charset"]; !strings.EqualFold(charset, "utf-8") {
		return fmt.Errorf("the %s part has charset %q", kind, charset)
	}
	text := strings.ReplaceAll(string(b), "\r\n", "\n")
	switch kind {
	case "text/plain":
		c.Text = text
	case "text/html":
		c.HTML = text
	default:
		return fmt.Errorf("a part has type %s", kind)
	}
	return nil
}
