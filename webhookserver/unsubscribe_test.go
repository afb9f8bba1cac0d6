// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr/testr"
	"github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/dispatch"
	"github.com/rehive/extension-operator/internal/unsubscribe"
)

const unsubscribeBase = "https://notifications.example.com"

// newLinks returns links to opt out, signed with a key of their own.
func newLinks(t *testing.T) *unsubscribe.Links {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), bytes.Repeat([]byte{7}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := unsubscribe.OpenKeys(dir, testr.New(t))
	if err != nil {
		t.Fatal(err)
	}
	return unsubscribe.NewLinks(unsubscribeBase, keys)
}

// newUnsubscribeFixture is an active fixture with links to opt out.
func newUnsubscribeFixture(t *testing.T) (*fixture, *unsubscribe.Links) {
	t.Helper()
	links := newLinks(t)
	return newActiveFixture(t, func(o *Options) {
		o.Unsubscribe = links
		o.Previews.(*dispatch.Dispatcher).Unsubscribe = links.URL
	}), links
}

// TestUnsubscribe follows the link in a message: looking at the page changes nothing, and a
// POST without any credential opts the user out as the user API does.
func TestUnsubscribe(t *testing.T) {
	f, links := newUnsubscribeFixture(t)
	f.dispatching()
	user := f.addUser(f.company, "user")
	created := f.admined("adminNotificationsCreate", "POST", "/api/admin/notifications/",
		`{"name":"Offers <b>&","type":"email","event":"user.update","to_email":"{{ email }}","subject":"Hi","text_message":"Stop: {{ context.unsubscribe_url }}","preference_enabled":true}`, 201)
	message := func(id string) object {
		f.expectSuccess(f.webhook("Secret "+f.credentials().WebhookSecret, object{
			"id": id, "event": "user.update", "company": f.company, "data": object{"id": user.ID, "email": "zoe@example.com"},
		}))
		var found object
		f.Eventually(func() int {
			list := f.admined("adminLogsList", "GET", "/api/admin/logs/?event_id="+id, "", 200)["results"].([]any)
			if len(list) == 1 {
				found = list[0].(object)
			}
			return len(list)
		}).Should(gomega.Equal(1))
		return found
	}
	sent := message("e-1")
	f.Expect(sent["state"]).To(gomega.Equal("pending"), "%v", sent)
	path, found := strings.CutPrefix(sent["text_message"].(string), "Stop: "+unsubscribeBase)
	f.Expect(found).To(gomega.BeTrue(), "%v", sent["text_message"])

	enabled := func() any {
		r := f.call(user.Token, "GET", fmt.Sprintf("/api/user/notifications/%.0f/", created["id"]), "")
		f.Expect(r.status).To(gomega.Equal(200), r.String())
		return strings.Contains(r.body, `"enabled":true`)
	}
	for range 3 { // link scanners
		page := f.send("GET", path, nil, http.Header{"Accept-Language": {"pt-BR,pt;q=0.9"}})
		f.Expect(page.status).To(gomega.Equal(200))
		f.Expect(page.body).To(gomega.And(
			gomega.ContainSubstring(`<html lang="pt-BR" dir="ltr">`), gomega.ContainSubstring("Offers &lt;b&gt;&amp;"), gomega.ContainSubstring(`<form method="post">`),
			gomega.Not(gomega.ContainSubstring("zoe@")), gomega.Not(gomega.ContainSubstring("<script")),
		))
		f.Expect(page.header.Get("Content-Security-Policy")).To(gomega.HavePrefix("default-src 'none';"))
		f.Expect(page.header.Get("Referrer-Policy")).To(gomega.Equal("no-referrer"))
		f.Expect(page.header.Get("Cache-Control")).To(gomega.Equal("no-store"))
		f.Expect(f.send("HEAD", path, nil, nil).status).To(gomega.Equal(200))
	}
	for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS"} {
		f.Expect(f.send(method, path, nil, nil).status).To(gomega.Equal(405), method)
	}
	f.Expect(f.send("POST", path, strings.NewReader(strings.Repeat("x", maxUnsubscribeBody+1)), nil).status).To(gomega.Equal(413))
	f.Expect(enabled()).To(gomega.BeTrue(), "none of these changes anything")

	for range 2 {
		done := f.send("POST", path, strings.NewReader("List-Unsubscribe=One-Click"), http.Header{
			"Content-Type": {"application/x-www-form-urlencoded"}, "Accept-Language": {"ar"},
		})
		f.Expect(done.status).To(gomega.Equal(200))
		f.Expect(done.body).To(gomega.And(
			gomega.ContainSubstring(`<html lang="ar" dir="rtl">`), gomega.ContainSubstring(`role="status"`), gomega.Not(gomega.ContainSubstring("<form")),
		))
		f.Expect(enabled()).To(gomega.BeFalse())
	}
	f.Expect(message("e-2")["reason"]).To(gomega.Equal("OptedOut"))

	// Links of other companies and rules, and changed ones, find nothing.
	name := namespace + "/nothing"
	for what, url := range map[string]string{
		"an unknown rule": links.URL(f.company, user.ID, name), "an unknown company": links.URL("nobody", user.ID, name),
		"a changed link": unsubscribeBase + path[:len(path)-1] + "!", "a short link": unsubscribeBase + path[:20],
	} {
		for _, method := range []string{"GET", "POST"} {
			r := f.send(method, strings.TrimPrefix(url, unsubscribeBase), nil, nil)
			f.Expect(r.status).To(gomega.Equal(404), what)
			f.Expect(r.body).To(gomega.ContainSubstring("invalid or has expired"), what)
		}
	}
}

// TestUnsubscribeLanguages checks that each language has all texts, and that the page is in
// the language that the browser asks for.
func TestUnsubscribeLanguages(t *testing.T) {
	u, err := newUnsubscriber(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range unsubscribeLanguages {
		texts := pageTexts[tag]
		for _, text := range []string{texts.title, texts.question, texts.button, texts.done, texts.invalid, texts.unavailable} {
			if text == "" {
				t.Errorf("%s lacks a text", tag)
			}
		}
	}
	for accept, want := range map[string]string{
		"": "en", "fr": "fr", "fr-CA, en;q=0.5": "fr", "es-MX": "es", "pt-PT": "pt-PT", "pt-AO": "pt-PT", "pt-BR": "pt-BR", "ar-EG": "ar", "de": "en", "zz, q=": "en",
		strings.Repeat("fr,", 100): "en", "de, es;q=0.3": "es",
	} {
		if _, tag := u.textsFor(accept); tag.String() != want {
			t.Errorf("%.20q: %s, want %s", accept, tag, want)
		}
	}
}
