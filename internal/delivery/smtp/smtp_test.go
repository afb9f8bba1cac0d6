// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/emersion/go-sasl"
	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
)

func TestSendsBothAlternatives(t *testing.T) {
	g := NewWithT(t)
	s := sink(t, smtptest.Options{})
	receipt, err := start(t, s, nil).Send(bg, message())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(receipt.ID).To(Equal("0123456789abcdef@example.com"))

	m, c := one(t, s)
	g.Expect(m.From).To(Equal("shop@example.com"))
	g.Expect(m.To).To(Equal([]string{"joe@example.org"}))
	g.Expect(c.Alternatives).To(Equal([]string{"text/plain", "text/html"}), "the best last (RFC 2046)")
	g.Expect(c.Text).To(Equal("You paid.\n"))
	g.Expect(c.HTML).To(Equal("<p>You paid.</p>\n"))
	g.Expect(c.Subject).To(Equal("You paid R 10"))
	for name, want := range map[string]string{
		"From": `"Shop" <shop@example.com>`, "To": "<joe@example.org>", "Message-Id": "<0123456789abcdef@example.com>",
		"Date": "Sun, 01 Mar 2026 12:00:00 +0000", "Auto-Submitted": "auto-generated", "Mime-Version": "1.0",
	} {
		g.Expect(c.Header[name]).To(Equal([]string{want}), name)
	}
}

func TestReplyTo(t *testing.T) {
	g := NewWithT(t)
	s := sink(t, smtptest.Options{})
	p := start(t, s, nil)
	m := message()
	m.ReplyTo = "ann@example.net"
	_, err := p.Send(bg, m)
	g.Expect(err).NotTo(HaveOccurred())
	_, c := one(t, s)
	g.Expect(c.Header["Reply-To"]).To(Equal([]string{"<ann@example.net>"}))
	for _, wrong := range []string{"ann", "ann@example.net\r\nBcc: eve@example.com", "Ann <ann@example.net>", "ann@example.net, eve@example.com"} {
		m.ReplyTo = wrong
		_, err := p.Send(bg, m)
		g.Expect(provider.IsPermanent(err)).To(BeTrue(), wrong)
	}
}

func TestWithoutHTMLSendsText(t *testing.T) {
	g := NewWithT(t)
	s := sink(t, smtptest.Options{})
	m := message()
	m.HTML = ""
	_, err := start(t, s, nil).Send(bg, m)
	g.Expect(err).NotTo(HaveOccurred())
	_, c := one(t, s)
	g.Expect(c.Alternatives).To(BeNil())
	g.Expect(c.Text).To(Equal("You paid.\n"))
}

func TestWithoutTextSendsHTML(t *testing.T) {
	g := NewWithT(t)
	s := sink(t, smtptest.Options{})
	m := message()
	m.Text = ""
	_, err := start(t, s, nil).Send(bg, m)
	g.Expect(err).NotTo(HaveOccurred())
	_, c := one(t, s)
	g.Expect(c.Text).To(BeEmpty())
	g.Expect(c.HTML).To(Equal("<p>You paid.</p>\n"))
}

func TestKeepsEveryLetter(t *testing.T) {
	g := NewWithT(t)
	s := sink(t, smtptest.Options{})
	m := message()
	m.From = "Café Zürich 日本 <shop@bücher.example>"
	m.Subject = "Betaling ontvang: €10,00 – 支払い 🎉 " + strings.Repeat("lang ", 60) + "einde"
	m.Text = "Dankie, Zoë!\n.\n..leading dots\n" + strings.Repeat("é", 2000) + "\nFrom here\n"
	m.HTML = "<p>Zoë = €10 &amp; more</p>"
	_, err := start(t, s, nil).Send(bg, m)
	g.Expect(err).NotTo(HaveOccurred())
	got, c := one(t, s)
	g.Expect(got.From).To(Equal("shop@xn--bcher-kva.example"))
	g.Expect(c.Subject).To(Equal(m.Subject))
	g.Expect(c.Text).To(Equal(m.Text))
	g.Expect(c.HTML).To(Equal(m.HTML))
	from, err := c.Header.AddressList("From")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(from[0].Name).To(Equal("Café Zürich 日本"))
	for _, line := range strings.Split(string(got.Raw), "\r\n") {
		g.Expect(len(line)).To(BeNumerically("<=", 998))
		g.Expect(strings.ContainsFunc(line, func(r rune) bool { return r > 0x7f })).To(BeFalse(), line)
	}
}

