// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
)

// rude starts a rude server and a provider that sends to it.
func rude(t *testing.T, script smtptest.Script, change func(*Config)) (*smtptest.Rude, *Provider) {
	t.Helper()
	s, err := smtptest.StartRude(script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c := Config{Host: s.Host(), Port: s.Port(), TLS: Plaintext, RootCAs: s.RootCAs(), From: "Shop <shop@example.com>", HELO: "operator.example.com"}
	if change != nil {
		change(&c)
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return s, p
}

// on says something when a verb is heard.
func on(verb string, said *smtptest.Said) func(smtptest.Heard) *smtptest.Said {
	return func(h smtptest.Heard) *smtptest.Said {
		if h.Verb == verb {
			return said
		}
		return nil
	}
}

// reasonOf sends a message and returns its class and reason.
func reasonOf(t *testing.T, p *Provider, m provider.Message) (class, reason string) {
	t.Helper()
	_, err := p.Send(bg, m)
	if err == nil {
		return "sent", ""
	}
	var e *provider.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v isn't an Error", err)
	}
	switch {
	case provider.IsPermanent(err):
		class = "fails"
	case provider.IsMisconfigured(err):
		class = "waits"
	case provider.IsUnknown(err):
		class = "unknown"
	case provider.IsDeferred(err):
		class = "retried alone"
	default:
		class = "retried"
	}
	return class, e.Reason
}

// Keywords are compared in any case. Nothing goes out unencrypted where the server
// offers encryption.
func TestKeywordsInAnyCase(t *testing.T) {
	for _, starttls := range []string{
		"STARTTLS", "starttls", "StartTLS", "sTARTTLS ", "starttls\t", "StartTls REQUIRED", " starttls", "\tSTARTTLS", "startTLS=", "Starttls\x0b", "STARTTLS\r", "starttls\nSTARTTLS\nstarttls",
	} {
		for _, mode := range []TLSMode{StartTLS, StartTLSOptional} {
			t.Run(fmt.Sprintf("%q %s", starttls, mode), func(t *testing.T) {
				s, p := rude(t, smtptest.Script{Extensions: append([]string{"pipelining", "size 1000000", "8bitmime", "SmtpUtf8", "auth Plain login"}, strings.Split(starttls, "\n")...)}, func(c *Config) {
					c.TLS, c.Username, c.Password = mode, "user", "planted"
				})
				m := message()
				m.To = "zoë@example.org"
				if _, err := p.Send(bg, m); err != nil {
					t.Fatal(err)
				}
				messages := s.Messages()
				if len(messages) != 1 || !messages[0].TLS {
					t.Errorf("%d messages came, or one unencrypted", len(messages))
				}
				commands := strings.Join(s.Commands(), "\n")
				for _, want := range []string{"tls AUTH PLAIN ", "BODY=8BITMIME", " SIZE=", " SMTPUTF8"} {
					if !strings.Contains(commands, want) {
						t.Errorf("%q is missing in\n%s", want, commands)
					}
				}
			})
		}
	}
	for _, auth := range []string{
		"AUTH LOGIN", "auth login", "AUTH=LOGIN", "auth=login", "Auth =  Login", "AUTH\tLogin", "AuTh\tntlm  LoGiN ", "auth\nauth login", "AUTH XOAUTH2\nauth=Login\nX", "AUTH EXTERNAL\nAUTH=\nauth login",
		"auth\tOAUTHBEARER\tlogin\t", "AUTH=XOAUTH2 login",
	} {
		t.Run(auth, func(t *testing.T) {
			s, p := rude(t, smtptest.Script{Extensions: strings.Split(auth, "\n"), Say: on("AUTH", smtptest.Line("334 VXNlcm5hbWU6"))}, func(c *Config) { c.Username, c.Password = "user", "planted" })
			if _, err := p.Send(bg, message()); err != nil {
				t.Fatalf("%v: %v", err, s.Commands())
			}
		})
	}
}

// A server may offer parameters and then refuse them. They only inform it, so the mail goes
// without them, and so do the next ones.
func TestRefusedParameters(t *testing.T) {
	for _, refusal := range []string{
		"555 5.5.4 Unsupported option: SIZE=100", "555 MAIL FROM/RCPT TO parameters not recognized or not implemented", "501 5.5.4 Syntax error in parameters", "504 5.5.4 BODY not implemented",
	} {
		for _, extensions := range [][]string{{"SIZE", "8BITMIME"}, {"size 1000000", "PIPELINING"}, {"8bitmime"}} {
			t.Run(fmt.Sprint(refusal, extensions), func(t *testing.T) {
				s, p := rude(t, smtptest.Script{Extensions: extensions, Say: func(h smtptest.Heard) *smtptest.Said {
					if h.Verb == "MAIL" && strings.Contains(h.Line, "=") {
						return smtptest.Line("%s", refusal)
					}
					return nil
				}}, nil)
				for range 3 {
					if _, err := p.Send(bg, message()); err != nil {
						t.Fatal(err)
					}
				}
				if n := len(s.Messages()); n != 3 || s.Connections() > 2 {
					t.Errorf("%d messages on %d connections", n, s.Connections())
				}
			})
		}
	}
	t.Run("not about parameters", func(t *testing.T) {
		s, p := rude(t, smtptest.Script{Extensions: []string{"SIZE"}, Say: on("MAIL", smtptest.Line("555 5.5.4 no"))}, nil)
		if class, _ := reasonOf(t, p, message()); class != "waits" || s.Connections() != 2 {
			t.Errorf("%s after %d connections", class, s.Connections())
		}
	})
}

// A connection that is back in the pool belongs to the next message. The race detector notices
// if the previous one still reads it.
func TestRefusedMessagesShareConnections(t *testing.T) {
	s, p := rude(t, smtptest.Script{Extensions: []string{"SIZE"}, Say: on("RCPT", smtptest.Line("550 5.1.1 no such user"))}, func(c *Config) { c.MaxConnections = 1 })
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for range 25 {
				if _, err := p.Send(bg, message()); !provider.IsPermanent(err) {
					t.Errorf("%v", err)
				}
			}
		})
	}
	senders.Wait()
	if n := s.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// The other forms of an EHLO reply.
func TestExtensions(t *testing.T) {
	for name, test := range map[string]struct {
		script        smtptest.Script
		class, reason string
		subject       int
	}{
		"none":                    {smtptest.Script{}, "sent", "", 0},
		"EHLO unknown":            {smtptest.Script{Say: on("EHLO", smtptest.Line("502 5.5.1 what?"))}, "sent", "", 0},
		"EHLO refused":            {smtptest.Script{Say: on("EHLO", smtptest.Line("550 5.7.1 HELO name not allowed"))}, "waits", "ServerRefused", 0},
		"too big":                 {smtptest.Script{Extensions: []string{"size 100"}}, "fails", "MessageTooBig", 0},
		"size without a limit":    {smtptest.Script{Extensions: []string{"SIZE"}}, "sent", "", 0},
		"size 0":                  {smtptest.Script{Extensions: []string{"SIZE 0"}}, "sent", "", 0},
		"size that is none":       {smtptest.Script{Extensions: []string{"SIZE 99999999999999999999999999", "SIZE -1"}}, "sent", "", 0},
		"bare line feeds":         {smtptest.Script{Say: on("EHLO", &smtptest.Said{Raw: "250-a\n250-PIPELINING\n250 8BITMIME\n"})}, "sent", "", 0},
		"empty keywords":          {smtptest.Script{Extensions: []string{"", " ", "=", "PIPELINING"}}, "sent", "", 0},
		"a thousand extensions":   {smtptest.Script{Extensions: strings.Split(strings.Repeat("X-THING\n", 1000), "\n")}, "sent", "", 0},
		"a line of 5,000 letters": {smtptest.Script{Extensions: []string{"X-" + strings.Repeat("a", 5000), "PIPELINING"}}, "sent", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, p := rude(t, test.script, nil)
			if class, reason := reasonOf(t, p, message()); class != test.class || reason != test.reason {
				t.Errorf("%s %s, want %s %s", class, reason, test.class, test.reason)
			}
		})
	}
}

