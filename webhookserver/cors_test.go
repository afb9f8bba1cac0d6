// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
)

const dashboard = "https://dashboard.example.com"

// preflight sends the preflight request of a browser for a page of an origin.
func (f *fixture) preflight(origin, method, path string) response {
	f.Helper()
	return f.send(http.MethodOptions, path, nil, http.Header{
		"Origin": {origin}, "Access-Control-Request-Method": {method},
		"Access-Control-Request-Headers": {"authorization,content-type,idempotency-key,last-event-id"},
	})
}

// TestCrossOriginRequests checks that web pages of allowed origins may call each operation
// of the admin and user API, and nothing else.
func TestCrossOriginRequests(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.AllowedOrigins = []string{dashboard, "http://localhost:3000"} })
	f.expectSuccess(f.activate(f.admin.Token))
	_, operations := f.served()
	for _, o := range operations {
		path := o.at("1")
		r := f.preflight(dashboard, o.method, path)
		if !o.isSecured() {
			f.Expect(r.status).To(gomega.Equal(200), o.String())
			f.Expect(r.header).NotTo(gomega.HaveKey("Access-Control-Allow-Origin"), o.String())
			continue
		}
		f.Expect(r.status).To(gomega.Equal(204), o.String())
		f.Expect(r.header.Get("Access-Control-Allow-Origin")).To(gomega.Equal(dashboard), o.String())
		f.Expect(r.header.Get("Access-Control-Allow-Methods")).To(gomega.Equal(o.method), o.String())
		f.Expect(r.header.Get("Access-Control-Allow-Headers")).To(gomega.Equal("authorization,content-type,idempotency-key,last-event-id"))
		f.Expect(r.header).NotTo(gomega.HaveKey("Access-Control-Allow-Credentials"))
		for _, stranger := range []string{"https://evil.example", "null", "https://dashboard.example.com.evil.example", "http://dashboard.example.com"} {
			r := f.preflight(stranger, o.method, path)
			f.Expect(r.header).NotTo(gomega.HaveKey("Access-Control-Allow-Origin"), stranger)
		}
	}
	for origin, allowed := range map[string]bool{dashboard: true, "http://localhost:3000": true, "https://evil.example": false} {
		header := http.Header{"Origin": {origin}, "Authorization": {"Token " + f.admin.Token}}
		r := f.send("GET", "/api/admin/company/", nil, header)
		f.Expect(r.status).To(gomega.Equal(200), "a browser withholds the answer from pages that may not read it")
		f.Expect(r.header.Get("Access-Control-Allow-Origin") == origin).To(gomega.Equal(allowed), origin)
		f.Expect(strings.Join(r.header.Values("Vary"), ",")).To(gomega.ContainSubstring("Origin"))
		// Pages can read refusals too.
		r = f.send("GET", "/api/admin/company/", nil, http.Header{"Origin": {origin}})
		f.Expect(r.status).To(gomega.Equal(401))
		f.Expect(r.header.Get("Access-Control-Allow-Origin") == origin).To(gomega.Equal(allowed), origin)
	}
}

func TestCrossOriginRequestsAreOffByDefault(t *testing.T) {
	f := newFixture(t)
	r := f.preflight(dashboard, "GET", "/api/admin/company/")
	f.expectSuccess(r)
	for _, r := range []response{r, f.send("GET", "/api/admin/company/", nil, http.Header{"Origin": {dashboard}})} {
		for name := range r.header {
			f.Expect(name).NotTo(gomega.HavePrefix("Access-Control-"))
		}
	}
}

func TestValidateOrigin(t *testing.T) {
	g := gomega.NewWithT(t)
	for _, origin := range []string{"https://a.example", "http://localhost:3000", "https://[::1]:8443"} {
		g.Expect(ValidateOrigin(origin)).To(gomega.Succeed(), origin)
	}
	for _, origin := range []string{
		"", "*", "null", "a.example", "https://", "https://*.a.example", "https://a.example/", "https://a.example/x", "https://A.example",
		"https://joe@a.example", "ftp://a.example", "https://a.example?x", "https://a.example#x",
	} {
		g.Expect(ValidateOrigin(origin)).To(gomega.MatchError(gomega.ContainSubstring("is not an origin")), origin)
	}
}

// TestPrivateAnswersAreNotCached checks that no answer that may hold a company's data may
// be cached by browsers and proxies, whatever the path, the method and the caller.
func TestPrivateAnswersAreNotCached(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.StreamTime = 50 * time.Millisecond })
	f.expectSuccess(f.activate(f.admin.Token))
	public := map[string]bool{"/api/": true, "/api/schema.json": true}
	paths := map[string]bool{"/": true, "/nothing": true, "/api/nothing/": true, "/api/": true, "/api/schema.json": true}
	_, operations := f.served()
	for _, o := range operations {
		paths[o.at("1")] = true
	}
	f.Expect(len(paths)).To(gomega.BeNumerically(">", 20))
	for path := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"} {
			for _, token := range []string{f.admin.Token, ""} {
				r := f.call(token, method, path, "")
				if public[path] && r.status == 200 && method != "OPTIONS" {
					f.Expect(r.header.Get("Cache-Control")).To(gomega.HavePrefix("public,"), path)
					continue
				}
				f.Expect(r.header.Get("Cache-Control")).To(gomega.Equal(cacheControlOf(method, path, r.status)), method+" "+path)
				f.Expect(r.header.Get("X-Content-Type-Options")).To(gomega.Equal("nosniff"), method+" "+path)
			}
		}
	}
}

// cacheControlOf returns the header of an answer that needs a token. Only the vocabulary, which
// is the same for all companies, may be cached, and never an answer to OPTIONS.
func cacheControlOf(method, path string, status int) string {
	if path == "/api/admin/vocabulary/" && status == 200 && method != "OPTIONS" {
		return "private, max-age=300"
	}
	return "no-store"
}