func TestSameKeySameMessageID(t *testing.T) {
	g := NewWithT(t)
	s := sink(t, smtptest.Options{})
	p := start(t, s, nil)
	first, err := p.Send(bg, message())
	g.Expect(err).NotTo(HaveOccurred())
	second, err := p.Send(bg, message())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(second).To(Equal(first))
}

func TestHeadersCantBeInjected(t *testing.T) {
	s := sink(t, smtptest.Options{})
	p := start(t, s, nil)
	for name, evil := range map[string]string{
		"line end": "Hi\r\nBcc: evil@example.com", "bare CR": "Hi\rBcc: evil@example.com", "bare LF": "Hi\nBcc: evil@example.com",
		"body": "Hi\r\n\r\nbody", "NUL": "Hi\x00there", "line separator": "Hi\u2028Bcc: evil@example.com", "encoded word": "=?utf-8?Q?Hi=0D=0ABcc:_evil@example.com?=",
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			m := message()
			m.Subject = evil
			before := s.Count()
			_, err := p.Send(bg, m)
			g.Expect(err).NotTo(HaveOccurred())
			all, err := s.Wait(bg, before+1)
			g.Expect(err).NotTo(HaveOccurred())
			c, err := all[before].Parse()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(c.Header).NotTo(HaveKey("Bcc"))
			g.Expect(c.Header["Subject"]).To(HaveLen(1))
			g.Expect(strings.ContainsFunc(c.Subject, unicode.IsControl)).To(BeFalse(), "%q", c.Subject)
			g.Expect(c.Text).To(Equal("You paid.\n"))
			g.Expect(all[before].To).To(Equal([]string{"joe@example.org"}))
		})
	}
}

func TestRefusesAddresses(t *testing.T) {
	s := sink(t, smtptest.Options{SMTPUTF8: true})
	p := start(t, s, nil)
	for _, to := range []string{
		"", " ", "joe", " joe@example.org", "joe@example.org\n", "joe@", "@example.org", "joe@example.org, ann@example.org", "Joe <joe@example.org>", "<joe@example.org>",
		"joe@example.org\r\nRCPT TO:<evil@example.com>", "joe@example.org>\r\nDATA", "joe@example.org> SIZE=1", "joe@exa mple.org",
		"\"joe soap\"@example.org", "\"a\r\nb\"@example.org", "joe(comment)@example.org", "joe@[127.0.0.1]", "group: joe@example.org;",
		"@relay.example:joe@example.org", "joe@-example-.org", "joe@example..org", strings.Repeat("a", 65) + "@example.org",
		"joe@" + strings.Repeat("a.", 130) + "org", "joe\x00@example.org",
	} {
		g := NewWithT(t)
		m := message()
		m.To = to
		_, err := p.Send(bg, m)
		g.Expect(provider.IsPermanent(err)).To(BeTrue(), "%q: %v", to, err)
		if len(to) > 5 {
			g.Expect(err.Error()).NotTo(ContainSubstring("example.org"), "an address in an error")
		}
	}
	for _, from := range []string{"shop", "Shop <shop@example.com>, Bank <bank@example.com>", "Shop\r\nBcc: evil@example.com <shop@example.com>", "shop@example.com\n"} {
		g := NewWithT(t)
		m := message()
		m.From = from
		_, err := p.Send(bg, m)
		g.Expect(provider.IsPermanent(err)).To(BeTrue(), "%q: %v", from, err)
	}
	if s.Count() != 0 {
		t.Errorf("%d messages left", s.Count())
	}
}