// A keyword counts on any line of the reply: nothing goes out unencrypted where the server offers
// encryption.
func TestStartTLSAnywhere(t *testing.T) {
	for _, ehlo := range []string{
		"250 STARTTLS\r\n", "250 starttls\r\n", "250-starttls\r\n250 mx\r\n", "250-mx\r\n250-\r\n250 StartTLS\r\n", "250-mx\n250 starttls\n", "250-mx\r\n250-x\r\n250\tstarttls\r\n", "251-mx\r\n251 starttls\r\n",
		"250-mx\r\n250-starttls\r\n250\r\n",
	} {
		t.Run(fmt.Sprintf("%q", ehlo), func(t *testing.T) {
			s, p := rude(t, smtptest.Script{Say: func(h smtptest.Heard) *smtptest.Said {
				if h.Verb == "EHLO" && !h.TLS {
					return &smtptest.Said{Raw: ehlo}
				}
				return nil
			}}, func(c *Config) { c.TLS = StartTLSOptional })
			if _, err := p.Send(bg, message()); err != nil {
				t.Fatal(err)
			}
			if messages := s.Messages(); len(messages) != 1 || !messages[0].TLS {
				t.Error("it went out unencrypted")
			}
		})
	}
}

// Replies from before the handshake are ignored, and so is injected data.
func TestStartTLSIsNotUndone(t *testing.T) {
	for name, test := range map[string]struct {
		said          *smtptest.Said
		class, reason string
	}{
		"refused for now":       {smtptest.Line("454 4.7.0 TLS not available"), "retried", "Unavailable"},
		"refused for good":      {smtptest.Line("502 5.5.1 not here"), "waits", "TLSUnavailable"},
		"slipped in":            {&smtptest.Said{Raw: "220 go on\r\n250 slipped in\r\n"}, "retried", "BadReply"},
		"hangs up":              {&smtptest.Said{Close: true}, "retried", "TLSFailed"},
		"says yes, hangs up":    {&smtptest.Said{Raw: "220 go on\r\n", Close: true}, "retried", "TLSFailed"},
		"says yes, then babble": {&smtptest.Said{Raw: "220 go on\r\n", After: nil}, "sent", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := rude(t, smtptest.Script{Extensions: []string{"starttls"}, Say: on("STARTTLS", test.said)}, func(c *Config) { c.TLS = StartTLSOptional })
			if class, reason := reasonOf(t, p, message()); class != test.class || reason != test.reason {
				t.Errorf("%s %s, want %s %s", class, reason, test.class, test.reason)
			}
			for _, command := range s.Commands() {
				if strings.HasPrefix(command, "MAIL") {
					t.Error("the mail went on unencrypted")
				}
			}
		})
	}
}

// A server that never says whether it accepted a mail gets one copy. [TestSlowSteps] is
// about one that says so late.
func TestLateAnswer(t *testing.T) {
	for name, said := range map[string]*smtptest.Said{
		"silence":       {Delay: time.Hour, Keep: true},
		"end":           {Close: true, Keep: true},
		"garbage":       {Raw: "what?\r\n", Keep: true},
		"half a reply":  {Raw: "250-queu", Close: true, Keep: true},
		"too much":      {Raw: strings.Repeat("250-queued\r\n", 100), Endless: true, Keep: true},
		"odd code":      {Raw: "354 continue\r\n", Keep: true},
		"drop by drop":  {Raw: "250", Delay: time.Hour, Keep: true},
		"NUL":           {Raw: "\x00\x00\x00\r\n", Keep: true},
		"a number only": {Raw: "999 no\r\n", Keep: true},
		"a greeting":    {Raw: "220 rude.example\r\n", Keep: true},
		"a farewell":    {Raw: "221 2.0.0 closing\r\n", Keep: true},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := rude(t, smtptest.Script{Say: on(".", said)}, func(c *Config) { c.FinalTimeout = 300 * time.Millisecond })
			if class, reason := reasonOf(t, p, message()); class != "unknown" || reason != provider.ReasonOutcomeUnknown {
				t.Errorf("%s %s", class, reason)
			}
			if n := len(s.Messages()); n != 1 {
				t.Errorf("%d copies", n)
			}
		})
	}
}

// Each step may take as long as RFC 5321 asks for, however short the others are.
func TestSlowSteps(t *testing.T) {
	var all sync.WaitGroup // in parallel: they wait
	for _, verb := range []string{"", "MAIL", "RCPT", "DATA", "."} {
		for _, extensions := range [][]string{nil, {"PIPELINING"}} {
			slow := &smtptest.Said{Raw: "250 ok\r\n", Delay: 7 * time.Second}
			switch verb {
			case "":
				slow.Raw = "220 rude.example\r\n"
			case "DATA":
				slow.Raw = "354 continue\r\n"
			}
			s, p := rude(t, smtptest.Script{Extensions: extensions, Say: on(verb, slow)}, func(c *Config) { c.CommandTimeout = 5 * time.Second })
			all.Go(func() {
				if _, err := p.Send(bg, message()); err != nil {
					t.Errorf("%q %v: %v", verb, extensions, err)
				}
				if n := len(s.Messages()); n != 1 {
					t.Errorf("%q %v: %d copies", verb, extensions, n)
				}
			})
		}
	}
	all.Wait()
}

// A refusal of one recipient doesn't count against the server.
func TestOneRecipientIsNotTheServer(t *testing.T) {
	for name, said := range map[string]*smtptest.Said{
		"silence":  {Delay: time.Hour},
		"hangs up": {Close: true},
		"421":      smtptest.Line("421 4.2.1 the user gets too much mail"),
		"421 grey": {Raw: "421 Greylisted\r\n", Close: true},
		"450":      smtptest.Line("450 4.2.0 Greylisted"),
	} {
		for _, extensions := range [][]string{nil, {"PIPELINING"}} {
			t.Run(fmt.Sprint(name, extensions), func(t *testing.T) {
				t.Parallel()
				_, p := rude(t, smtptest.Script{Extensions: extensions, Say: on("RCPT", said)}, func(c *Config) { c.EnvelopeTimeout = 5 * time.Second })
				if class, reason := reasonOf(t, p, message()); class != "retried alone" {
					t.Errorf("%s %s", class, reason)
				}
			})
		}
	}
}

