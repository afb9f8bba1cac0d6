// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
)

// claim claims and removes every event in the ledger.
func (f *fixture) claim() map[string]string {
	f.Helper()
	claimed, err := f.store.ClaimEvents(f.Context(), ledger.Claim{Limit: 1000, Lease: time.Minute})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	events := make(map[string]string)
	for _, e := range claimed {
		f.Expect(e.Company).To(gomega.Equal(f.company))
		events[e.ID] = e.Name + " " + string(e.Data)
	}
	return events
}

func TestWebhook(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	secret := f.credentials().WebhookSecret
	send := func(body string) response {
		return f.webhook("Secret "+secret, strings.ReplaceAll(body, "COMPANY", f.company))
	}
	for _, body := range []string{
		`{"id":1,"event":"transaction.execute","company":"COMPANY","data":{"amount":123456789012345678901234567890, "x" : 1.10}}`,
		`{"id":"two","event":"user.create","company":"COMPANY","data":{"a":1,"a":2},"retries":4,"unknown":[1]}`,
		`{"id":12345678901234567890123,"event":"not.heard.of","company":" COMPANY ","data":[]}`,
		`{"id":" 4 ","event":"user.create","company":"COMPANY","data":"text"}`,
		`{"id":5,"event":"user.create","company":"COMPANY","data":` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + `}`,
		`{"id":6,"event":"user.create","company":"COMPANY","data":false}`,
	} {
		f.expectSuccess(send(body))
	}
	f.Expect(f.claim()).To(gomega.Equal(map[string]string{
		"1":                       `transaction.execute {"amount":123456789012345678901234567890, "x" : 1.10}`,
		"two":                     `user.create {"a":1,"a":2}`,
		"12345678901234567890123": `not.heard.of []`,
		"4":                       `user.create "text"`,
		"5":                       "user.create " + strings.Repeat("[", 127) + strings.Repeat("]", 127),
		"6":                       `user.create false`,
	}))

	t.Run("a duplicate is acknowledged and kept once", func(t *testing.T) {
		f := f.in(t)
		f.expectSuccess(send(`{"id":"1","event":"transaction.execute","company":"COMPANY","data":{}}`))
		f.Expect(f.claim()).To(gomega.BeEmpty())
	})
	t.Run("too many values are refused", func(t *testing.T) {
		f := f.in(t)
		body := `{"id":"many","event":"user.create","company":"COMPANY","data":[` + strings.Repeat("{},", notify.MaxValues) + `{}]}`
		f.expectError(send(body), http.StatusRequestEntityTooLarge, "", "The data of the event holds more than 100000 values.")
		f.Expect(f.claim()).To(gomega.BeEmpty())
	})
	t.Run("the former URL", func(t *testing.T) {
		f := f.in(t)
		f.expectSuccess(f.send(http.MethodPost, "/api/admin/webhook/",
			strings.NewReader(`{"id":7,"event":"user.create","company":"`+f.company+`","data":{}}`),
			http.Header{"Content-Type": {"application/json; charset=utf-8"}, "Authorization": {"secret   " + secret}}))
		f.Expect(f.claim()).To(gomega.HaveKey("7"))
	})
	t.Run("refused events are not stored", func(t *testing.T) {
		f := f.in(t)
		for name, test := range map[string]struct{ body, answer string }{
			"no body": {``, `{"status":"error","message":"This field is required.","data":{"id":["This field is required."],
				"event":["This field is required."],"company":["This field is required."],"data":["This field is required."]}}`},
			"wrong types": {`{"id":true,"event":[1.5],"company":{},"data":null}`, `{"status":"error",
				"message":"Not a valid string. This field may not be null.","data":{"id":["Not a valid string."],
				"event":["Not a valid string."],"company":["Not a valid string."],"data":["This field may not be null."]}}`},
			"blank": {`{"id":"","event":" ","company":"COMPANY","data":{}}`, `{"status":"error","message":"This field may not be blank.",
				"data":{"id":["This field may not be blank."],"event":["This field may not be blank."]}}`},
			"too long": {`{"id":"` + strings.Repeat("1", 256) + `","event":"` + strings.Repeat("é", 101) + `","company":"COMPANY","data":{}}`,
				`{"status":"error","message":"Ensure this field has no more than 255 characters. Ensure this field has no more than 100 characters.",
				"data":{"id":["Ensure this field has no more than 255 characters."],"event":["Ensure this field has no more than 100 characters."]}}`},
			"invalid UTF-8": {"{\"id\":1,\"event\":\"e\",\"company\":\"COMPANY\",\"data\":\"\xff\"}",
				`{"status":"error","message":"JSON parse error - the body is not valid UTF-8"}`},
			"deep nesting": {`{"id":1,"data":` + strings.Repeat("[", 500000), `{"status":"error","message":"JSON parse error - nested deeper than 128 levels"}`},
			"a list":       {`[{"id":1}]`, `{"status":"error","message":"Invalid data. Expected a dictionary, but got list.","data":{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}}`},
		} {
			t.Run(name, func(t *testing.T) {
				f := f.in(t)
				r := send(test.body)
				f.Expect(r.status).To(gomega.Equal(400), r.String())
				f.Expect(r.body).To(gomega.MatchJSON(test.answer))
			})
		}
		f.Expect(f.claim()).To(gomega.BeEmpty())
	})
	t.Run("too large", func(t *testing.T) {
		f := f.in(t)
		r := send(`{"id":9,"event":"e","company":"COMPANY","data":"` + strings.Repeat("x", 10<<20) + `"}`)
		f.expectError(r, http.StatusRequestEntityTooLarge, "", "The request body is larger than 1048576 bytes.")
	})
	f.Expect(f.logs.String()).NotTo(gomega.ContainSubstring("123456789012345678901234567890"))
}