func TestTakesOddButRightAddresses(t *testing.T) {
	s := sink(t, smtptest.Options{})
	p := start(t, s, nil)
	for to, want := range map[string]string{
		"o'brien+tag@sub.example.org": "o'brien+tag@sub.example.org",
		"jane@r3---sn.example":        "jane@r3---sn.example", "jane@ab--cd.example": "jane@ab--cd.example",
		"joe@bücher.example": "joe@xn--bcher-kva.example", "a.b!#$%&*/=?^_`{|}~-@example.org": "a.b!#$%&*/=?^_`{|}~-@example.org",
	} {
		g := NewWithT(t)
		m := message()
		m.To = to
		before := s.Count()
		_, err := p.Send(bg, m)
		g.Expect(err).NotTo(HaveOccurred(), to)
		g.Expect(s.Messages()[before].To).To(Equal([]string{want}))
	}
}

func TestUTF8OnlyWhereOffered(t *testing.T) {
	g := NewWithT(t)
	m := message()
	m.To = "zoë@example.org"
	without := sink(t, smtptest.Options{})
	_, err := start(t, without, nil).Send(bg, m)
	g.Expect(provider.IsPermanent(err)).To(BeTrue(), "%v", err)
	// The sender is the operator's to change, unless the rule named it.
	own := message()
	own.From = "zoë@example.com"
	_, err = start(t, without, nil).Send(bg, own)
	g.Expect(provider.IsMisconfigured(err)).To(BeTrue(), "%v", err)
	own.OwnSender = true
	_, err = start(t, without, nil).Send(bg, own)
	g.Expect(provider.IsPermanent(err)).To(BeTrue(), "%v", err)
	with := sink(t, smtptest.Options{SMTPUTF8: true})
	_, err = start(t, with, nil).Send(bg, m)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(with.Messages()[0].To).To(Equal([]string{"zoë@example.org"}))
}

func TestSenderIsNeeded(t *testing.T) {
	g := NewWithT(t)
	s := sink(t, smtptest.Options{})
	_, err := start(t, s, func(c *Config) { c.From = "" }).Send(bg, message())
	g.Expect(provider.IsMisconfigured(err)).To(BeTrue())
}

func TestEncryption(t *testing.T) {
	for _, test := range []struct {
		name   string
		server smtptest.TLS
		client TLSMode
		trust  bool
		tls    bool
		reason string
	}{
		{"STARTTLS", smtptest.StartTLS, StartTLS, true, true, ""},
		{"STARTTLS not offered", smtptest.Plaintext, StartTLS, true, false, "TLSUnavailable"},
		{"STARTTLS optional", smtptest.StartTLS, StartTLSOptional, true, true, ""},
		{"STARTTLS optional, not offered", smtptest.Plaintext, StartTLSOptional, true, false, ""},
		{"implicit", smtptest.ImplicitTLS, ImplicitTLS, true, true, ""},
		{"none", smtptest.StartTLS, Plaintext, true, false, ""},
		{"STARTTLS, unknown authority", smtptest.StartTLS, StartTLS, false, false, "CertificateInvalid"},
		{"STARTTLS optional, unknown authority", smtptest.StartTLS, StartTLSOptional, false, false, "CertificateInvalid"},
		{"implicit, unknown authority", smtptest.ImplicitTLS, ImplicitTLS, false, false, "CertificateInvalid"},
		{"implicit at a plaintext server", smtptest.Plaintext, ImplicitTLS, true, false, "TLSFailed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := NewWithT(t)
			s := sink(t, smtptest.Options{TLS: test.server})
			p := start(t, s, func(c *Config) {
				c.TLS = test.client
				c.RootCAs = x509.NewCertPool()
				if test.trust && s.RootCAs() != nil {
					c.RootCAs = s.RootCAs()
				}
			})
			_, err := p.Send(bg, message())
			if test.reason != "" {
				var e *provider.Error
				g.Expect(errors.As(err, &e)).To(BeTrue(), "%v", err)
				g.Expect(e.Reason).To(Equal(test.reason))
				g.Expect(provider.IsPermanent(err)).To(BeFalse(), "the message isn't to blame")
				g.Expect(s.Count()).To(BeZero())
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			m, _ := one(t, s)
			g.Expect(m.TLS).To(Equal(test.tls))
		})
	}
}

