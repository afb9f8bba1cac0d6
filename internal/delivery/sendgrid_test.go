// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
	"github.com/rehive/extension-operator/internal/outbound"
)

func TestSendGridConfig(t *testing.T) {
	for name, c := range map[string]delivery.SendGridConfig{
		"no key":             {},
		"line break in key":  {APIKey: "planted\r\nX-Evil: 1"},
		"bad sender":         {APIKey: "planted", From: "shop"},
		"plaintext base URL": {APIKey: "planted", BaseURL: "http://api.sendgrid.com"},
		"private base URL":   {APIKey: "planted", BaseURL: "https://169.254.169.254/"},
	} {
		if _, err := delivery.NewSendGrid(c); err == nil || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := delivery.NewSendGrid(delivery.SendGridConfig{APIKey: "x"}); err != nil {
		t.Error(err)
	}
}

// answers makes SendGrid say one thing.
func answers(t *testing.T, status int, body string) *delivery.SendGrid {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	c := client()
	t.Cleanup(func() {
		c.CloseIdleConnections()
		server.Close()
	})
	p, err := delivery.NewSendGrid(delivery.SendGridConfig{APIKey: sendGridKey, From: "shop@example.com", BaseURL: server.URL, Client: c})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSendGridRefusals(t *testing.T) {
	const sender = `{"errors":[{"message":"The from address does not match a verified Sender Identity.","field":"from"}]}`
	for _, c := range []struct {
		name       string
		status     int
		body, from string
		reason     string
		permanent  bool
	}{
		{"the provider's sender", 403, sender, "", "SenderRefused", false},
		{"a sender that notify filled in", 403, sender, "other@example.com", "SenderRefused", false},
		{"the rule's sender", 403, sender, "own other@example.com", "SenderRefused", true},
		{"a sender without a field", 403, `{"errors":[{"message":"The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved.","field":null}]}`, "", "SenderRefused", false},
		{"a limit", 403, `{"errors":[{"message":"You have exceeded your daily sending limits","field":null}]}`, "", "QuotaExceeded", false},
		{"the account", 400, `{"errors":[{"message":"Your account is temporarily under review","field":null}]}`, "", "AccountInactive", false},
		{"the key", 401, `{"errors":[{"message":"The provided authorization grant is invalid, expired, or revoked","field":null}]}`, "", "CredentialsRefused", false},
		{"no access", 403, `{"errors":[{"message":"access forbidden","field":null}]}`, "", "CredentialsRefused", false},
		{"quota", 401, `{"errors":[{"message":"Maximum credits exceeded","field":null}]}`, "", "QuotaExceeded", false},
		{"recipient", 400, `{"errors":[{"message":"x","field":"personalizations.0.to.0.email"}]}`, "", "RecipientRefused", true},
		{"content", 400, `{"errors":[{"message":"x","field":"content.0.value"}]}`, "", "MessageRefused", true},
		{"too big", 413, "", "", "MessageTooBig", true},
		{"hostile field", 400, `{"errors":[{"message":"x","field":"jane@example.com <script>"}]}`, "", "MessageRefused", true},
		{"region", 451, "", "", "WrongRegion", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := message()
			m.From, m.OwnSender = strings.CutPrefix(c.from, "own ")
			_, err := answers(t, c.status, c.body).Send(t.Context(), m)
			checkReason(t, err, c.reason)
			if delivery.IsPermanent(err) != c.permanent || delivery.IsMisconfigured(err) == c.permanent {
				t.Errorf("%v is classed wrongly", err)
			}
			if strings.Contains(err.Error(), "@") {
				t.Errorf("%v", err)
			}
		})
	}
}

func checkReason(t *testing.T, err error, want string) {
	t.Helper()
	e, ok := err.(*delivery.Error) //nolint:errorlint // the providers return it bare
	if !ok || e.Reason != want {
		t.Fatalf("%#v, want the reason %s", err, want)
	}
}

func TestSendGridTooBig(t *testing.T) {
	p, api, stop := sendGrid(t)
	defer stop()
	m := message()
	m.Text = strings.Repeat("x", outbound.DefaultMaxRequestBytes)
	_, err := p.Send(t.Context(), m)
	checkReason(t, err, "MessageTooBig")
	if !delivery.IsPermanent(err) || api.Requests() != 0 {
		t.Errorf("%v after %d calls", err, api.Requests())
	}
}

func TestSendGridCheck(t *testing.T) {
	p, api, stop := sendGrid(t)
	defer stop()
	if err := p.Check(t.Context()); err != nil {
		t.Error(err)
	}
	api.Behave(providertest.Unauthorized)
	checkReason(t, p.Check(t.Context()), "CredentialsRefused")
	api.Behave(providertest.Garbage)
	checkReason(t, p.Check(t.Context()), "UnexpectedAnswer")
	checkReason(t, answers(t, 200, `{"scopes":["user.read"]}`).Check(t.Context()), "MissingScope")
	if len(api.Received()) != 0 {
		t.Error("the check sent something")
	}
}
