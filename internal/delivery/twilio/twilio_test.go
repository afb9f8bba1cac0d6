// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package twilio

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
)

const (
	accountSID = "AC0123456789abcdef0123456789abcdef"
	authToken  = "a-planted-auth-token"
	keySID     = "SK0123456789abcdef0123456789abcdef"
	serviceSID = "MG0123456789abcdef0123456789abcdef"
)

// start returns a provider that calls a fake of Twilio. Stop ends both.
func start(t *testing.T) (p *Provider, fake *providertest.API, stop func()) {
	t.Helper()
	fake = providertest.NewTwilio(accountSID, accountSID, authToken)
	base, client, stop := providertest.Serve(fake)
	p, err := New(Config{AccountSID: accountSID, AuthToken: authToken, From: "+15005550006", DefaultRegion: "ZA", BaseURL: base, Client: client})
	if err != nil {
		stop()
		t.Fatal(err)
	}
	return p, fake, stop
}

func TestConformance(t *testing.T) {
	m := providertest.Message()
	m.To = "082 000 0001"
	providertest.Run(t, providertest.Harness{
		New: func(t *testing.T) providertest.Target {
			p, fake, stop := start(t)
			return providertest.Target{Provider: p, Fake: fake, Close: stop}
		},
		Message: m,
		Want:    providertest.Received{From: "+15005550006", To: "+27820000001", Text: m.Text},
		Secrets: []string{authToken, accountSID, "820000001"},
		NotRecipients: []string{
			"jane@planted.example", "+27", "0820000001, 0820000002", "0820000001;ext=5", "1-800-FLOWERS", "tel:+27820000001", "whatsapp:+27820000001",
		},
		AcceptedByStatus: true,
	})
}

