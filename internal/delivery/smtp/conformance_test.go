// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"bufio"
	"net"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/internal/delivery/providertest"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
)

func TestConformance(t *testing.T) {
	m := providertest.Message()
	const password = "a-planted-password"
	providertest.Run(t, providertest.Harness{
		New: func(t *testing.T) providertest.Target {
			server, err := smtptest.Start(smtptest.Options{Username: "user", Password: password})
			if err != nil {
				t.Fatal(err)
			}
			greeted(t, server)
			p, err := New(Config{
				Host: server.Host(), Port: server.Port(), TLS: Plaintext, Username: "user", Password: password, From: "Shop <shop@example.com>",
			})
			if err != nil {
				t.Fatal(err)
			}
			return providertest.Target{Provider: p, Fake: smtpFake{server}, Close: func() {
				if err := p.Close(); err != nil {
					t.Error(err)
				}
				if err := server.Close(); err != nil {
					t.Error(err)
				}
			}}
		},
		Message:       m,
		Want:          providertest.Received{Key: m.Key + "@example.com", From: "shop@example.com", To: m.To, Subject: m.Subject, Text: m.Text, HTML: m.HTML},
		Secrets:       []string{password},
		NotRecipients: providertest.NotMailboxes(),
		NoRetryAfter:  true,
	})
}

// smtpFake behaves as the suite asks by SMTP's means.
type smtpFake struct{ *smtptest.Server }

func (s smtpFake) Behave(b providertest.Behavior) bool {
	reply := func(stage smtptest.Stage, r smtptest.Reply) bool {
		s.Respond(func(at smtptest.Stage, address string) *smtptest.Reply {
			if at != stage {
				return nil
			}
			echo := r
			if r.Code != 0 {
				echo.Text += " <" + address + ">"
			}
			return &echo
		})
		return true
	}
	switch b {
	case providertest.Accept:
		s.Respond(nil)
		return true
	case providertest.Refuse:
		return reply(smtptest.StageRcpt, smtptest.Reply{Code: 550, Text: "5.1.1 no such user"})
	case providertest.Unauthorized:
		return reply(smtptest.StageAuth, smtptest.Reply{Code: 535, Text: "5.7.8 bad credentials"})
	case providertest.Throttle:
		return reply(smtptest.StageRcpt, smtptest.Reply{Code: 450, Text: "4.7.1 try later"})
	case providertest.Fail:
		return reply(smtptest.StageMail, smtptest.Reply{Code: 451, Text: "4.3.0 local error"})
	case providertest.Hang:
		return reply(smtptest.StageData, smtptest.Reply{Hang: true})
	case providertest.Reset:
		return reply(smtptest.StageData, smtptest.Reply{Drop: true})
	case providertest.AcceptAndReset:
		return reply(smtptest.StageData, smtptest.Reply{Drop: true, Keep: true})
	}
	return false
}

func (s smtpFake) Received() []providertest.Received {
	var all []providertest.Received
	for _, m := range s.Messages() {
		content, err := m.Parse()
		if err != nil {
			panic(err)
		}
		all = append(all, providertest.Received{
			Key: strings.Trim(content.Header.Get("Message-Id"), "<>"), From: m.From, To: strings.Join(m.To, ","), Subject: content.Subject,
			Text: strings.TrimSpace(content.Text), HTML: strings.TrimSpace(content.HTML),
		})
	}
	return all
}

// greeted waits until the server serves.
func greeted(t *testing.T, s *smtptest.Server) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
}
