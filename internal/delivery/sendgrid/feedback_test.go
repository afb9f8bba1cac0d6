// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sendgrid

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/providertest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// eventWebhook signs as SendGrid does.
type eventWebhook struct {
	*testing.T
	key *ecdsa.PrivateKey
	p   *Provider
}

func newEventWebhook(t *testing.T) *eventWebhook {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(Config{APIKey: "key", EventKey: base64.StdEncoding.EncodeToString(der) + "\n"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{APIKey: "key", EventKey: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}); err != nil {
		t.Error(err)
	}
	return &eventWebhook{t, key, p}
}

func (w *eventWebhook) sign(at time.Time, body string) *provider.Callback {
	w.Helper()
	stamp := strconv.FormatInt(at.Unix(), 10)
	digest := sha256.Sum256([]byte(stamp + body))
	signature, err := ecdsa.SignASN1(rand.Reader, w.key, digest[:])
	if err != nil {
		w.Fatal(err)
	}
	return &provider.Callback{Now: now, Body: []byte(body), Header: http.Header{
		signatureHeader: {base64.StdEncoding.EncodeToString(signature)}, timestampHeader: {stamp},
	}}
}

func TestReports(t *testing.T) {
	w := newEventWebhook(t)
	for event, want := range map[string]string{
		`"event":"processed"`: "", `"event":"deferred","response":"400 try again later"`: "", `"event":"click"`: "", `"event":"unsubscribe"`: "", `"event":"new one"`: "",
		`"event":"delivered","response":"250 OK"`: "delivered",
		`"event":"open"`: "opened",
		`"event":"bounce","type":"bounce","status":"5.1.1","reason":"550 <zoe@planted.example>"`:          "bounced HardBounce",
		`"event":"bounce","type":"bounce","status":"5.0.0"`:                                               "bounced HardBounce",
		`"event":"bounce","type":"blocked","status":"5.7.1","reason":"550 5.1.1 spam"`:                    "blocked",
		`"event":"bounce","type":"bounce","status":"5.2.2","bounce_classification":"Mailbox Unavailable"`: "blocked",
		`"event":"bounce","type":"bounce","status":"5.7.1","bounce_classification":"Reputation"`:          "blocked",
		`"event":"bounce","type":"bounce","status":"<planted>","bounce_classification":"Invalid Address"`: "bounced HardBounce",
		`"event":"dropped","reason":"Bounced Address"`:                                                    "bounced HardBounce",
		`"event":"dropped","reason":"Spam Reporting Address"`:                                             "blocked SpamComplaint",
		`"event":"dropped","reason":"Spam Report"`:                                                        "blocked SpamComplaint",
		`"event":"dropped","reason":"Unsubscribed Address"`:                                               "blocked Stop",
		`"event":"dropped","reason":"Spam Content (if spam checker app enabled)"`:                         "blocked",
		`"event":"spamreport"`:                                                  "complained SpamComplaint",
		`"event":"delivered","timestamp":"soon"`:                                "delivered",
		`"event":"delivered","timestamp":1e999,"status":{"a":1},"reason":["x"]`: "delivered",
	} {
		got := ""
		reports, err := w.p.Reports(w.sign(now, `[{"rehive_reference":"ref",`+event+`,"email":"zoe@planted.example"}]`))
		if err != nil {
			t.Errorf("%s: %v", event, err)
		}
		for _, r := range reports {
			got += strings.TrimSpace(string(r.Outcome) + " " + string(r.Fault))
			if r.Reference != "ref" || strings.Contains(r.Detail, "planted") {
				t.Errorf("%s: %+v", event, r)
			}
		}
		if got != want {
			t.Errorf("%s is %q, want %q", event, got, want)
		}
	}
	reports, err := w.p.Reports(w.sign(now, `[{"event":"delivered"},{"event":"delivered","rehive_reference":"1","timestamp":1513299569},{"event":"open","rehive_reference":"2"}]`))
	if err != nil || len(reports) != 2 || !reports[0].At.Equal(time.Unix(1513299569, 0)) || !reports[1].At.IsZero() {
		t.Errorf("%+v, %v", reports, err)
	}
}

func TestReportsMustBeSigned(t *testing.T) {
	w, other := newEventWebhook(t), newEventWebhook(t)
	const body = `[{"event":"delivered","rehive_reference":"1"}]`
	for name, c := range map[string]*provider.Callback{
		"another key": other.sign(now, body), "too old": w.sign(now.Add(-26*time.Hour), body), "from the future": w.sign(now.Add(time.Hour), body),
		"unsigned": {Now: now, Body: []byte(body), Header: http.Header{}},
		"another body": func() *provider.Callback {
			c := w.sign(now, body)
			c.Body = []byte(strings.Replace(body, "1", "2", 1))
			return c
		}(),
		"another time": func() *provider.Callback {
			c := w.sign(now, body)
			c.Header.Set(timestampHeader, strconv.FormatInt(now.Unix()+1, 10))
			return c
		}(),
		"not parsed": other.sign(now, "{"),
	} {
		if reports, err := w.p.Reports(c); !errors.Is(err, provider.ErrNotSigned) || reports != nil {
			t.Errorf("%s: %v, %v", name, reports, err)
		}
	}
	without, err := New(Config{APIKey: "key"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := without.Reports(w.sign(now, body)); !errors.Is(err, provider.ErrNotSigned) {
		t.Errorf("without a key: %v", err)
	}
	for _, malformed := range []string{"", "{", "null", `{"event":"delivered"}`, `[{"event":"delivered"}`, "[1", "[" + strings.Repeat("{},", maxEvents) + "{}]"} {
		if _, err := w.p.Reports(w.sign(now, malformed)); !errors.Is(err, provider.ErrMalformed) {
			t.Errorf("%.20q: %v", malformed, err)
		}
	}
	for _, key := range []string{"planted", "TUZrd0V3", "-----BEGIN PUBLIC KEY-----\nTUZrd0V3\n-----END PUBLIC KEY-----"} {
		if _, err := New(Config{APIKey: "key", EventKey: key}); err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("%q: %v", key, err)
		}
	}
}

// TestReference tests that a message carries its reference, beside what it always carries.
func TestReference(t *testing.T) {
	var got mail
	base, client, stop := providertest.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer stop()
	p, err := New(Config{APIKey: "key", From: "shop@example.com", BaseURL: base, Client: client, Reference: func(m *provider.Message) string { return fmt.Sprint("ref", m.Delivery) }})
	if err != nil {
		t.Fatal(err)
	}
	m := providertest.Message()
	m.Delivery = 7
	if _, err := p.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if args := got.Personalizations[0].CustomArgs; args[referenceArg] != "ref7" || args["rehive_delivery"] != m.Key {
		t.Errorf("%v", args)
	}
}

func TestFind(t *testing.T) {
	answer, status := "", http.StatusOK
	base, client, stop := providertest.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query().Get("query"); !strings.Contains(q, `"`+providertest.Message().Key+`"`) || r.URL.Path != "/v3/messages" {
			t.Errorf("asked for %s %s", r.URL.Path, q)
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, answer)
	}))
	defer stop()
	p, err := New(Config{APIKey: "key", BaseURL: base, Client: client})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		status int
		answer string
		found  bool
		known  bool
	}{
		{200, `{"messages":[{"msg_id":"id","status":"delivered"}]}`, true, true}, {200, `{"messages":[]}`, false, true},
		{200, `{}`, false, false}, {200, `[`, false, false}, {403, `{"errors":[{"message":"access forbidden"}]}`, false, false}, {500, "", false, false},
	} {
		status, answer = c.status, c.answer
		receipt, found, err := p.Find(t.Context(), providertest.Message())
		if found != c.found || (err == nil) != c.known || found && receipt.ID != "id" {
			t.Errorf("%d %s: %v, %t, %v", c.status, c.answer, receipt, found, err)
		}
	}
}