// TestWebhookIsRefused checks that refusals don't reveal whether a company exists or is
// active.
func TestWebhookIsRefused(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	secret := f.credentials().WebhookSecret
	other := *f
	other.company = f.addCompany("other")
	f.expectSuccess(f.activate(f.addUser(other.company, "admin").Token))
	theirs := other.credentials().WebhookSecret

	for name, authorization := range map[string]string{
		"no header":                "",
		"a wrong secret":           "Secret planted-wrong-secret",
		"a token":                  "Token " + secret,
		"no scheme":                secret,
		"no secret":                "Secret ",
		"more than two parts":      "Secret " + secret + " x",
		"a prefix of the secret":   "Secret " + secret[:len(secret)-1],
		"another company's secret": "Secret " + theirs,
	} {
		t.Run(name, func(t *testing.T) {
			f := f.in(t)
			f.expectError(f.webhook(authorization, f.event(1)), 400, "company", "Invalid company.")
		})
	}
	stranger := f.event(1)
	stranger["company"] = "planted-nobody"
	f.expectError(f.webhook("Secret "+secret, stranger), 400, "company", "Invalid company.")
	f.expectError(f.webhook("", stranger), 400, "company", "Invalid company.")

	// Declared, but never activated: no secret is valid.
	declared := *f
	declared.company = f.addCompany("declared")
	declared.declare("team-c", "wallet")
	f.expectError(declared.webhook("Secret ", declared.event(1)), 400, "company", "Invalid company.")
	f.Expect(f.claim()).To(gomega.BeEmpty())
}

// failingLedger is a ledger that is full, hangs or panics.
type failingLedger struct {
	Ledger
	accept func(context.Context) error
}

func failing(accept func(context.Context) error) Ledger { return failingLedger{accept: accept} }

func (l failingLedger) AcceptEvent(ctx context.Context, _ ledger.Event) (bool, error) {
	return false, l.accept(ctx)
}

func TestWebhookWhenLedgerFails(t *testing.T) {
	t.Parallel() // it waits
	for name, test := range map[string]struct {
		accept func(context.Context) error
		status int
	}{
		"disk full":     {func(context.Context) error { return fmt.Errorf("inserting: %w", ledger.ErrUnavailable) }, 503},
		"unknown error": {func(context.Context) error { return errors.New("constraint failed") }, 503},
		"hanging":       {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 503},
		"panicking":     {func(context.Context) error { panic("planted") }, 500},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(o *Options) {
				o.Ledger = failing(test.accept)
				o.Limits.WebhookBudget = 5 * time.Second
			})
			f.expectSuccess(f.activate(f.admin.Token))
			r := f.webhook("Secret "+f.credentials().WebhookSecret, f.event(1))
			if test.status == 503 {
				f.expectError(r, 503, "", "The event could not be stored. Try again later.")
				f.Expect(r.header.Get("Retry-After")).To(gomega.Equal("10"))
				return
			}
			f.expectError(r, 500, "", "A server error occurred.")
			f.Expect(f.logs.String()).To(gomega.ContainSubstring("Recovered from a panic"))
			f.Expect(f.logs.String()).To(gomega.ContainSubstring("webhook_test.go:"))
			f.expectError(f.webhook("", f.event(2)), 400, "company", "Invalid company.") // the server still serves
		})
	}
	t.Run("company full", func(t *testing.T) {
		f := newFixture(t, func(o *Options) {
			o.Ledger = failing(func(context.Context) error { return fmt.Errorf("%w: it stores much", ledger.ErrCompanyFull) })
		})
		f.expectSuccess(f.activate(f.admin.Token))
		r := f.webhook("Secret "+f.credentials().WebhookSecret, f.event(1))
		f.expectError(r, 507, "", "The company has too many events waiting or stored. Try again later.")
		f.Expect(r.header.Get("Retry-After")).To(gomega.Equal("60"))
	})
	t.Run("closed", func(t *testing.T) {
		f := newFixture(t)
		f.expectSuccess(f.activate(f.admin.Token))
		f.Expect(f.store.Close()).To(gomega.Succeed())
		f.expectError(f.webhook("Secret "+f.credentials().WebhookSecret, f.event(1)), 503, "", "The event could not be stored. Try again later.")
	})
}

func TestWebhooksConcurrently(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	secret := f.credentials().WebhookSecret
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for id := range 25 { // all senders send the same events
				if r := f.webhook("Secret "+secret, f.event(id)); r.String() != "200 "+success {
					t.Errorf("answered %s", r)
				}
			}
		})
	}
	wg.Wait()
	events := f.claim()
	f.Expect(events).To(gomega.HaveLen(25))
	for id := range 25 {
		f.Expect(events).To(gomega.HaveKey(strconv.Itoa(id)))
	}
}
