// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"net/mail"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
)

// TestHeaders sends emails with the headers of the company and the rule through a mail server
// and through SendGrid.
func TestHeaders(t *testing.T) {
	url := "https://notifications.example.com/unsubscribe/" + strings.Repeat("A0_-", 40)
	s := newScene(t, "headers", func(o *RegistryOptions) {
		o.Unsubscribe = func(_ context.Context, a *v1alpha1.CompanyActivation, rule, user string) string {
			if a.Spec.Company != "headers" || rule != "headers/offers" || user != userID {
				return ""
			}
			return url
		}
	})
	server, err := smtptest.Start(smtptest.Options{})
	s.must(err)
	t.Cleanup(func() { _ = server.Close() })
	fake := providertest.NewSendGrid(apiKey)
	s.secret("sendgrid", map[string]string{"apiKey": apiKey})
	s.provider("smtp", v1alpha1.DeliveryProviderSpec{SMTP: &v1alpha1.SMTPProvider{Host: server.Host(), Port: int32(server.Port()), TLS: v1alpha1.SMTPNoTLS}})
	s.provider("sendgrid", v1alpha1.DeliveryProviderSpec{
		SecretRef: &v1alpha1.SecretReference{Name: "sendgrid"}, SendGrid: &v1alpha1.SendGridProvider{BaseURL: s.serve(fake)},
	})
	send := func(name, selector, rule, user string) map[string]string {
		t.Helper()
		s.use(v1alpha1.ChannelEmail, name)
		s.company.Spec.BIMISelector = selector
		m := message()
		m.Rule, m.User = rule, user
		s.must(s.send(v1alpha1.ChannelEmail, m))
		headers := map[string]string{}
		if name == "sendgrid" {
			received := fake.Received()
			last := received[len(received)-1]
			headers["List-Unsubscribe"], headers["List-Unsubscribe-Post"], headers["BIMI-Selector"] = last.ListUnsubscribe, last.ListUnsubscribePost, last.BIMISelector
		} else {
			received := server.Messages()
			parsed, err := mail.ReadMessage(strings.NewReader(string(received[len(received)-1].Raw)))
			s.must(err)
			for name := range parsed.Header {
				headers[name] = parsed.Header.Get(name)
			}
		}
		return headers
	}
	for _, name := range []string{"smtp", "sendgrid"} {
		for _, test := range []struct{ selector, rule, user, unsubscribe, post, bimi string }{
			{"v=BIMI1; s=brand", "headers/offers", userID, "<" + url + ">", "List-Unsubscribe=One-Click", "v=BIMI1; s=brand;"},
			{"", "headers/offers", userID, "<" + url + ">", "List-Unsubscribe=One-Click", ""},
			{"brand", "headers/codes", userID, "", "", "v=BIMI1; s=brand;"},
			{"brand;\r\nBcc: joe@example.com", "headers/offers", "", "", "", ""},
		} {
			got := send(name, test.selector, test.rule, test.user)
			bimi := got["BIMI-Selector"] + got["Bimi-Selector"] // as net/mail writes it
			if got["List-Unsubscribe"] != test.unsubscribe || got["List-Unsubscribe-Post"] != test.post || bimi != test.bimi || got["Bcc"] != "" {
				t.Errorf("%s, %+v: %q", name, test, got)
			}
		}
	}
}

// TestHeadersAreOneLine checks that no value can begin another header.
func TestHeadersAreOneLine(t *testing.T) {
	m := provider.Message{Unsubscribe: "https://x.example/\r\nBcc: joe@example.com", BIMISelector: "ü"}
	for _, header := range m.Headers() {
		if strings.ContainsAny(header.Value, "\r\nü") {
			t.Errorf("%s: %q", header.Name, header.Value)
		}
	}
}
