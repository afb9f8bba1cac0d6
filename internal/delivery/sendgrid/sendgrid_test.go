// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sendgrid

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
	"github.com/rehive/extension-operator/internal/outbound"
)

const apiKey = "SG.a-planted-api-key"

// start returns a provider that calls a fake of SendGrid. Stop ends both.
func start(t *testing.T) (p *Provider, fake *providertest.API, stop func()) {
	t.Helper()
	fake = providertest.NewSendGrid(apiKey)
	base, client, stop := providertest.Serve(fake)
	p, err := New(Config{APIKey: apiKey, From: "Shop <shop@example.com>", BaseURL: base, Client: client})
	if err != nil {
		stop()
		t.Fatal(err)
	}
	return p, fake, stop
}

func TestConformance(t *testing.T) {
	m := providertest.Message()
	providertest.Run(t, providertest.Harness{
		New: func(t *testing.T) providertest.Target {
			p, fake, stop := start(t)
			return providertest.Target{Provider: p, Fake: fake, Close: stop}
		},
		Message:          m,
		Want:             providertest.Received{Key: m.Key, From: "Shop <shop@example.com>", To: m.To, Subject: m.Subject, Text: m.Text, HTML: m.HTML},
		Secrets:          []string{apiKey},
		NotRecipients:    providertest.NotMailboxes(),
		AcceptedByStatus: true,
	})
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"no key":             {},
		"line break in key":  {APIKey: "planted\r\nX-Evil: 1"},
		"bad sender":         {APIKey: "planted", From: "shop"},
		"plaintext base URL": {APIKey: "planted", BaseURL: "http://api.sendgrid.com"},
		"private base URL":   {APIKey: "planted", BaseURL: "https://169.254.169.254/"},
	} {
		if _, err := New(c); err == nil || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Config{APIKey: "x"}); err != nil {
		t.Error(err)
	}
}

