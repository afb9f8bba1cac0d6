// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"bytes"
	netmail "net/mail"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/rehive/extension-operator/internal/address"
)

// FuzzHeaders builds mails from hostile texts. Whatever they are, a mail has the headers of
// any other mail, one of each, and nothing in them can be read as more.
func FuzzHeaders(f *testing.F) {
	for _, evil := range []string{
		"Shop", "Hi\r\nBcc: evil@example.com", "Hi\rBcc: evil@example.com", "Hi\nBcc: evil@example.com", "Hi\r\n\r\nbody", "Hi\r\n .\r\n", "Hi\x00there", "\x85Bcc: x",
		"Hi\u2028Bcc: x", "Hi\u2029Bcc: x", "Hi\u0085Bcc: x", "Hi\v\fBcc: x", "=?utf-8?Q?Hi=0D=0ABcc:_evil@example.com?=", "=?utf-8?B?DQpCY2M6IHg=?=", "\"Shop\" <a@b.example>, x", "Shop\\", "\"", "\xff\xfe",
		strings.Repeat("a", 2000), strings.Repeat("é", 1000), strings.Repeat("\r\n", 100), strings.Repeat(" ", 1200) + "x", "a\u202eb", "\U000e0041",
	} {
		f.Add(evil, evil+" <shop@example.com>", "reply@example.com", "joe@example.org")
		f.Add("Hi", "shop@example.com", "reply@example.com"+evil, "joe@example.org"+evil)
		f.Add("Hi", "shop@"+evil, evil+"@example.com", evil+"@example.org")
	}
	expected := []string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Reply-To", "Subject", "To"}
	f.Fuzz(func(t *testing.T, subject, from, replyTo, to string) {
		m := message()
		m.Subject, m.From, m.ReplyTo, m.To = subject, from, replyTo, to
		s := &Provider{}
		s.from, _ = address.Parse("operator@example.com")
		c, err := s.compose(m)
		if err != nil {
			return
		}
		head, _, _ := bytes.Cut(c.raw, []byte("\r\n\r\n"))
		for _, line := range strings.Split(string(head), "\r\n") {
			if len(line) > 998 || strings.ContainsFunc(line, func(r rune) bool { return r != '\t' && unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }) {
				t.Errorf("the line %q is not one", line)
			}
		}
		parsed, err := netmail.ReadMessage(bytes.NewReader(c.raw))
		if err != nil {
			t.Fatalf("%v\n%q", err, head)
		}
		for name, values := range parsed.Header {
			if len(values) != 1 || !slices.Contains(expected, name) && !strings.HasPrefix(name, "Content-") {
				t.Errorf("the mail has the headers %s: %q", name, values)
			}
		}
		for _, name := range []string{"From", "To", "Reply-To"} {
			if list, err := parsed.Header.AddressList(name); err != nil && parsed.Header.Get(name) != "" && !c.utf8 || len(list) > 1 {
				t.Errorf("%s is %q: %v", name, parsed.Header.Get(name), err)
			}
		}
		for _, envelope := range []string{c.from, c.to} {
			if strings.ContainsFunc(envelope, func(r rune) bool {
				return unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune("<>,;:\"", r)
			}) {
				t.Errorf("the envelope has the address %q", envelope)
			}
		}
	})
}