func TestConfig(t *testing.T) {
	good := Config{AccountSID: accountSID, AuthToken: "planted", From: "+15005550006"}
	for name, change := range map[string]func(*Config){
		"no account":      func(c *Config) { c.AccountSID = "" },
		"path in account": func(c *Config) { c.AccountSID = "AC/../../0123456789abcdef01234567" },
		"wrong account":   func(c *Config) { c.AccountSID = serviceSID },
		"wrong key":       func(c *Config) { c.KeySID = accountSID },
		"no token":        func(c *Config) { c.AuthToken = "" },
		"wrong service":   func(c *Config) { c.VerifyServiceSID = accountSID },
		"region":          func(c *Config) { c.DefaultRegion = "XX" },
		"sender":          func(c *Config) { c.From = "a sender that is too long" },
		"base URL":        func(c *Config) { c.BaseURL = "http://api.twilio.com" },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, from := range []string{"", "+15005550006", "12345", "Rehive", "My Shop", serviceSID} {
		c := good
		c.From = from
		if _, err := New(c); err != nil {
			t.Errorf("%q: %v", from, err)
		}
	}
}

func sms() provider.Message {
	m := providertest.Message()
	m.To = "+27820000001"
	return m
}

func TestSenders(t *testing.T) {
	p, api, stop := start(t)
	defer stop()
	for from, want := range map[string]string{"": "+15005550006", "12345": "12345", "Rehive": "Rehive", serviceSID: serviceSID, "082 000 0009": "+27820000009"} {
		m := sms()
		m.From = from
		if _, err := p.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if got := api.Received(); got[len(got)-1].From != want {
			t.Errorf("%q sent as %q, want %q", from, got[len(got)-1].From, want)
		}
	}
}

func TestErrorCodes(t *testing.T) {
	status, code := 400, 0
	base, client, stop := providertest.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"code":%d,"error_code":%d,"status":"failed","message":"+27820000001"}`, code, code)
	}))
	t.Cleanup(stop)
	p, err := New(Config{AccountSID: accountSID, AuthToken: authToken, From: "Rehive", BaseURL: base, Client: client})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		status, code  int
		reason, class string
	}{
		{400, 21211, "RecipientRefused", "permanent"}, {400, 21614, "RecipientRefused", "permanent"},
		{400, 21610, "Unsubscribed", "permanent"}, {400, 21408, "RegionNotEnabled", "permanent"},
		{400, 21617, "MessageTooBig", "permanent"}, {400, 21606, "SenderRefused", "misconfigured"},
		{400, 21213, "SenderRefused", "misconfigured"}, {400, 21616, "SenderRefused", "misconfigured"}, {201, 30018, "SenderRefused", "misconfigured"},
		{400, 63002, "SenderRefused", "misconfigured"}, {201, 63020, "SenderRefused", "misconfigured"}, {201, 63112, "SenderRefused", "misconfigured"},
		{400, 21219, "AccountRestricted", "misconfigured"}, {201, 30044, "AccountRestricted", "misconfigured"}, {201, 63015, "AccountRestricted", "misconfigured"},
		{400, 63001, "CredentialsRefused", "misconfigured"}, {201, 30453, "Filtered", "permanent"}, {201, 30019, "MessageTooBig", "permanent"},
		{201, 63032, "RecipientRefused", "permanent"},
		{400, 21703, "SenderRefused", "misconfigured"}, {401, 20003, "CredentialsRefused", "misconfigured"},
		{400, 21607, "SenderRefused", "misconfigured"}, {400, 21603, "SenderRefused", "misconfigured"}, {400, 21212, "SenderRefused", "misconfigured"},
		{400, 21659, "SenderRefused", "misconfigured"}, {201, 30034, "SenderRefused", "misconfigured"}, {201, 30032, "SenderRefused", "misconfigured"},
		{400, 63007, "SenderRefused", "misconfigured"}, {400, 21608, "AccountRestricted", "misconfigured"}, {403, 90010, "CredentialsRefused", "misconfigured"},
		{429, 63038, "QuotaExceeded", "misconfigured"}, {201, 30023, "QuotaExceeded", "misconfigured"}, {201, 30006, "RecipientRefused", "permanent"},
		{201, 30002, "CredentialsRefused", "misconfigured"}, {429, 63018, "Throttled", "transient"},
		{404, 20404, "NotFound", "misconfigured"}, {429, 20429, "Throttled", "transient"},
		{429, 0, "Throttled", "transient"}, {400, 14107, "Throttled", "transient"},
		{500, 20500, "Unavailable", "transient"}, {400, 99999, "MessageRefused", "permanent"},
		{201, 30007, "Filtered", "permanent"}, {201, 99999, "MessageRefused", "permanent"},
		{201, 20429, "Throttled", "transient"},
		{400, 21655, "ContentTemplateRefused", "permanent"}, {201, 63016, "ContentTemplateRefused", "permanent"}, {201, 63041, "ContentTemplateRefused", "permanent"},
		{201, 63024, "RecipientRefused", "permanent"}, {403, 60410, "Filtered", "permanent"}, {403, 60605, "RegionNotEnabled", "permanent"},
		{429, 60203, "RecipientDeferred", "transient"}, {403, 60204, "VerifyRefused", "misconfigured"},
		{400, 21657, "SenderRefused", "misconfigured"}, {400, 21709, "SenderRefused", "misconfigured"}, {400, 21715, "SenderRefused", "misconfigured"},
		{201, 63008, "SenderRefused", "misconfigured"}, {201, 63022, "SenderRefused", "misconfigured"},
		{400, 14101, "RecipientRefused", "permanent"}, {400, 21604, "RecipientRefused", "permanent"}, {201, 63031, "RecipientRefused", "permanent"},
		{400, 21654, "ContentTemplateRefused", "permanent"}, {201, 63030, "ContentTemplateRefused", "permanent"},
		{400, 21618, "Filtered", "permanent"}, {201, 30039, "Filtered", "permanent"}, {201, 63026, "Filtered", "permanent"}, {201, 30036, "Expired", "permanent"},
		{201, 30450, "RecipientDeferred", "transient"}, {400, 20162, "Unavailable", "transient"}, {400, 21730, "Unavailable", "transient"},
		{201, 30500, "Unavailable", "transient"}, {201, 63010, "Unavailable", "transient"}, {409, 20409, "Unavailable", "transient"},
		{403, 60220, "RegionNotEnabled", "permanent"}, {403, 60223, "VerifyRefused", "misconfigured"}, {401, 20151, "CredentialsRefused", "misconfigured"},
		{403, 20403, "CredentialsRefused", "misconfigured"}, {415, 0, "UnexpectedAnswer", "misconfigured"}, {407, 0, "UnexpectedAnswer", "misconfigured"},
		{400, 21609, "CallbackRefused", "misconfigured"}, {400, 48002, "CallbackRefused", "misconfigured"},
		{400, 21621, "SenderRefused", "misconfigured"}, {400, 30016, "SenderRefused", "misconfigured"}, {400, 63035, "SenderRefused", "misconfigured"},
		{400, 21622, "AccountRestricted", "misconfigured"}, {400, 21472, "CredentialsRefused", "misconfigured"}, {400, 21478, "CredentialsRefused", "misconfigured"},
		{400, 20156, "CredentialsRefused", "misconfigured"}, {400, 20160, "CredentialsRefused", "misconfigured"},
		{400, 60228, "VerifyRefused", "misconfigured"}, {429, 60202, "RecipientDeferred", "transient"}, {201, 63023, "Unavailable", "transient"},
		{400, 92007, "ContentTemplateRefused", "permanent"}, {400, 21620, "ContentTemplateRefused", "permanent"}, {201, 63036, "RecipientRefused", "permanent"},
		{410, 0, "NotFound", "misconfigured"}, {409, 0, "Unavailable", "transient"}, {423, 0, "Unavailable", "transient"},
	} {
		status, code = row.status, row.code
		_, err := p.Send(t.Context(), sms())
		providertest.CheckReason(t, err, row.reason)
		class := "transient"
		switch {
		case provider.IsPermanent(err):
			class = "permanent"
		case provider.IsMisconfigured(err):
			class = "misconfigured"
		}
		if class != row.class || strings.Contains(err.Error(), "27820000001") || row.code > 0 && !strings.Contains(err.Error(), fmt.Sprint(row.code)) {
			t.Errorf("%d %d: %v is %s", row.status, row.code, err, class)
		}
		if e := err.(*provider.Error); (e.RetryAfter > 0) != (class == "transient") { //nolint:errorlint // checked above
			t.Errorf("%d %d: waits %s", row.status, row.code, e.RetryAfter)
		}
	}
}

// Twilio, and what is between it and us, may answer in other forms than documented.
func TestOddAnswers(t *testing.T) {
	const sid = "SM0123456789abcdef0123456789abcdef"
	for _, row := range []struct {
		status int
		body   string
		reason string // empty if sent
	}{
		{400, `{"code":"21610"}`, "Unsubscribed"}, {400, `{"code":21610.0}`, "Unsubscribed"}, {400, `{"code":" 21610 ","status":"400"}`, "Unsubscribed"},
		{400, `{"error_code":21610}`, "Unsubscribed"}, {400, `{"code":null,"error_code":"21610"}`, "Unsubscribed"}, {400, `[{"code":21610}]`, "Unsubscribed"},
		{400, "\uFEFF" + `{"code":21610}`, "Unsubscribed"}, {400, `{"message":["no"],"code":21610}`, "Unsubscribed"}, {400, `{"status":{},"code":21610,"more_info":7}`, "Unsubscribed"},
		{400, `{"code":{}}`, "MessageRefused"}, {400, `{"code":"many"}`, "MessageRefused"}, {400, `{"code":-21610}`, "MessageRefused"}, {400, `{"code":1e400}`, "MessageRefused"},
		{400, `{"code":99999999999999999999}`, "MessageRefused"}, {400, ``, "MessageRefused"}, {400, `<html>21610</html>`, "UnexpectedAnswer"}, {400, `null`, "MessageRefused"},
		{400, `[]`, "MessageRefused"}, {400, `"21610"`, "MessageRefused"}, {400, strings.Repeat("[", 20000), "MessageRefused"},
		{401, `<html>Log in</html>`, "CredentialsRefused"}, {403, `[]`, "CredentialsRefused"}, {302, ``, "Redirected"}, {308, `{"code":21610}`, "Unsubscribed"},
		{200, `<html>Welcome to the hotel</html>`, "UnexpectedAnswer"}, {200, `{"code":21610}`, "Unsubscribed"}, {204, ``, "UnexpectedAnswer"},
		{201, ``, ""}, {201, `<html>`, ""}, {201, `[]`, ""}, {201, `{"sid":7,"status":"queued"}`, ""}, {201, `{"sid":"` + sid + `","error_code":null,"status":null}`, ""},
		{200, `{"sid":"` + sid + `","status":"queued"}`, ""}, {202, `{"sid":"` + sid + `"}`, ""},
		{201, `{"status":"failed","error_code":"30006"}`, "RecipientRefused"}, {200, `{"sid":"` + sid + `","status":"failed","error_code":"30006"}`, "RecipientRefused"},
		{503, `{"code":"20503"}`, "Unavailable"}, {502, `<html>`, "Unavailable"}, {201, `{"status":"failed","error_code":30410}`, provider.ReasonOutcomeUnknown},
	} {
		base, client := providertest.Answer(t, row.status, row.body)
		p, err := New(Config{AccountSID: accountSID, AuthToken: authToken, From: "Rehive", BaseURL: base, Client: client})
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Send(t.Context(), sms())
		if row.reason == "" {
			if err != nil {
				t.Errorf("%d %s: %v", row.status, row.body, err)
			}
			continue
		}
		var classed *provider.Error
		if !errors.As(err, &classed) || classed.Reason != row.reason || strings.ContainsAny(err.Error(), "<[{") {
			t.Errorf("%d %.100s: %v, want %s", row.status, row.body, err, row.reason)
		}
	}
}

// Whether waiting helps depends on whether the rule or the provider chose the sender.
func TestOwnSender(t *testing.T) {
	base, client := providertest.Answer(t, http.StatusBadRequest, `{"code":21607}`)
	p, err := New(Config{AccountSID: accountSID, AuthToken: authToken, From: "Rehive", BaseURL: base, Client: client})
	if err != nil {
		t.Fatal(err)
	}
	m := sms()
	m.From = "Shop"
	if _, err := p.Send(t.Context(), m); !provider.IsMisconfigured(err) {
		t.Error(err)
	}
	m.OwnSender = true
	if _, err := p.Send(t.Context(), m); !provider.IsPermanent(err) {
		t.Error(err)
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
	api.Behave(providertest.Fail)
	providertest.CheckReason(t, p.Check(t.Context()), "Unavailable")

	base, client, stopKeyed := providertest.Serve(providertest.NewTwilio(accountSID, keySID, authToken))
	defer stopKeyed()
	keyed, err := New(Config{AccountSID: accountSID, KeySID: keySID, AuthToken: authToken, BaseURL: base, Client: client})
	if err != nil {
		t.Fatal(err)
	}
	if err := keyed.Check(t.Context()); err != nil {
		t.Error(err)
	}
	_, err = keyed.Send(t.Context(), sms())
	providertest.CheckReason(t, err, "SenderMissing")
}

const contentSID = "HX0123456789abcdef0123456789abcdef"

func whatsApp() provider.Message {
	m := sms()
	m.SMS = provider.SMSOptions{ContentSID: contentSID, ContentVariables: `{"1":"Jane"}`}
	return m
}

func TestWhatsApp(t *testing.T) {
	p, api, stop := start(t)
	defer stop()
	for from, want := range map[string]string{"": "whatsapp:+15005550006", serviceSID: serviceSID, "082 000 0009": "whatsapp:+27820000009"} {
		m := whatsApp()
		m.From = from
		receipt, err := p.Send(t.Context(), m)
		if err != nil || receipt.ID == "" {
			t.Fatalf("%+v, %v", receipt, err)
		}
		got := api.Received()
		sent := providertest.Received{From: want, To: "whatsapp:+27820000001", ContentSID: contentSID, ContentVariables: `{"1":"Jane"}`}
		if got[len(got)-1] != sent {
			t.Errorf("got %+v, want %+v", got[len(got)-1], sent)
		}
	}
	// A template without placeholders has no variables, and no text is needed.
	m := whatsApp()
	m.SMS.ContentVariables, m.Text = "", ""
	if _, err := p.Send(t.Context(), m); err != nil {
		t.Error(err)
	}
	before := api.Requests()
	for _, from := range []string{"Rehive", "12345"} {
		m.From = from
		_, err := p.Send(t.Context(), m)
		providertest.CheckReason(t, err, "SenderRefused")
		if !provider.IsMisconfigured(err) {
			t.Errorf("%v: a person has to change the sender", err)
		}
	}
	m = whatsApp()
	m.SMS.ContentSID = accountSID
	_, err := p.Send(t.Context(), m)
	providertest.CheckReason(t, err, "ContentTemplateRefused")
	if api.Requests() != before {
		t.Error("Twilio was called in vain")
	}
}

// Whatever Twilio answers to a content template, the message ends as an SMS would.
func TestWhatsAppConformance(t *testing.T) {
	m := whatsApp()
	m.SMS.ContentVariables = `{"1":"Planted text"}`
	providertest.Run(t, providertest.Harness{
		New: func(t *testing.T) providertest.Target {
			p, fake, stop := start(t)
			return providertest.Target{Provider: p, Fake: fake, Close: stop}
		},
		Message: m,
		Want: providertest.Received{
			From: "whatsapp:+15005550006", To: "whatsapp:+27820000001", ContentSID: contentSID, ContentVariables: m.SMS.ContentVariables,
		},
		Secrets:          []string{authToken, accountSID, "820000001"},
		AcceptedByStatus: true,
		NoText:           true,
	})
}

const verifySID = "VA0123456789abcdef0123456789abcdef"

func TestVerify(t *testing.T) {
	fake := providertest.NewTwilio(accountSID, accountSID, authToken)
	base, client, stop := providertest.Serve(fake)
	defer stop()
	p, err := New(Config{AccountSID: accountSID, AuthToken: authToken, VerifyServiceSID: verifySID, BaseURL: base, Client: client})
	if err != nil {
		t.Fatal(err)
	}
	m := sms()
	m.SMS.Verify = true
	for text, code := range map[string]string{
		"Your code is 1234.":               "1234",
		"1234567890 is valid for 10 days.": "1234567890",
		"123-456":                          "",
		"No code":                          "",
		"1234 or 5678":                     "",
		"12345678901":                      "",
	} {
		m.Text = text
		receipt, err := p.Send(t.Context(), m)
		if code == "" {
			providertest.CheckReason(t, err, "VerifyCodeMissing")
			continue
		}
		if err != nil || receipt.ID == "" {
			t.Errorf("%q: %+v, %v", text, receipt, err)
			continue
		}
		got := fake.Received()
		if last := got[len(got)-1]; last != (providertest.Received{To: "+27820000001", Code: code}) {
			t.Errorf("%q sent %+v", text, last)
		}
	}
	m.Text = "Your code is 1234567890."
	for behavior, reason := range map[providertest.Behavior]string{
		providertest.Unauthorized: "CredentialsRefused", providertest.Throttle: provider.ReasonThrottled,
		providertest.Fail: "Unavailable", providertest.Reset: provider.ReasonOutcomeUnknown,
	} {
		fake.Behave(behavior)
		_, err := p.Send(t.Context(), m)
		providertest.CheckReason(t, err, reason)
		if strings.Contains(err.Error(), "1234567890") {
			t.Errorf("the error contains the code: %v", err)
		}
	}
	fake.Behave(providertest.Accept)

	without, _, stopWithout := start(t)
	defer stopWithout()
	_, err = without.Send(t.Context(), m)
	providertest.CheckReason(t, err, "VerifyServiceMissing")
	if !provider.IsMisconfigured(err) {
		t.Errorf("%v: a person has to configure the service", err)
	}
}

func TestVerifyURL(t *testing.T) {
	for base, want := range map[string]string{
		BaseURL:                             "https://verify.twilio.com",
		"https://api.dublin.ie1.twilio.com": "https://verify.dublin.ie1.twilio.com",
		"https://proxy.example/twilio":      "https://proxy.example/twilio",
		"https://api.evil-twilio.com":       "https://api.evil-twilio.com",
		"http://127.0.0.1:1":                "http://127.0.0.1:1",
	} {
		if got := VerifyURL(base); got != want {
			t.Errorf("%s: %s, want %s", base, got, want)
		}
	}
}