// answering returns a provider whose API always gives the same answer.
func answering(t *testing.T, status int, body string) *Provider {
	t.Helper()
	base, client := providertest.Answer(t, status, body)
	p, err := New(Config{APIKey: apiKey, From: "shop@example.com", BaseURL: base, Client: client})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRefusals(t *testing.T) {
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
		{"a sender's domain", 400, `{"errors":[{"message":"The from address uses a domain with a strict DMARC policy.","field":null}]}`, "", "SenderRefused", false},
		{"a sender that isn't the account's", 403, `{"errors":[{"message":"You are not authorized to send from that email address","field":null}]}`, "", "SenderRefused", false},
		{"an unauthenticated domain", 400, `{"errors":[{"message":"The domain shop.example is not authenticated for this account","field":null}]}`, "", "SenderRefused", false},
		{"the rule's domain", 400, `{"errors":[{"message":"The from address uses a domain with a strict DMARC policy.","field":null}]}`, "own other@example.com", "SenderRefused", true},
		{"the trial", 400, `{"errors":[{"message":"Your free trial has ended. Upgrade your plan to continue","field":null}]}`, "", "AccountInactive", false},
		{"an inactive account", 400, `{"errors":[{"message":"Your account has not been activated","field":null}]}`, "", "AccountInactive", false},
		{"a reached limit", 400, `{"errors":[{"message":"You've reached your email limit for the month","field":null}]}`, "", "QuotaExceeded", false},
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
		{"credits", 400, `{"errors":[{"message":"Insufficient credits to send this message","field":null}]}`, "", "QuotaExceeded", false},
		{"a disabled account", 400, `{"errors":[{"message":"Email sending has been disabled on your account","field":null}]}`, "", "AccountInactive", false},
		{"a blocked account", 400, `{"errors":[{"message":"We have temporarily blocked mail sending from your account.","field":null}]}`, "", "AccountInactive", false},
		{"a list of texts", 400, `{"message":"error","errors":["Maximum credits exceeded"]}`, "", "QuotaExceeded", false},
		{"a text in place of a list", 401, `{"errors":"Maximum credits exceeded"}`, "", "QuotaExceeded", false},
		{"an object in place of a list", 400, `{"errors":{"message":"Your account is suspended","field":null}}`, "", "AccountInactive", false},
		{"an error", 400, `{"error":"Your account has been disabled"}`, "", "AccountInactive", false},
		{"an error with a message", 403, `{"error":{"message":"The from address does not match a verified Sender Identity."}}`, "", "SenderRefused", false},
		{"a message alone", 400, `{"message":"Maximum credits exceeded"}`, "", "QuotaExceeded", false},
		{"a list alone", 400, `[{"message":"Maximum credits exceeded"}]`, "", "QuotaExceeded", false},
		{"a byte order mark", 400, "\uFEFF" + `{"errors":[{"message":"Maximum credits exceeded"}]}`, "", "QuotaExceeded", false},
		{"members of other types", 400, `{"errors":[7,null,[],{"message":7,"field":["from"]},{"message":"Maximum credits exceeded","field":7,"help":{}}]}`, "", "QuotaExceeded", false},
		{"a subuser", 400, `{"errors":[{"message":"Subuser is disabled","field":null}]}`, "", "AccountInactive", false},
		{"suspended sending", 400, `{"errors":[{"message":"Sending is suspended: your reputation is too low","field":null}]}`, "", "AccountInactive", false},
		{"an account that may not send", 400, `{"errors":[{"message":"authenticated user is not authorized to send mail","field":null}]}`, "", "AccountInactive", false},
		{"an account that isn't active", 400, `{"errors":[{"message":"Account is not active","field":null}]}`, "", "AccountInactive", false},
		{"an account in provisioning", 403, `{"errors":[{"message":"Your account has not been provisioned. Contact support","field":null}]}`, "", "AccountInactive", false},
		{"another sender", 400, `{"errors":[{"message":"Sender address rejected: not owned by user","field":null}]}`, "", "SenderRefused", false},
		{"a sender without permission", 403, `{"errors":[{"message":"You do not have permission to send from this address","field":null}]}`, "", "SenderRefused", false},
		{"used credits", 400, `{"errors":[{"message":"Trial account: you've used all your credits","field":null}]}`, "", "QuotaExceeded", false},
		{"the emails of an hour", 400, `{"errors":[{"message":"You have exceeded your maximum number of emails per hour","field":null}]}`, "", "QuotaExceeded", false},
		{"over the quota", 400, `{"errors":[{"message":"over quota","field":null}]}`, "", "QuotaExceeded", false},
		{"the size", 400, `{"errors":[{"message":"Message size limit exceeded","field":null}]}`, "", "MessageRefused", true},
		{"the size of the call", 413, `{"errors":[{"message":"Payload size limit exceeded","field":null}]}`, "", "MessageTooBig", true},
		{"the recipients", 400, `{"errors":[{"message":"Recipient limit exceeded","field":null}]}`, "", "MessageRefused", true},
		{"a wrong key with 400", 400, `{"errors":[{"message":"Invalid API key","field":null}]}`, "", "CredentialsRefused", false},
		{"a password", 400, `{"errors":[{"message":"Bad username / password","field":null}]}`, "", "CredentialsRefused", false},
		{"an address that isn't allowed", 400, `{"errors":[{"message":"Requestor's IP Address is not whitelisted","field":null}]}`, "", "CredentialsRefused", false},
		{"a page", 400, `<html><body>Maximum credits exceeded</body></html>`, "", "UnexpectedAnswer", false},
		{"a page of a filter", 422, "\r\n<!DOCTYPE html>", "", "UnexpectedAnswer", false},
		{"HTTP to a port of HTTPS", 497, ``, "", "UnexpectedAnswer", false},
		{"a proxy that lost its caller", 499, ``, "", "UnexpectedAnswer", false},
		{"a status that isn't registered", 460, ``, "", "UnexpectedAnswer", false},
		{"a limited account", 400, `{"errors":[{"message":"Your account has been temporarily limited","field":null}]}`, "", "AccountInactive", false},
		{"a banned user", 400, `{"errors":[{"message":"Unable to send: user is banned","field":null}]}`, "", "AccountInactive", false},
		{"a payment", 400, `{"errors":[{"message":"Payment required","field":null}]}`, "", "AccountInactive", false},
		{"a plan", 400, `{"errors":[{"message":"Account has exceeded its monthly plan","field":null}]}`, "", "QuotaExceeded", false},
		{"no key", 400, `{"errors":[{"message":"authorization required","field":null}]}`, "", "CredentialsRefused", false},
		{"a second factor", 400, `{"errors":[{"message":"2FA required","field":null}]}`, "", "CredentialsRefused", false},
		{"nothing", 400, ``, "", "MessageRefused", true},
		{"null", 400, `null`, "", "MessageRefused", true},
		{"a redirect", 302, `<html>`, "", "Redirected", false},
		{"a permanent redirect", 308, ``, "", "Redirected", false},
		{"a proxy's login", 407, `<html>Log in</html>`, "", "UnexpectedAnswer", false},
		{"another server", 415, `<html>`, "", "UnexpectedAnswer", false},
		{"another server's header limit", 431, ``, "", "UnexpectedAnswer", false},
		{"gone", 410, ``, "", "NotFound", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := providertest.Message()
			m.From, m.OwnSender = strings.CutPrefix(c.from, "own ")
			_, err := answering(t, c.status, c.body).Send(t.Context(), m)
			providertest.CheckReason(t, err, c.reason)
			if provider.IsPermanent(err) != c.permanent || provider.IsMisconfigured(err) == c.permanent {
				t.Errorf("%v is classed wrongly", err)
			}
			if strings.Contains(err.Error(), "@") {
				t.Errorf("%v", err)
			}
		})
	}
}