func TestServerNameIsVerified(t *testing.T) {
	g := NewWithT(t)
	s := sink(t, smtptest.Options{TLS: smtptest.StartTLS})
	with := func(name string) error {
		_, err := start(t, s, func(c *Config) { c.TLS, c.RootCAs, c.ServerName = StartTLS, s.RootCAs(), name }).Send(bg, message())
		return err
	}
	g.Expect(provider.IsMisconfigured(with("mail.example.com"))).To(BeTrue())
	g.Expect(with("localhost")).To(Succeed())
}

func TestLogin(t *testing.T) {
	for _, test := range []struct {
		name       string
		tls        smtptest.TLS
		mechanisms []string
		password   string
		reason     string
	}{
		{"PLAIN over TLS", smtptest.StartTLS, []string{sasl.Plain}, "planted-password", ""},
		{"LOGIN over TLS", smtptest.StartTLS, []string{sasl.Login}, "planted-password", ""},
		{"either over implicit TLS", smtptest.ImplicitTLS, nil, "planted-password", ""},
		{"plaintext on loopback", smtptest.Plaintext, nil, "planted-password", ""},
		{"wrong password", smtptest.StartTLS, nil, "wrong-password", "LoginRefused"},
		{"no login offered", smtptest.StartTLS, []string{"XTOKEN"}, "planted-password", "LoginUnsupported"},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := NewWithT(t)
			s := sink(t, smtptest.Options{TLS: test.tls, Username: "operator", Password: "planted-password", Mechanisms: test.mechanisms})
			p := start(t, s, func(c *Config) {
				c.Username, c.Password, c.RootCAs = "operator", test.password, s.RootCAs()
				c.TLS = map[smtptest.TLS]TLSMode{smtptest.StartTLS: StartTLS, smtptest.ImplicitTLS: ImplicitTLS, smtptest.Plaintext: Plaintext}[test.tls]
			})
			_, err := p.Send(bg, message())
			if test.reason == "" {
				g.Expect(err).NotTo(HaveOccurred())
				one(t, s)
				return
			}
			var e *provider.Error
			g.Expect(errors.As(err, &e)).To(BeTrue(), "%v", err)
			g.Expect(e.Reason).To(Equal(test.reason))
			g.Expect(provider.IsMisconfigured(err)).To(BeTrue())
			g.Expect(err.Error()).NotTo(ContainSubstring("password"))
		})
	}
}

