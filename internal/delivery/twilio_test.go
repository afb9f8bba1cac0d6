// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
	"github.com/rehive/extension-operator/internal/outbound"
)

const (
	twilioKey     = "SK0123456789abcdef0123456789abcdef"
	twilioService = "MG0123456789abcdef0123456789abcdef"
)

func TestTwilioConfig(t *testing.T) {
	good := delivery.TwilioConfig{AccountSID: twilioSID, AuthToken: "planted", From: "+15005550006"}
	for name, change := range map[string]func(*delivery.TwilioConfig){
		"no account":      func(c *delivery.TwilioConfig) { c.AccountSID = "" },
		"path in account": func(c *delivery.TwilioConfig) { c.AccountSID = "AC/../../0123456789abcdef01234567" },
		"wrong account":   func(c *delivery.TwilioConfig) { c.AccountSID = twilioService },
		"wrong key":       func(c *delivery.TwilioConfig) { c.KeySID = twilioSID },
		"no token":        func(c *delivery.TwilioConfig) { c.AuthToken = "" },
		"region":          func(c *delivery.TwilioConfig) { c.DefaultRegion = "XX" },
		"sender":          func(c *delivery.TwilioConfig) { c.From = "a sender that is too long" },
		"base URL":        func(c *delivery.TwilioConfig) { c.BaseURL = "http://api.twilio.com" },
	} {
		c := good
		change(&c)
		if _, err := delivery.NewTwilio(c); err == nil || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, from := range []string{"", "+15005550006", "12345", "Rehive", "My Shop", twilioService} {
		c := good
		c.From = from
		if _, err := delivery.NewTwilio(c); err != nil {
			t.Errorf("%q: %v", from, err)
		}
	}
}

func sms() delivery.Message {
	m := message()
	m.To = "+27820000001"
	return m
}

func TestTwilioSenders(t *testing.T) {
	p, api, stop := twilio(t)
	defer stop()
	for from, want := range map[string]string{"": "+15005550006", "12345": "12345", "Rehive": "Rehive", twilioService: twilioService, "082 000 0009": "+27820000009"} {
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

func TestTwilioErrorCodes(t *testing.T) {
	status, code := 400, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"code":%d,"error_code":%d,"status":"failed","message":"+27820000001"}`, code, code)
	}))
	c := client()
	t.Cleanup(func() {
		c.CloseIdleConnections()
		server.Close()
	})
	p, err := delivery.NewTwilio(delivery.TwilioConfig{AccountSID: twilioSID, AuthToken: twilioToken, From: "Rehive", BaseURL: server.URL, Client: c})
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
	} {
		status, code = row.status, row.code
		_, err := p.Send(t.Context(), sms())
		checkReason(t, err, row.reason)
		class := "transient"
		switch {
		case delivery.IsPermanent(err):
			class = "permanent"
		case delivery.IsMisconfigured(err):
			class = "misconfigured"
		}
		if class != row.class || strings.Contains(err.Error(), "2782") || row.code > 0 && !strings.Contains(err.Error(), fmt.Sprint(row.code)) {
			t.Errorf("%d %d: %v is %s", row.status, row.code, err, class)
		}
		if e := err.(*delivery.Error); (e.RetryAfter > 0) != (class == "transient") { //nolint:errorlint // checked above
			t.Errorf("%d %d: waits %s", row.status, row.code, e.RetryAfter)
		}
	}
}

// Who chose the sender decides whether waiting helps.
func TestTwilioOwnSender(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"code":21607}`))
	}))
	c := client()
	t.Cleanup(func() {
		c.CloseIdleConnections()
		server.Close()
	})
	p, err := delivery.NewTwilio(delivery.TwilioConfig{AccountSID: twilioSID, AuthToken: twilioToken, From: "Rehive", BaseURL: server.URL, Client: c})
	if err != nil {
		t.Fatal(err)
	}
	m := sms()
	m.From = "Shop"
	if _, err := p.Send(t.Context(), m); !delivery.IsMisconfigured(err) {
		t.Error(err)
	}
	m.OwnSender = true
	if _, err := p.Send(t.Context(), m); !delivery.IsPermanent(err) {
		t.Error(err)
	}
}

func TestTwilioCheck(t *testing.T) {
	p, api, stop := twilio(t)
	defer stop()
	if err := p.Check(t.Context()); err != nil {
		t.Error(err)
	}
	api.Behave(providertest.Unauthorized)
	checkReason(t, p.Check(t.Context()), "CredentialsRefused")
	api.Behave(providertest.Fail)
	checkReason(t, p.Check(t.Context()), "Unavailable")

	keyed, stopKeyed := serve(t, providertest.NewTwilio(twilioSID, twilioKey, twilioToken), func(base string, c *outbound.Client) (*delivery.Twilio, error) {
		return delivery.NewTwilio(delivery.TwilioConfig{AccountSID: twilioSID, KeySID: twilioKey, AuthToken: twilioToken, BaseURL: base, Client: c})
	})
	defer stopKeyed()
	if err := keyed.Check(t.Context()); err != nil {
		t.Error(err)
	}
	_, err := keyed.Send(t.Context(), sms())
	checkReason(t, err, "SenderMissing")
}