// The refusal of a server counts even if it comes before the end of the text and the
// server closes the connection.
func TestRefusedBeforeTheEnd(t *testing.T) {
	for reply, want := range map[string]string{
		"552 5.3.4 message too big":           "fails MessageTooBig",
		"554 5.7.1 spam":                      "fails MessageRefused",
		"550 5.4.5 daily sending limit":       "waits QuotaExceeded",
		"451 4.3.0 the disk is full":          "retried MessageDeferred",
		"421 4.3.2 shutting down":             "retried Unavailable",
		"":                                    "retried ConnectionLost",
		"530 5.7.0 STARTTLS is required here": "waits EncryptionRequired",
	} {
		t.Run(reply, func(t *testing.T) {
			midway := &smtptest.Said{Close: true}
			if reply != "" {
				midway.Raw = reply + "\r\n"
			}
			_, p := rude(t, smtptest.Script{Say: on("DATA", &smtptest.Said{Raw: "354 continue\r\n", Midway: midway})}, nil)
			m := message()
			m.Text = strings.Repeat("A long text.\n", 1<<18) // more than the buffers of both sockets
			if class, reason := reasonOf(t, p, m); class+" "+reason != want {
				t.Errorf("%s %s, want %s", class, reason, want)
			}
		})
	}
}