func TestMechanisms(t *testing.T) {
	for _, test := range []struct {
		offered              string
		encrypted, plaintext bool
		want                 []string
		err                  error
	}{
		{"PLAIN", false, false, nil, errPlaintextAuth},
		{"LOGIN", false, false, nil, errPlaintextAuth},
		{"PLAIN LOGIN", false, false, nil, errPlaintextAuth},
		{"PLAIN CRAM-MD5", false, false, []string{"CRAM-MD5"}, nil},
		{"PLAIN CRAM-MD5 SCRAM-SHA-1", false, false, []string{"SCRAM-SHA-1"}, nil},
		{"PLAIN", false, true, []string{"PLAIN"}, nil},
		{"LOGIN PLAIN SCRAM-SHA-1 CRAM-MD5 SCRAM-SHA-256", true, false, []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN", "CRAM-MD5"}, nil},
		{"XOAUTH2 GSSAPI", true, false, nil, errNoMechanism},
		{"", true, false, nil, errNoMechanism},
	} {
		got, err := mechanisms(strings.Fields(test.offered), test.encrypted, test.plaintext)
		if !slices.Equal(got, test.want) || !errors.Is(err, test.err) {
			t.Errorf("%+v: %v, %v", test, got, err)
		}
	}
}

func TestLoginRequiredIsTheConfigurationsFault(t *testing.T) {
	g := NewWithT(t)
	s := sink(t, smtptest.Options{Username: "operator", Password: "x"})
	_, err := start(t, s, nil).Send(bg, message())
	g.Expect(provider.IsMisconfigured(err)).To(BeTrue(), "%v", err)
}

func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		stage     smtptest.Stage
		code      int
		reason    string
		permanent bool
	}{
		{smtptest.StageConnect, 421, "Unavailable", false},
		{smtptest.StageMail, 451, "MessageDeferred", false},
		{smtptest.StageMail, 421, "Unavailable", false},
		{smtptest.StageRcpt, 450, "RecipientDeferred", false},
		{smtptest.StageRcpt, 550, "RecipientRefused", true},
		{smtptest.StageData, 452, "MessageDeferred", false},
		{smtptest.StageData, 554, "MessageRefused", true},
	} {
		t.Run(fmt.Sprint(test.stage, " ", test.code), func(t *testing.T) {
			g := NewWithT(t)
			s := sink(t, smtptest.Options{})
			p := start(t, s, nil)
			s.Respond(func(stage smtptest.Stage, _ string) *smtptest.Reply {
				if stage != test.stage {
					return nil
				}
				return &smtptest.Reply{Code: test.code, Text: "<joe@example.org>: no, says mail.example.net"}
			})
			_, err := p.Send(bg, message())
			var e *provider.Error
			g.Expect(errors.As(err, &e)).To(BeTrue(), "%v", err)
			g.Expect(e.Reason).To(Equal(test.reason))
			g.Expect(provider.IsPermanent(err)).To(Equal(test.permanent))
			g.Expect(provider.IsMisconfigured(err)).To(BeFalse())
			g.Expect(err.Error()).To(ContainSubstring("no, says mail.example.net"))
			g.Expect(err.Error()).To(ContainSubstring(fmt.Sprint(test.code)))
			g.Expect(err.Error()).NotTo(ContainSubstring("@"), "an address in a reason")

			// The provider is none the worse for it.
			s.Respond(nil)
			_, err = p.Send(bg, message())
			g.Expect(err).NotTo(HaveOccurred())
			one(t, s)
		})
	}
}

func TestConnectionIsReusedAfterARefusal(t *testing.T) {
	g := NewWithT(t)
	s := sink(t, smtptest.Options{})
	p := start(t, s, nil)
	s.Respond(func(stage smtptest.Stage, to string) *smtptest.Reply {
		if stage == smtptest.StageRcpt && to == "joe@example.org" {
			return &smtptest.Reply{Code: 550, Text: "no"}
		}
		return nil
	})
	for range 3 {
		_, err := p.Send(bg, message())
		g.Expect(provider.IsPermanent(err)).To(BeTrue())
		m := message()
		m.To = "ann@example.org"
		_, err = p.Send(bg, m)
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(s.Connections()).To(Equal(1))
	for _, m := range s.Messages() {
		g.Expect(m.To).To(Equal([]string{"ann@example.org"}))
	}
}

func TestDroppedConnections(t *testing.T) {
	for _, stage := range []smtptest.Stage{smtptest.StageConnect, smtptest.StageMail, smtptest.StageRcpt, smtptest.StageData} {
		t.Run(string(stage), func(t *testing.T) {
			g := NewWithT(t)
			s := sink(t, smtptest.Options{})
			p := start(t, s, nil)
			s.Respond(func(at smtptest.Stage, _ string) *smtptest.Reply {
				if at == stage {
					return &smtptest.Reply{Drop: true}
				}
				return nil
			})
			_, err := p.Send(bg, message())
			g.Expect(err).To(HaveOccurred())
			g.Expect(provider.IsPermanent(err)).To(BeFalse())
			s.Respond(nil)
			_, err = p.Send(bg, message())
			g.Expect(err).NotTo(HaveOccurred())
		})
	}
}

func TestIdleConnectionThatTheServerClosedIsReplaced(t *testing.T) {
	for name, reply := range map[string]*smtptest.Reply{"dropped": {Drop: true}, "421": {Code: 421, Text: "timeout"}} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := sink(t, smtptest.Options{})
			p := start(t, s, nil)
			_, err := p.Send(bg, message())
			g.Expect(err).NotTo(HaveOccurred())
			var once sync.Once
			s.Respond(func(stage smtptest.Stage, _ string) (r *smtptest.Reply) {
				if stage == smtptest.StageMail {
					once.Do(func() { r = reply })
				}
				return r
			})
			_, err = p.Send(bg, message())
			g.Expect(err).NotTo(HaveOccurred(), "on a new connection")
			g.Expect(s.Connections()).To(Equal(2))
			g.Expect(s.Count()).To(Equal(2))
		})
	}
}