// A rate is not a quota: it passes by itself.
func TestThrottled(t *testing.T) {
	for _, message := range []string{"too many requests", "rate limit exceeded", "Rate limit exceeded. Upgrade your plan to continue", "Request limit reached"} {
		_, err := answering(t, 429, `{"errors":[{"message":"`+message+`","field":null}]}`).Send(t.Context(), providertest.Message())
		providertest.CheckReason(t, err, provider.ReasonThrottled)
		if provider.IsMisconfigured(err) || provider.IsPermanent(err) {
			t.Errorf("%s: %v", message, err)
		}
	}
	_, err := answering(t, 420, "Enhance your calm").Send(t.Context(), providertest.Message())
	providertest.CheckReason(t, err, provider.ReasonThrottled)
	_, err = answering(t, 429, `{"errors":[{"message":"Daily limit exceeded","field":null}]}`).Send(t.Context(), providertest.Message())
	providertest.CheckReason(t, err, "QuotaExceeded")
}

// Something in between may turn the 202 into another success, which must not make the
// message be sent again.
func TestSuccessThroughAProxy(t *testing.T) {
	for _, status := range []int{200, 201, 202, 204} {
		base, client, stop := providertest.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Message-Id", "abc.123")
			w.WriteHeader(status)
		}))
		p, err := New(Config{APIKey: apiKey, From: "shop@example.com", BaseURL: base, Client: client})
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := p.Send(t.Context(), providertest.Message())
		if err != nil || receipt.ID != "abc.123" {
			t.Errorf("%d: %+v, %v", status, receipt, err)
		}
		stop()
	}
	for _, body := range []string{"", "<html>Welcome to the hotel</html>", `{"errors":[{"message":"x"}]}`} {
		_, err := answering(t, 200, body).Send(t.Context(), providertest.Message())
		providertest.CheckReason(t, err, "UnexpectedAnswer")
	}
}

func TestTooBig(t *testing.T) {
	p, api, stop := start(t)
	defer stop()
	m := providertest.Message()
	m.Text = strings.Repeat("x", outbound.DefaultMaxRequestBytes)
	_, err := p.Send(t.Context(), m)
	providertest.CheckReason(t, err, "MessageTooBig")
	if !provider.IsPermanent(err) || api.Requests() != 0 {
		t.Errorf("%v after %d calls", err, api.Requests())
	}
}

func TestCheck(t *testing.T) {
	p, api, stop := start(t)
	defer stop()
	if err := p.Check(t.Context()); err != nil {
		t.Error(err)
	}
	api.Behave(providertest.Unauthorized)
	providertest.CheckReason(t, p.Check(t.Context()), "CredentialsRefused")
	api.Behave(providertest.Garbage)
	providertest.CheckReason(t, p.Check(t.Context()), "UnexpectedAnswer")
	providertest.CheckReason(t, answering(t, 200, `{"scopes":["user.read"]}`).Check(t.Context()), "MissingScope")
	if len(api.Received()) != 0 {
		t.Error("the check sent something")
	}
}