// A connection that was used before may be why MAIL is refused.
func TestSessionLimits(t *testing.T) {
	for name, said := range map[string]*smtptest.Said{
		"451":         smtptest.Line("451 4.7.1 too many messages in this session"),
		"421":         smtptest.Line("421 4.7.0 too many messages"),
		"450":         smtptest.Line("450 try another connection"),
		"550":         smtptest.Line("550 5.7.1 session limit"),
		"503":         smtptest.Line("503 5.5.1 what?"),
		"hangs up":    {Close: true},
		"garbage":     smtptest.Line("nonsense"),
		"silence":     {Delay: time.Hour},
		"421 and end": {Raw: "421 bye\r\n", Close: true},
	} {
		for _, extensions := range [][]string{nil, {"PIPELINING"}} {
			t.Run(fmt.Sprint(name, extensions), func(t *testing.T) {
				t.Parallel()
				s, p := rude(t, smtptest.Script{Extensions: extensions, Say: func(h smtptest.Heard) *smtptest.Said {
					switch {
					case h.Messages < 2:
						return nil
					case h.Verb == "MAIL":
						return said
					case h.Verb == "RCPT", h.Verb == "DATA":
						return smtptest.Line("503 5.5.1 MAIL first")
					}
					return nil
				}}, func(c *Config) { c.CommandTimeout = 5 * time.Second })
				n := 20
				if name == "silence" {
					n = 4
				}
				for i := range n {
					if _, err := p.Send(bg, message()); err != nil {
						t.Fatalf("message %d: %v", i+1, err)
					}
				}
				if got := len(s.Messages()); got != n {
					t.Errorf("%d of %d came", got, n)
				}
			})
		}
	}
	t.Run("at RCPT", func(t *testing.T) {
		s, p := rude(t, smtptest.Script{Say: func(h smtptest.Heard) *smtptest.Said {
			if h.Verb == "RCPT" && h.Messages >= 2 {
				return smtptest.Line("452 4.5.3 too many recipients in this session")
			}
			return nil
		}}, nil)
		for range 7 {
			if _, err := p.Send(bg, message()); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.Connections(); n != 4 {
			t.Errorf("%d connections", n)
		}
	})
	for _, reply := range []string{
		"450 4.7.1 Error: too many messages in one session", "452 4.5.3 maximum recipients per SMTP session reached", "451 4.7.0 please open a new connection", "550 5.7.0 connection limit reached, reconnect",
		"554 5.5.0 too many transactions", "421 4.4.2 enough", "452 4.5.3 Too many recipients", "452 4.4.5 Maximum number of messages per session exceeded.",
	} {
		for _, verb := range []string{"RCPT", "DATA", "."} {
			t.Run(verb+" "+reply, func(t *testing.T) {
				s, p := rude(t, smtptest.Script{Say: func(h smtptest.Heard) *smtptest.Said {
					if h.Verb == verb && h.Messages >= 1 {
						return smtptest.Line("%s", reply)
					}
					return nil
				}}, nil)
				for range 3 {
					if _, err := p.Send(bg, message()); err != nil {
						t.Fatal(err)
					}
				}
				if n := len(s.Messages()); n != 3 {
					t.Errorf("%d messages", n)
				}
			})
		}
	}
	t.Run("refused on a new one", func(t *testing.T) {
		s, p := rude(t, smtptest.Script{Say: on("MAIL", smtptest.Line("451 4.3.0 not now"))}, nil)
		for range 3 {
			if class, reason := reasonOf(t, p, message()); class != "retried" || reason != "MessageDeferred" {
				t.Errorf("%s %s", class, reason)
			}
		}
		if n := s.Connections(); n != 3 {
			t.Errorf("%d connections: one that refuses MAIL is not kept, and one message tries one", n)
		}
	})
}

// Replies of mail servers and their outcomes.
func TestReplies(t *testing.T) {
	const mail, rcpt, data, dot, greeting = "MAIL", "RCPT", "DATA", ".", ""
	for _, test := range []struct{ verb, reply, class, reason string }{
		// Sender not owned.
		{rcpt, "553 5.7.1 <shop@example.com>: Sender address rejected: not owned by user relay", "waits", "SenderRefused"},
		{rcpt, "553 <shop@example.com>: Sender address rejected: not owned by user relay", "waits", "SenderRefused"},
		{mail, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", "waits", "SenderRefused"},
		{dot, "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied", "waits", "SenderRefused"},
		{dot, "554 Message rejected: Email address is not verified. The following identities failed the check in region EU-WEST-1: shop@example.com", "waits", "SenderRefused"},
		{mail, "501 5.1.7 Bad sender address syntax", "waits", "SenderRefused"},
		{mail, "553 5.1.8 Domain of sender address shop@example.com does not exist", "waits", "SenderRefused"},
		{mail, "550 no", "waits", "SenderRefused"},
		{rcpt, "550 Sender verify failed", "waits", "SenderRefused"},
		{rcpt, "550-Requested action not taken\r\n550 Sender not registered for this account", "waits", "SenderRefused"},
		{dot, "550 5.7.0 Sender address is not recognised", "waits", "SenderRefused"},
		{rcpt, "554 5.7.1 <joe@example.org>: Recipient address rejected: Sender is not same as SMTP authenticate username", "waits", "SenderRefused"},
		{dot, "550 Unverified domain example.com", "waits", "SenderRefused"},
		{mail, "550 5.7.750 Unregistered domain", "waits", "SenderRefused"},
		// An account that somebody must pay for or that was suspended, and what a plan allows.
		{dot, "550 Your subscription is past due", "waits", "AccountRestricted"},
		{dot, "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; WASCL UserAction verdict is not None. Actual verdict is Suspend", "waits", "AccountRestricted"},
		{mail, "550 Payment overdue", "waits", "AccountRestricted"},
		{dot, "550 Message was not accepted -- daily cap of 200 has been hit", "waits", "QuotaExceeded"},
		{dot, "550 Limit of 100 recipients per day", "waits", "QuotaExceeded"},
		{dot, "554 5.7.1 Message rejected: monthly plan volume used up", "waits", "QuotaExceeded"},
		{rcpt, "550 5.1.8 <shop@example.com>: Sender address rejected: Domain not found", "waits", "SenderRefused"},
		// Relay.
		{rcpt, "554 5.7.1 <joe@example.org>: Relay access denied", "waits", "RelayDenied"},
		{rcpt, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", "waits", "RelayDenied"},
		{rcpt, "550 relay not permitted", "waits", "RelayDenied"},
		{rcpt, "550 5.7.1 Relaying denied", "waits", "RelayDenied"},
		{rcpt, "550-5.7.1 Relaying\r\n550 5.7.1 denied. Proper authentication required.", "waits", "LoginRequired"},
		{rcpt, "551 we do not relay", "waits", "RelayDenied"},
		{rcpt, "550 5.7.64 TenantAttribution; Relay Access Denied", "waits", "RelayDenied"},
		{rcpt, "553 Relaying disallowed as shop@example.com", "waits", "RelayDenied"},
		{rcpt, "550 relay not allowed", "waits", "RelayDenied"},
		{rcpt, "550 you are not allowed to use this server as a relay", "waits", "RelayDenied"},
		{rcpt, "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", "waits", "RelayDenied"},
		// Login and encryption.
		{rcpt, "550 SMTP AUTH is required for message submission on port 587", "waits", "LoginRequired"},
		{mail, "530 5.7.1 Client was not authenticated", "waits", "LoginRequired"},
		{mail, "530 5.7.0 Must issue a STARTTLS command first", "waits", "EncryptionRequired"},
		{mail, "550 5.7.1 Authentication is required to send mail", "waits", "LoginRequired"},
		{rcpt, "535 5.7.8 Error: authentication failed", "waits", "LoginRequired"},
		{mail, "503 5.5.1 Error: authentication required", "waits", "LoginRequired"},
		{mail, "538 5.7.11 Encryption required for requested authentication mechanism", "waits", "EncryptionRequired"},
		// Quota.
		{mail, "550 5.4.5 Daily user sending limit exceeded", "waits", "QuotaExceeded"},
		{dot, "550 5.4.5 Daily user sending limit exceeded", "waits", "QuotaExceeded"},
		{dot, "550-5.4.5 Daily user\r\n550 5.4.5 sending limit exceeded", "waits", "QuotaExceeded"},
		{dot, "554 5.7.0 Your message could not be sent. The limit on the number of allowed outgoing messages was exceeded. Try again later.", "waits", "QuotaExceeded"},
		{dot, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", "waits", "QuotaExceeded"},
		{rcpt, "554 5.7.1 <joe@example.org>: Recipient address rejected: sending quota exceeded", "waits", "QuotaExceeded"},
		{mail, "550 5.7.1 You have exceeded your hourly sending limit", "waits", "QuotaExceeded"},
		{dot, "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients", "waits", "QuotaExceeded"},
		{mail, "554 too many messages", "waits", "QuotaExceeded"},
		{rcpt, "550 sorry, you are sending too fast, you have reached your hourly quota", "waits", "QuotaExceeded"},
		{mail, "550 Exceeded maximum emails per hour", "waits", "QuotaExceeded"},
		{rcpt, "550 Domain example.com has exceeded the max emails per hour (150/150 (100%)) allowed. Message discarded.", "waits", "QuotaExceeded"},
		{dot, "554 You have exceeded your messaging limits", "waits", "QuotaExceeded"},
		{rcpt, "550 You have reached your daily email sending allowance", "waits", "QuotaExceeded"},
		{dot, "552 5.2.2 mailbox quota exceeded", "fails", "RecipientRefused"},
		{rcpt, "552 5.2.2 The email account that you tried to reach is over quota", "fails", "RecipientRefused"},
		{rcpt, "552 mailbox full", "fails", "RecipientRefused"},
		// Policy and lists.
		{rcpt, "550 Your account is not yet activated", "waits", "ClientRefused"},
		{rcpt, "550 Outgoing mail from this account has been suspended", "waits", "ClientRefused"},
		{dot, "554 Sending paused for this account. For more information, please check the inbox", "waits", "ClientRefused"},
		{rcpt, "550 we do not accept mail from dynamic IPs", "waits", "ClientRefused"},
		{rcpt, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", "waits", "ClientRefused"},
		{greeting, "554 5.7.1 192.0.2.1 is listed at bl.example", "waits", "ServerRefused"},
		{greeting, "554 no SMTP service here", "waits", "ServerRefused"},
		{greeting, "521 this host takes no mail", "waits", "ServerRefused"},
		{dot, "550-5.7.26 This mail is unauthenticated. The sender must authenticate with at least\r\n550-5.7.26 one of SPF or\r\n550 5.7.26 DKIM.", "waits", "SenderUnauthenticated"},
		{rcpt, "550 5.7.23 <joe@example.org>: Recipient address rejected: Message rejected due to: SPF fail", "waits", "SenderUnauthenticated"},
		{rcpt, "550 5.7.25 Client host rejected: cannot find your reverse hostname", "waits", "SenderUnauthenticated"},
		{dot, "550-5.7.28 [192.0.2.1] Our system has detected an unusual rate of\r\n550 5.7.28 unsolicited mail originating from your IP address", "waits", "QuotaExceeded"},
		{rcpt, "550 5.7.1 Access denied", "waits", "PolicyRefused"},
		{dot, "554 5.7.1 policy", "waits", "PolicyRefused"},
		{mail, "521 5.3.2 system does not accept mail", "waits", "ServerRefused"},
		// The recipient.
		{rcpt, "550 5.1.1 <joe@example.org>: Recipient address rejected: User unknown", "fails", "RecipientRefused"},
		{rcpt, "550 5.1.1 no such user", "fails", "RecipientRefused"},
		{rcpt, "550 no", "fails", "RecipientRefused"},
		{rcpt, "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", "fails", "RecipientRefused"},
		{rcpt, "550 5.7.1 <joe@example.org>: Recipient address rejected: Access denied", "fails", "RecipientRefused"},
		{rcpt, "551 user not local", "fails", "RecipientRefused"},
		{rcpt, "553 5.1.3 mailbox name not allowed", "fails", "RecipientRefused"},
		{rcpt, "556 5.1.10 recipient's domain has a null MX", "fails", "RecipientRefused"},
		{dot, "550 5.1.1 unknown user", "fails", "RecipientRefused"},
		// The address must not decide by the words in it.
		{rcpt, "550 5.1.1 <relay-access-denied@quota-exceeded.example>: no", "fails", "RecipientRefused"},
		// The message.
		{dot, "552 5.3.4 Message size exceeds fixed limit", "fails", "MessageTooBig"},
		{mail, "552 5.3.4 Message size exceeds fixed limit", "fails", "MessageTooBig"},
		{dot, "554 5.7.1 Message rejected as spam by Content Filtering", "fails", "MessageRefused"},
		{dot, "550 5.6.0 Lone CR or LF in headers", "fails", "MessageRefused"},
		{dot, "554 no", "fails", "MessageRefused"},
		{dot, "500 5.5.2 line too long", "fails", "MessageRefused"},
		{data, "554 5.5.1 no valid recipients", "fails", "MessageRefused"},
		// Replies of particular servers and services.
		{mail, "553 5.1.8 Sender address rejected: Domain not found", "waits", "SenderRefused"},
		{rcpt, "550 5.7.1 Sender ID (PRA) Not Permitted", "waits", "SenderRefused"},
		{dot, "550 5.1.8 Access denied, bad outbound sender", "waits", "SenderRefused"},
		{dot, "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP.", "waits", "PolicyRefused"},
		{dot, "550 Sandbox subdomains are for test purposes only. Please add your own domain or add the address to authorized recipients in Account Settings.", "waits", "AccountRestricted"},
		{rcpt, "550 Free accounts are for test purposes only. Please upgrade or add the address to authorized recipients in Account Settings.", "waits", "AccountRestricted"},
		{dot, "421 Domain shop.example is not allowed to send: Sandbox subdomains are for test purposes only. Please add your own domain", "waits", "AccountRestricted"},
		{dot, "550 The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved.", "waits", "SenderRefused"},
		{dot, "550 Unauthenticated senders not allowed", "waits", "SenderUnauthenticated"},
		{dot, "454 Throttling failure: Maximum sending rate exceeded.", "retried", "Throttled"},
		{dot, "454 Throttling failure: Daily message quota exceeded.", "waits", "QuotaExceeded"},
		{dot, "554 Access denied: User `arn:aws:iam::1:user/x' is not authorized to perform `ses:SendRawEmail' on resource `arn'", "waits", "AccountRestricted"},
		{dot, "554 Message rejected: Sending suspended for this account. For more information, please check the inbox", "waits", "ClientRefused"},
		{dot, "554 Transaction failed: Configuration Set <x> does not exist.", "waits", "AccountRestricted"},
		{dot, "554 5.2.252 SendAsDenied; a not allowed to send as b", "waits", "SenderRefused"},
		{mail, "530 5.7.57 Client not authenticated to send mail.", "waits", "LoginRequired"},
		{mail, "550 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM", "waits", "LoginRequired"},
		{dot, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", "retried", "Throttled"},
		{dot, "550 5.4.6 Unusual sending activity detected. Please try after sometime.", "waits", "QuotaExceeded"},
		{dot, "554 5.1.8 Email Outgoing Blocked", "waits", "SenderRefused"},
		{dot, "554 Message not allowed - [PH01] Email not accepted for policy reasons.", "waits", "PolicyRefused"},
		{dot, "554-Transaction failed\r\n554 Reject due to policy restrictions. For explanation visit https://postmaster.example", "waits", "PolicyRefused"},
		{rcpt, "550 Domain shop.example has exceeded the max defers and failures per hour (5/5 (100%)) allowed. Message discarded.", "waits", "QuotaExceeded"},
		{rcpt, "554 5.7.1 Ratelimit exceeded", "waits", "QuotaExceeded"},
		{dot, "451 4.7.1 Ratelimit \"user\" exceeded", "retried", "Throttled"},
		{rcpt, "454 4.7.1 <joe@example.org>: Relay access denied", "waits", "RelayDenied"},
		{rcpt, "450 4.7.1 <shop@example.com>: Sender address rejected: not owned by user relay", "waits", "SenderRefused"},
		{mail, "420 4.7.1 Exceed Sending Limit (Daily)", "waits", "QuotaExceeded"},
		{rcpt, "421 4.2.1 The user you are trying to contact is receiving mail too quickly", "retried alone", "RecipientDeferred"},
		{rcpt, "550 5.7.10 Encryption needed", "waits", "EncryptionRequired"},
		{mail, "550 Sender address \"shop@example.com\" not validated", "waits", "SenderRefused"},
		{dot, "550 5.7.1 Unconfigured Sending Domain <example.com>", "waits", "PolicyRefused"},
		{rcpt, "550 5.1.1 <shop@example.com>: Sender address rejected: User unknown in local recipient table", "waits", "SenderRefused"},
		{rcpt, "550 5.7.1 <joe@example.org>: Recipient address rejected: User unknown in relay recipient table", "fails", "RecipientRefused"},
		{rcpt, "550 Unrouteable address", "fails", "RecipientRefused"},
		{rcpt, "550 5.2.1 The email account that you tried to reach is disabled", "fails", "RecipientRefused"},
		{dot, "554 delivery error: dd This user doesn't have a yahoo.com account", "fails", "RecipientRefused"},
		{rcpt, "550 5.7.129 RESOLVER.RST.RestrictedToRecipientsPermission; not authorized to send to recipient", "fails", "RecipientRefused"},
		{rcpt, "550 5.1.1 The email account that you tried to reach does not exist. Please try double-checking the recipient's email address for typos", "fails", "RecipientRefused"},
		{dot, "550 5.7.1 [192.0.2.1 12] Our system has detected that this message is likely suspicious due to the very low reputation of the sending domain.", "waits", "ClientRefused"},
		{dot, "550 5.4.5 Daily SMTP relay sending limit exceeded for customer.", "waits", "QuotaExceeded"},
		{dot, "552 5.2.3 Your message exceeded Google's message size limits.", "fails", "MessageTooBig"},
		{mail, "452 4.3.1 Insufficient system resources", "retried", "MessageDeferred"},
		{rcpt, "552 5.2.2 Mailbox size limit exceeded", "fails", "MessageTooBig"},
		{rcpt, "550 Mailbox size limit exceeded", "fails", "MessageTooBig"},
		{rcpt, "452 4.2.2 The recipient's inbox is out of storage space. Daily quota", "retried alone", "RecipientDeferred"},
		{rcpt, "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered.", "retried alone", "RecipientDeferred"},
		{dot, "554 5.7.0 Too many Unauthenticated commands", "waits", "SenderUnauthenticated"},
		{mail, "501 5.5.4 HELO requires domain address", "waits", "ClientRefused"},
		{mail, "555 5.5.4 Unsupported option: SIZE=10", "waits", "SenderRefused"},
		{rcpt, "550 5.7.1 Your access to submit messages to this e-mail system has been rejected.", "waits", "PolicyRefused"},
		{rcpt, "550 5.7.1 You've reached a limit for sending mail", "waits", "QuotaExceeded"},
		{rcpt, "550 Sender is not allowed to relay emails", "waits", "RelayDenied"},
		{mail, "550 Please turn on SMTP Authentication in your mail client", "waits", "LoginRequired"},
		{rcpt, "550-Please turn on SMTP Authentication in your mail client.\r\n550 mail.example is not permitted to relay through this server without authentication.", "waits", "LoginRequired"},
		{dot, "550 5.7.1 The account has been disabled for sending; contact your provider", "waits", "ClientRefused"},
		{dot, "554 5.7.1 Your account has not been enabled for SMTP access", "waits", "AccountRestricted"},
		{mail, "535 Not authorized: your plan does not include SMTP", "waits", "AccountRestricted"},
		{dot, "550 You have run out of credits", "waits", "AccountRestricted"},
		{dot, "550 Insufficient credits. Please top up", "waits", "AccountRestricted"},
		{dot, "550 Your trial has expired", "waits", "AccountRestricted"},
		{dot, "550 Account is under review", "waits", "AccountRestricted"},
		{dot, "554 Email address is on the suppression list", "fails", "RecipientRefused"},
		{greeting, "421 4.7.0 mx.example Error: too many connections from 192.0.2.1", "retried", "Throttled"},
		{greeting, "421 Too many concurrent SMTP connections; please try again later.", "retried", "Throttled"},
		{greeting, "450 4.3.2 Connection rate limit exceeded", "retried", "Throttled"},
		{rcpt, "550-Requested action not taken: mailbox unavailable\r\n550 Failure sending mail. Try again later", "retried alone", "MessageDeferred"},
		{rcpt, "550 Greylisted, please try again in 300 seconds", "retried alone", "MessageDeferred"},
		{mail, "432 4.3.2 Concurrent connections limit exceeded", "retried", "Throttled"},
		{rcpt, "550 5.1.1 no such user, try again later", "fails", "RecipientRefused"},
		// For now.
		{greeting, "421 4.3.2 too busy", "retried", "Unavailable"},
		{greeting, "450 greylisted", "retried", "Unavailable"},
		{mail, "421 bye", "retried", "Unavailable"},
		{rcpt, "421 4.7.0 try later", "retried alone", "RecipientDeferred"},
		{data, "421 bye", "retried", "Unavailable"},
		{dot, "421 4.3.0 bye", "unknown?", ""},
		{mail, "451 4.3.0 local error", "retried", "MessageDeferred"},
		{mail, "450 4.7.1 rate limit exceeded", "retried", "Throttled"},
		{rcpt, "450 4.2.0 Greylisted", "retried alone", "RecipientDeferred"},
		{rcpt, "451 4.7.1 try again later", "retried alone", "RecipientDeferred"},
		{rcpt, "452 4.2.2 over quota", "retried alone", "RecipientDeferred"},
		{data, "451 4.7.1 Greylisting in action", "retried alone", "MessageDeferred"},
		{dot, "451 4.7.1 Greylisting in action", "retried alone", "MessageDeferred"},
		{dot, "450 try again", "retried alone", "MessageDeferred"},
		{dot, "452 4.3.1 Insufficient system storage", "retried", "MessageDeferred"},
		{dot, "451 4.3.0 queue file write error", "retried", "MessageDeferred"},
		// An enhanced code of another class contradicts the reply's and doesn't count.
		{rcpt, "450 5.1.1 odd", "retried alone", "RecipientDeferred"},
		{rcpt, "550 4.7.1 odd", "fails", "RecipientRefused"},
		// Replies that aren't SMTP.
		{mail, "what?", "retried", "BadReply"},
		{mail, "2", "retried", "BadReply"},
		{mail, "150 no", "retried", "BadReply"},
		{mail, "250ok", "retried", "BadReply"},
		{rcpt, "354 continue", "retried", "BadReply"},
		{mail, "220 rude.example", "retried", "BadReply"},
		{rcpt, "221 2.0.0 bye", "retried", "BadReply"},
		{data, "334 ", "retried", "BadReply"},
		{data, "250 ok", "retried", "BadReply"},
		{rcpt, "\x00\x00\x00", "retried", "BadReply"},
		{rcpt, "", "retried", "BadReply"},
		// Several lines: the last counts, as everywhere.
		{rcpt, "250-ok\r\n550 5.1.1 no such user", "fails", "RecipientRefused"},
		{rcpt, "550-no\r\n250 well, yes", "sent", ""},
		{rcpt, "250", "sent", ""},
		{rcpt, "251 will forward", "sent", ""},
		{rcpt, "252 perhaps", "sent", ""},
	} {
		for _, extensions := range [][]string{nil, {"PIPELINING", "ENHANCEDSTATUSCODES"}} {
			t.Run(fmt.Sprintf("%s %.60s %d", test.verb, test.reply, len(extensions)), func(t *testing.T) {
				if strings.HasPrefix(test.class, "unknown?") {
					test.class, test.reason = "retried", "Unavailable" // it says that it didn't accept the mail
				}
				s, p := rude(t, smtptest.Script{Extensions: extensions, Say: on(test.verb, smtptest.Line("%s", test.reply))}, func(c *Config) { c.CommandTimeout = 10 * time.Second })
				m := message()
				class, reason := reasonOf(t, p, m)
				if test.class == "unknown" {
					t.Fatal("see TestSMTPLateAnswer")
				}
				if class != test.class || reason != test.reason {
					t.Errorf("%s %s, want %s %s", class, reason, test.class, test.reason)
				}
				if n := len(s.Messages()); n > 0 != (class == "sent") {
					t.Errorf("%d mails were accepted", n)
				}
				if reason != "SenderRefused" {
					return
				}
				// The rule's own sender is the rule's fault, and waiting doesn't help.
				m.From, m.OwnSender = "bank@other.example", true
				if class, _ := reasonOf(t, p, m); class != "fails" {
					t.Errorf("with a sender of the rule's: %s", class)
				}
				m.OwnSender = false
				if class, _ := reasonOf(t, p, m); class != "waits" {
					t.Errorf("with a sender that isn't the rule's: %s", class)
				}
			})
		}
	}
}

// A server that says more than it was asked must not have it taken for an answer to
// the next command.
func TestUnasked(t *testing.T) {
	for _, verb := range []string{"EHLO", "MAIL", "RCPT", "."} {
		t.Run(verb, func(t *testing.T) {
			s, p := rude(t, smtptest.Script{Say: func(h smtptest.Heard) *smtptest.Said {
				switch {
				case h.Verb == verb && h.Connection == 1:
					return &smtptest.Said{Raw: "250 ok\r\n250 ok\r\n250 ok\r\n354 ok\r\n250 ok\r\n"}
				case h.Verb == "RCPT" && strings.Contains(h.Line, "nobody"):
					return smtptest.Line("550 5.1.1 no such user")
				}
				return nil
			}}, nil)
			_, _ = p.Send(bg, message())
			m := message()
			m.To = "nobody@example.org"
			if _, err := p.Send(bg, m); err == nil {
				t.Errorf("accepted, by an answer that was to another command: %v", s.Commands())
			}
		})
	}
}

// However much a server says, and however slowly, a step ends.
func TestEndless(t *testing.T) {
	for _, verb := range []string{"", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "."} {
		for name, raw := range map[string]string{
			"line": strings.Repeat("2", 64<<10), "lines": strings.Repeat("250-more\r\n", 4<<10), "NULs": strings.Repeat("\x00", 64<<10), "challenges": strings.Repeat("334 AAAA\r\n", 4<<10),
		} {
			t.Run(verb+" "+name, func(t *testing.T) {
				_, p := rude(t, smtptest.Script{Extensions: []string{"AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1"}, Say: on(verb, &smtptest.Said{Raw: raw, Endless: true})}, func(c *Config) {
					c.Username, c.Password = "user", "planted-password"
				})
				_, err := p.Send(bg, message())
				if err == nil || provider.IsPermanent(err) || len(err.Error()) > 400 {
					t.Errorf("%.500v", err)
				}
				// It ends because it is too much, not because of the time that it takes.
				var e *provider.Error
				if !errors.As(err, &e) || e.Reason == "Timeout" {
					t.Error(err)
				}
			})
		}
		t.Run(verb+" drop by drop", func(t *testing.T) {
			_, p := rude(t, smtptest.Script{Extensions: []string{"AUTH PLAIN"}, Say: func(h smtptest.Heard) *smtptest.Said {
				if h.Verb == verb {
					return &smtptest.Said{Raw: "250-a\r\n", Endless: true, Delay: 0}
				}
				return nil
			}}, func(c *Config) {
				c.CommandTimeout, c.FinalTimeout, c.Username, c.Password = 300*time.Millisecond, 300*time.Millisecond, "user", "planted-password"
			})
			if _, err := p.Send(bg, message()); err == nil {
				t.Error("sent")
			}
		})
	}
}

// A mechanism that is refused says nothing about the others.
func TestLoginFallback(t *testing.T) {
	refuse := func(names ...string) func(smtptest.Heard) *smtptest.Said {
		return func(h smtptest.Heard) *smtptest.Said {
			if h.Verb != "AUTH" {
				return nil
			}
			for _, name := range names {
				if strings.HasPrefix(h.Line, "AUTH "+name) {
					return smtptest.Line("535 5.7.8 authentication failed")
				}
			}
			return nil
		}
	}
	with := func(mode TLSMode) func(*Config) {
		return func(c *Config) { c.TLS, c.Username, c.Password = mode, "user", "planted-password" }
	}
	const all = "AUTH scram-sha-256 SCRAM-SHA-1 Plain LOGIN CRAM-MD5"
	t.Run("to PLAIN over TLS", func(t *testing.T) {
		s, p := rude(t, smtptest.Script{Extensions: []string{all, "STARTTLS"}, Say: refuse("SCRAM")}, with(StartTLS))
		for range 2 {
			if _, err := p.Send(bg, message()); err != nil {
				t.Fatal(err)
			}
			p.pool.mu.Lock()
			for _, c := range p.pool.idle {
				c.retire, c.broken = true, true
			}
			p.pool.mu.Unlock()
			c, err := p.connect(bg)
			if err != nil {
				t.Fatal(err)
			}
			c.quit()
		}
		refused := 0
		for _, line := range s.Commands() {
			if strings.HasPrefix(line, "tls AUTH SCRAM") {
				refused++
			}
		}
		if refused != 2 {
			t.Errorf("SCRAM was tried %d times, want once a mechanism: refused logins lock accounts", refused)
		}
	})
	t.Run("never to the password over plaintext", func(t *testing.T) {
		names, err := mechanisms([]string{"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN", "CRAM-MD5"}, false, false)
		if err != nil || strings.Join(names, " ") != "SCRAM-SHA-256 SCRAM-SHA-1" {
			t.Errorf("%v, %v", names, err)
		}
	})
	t.Run("all refused", func(t *testing.T) {
		_, p := rude(t, smtptest.Script{Extensions: []string{all, "STARTTLS"}, Say: refuse("SCRAM", "PLAIN", "LOGIN", "CRAM")}, with(StartTLS))
		if class, reason := reasonOf(t, p, message()); class != "waits" || reason != "LoginRefused" {
			t.Errorf("%s %s", class, reason)
		}
	})
	t.Run("for now", func(t *testing.T) {
		s, p := rude(t, smtptest.Script{Extensions: []string{all, "STARTTLS"}, Say: on("AUTH", smtptest.Line("454 4.7.0 temporary failure"))}, with(StartTLS))
		if class, reason := reasonOf(t, p, message()); class != "retried" || reason != "Unavailable" {
			t.Errorf("%s %s", class, reason)
		}
		if n := strings.Count(strings.Join(s.Commands(), "\n"), "AUTH"); n != 1 {
			t.Errorf("%d logins", n)
		}
	})
	t.Run("the server hangs up on each refusal", func(t *testing.T) {
		s, p := rude(t, smtptest.Script{Extensions: []string{all, "STARTTLS"}, Say: func(h smtptest.Heard) *smtptest.Said {
			if h.Verb == "AUTH" && !strings.Contains(h.Line, "PLAIN") {
				return &smtptest.Said{Raw: "535 5.7.8 no\r\n", Close: true}
			}
			return nil
		}}, with(StartTLS))
		if _, err := p.Send(bg, message()); err != nil {
			t.Fatal(err, s.Commands())
		}
	})
	t.Run("the server takes its leave after a refusal", func(t *testing.T) {
		s, p := rude(t, smtptest.Script{Extensions: []string{all, "STARTTLS"}, Say: func(h smtptest.Heard) *smtptest.Said {
			switch {
			case h.Verb != "AUTH" || strings.Contains(h.Line, "PLAIN"):
				return nil
			case h.Before == 0:
				return smtptest.Line("535 5.7.8 no")
			}
			return &smtptest.Said{Raw: "421 4.7.0 too many errors\r\n", Close: true}
		}}, with(StartTLS))
		if _, err := p.Send(bg, message()); err != nil {
			t.Fatal(err, s.Commands())
		}
	})
	t.Run("prompts for people", func(t *testing.T) {
		for _, prompt := range []string{"334 Username:", "334 ", "334", "334 VXNlcm5hbWU6"} {
			s, p := rude(t, smtptest.Script{Extensions: []string{"AUTH LOGIN"}, Say: on("AUTH", smtptest.Line("%s", prompt))}, with(Plaintext))
			if _, err := p.Send(bg, message()); err != nil {
				t.Errorf("%q: %v %v", prompt, err, s.Commands())
			}
		}
	})
	t.Run("a password that leaves no room in the command", func(t *testing.T) {
		password := strings.Repeat("long", 200)
		s, p := rude(t, smtptest.Script{Extensions: []string{"AUTH PLAIN"}, Say: func(h smtptest.Heard) *smtptest.Said {
			switch {
			case len(h.Line) > 510 && h.Verb != "RESPONSE" && h.Verb != ".":
				return smtptest.Line("500 5.5.2 line too long")
			case h.Verb == "AUTH":
				return smtptest.Line("334 ")
			case h.Verb == "RESPONSE" && h.Line != base64.StdEncoding.EncodeToString([]byte("\x00user\x00"+password)):
				return smtptest.Line("535 5.7.8 no")
			}
			return nil
		}}, func(c *Config) { c.Username, c.Password = "user", password })
		if _, err := p.Send(bg, message()); err != nil {
			t.Error(err, s.Commands())
		}
	})
	t.Run("no more challenges than sense", func(t *testing.T) {
		_, p := rude(t, smtptest.Script{Extensions: []string{"AUTH LOGIN"}, Say: func(h smtptest.Heard) *smtptest.Said {
			if h.Verb == "AUTH" || h.Verb == "RESPONSE" {
				return smtptest.Line("334 AAAA")
			}
			return nil
		}}, with(Plaintext))
		if class, reason := reasonOf(t, p, message()); class != "retried" || reason != "BadReply" {
			t.Errorf("%s %s", class, reason)
		}
	})
}

// scramServer plays the server's part of SCRAM-SHA-256.
func scramServer(password string, challenge func(nonce string) string, iterations int, spoil bool) func(smtptest.Heard) *smtptest.Said {
	salt := []byte("salt and pepper")
	var bare, first string
	return func(h smtptest.Heard) *smtptest.Said {
		switch {
		case h.Verb == "AUTH":
			raw, _ := base64.StdEncoding.DecodeString(strings.Fields(h.Line)[2])
			bare = strings.TrimPrefix(string(raw), "n,,")
			_, nonce, _ := strings.Cut(bare, ",r=")
			first = fmt.Sprintf("r=%sserver,s=%s,i=%d", nonce, base64.StdEncoding.EncodeToString(salt), iterations)
			if challenge != nil {
				first = challenge(nonce)
			}
			return smtptest.Line("334 %s", base64.StdEncoding.EncodeToString([]byte(first)))
		case h.Verb == "RESPONSE" && h.Before == 0 && h.Line != "*":
			raw, _ := base64.StdEncoding.DecodeString(h.Line)
			final, proof, _ := strings.Cut(string(raw), ",p=")
			salted, _ := new(scramCache).derive(bg, sha256.New, password, salt, iterations)
			mac := func(key []byte, text string) []byte {
				m := hmac.New(sha256.New, key)
				m.Write([]byte(text))
				return m.Sum(nil)
			}
			message := bare + "," + first + "," + final
			stored := sha256.Sum256(mac(salted, "Client Key"))
			signature := mac(stored[:], message)
			key, _ := base64.StdEncoding.DecodeString(proof)
			for i := range key {
				key[i] ^= signature[i]
			}
			if sha256.Sum256(key) != stored {
				return smtptest.Line("535 5.7.8 no")
			}
			verifier := mac(mac(salted, "Server Key"), message)
			if spoil {
				verifier[0]++
			}
			return smtptest.Line("334 %s", base64.StdEncoding.EncodeToString([]byte("v="+base64.StdEncoding.EncodeToString(verifier))))
		}
		return nil
	}
}

func TestScram(t *testing.T) {
	with := func(c *Config) { c.TLS, c.Username, c.Password = StartTLS, "us,er=", "planted-password" }
	try := func(say func(smtptest.Heard) *smtptest.Said) (class, reason string, commands string) {
		s, p := rude(t, smtptest.Script{Extensions: []string{"STARTTLS", "AUTH SCRAM-SHA-256 PLAIN"}, Say: say}, with)
		class, reason = reasonOf(t, p, message())
		return class, reason, strings.Join(s.Commands(), "\n")
	}
	if class, reason, commands := try(scramServer("planted-password", nil, 4096, false)); class != "sent" || strings.Contains(commands, "AUTH PLAIN") {
		t.Errorf("%s %s\n%s", class, reason, commands)
	}
	answer, asked := scramServer("planted-password", nil, 4096, false), ""
	class, reason, commands := try(func(h smtptest.Heard) *smtptest.Said {
		switch { // it ignores the response that comes with AUTH
		case h.Verb == "AUTH":
			asked = h.Line
			return smtptest.Line("334 ")
		case h.Verb == "RESPONSE" && h.Before == 0:
			if asked != "AUTH SCRAM-SHA-256 "+h.Line {
				return smtptest.Line("535 5.7.8 no")
			}
			h.Verb, h.Line = "AUTH", asked
		case h.Verb == "RESPONSE":
			h.Before--
		}
		return answer(h)
	})
	if class != "sent" || strings.Contains(commands, "AUTH PLAIN") {
		t.Errorf("%s %s\n%s", class, reason, commands)
	}
	if class, reason, commands := try(scramServer("another", nil, 4096, false)); class != "sent" || !strings.Contains(commands, "AUTH PLAIN") {
		t.Errorf("it doesn't go on with PLAIN: %s %s\n%s", class, reason, commands)
	}
	// A server that doesn't know the password is not sent it.
	if class, reason, commands := try(scramServer("planted-password", nil, 4096, true)); class != "waits" || reason != "LoginUnsafe" || strings.Contains(commands, "AUTH PLAIN") {
		t.Errorf("%s %s\n%s", class, reason, commands)
	}
	for name, challenge := range map[string]func(nonce string) string{
		"60 million":        func(n string) string { return "r=" + n + "x,s=c2FsdA==,i=60000000" },
		"2 billion":         func(n string) string { return "r=" + n + "x,s=c2FsdA==,i=2147483648" },
		"beyond integers":   func(n string) string { return "r=" + n + "x,s=c2FsdA==,i=99999999999999999999999" },
		"none":              func(n string) string { return "r=" + n + "x,s=c2FsdA==,i=0" },
		"negative":          func(n string) string { return "r=" + n + "x,s=c2FsdA==,i=-4096" },
		"no number":         func(n string) string { return "r=" + n + "x,s=c2FsdA==,i=many" },
		"another nonce":     func(string) string { return "r=another,s=c2FsdA==,i=4096" },
		"the nonce alone":   func(n string) string { return "r=" + n + ",s=c2FsdA==,i=4096" },
		"no salt":           func(n string) string { return "r=" + n + "x,s=,i=4096" },
		"bad salt":          func(n string) string { return "r=" + n + "x,s=!!!,i=4096" },
		"30 KiB of salt":    func(n string) string { return "r=" + n + "x,s=" + strings.Repeat("AAAA", 7500) + ",i=4096" },
		"unknown extension": func(n string) string { return "m=must,r=" + n + "x,s=c2FsdA==,i=4096" },
	} {
		t.Run(name, func(t *testing.T) {
			class, reason, commands := try(scramServer("planted-password", challenge, 4096, false))
			if class != "waits" || reason != "LoginUnsafe" {
				t.Errorf("%s %s\n%s", class, reason, commands)
			}
		})
	}
	t.Run("nothing, again and again", func(t *testing.T) {
		class, reason, commands := try(func(h smtptest.Heard) *smtptest.Said {
			if h.Verb == "AUTH" || h.Verb == "RESPONSE" && h.Line != "*" {
				return smtptest.Line("334 ")
			}
			return nil
		})
		if class != "waits" || reason != "LoginUnsafe" {
			t.Errorf("%s %s\n%s", class, reason, commands)
		}
	})
	t.Run("the work ends with the context", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(bg, 20*time.Millisecond)
		defer cancel()
		if _, err := new(scramCache).derive(ctx, sha256.New, "x", []byte("salt"), 1<<30); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// RFC 7677's example.
func TestScramVector(t *testing.T) {
	s := &scram{hash: sha256.New, username: "user", password: "pencil", keys: new(scramCache)}
	s.first()
	s.bare = "n=user,r=rOprNGfwEbeRWgbNEkqO"
	final, err := s.next(bg, []byte("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"))
	if want := "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="; err != nil || string(final) != want {
		t.Fatalf("%s, %v", final, err)
	}
	if err := s.verify([]byte("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")); err != nil {
		t.Error(err)
	}
}

// A deferred recipient says nothing about the server.
func TestGreylistingIsADeferral(t *testing.T) {
	for _, verb := range []string{"RCPT", "."} {
		grey := false
		_, p := rude(t, smtptest.Script{Say: func(h smtptest.Heard) *smtptest.Said {
			if h.Verb == "RCPT" {
				grey = strings.Contains(h.Line, "@grey.example")
			}
			if h.Verb == verb && grey {
				return smtptest.Line("450 4.2.0 Greylisted")
			}
			return nil
		}}, nil)
		m := message()
		m.To = "user@grey.example"
		if _, err := p.Send(bg, m); !provider.IsDeferred(err) {
			t.Errorf("at %s: %v", verb, err)
		}
		if _, err := p.Send(bg, message()); err != nil {
			t.Errorf("at %s: %v", verb, err)
		}
	}
}

func TestUnusableServers(t *testing.T) {
	_, p := rude(t, smtptest.Script{}, func(c *Config) { c.Host = "nothing.invalid" })
	if class, reason := reasonOf(t, p, message()); class != "waits" || reason != "HostUnknown" {
		t.Errorf("%s %s", class, reason)
	}
}