func TestSlowServerTimesOut(t *testing.T) {
	for _, stage := range []smtptest.Stage{smtptest.StageConnect, smtptest.StageMail, smtptest.StageRcpt, smtptest.StageData} {
		t.Run(string(stage), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			s := sink(t, smtptest.Options{})
			p := start(t, s, func(c *Config) {
				const wait = 3 * time.Second
				c.CommandTimeout, c.GreetingTimeout, c.EnvelopeTimeout, c.DataTimeout, c.FinalTimeout = wait, wait, wait, wait, wait
			})
			s.Respond(func(at smtptest.Stage, _ string) *smtptest.Reply {
				if at == stage {
					return &smtptest.Reply{Hang: true}
				}
				return nil
			})
			_, err := p.Send(bg, message())
			var e *provider.Error
			g.Expect(errors.As(err, &e)).To(BeTrue(), "%v", err)
			if stage == smtptest.StageData {
				g.Expect(provider.IsUnknown(err)).To(BeTrue(), "the server has the whole mail")
			} else {
				g.Expect(e.Reason).To(Equal("Timeout"))
			}
			s.Respond(nil)
			_, err = p.Send(bg, message())
			g.Expect(err).NotTo(HaveOccurred())
		})
	}
}

func TestStopsWithTheContext(t *testing.T) {
	g := NewWithT(t)
	s := sink(t, smtptest.Options{})
	p := start(t, s, nil)
	ctx, cancel := context.WithCancel(bg)
	s.Respond(func(at smtptest.Stage, _ string) *smtptest.Reply {
		if at == smtptest.StageRcpt {
			cancel()
			return &smtptest.Reply{Hang: true}
		}
		return nil
	})
	_, err := p.Send(ctx, message())
	g.Expect(err).To(HaveOccurred())
	g.Expect(provider.IsPermanent(err)).To(BeFalse())
}

