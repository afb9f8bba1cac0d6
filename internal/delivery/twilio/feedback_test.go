// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package twilio

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
)

const callbackURL = "https://notify.example.com/api/feedback/ns/twilio/secret/ref/"

// signature signs a callback as Twilio does.
func signature(token, address string, form url.Values) string {
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	sort.Strings(names)
	text := address
	for _, name := range names {
		text += name + form.Get(name)
	}
	h := hmac.New(sha1.New, []byte(token))
	_, _ = h.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func callback(token, signedURL string, form url.Values) *provider.Callback {
	return &provider.Callback{
		URL: callbackURL, Reference: "ref", Body: []byte(form.Encode()), Now: time.Now(),
		Header: http.Header{signatureHeader: {signature(token, signedURL, form)}},
	}
}

func reporting(t *testing.T) *Provider {
	t.Helper()
	p, err := New(Config{AccountSID: accountSID, KeySID: keySID, AuthToken: "keysecret", SigningKey: authToken})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSignatureVector is an example that Twilio's documentation has published for years.
func TestSignatureVector(t *testing.T) {
	p := &Provider{signingKey: []byte("12345")}
	form := url.Values{"CallSid": {"CA1234567890ABCDE"}, "Caller": {"+12349013030"}, "Digits": {"1234"}, "From": {"+12349013030"}, "To": {"+18005551212"}}
	c := &provider.Callback{URL: "https://mycompany.com/myapp.php?foo=1&bar=2", Header: http.Header{signatureHeader: {"0/KCTR6DLpKmkAf8muzZqo1nDgQ="}}}
	if !p.signed(c, form) {
		t.Error("the published signature is refused")
	}
	form.Set("Digits", "1235")
	if p.signed(c, form) {
		t.Error("another parameter is accepted")
	}
}

func TestReports(t *testing.T) {
	p := reporting(t)
	for params, want := range map[string]string{
		"MessageStatus=queued": "", "MessageStatus=sent": "", "MessageStatus=accepted": "", "MessageStatus=": "",
		"MessageStatus=delivered": "delivered", "MessageStatus=read": "opened",
		"MessageStatus=undelivered&ErrorCode=30005": "bounced HardBounce", "MessageStatus=failed&ErrorCode=21211": "bounced HardBounce",
		"MessageStatus=undelivered&ErrorCode=30003": "blocked", "MessageStatus=undelivered&ErrorCode=30007": "blocked",
		"MessageStatus=failed&ErrorCode=21610": "blocked Stop", "MessageStatus=undelivered&ErrorCode=63024": "blocked",
		"MessageStatus=undelivered&ErrorCode=planted": "blocked", "MessageStatus=undelivered": "blocked",
	} {
		form, err := url.ParseQuery(params + "&AccountSid=" + accountSID + "&To=%2B27820000001&ErrorMessage=planted")
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		reports, err := p.Reports(callback(authToken, callbackURL, form))
		if err != nil {
			t.Errorf("%s: %v", params, err)
		}
		for _, r := range reports {
			got += strings.TrimSpace(string(r.Outcome) + " " + string(r.Fault))
			if r.Reference != "ref" || strings.Contains(r.Detail, "planted") {
				t.Errorf("%s: %+v", params, r)
			}
		}
		if got != want {
			t.Errorf("%s is %q, want %q", params, got, want)
		}
	}
}

func TestReportsMustBeSigned(t *testing.T) {
	p := reporting(t)
	form := url.Values{"MessageStatus": {"delivered"}, "AccountSid": {accountSID}}
	for _, signed := range []string{callbackURL, strings.Replace(callbackURL, ".com/", ".com:443/", 1)} {
		if reports, err := p.Reports(callback(authToken, signed, form)); err != nil || len(reports) != 1 {
			t.Errorf("%s: %v", signed, err)
		}
	}
	changed := callback(authToken, callbackURL, form)
	changed.Body = []byte(strings.Replace(string(changed.Body), "delivered", "failed", 1))
	elsewhere := callback(authToken, callbackURL, form)
	elsewhere.URL = strings.Replace(callbackURL, "ref", "other", 1)
	unsigned := callback(authToken, callbackURL, form)
	unsigned.Header = http.Header{}
	many := url.Values{"AccountSid": {accountSID}}
	for i := range maxParams {
		many.Set(fmt.Sprint("p", i), "x")
	}
	for name, c := range map[string]*provider.Callback{
		"another token": callback("another", callbackURL, form), "the API key": callback("keysecret", callbackURL, form),
		"another body": changed, "another message": elsewhere, "unsigned": unsigned, "too many": callback(authToken, callbackURL, many),
		"another account": callback(authToken, callbackURL, url.Values{"MessageStatus": {"delivered"}, "AccountSid": {"AC" + strings.Repeat("1", 32)}}),
		"another port":    callback(authToken, strings.Replace(callbackURL, ".com/", ".com:8443/", 1), form),
	} {
		if reports, err := p.Reports(c); !errors.Is(err, provider.ErrNotSigned) || reports != nil {
			t.Errorf("%s: %v, %v", name, reports, err)
		}
	}
	without := &Provider{account: accountSID}
	if _, err := without.Reports(callback("", callbackURL, form)); !errors.Is(err, provider.ErrNotSigned) {
		t.Errorf("without a token: %v", err)
	}
}

func TestOptIn(t *testing.T) {
	p := reporting(t)
	for params, want := range map[string]string{
		"OptOutType=START&Body=hello": "+27820000001", "Body=+start+": "+27820000001", "Body=Unstop": "+27820000001",
		"OptOutType=STOP&Body=START": "", "Body=STOP": "", "Body=please+start": "", "": "",
	} {
		form, err := url.ParseQuery(params + "&AccountSid=" + accountSID + "&From=%2B27820000001")
		if err != nil {
			t.Fatal(err)
		}
		c := callback(authToken, callbackURL, form)
		c.Reference = ""
		reports, err := p.Reports(c)
		if err != nil || (len(reports) == 1) != (want != "") || want != "" && reports[0].OptedIn != want {
			t.Errorf("%s: %+v, %v", params, reports, err)
		}
	}
}

// TestFaults tests that a refusal of the number is told apart from other refusals of the
// recipient.
func TestFaults(t *testing.T) {
	for code, want := range map[int]provider.Fault{21211: provider.FaultHardBounce, 21614: provider.FaultHardBounce, 21610: provider.FaultStop, 21612: "", 63003: "", 30006: ""} {
		base, client := providertest.Answer(t, http.StatusBadRequest, fmt.Sprintf(`{"code":%d}`, code))
		p, err := New(Config{AccountSID: accountSID, AuthToken: authToken, From: "Rehive", BaseURL: base, Client: client})
		if err != nil {
			t.Fatal(err)
		}
		var e *provider.Error
		if _, err := p.Send(t.Context(), sms()); !errors.As(err, &e) || !provider.IsPermanent(err) || e.Fault != want {
			t.Errorf("%d: %v has the fault %q, want %q", code, err, e.Fault, want)
		}
	}
}

func TestStatusCallback(t *testing.T) {
	got := ""
	base, client, stop := providertest.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.FormValue("StatusCallback")
		w.WriteHeader(http.StatusCreated)
	}))
	defer stop()
	p, err := New(Config{
		AccountSID: accountSID, AuthToken: authToken, From: "Rehive", BaseURL: base, Client: client,
		StatusCallback: func(m *provider.Message) string { return fmt.Sprint("https://x.example/", m.Delivery) },
	})
	if err != nil {
		t.Fatal(err)
	}
	m := sms()
	m.Delivery = 7
	if _, err := p.Send(t.Context(), m); err != nil || got != "https://x.example/7" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestFind(t *testing.T) {
	m := sms()
	m.Date = time.Now()
	at := func(d time.Duration) string { return m.Date.Add(d).UTC().Format(time.RFC1123Z) }
	message := func(body, created, status string) string {
		return fmt.Sprintf(`{"messages":[{"sid":"SM1","body":%q,"date_created":%q,"status":%q}]}`, body, created, status)
	}
	page := func(others int, oldest time.Duration) string {
		list := strings.Repeat(fmt.Sprintf(`{"body":"other","date_created":%q},`, at(time.Second)), others-1)
		return fmt.Sprintf(`{"messages":[%s{"body":"other","date_created":%q}]}`, list, at(oldest))
	}
	for name, c := range map[string]struct {
		answer string
		status int
		found  bool
		known  bool
	}{
		"sent":       {message(m.Text, at(time.Second), "sent"), 200, true, true},
		"trial":      {message("Sent from your Twilio trial account - "+m.Text, at(time.Second), "queued"), 200, true, true},
		"other text": {message("other", at(time.Second), "sent"), 200, false, true},
		"earlier":    {message(m.Text, at(-time.Hour), "sent"), 200, false, true},
		"failed":     {message(m.Text, at(time.Second), "failed"), 200, false, true},
		"none":       {`{"messages":[]}`, 200, false, true},
		"full page":  {page(findPage, time.Second), 200, false, false},
		"page":       {page(findPage-1, time.Second), 200, false, true},
		"older too":  {page(findPage, -time.Hour), 200, false, true},
		"garbage":    {`{`, 200, false, false},
		"refused":    {`{"code":20003}`, 401, false, false},
	} {
		base, client := providertest.Answer(t, c.status, c.answer)
		p, err := New(Config{AccountSID: accountSID, AuthToken: authToken, BaseURL: base, Client: client})
		if err != nil {
			t.Fatal(err)
		}
		receipt, found, err := p.Find(t.Context(), m)
		if found != c.found || (err == nil) != c.known || found && receipt.ID != "SM1" {
			t.Errorf("%s: %v, %t, %v", name, receipt, found, err)
		}
	}
}

// TestFindLater asks about a message that waited before it was sent, so that it may be outside
// the time that is searched.
func TestFindLater(t *testing.T) {
	m := sms()
	for age, known := range map[time.Duration]bool{findWindow - time.Minute: true, findWindow + time.Minute: false} {
		m.Date = time.Now().Add(-age)
		base, client := providertest.Answer(t, http.StatusOK, `{"messages":[]}`)
		p, err := New(Config{AccountSID: accountSID, AuthToken: authToken, BaseURL: base, Client: client})
		if err != nil {
			t.Fatal(err)
		}
		if _, found, err := p.Find(t.Context(), m); found || (err == nil) != known {
			t.Errorf("%s: %t, %v", age, found, err)
		}
	}
}