// listen serves every connection with f.
func listen(t *testing.T, f func(net.Conn)) (host string, port int) {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(bg, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				f(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	a := l.Addr().(*net.TCPAddr)
	return a.IP.String(), a.Port
}

func TestServerThatIsNone(t *testing.T) {
	for name, f := range map[string]func(net.Conn){
		"says nothing and hangs up": func(net.Conn) {},
		"garbage":                   func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) },
		"endless line": func(c net.Conn) {
			for {
				if _, err := c.Write([]byte(strings.Repeat("2", 4096))); err != nil {
					return
				}
			}
		},
		"endless lines": func(c net.Conn) {
			for {
				if _, err := c.Write([]byte(strings.Repeat("220-hello\r\n", 400))); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			host, port := listen(t, f)
			p, err := New(Config{Host: host, Port: port, TLS: Plaintext, From: "shop@example.com"})
			g.Expect(err).NotTo(HaveOccurred())
			defer func() { _ = p.Close() }()
			_, err = p.Send(bg, message())
			g.Expect(err).To(HaveOccurred())
			g.Expect(provider.IsPermanent(err)).To(BeFalse())
			g.Expect(len(err.Error())).To(BeNumerically("<", 300))
			if strings.HasPrefix(name, "endless") {
				var e *provider.Error
				g.Expect(errors.As(err, &e)).To(BeTrue())
				g.Expect(e.Reason).To(Equal("BadReply"), "after so many bytes, not after so much time")
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	g := NewWithT(t)
	s := sink(t, smtptest.Options{})
	p := start(t, s, nil)
	g.Expect(s.Close()).To(Succeed())
	_, err := p.Send(bg, message())
	var e *provider.Error
	g.Expect(errors.As(err, &e)).To(BeTrue())
	g.Expect(e.Reason).To(Equal("Unreachable"))
}

func TestConnectionsAreBoundedAndReused(t *testing.T) {
	g := NewWithT(t)
	s := sink(t, smtptest.Options{})
	p := start(t, s, func(c *Config) { c.MaxConnections = 3 })
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			if _, err := p.Send(bg, message()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	g.Expect(s.Count()).To(Equal(60))
	g.Expect(s.Connections()).To(BeNumerically("<=", 3))
}

func TestIdleConnectionsClose(t *testing.T) {
	g := NewWithT(t)
	s := sink(t, smtptest.Options{})
	p := start(t, s, func(c *Config) { c.IdleTimeout = 50 * time.Millisecond })
	_, err := p.Send(bg, message())
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(func() int {
		p.pool.mu.Lock()
		defer p.pool.mu.Unlock()
		return len(p.pool.idle)
	}).Should(BeZero())
	_, err = p.Send(bg, message())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.Connections()).To(Equal(2))
}

func TestTidyReply(t *testing.T) {
	g := NewWithT(t)
	s := &Provider{config: Config{Username: "operator", Password: "planted-password"}}
	got := s.tidyReply("5.1.1 <joe@example.org>\r\nno such user: \x1b[31mjoe@example.org;\u200b operator/planted-password " + strings.Repeat("x", 500))
	g.Expect(got).NotTo(ContainSubstring("joe"))
	g.Expect(got).NotTo(ContainSubstring("planted"))
	g.Expect(got).NotTo(ContainSubstring("operator"))
	g.Expect(got).NotTo(ContainSubstring("\x1b"))
	g.Expect(got).NotTo(ContainSubstring("\n"))
	g.Expect(len([]rune(got))).To(BeNumerically("<=", maxReplyText+1))
	g.Expect(got).To(HavePrefix("5.1.1"))
}

func TestConfigIsChecked(t *testing.T) {
	for name, c := range map[string]Config{
		"no host":                   {},
		"unknown TLS":               {Host: "h", TLS: "ssl"},
		"port":                      {Host: "h", Port: 70000},
		"password without username": {Host: "h", Password: "x"},
		"sender":                    {Host: "h", From: "nobody"},
		"HELO":                      {Host: "h", HELO: "a\r\nMAIL FROM:<x@y>"},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: not one line: %q", name, err)
		}
	}
}

func TestSinkShowsItsMessages(t *testing.T) {
	g := NewWithT(t)
	s := sink(t, smtptest.Options{})
	_, err := start(t, s, nil).Send(bg, message())
	g.Expect(err).NotTo(HaveOccurred())
	get := func(path string) string {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(bg, "GET", path, nil))
		return w.Body.String()
	}
	g.Expect(get("/messages")).To(ContainSubstring(`"subject": "You paid R 10"`))
	g.Expect(get("/messages?to=ann")).NotTo(ContainSubstring("You paid"))
	g.Expect(get("/messages/1")).To(ContainSubstring("Message-ID: <0123456789abcdef@example.com>"))
	g.Expect(get("/messages/2")).To(ContainSubstring("no message"))
	ctx, cancel := context.WithCancel(bg)
	cancel()
	_, err = s.WaitFor(ctx, func(m *smtptest.Message) bool { return m.From == "shop@example.com" })
	g.Expect(err).NotTo(HaveOccurred())
	_, err = s.WaitFor(ctx, func(*smtptest.Message) bool { return false })
	g.Expect(err).To(MatchError(context.Canceled))
}

func BenchmarkSend(b *testing.B) {
	s := sink(b, smtptest.Options{Keep: 10})
	p := start(b, s, nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := p.Send(bg, message()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCompose(b *testing.B) {
	p, err := New(Config{Host: "localhost", From: "Shop <shop@example.com>"})
	if err != nil {
		b.Fatal(err)
	}
	m := message()
	m.Text, m.HTML = strings.Repeat("You paid R 10 to Joe. ", 40), strings.Repeat("<p>You paid R 10 to Joe.</p>\n", 60)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.compose(m); err != nil {
			b.Fatal(err)
		}
	}
}
