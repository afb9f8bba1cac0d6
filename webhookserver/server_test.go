// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/rehive"
)

// in returns the fixture for a subtest.
func (f *fixture) in(t *testing.T) *fixture {
	sub := *f
	sub.T, sub.Gomega = t, gomega.NewWithT(t)
	return &sub
}

func (f *fixture) secretOf(a *v1alpha1.CompanyActivation) *corev1.Secret {
	f.Helper()
	var s corev1.Secret
	key := client.ObjectKey{Namespace: a.Namespace, Name: activation.SecretName(a)}
	f.Expect(f.mgr.GetAPIReader().Get(f.Context(), key, &s)).To(gomega.Succeed())
	return &s
}

func TestPathsAndMethods(t *testing.T) {
	f := newFixture(t)
	f.Expect(f.send(http.MethodGet, "/", nil, nil).body).To(gomega.ContainSubstring(`"status":"success"`))
	f.Expect(f.send(http.MethodHead, "/", nil, nil).status).To(gomega.Equal(200))
	for _, path := range []string{
		"/nothing", "/api/nothing/", "/api/activate", "/api/webhook", "/api/activate/more/", "//api/activate/", "/api/./activate/",
		"/api/x/../activate/", "/api/ACTIVATE/", "/api/activate//", "/api/admin/", "/metrics", "/%2e%2e/etc/passwd",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r := f.send(method, path, strings.NewReader(`{"token":"x"}`), http.Header{"Content-Type": {"application/json"}})
			f.Expect(r.status).To(gomega.Equal(404), r.String())
			f.Expect(r.body).To(gomega.ContainSubstring(`"Not found.`))
			if strings.HasSuffix(strings.TrimRight(path, "/"), "/activate") || !strings.HasPrefix(path, "/api") {
				f.Expect(r.body).To(gomega.ContainSubstring("ends in /api/"), path)
			}
		}
	}
	for _, path := range append(lifecyclePaths, "/api/webhook/", "/api/admin/webhook/") {
		for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "BREW"} {
			r := f.send(method, path, nil, nil)
			f.Expect(r.status).To(gomega.Equal(405), r.String())
			if method != "HEAD" {
				f.expectError(r, 405, "", `Method "`+method+`" not allowed.`)
			}
			f.Expect(r.header.Get("Allow")).To(gomega.Equal("POST, OPTIONS"))
		}
	}
	r := f.send(http.MethodPost, "/", strings.NewReader(`{"token":"x"}`), nil)
	f.expectError(r, 405, "", `Method "POST" not allowed.`)
	f.Expect(r.header.Get("Allow")).To(gomega.Equal("GET, HEAD, OPTIONS"))
}

// TestOptions checks that OPTIONS says which methods a path supports, as with Django REST
// Framework. That is public, like the description of the API.
func TestOptions(t *testing.T) {
	f := newActiveFixture(t)
	for path, allowed := range map[string]string{
		"/": "GET, HEAD, OPTIONS", "/api/": "GET, HEAD, OPTIONS", "/api/schema.json": "GET, HEAD, OPTIONS", "/api/webhook/": "POST, OPTIONS",
		"/api/admin/notifications/": "GET, HEAD, POST, OPTIONS", "/api/admin/notifications/1/": "DELETE, GET, HEAD, PATCH, PUT, OPTIONS",
		"/api/user/inbox/events/": "GET, OPTIONS",
	} {
		for _, token := range []string{"", f.admin.Token, "wrong"} {
			r := f.call(token, http.MethodOptions, path, "")
			f.expectSuccess(r)
			f.Expect(r.header.Get("Allow")).To(gomega.Equal(allowed), path)
		}
		r := f.call(f.admin.Token, "BREW", path, "")
		f.expectError(r, 405, "", `Method "BREW" not allowed.`)
		f.Expect(r.header.Get("Allow")).To(gomega.Equal(allowed), path)
	}
	f.Expect(f.send(http.MethodOptions, "/api/nothing/", nil, nil).status).To(gomega.Equal(404))
}

// TestMissingSlash checks that a path without its last slash is redirected, as with Django, where
// a client can follow without turning its request into another one.
func TestMissingSlash(t *testing.T) {
	f := newActiveFixture(t, func(o *Options) { o.AllowedOrigins = []string{dashboard} })
	for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
		for requested, want := range map[string]string{
			"/api/admin/logs":                          "/api/admin/logs/",
			"/api/admin/logs?page=2&type=sms&x=%2F%0A": "/api/admin/logs/?page=2&type=sms&x=%2F%0A",
			"/api/admin/logs/5":                        "/api/admin/logs/5/",
			"/api/admin/layouts/a%2Fb":                 "/api/admin/layouts/a%2Fb/",
			"/api/admin/layouts/http:":                 "/api/admin/layouts/http:/",
		} {
			r := f.send(method, requested, nil, http.Header{"Origin": {dashboard}})
			f.Expect(r.status).To(gomega.Equal(301), method+" "+requested+": "+r.String())
			f.Expect(r.header.Get("Access-Control-Allow-Origin")).To(gomega.Equal(dashboard))
			// Behind a proxy that removes a prefix, too.
			base, err := url.Parse("https://shop.example/prefix" + requested)
			f.Expect(err).NotTo(gomega.HaveOccurred())
			location, err := base.Parse(r.header.Get("Location"))
			f.Expect(err).NotTo(gomega.HaveOccurred())
			f.Expect(location.String()).To(gomega.Equal("https://shop.example/prefix" + want))
		}
	}
	for _, request := range []string{"POST /api/admin/layouts", "PATCH /api/admin/company", "PUT /api/admin/layouts/x", "DELETE /api/admin/layouts/x"} {
		method, path, _ := strings.Cut(request, " ")
		f.expectError(f.call(f.admin.Token, method, path, "{}"), 404, "", "Not found. The path must end in a slash.")
	}
	f.Expect(f.send("GET", "//evil.example/api/admin/logs", nil, nil).status).To(gomega.Equal(404))
	for _, method := range []string{"GET", "HEAD"} {
		r := f.send(method, "/api?x=1", nil, nil)
		f.Expect(r.status).To(gomega.Equal(301), method)
		f.Expect(r.header.Get("Location")).To(gomega.Equal("./api/?x=1"), method)
	}
	for _, method := range []string{"GET", "POST", "OPTIONS"} {
		f.Expect(f.send(method, "//", nil, nil).status).To(gomega.Equal(404), method)
	}
	f.Expect(f.send("POST", "/api", nil, nil).status).To(gomega.Equal(404))
}

func TestBodyEncodings(t *testing.T) {
	f := newFixture(t)
	for encoding, message := range map[string]string{
		"gzip": "Compressed bodies are not supported (Content-Encoding: gzip). Send plain JSON, without that header.",
		"br":   "Compressed bodies are not supported (Content-Encoding: br). Send plain JSON, without that header.",
	} {
		f.expectError(f.send(http.MethodPost, "/api/activate/", strings.NewReader("\x1f\x8b"),
			http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {encoding}}), 415, "", message)
	}
	f.expectError(f.send(http.MethodPost, "/api/activate/", strings.NewReader("{}"),
		http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"identity"}}), 400, "token", "This field is required.")
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} {
		f.expectError(f.post("/api/activate/", mark+"{}"), 400, "", "JSON parse error - the body begins with a byte order mark; send UTF-8 without one")
	}
}

// Requests that a proxy in front of the server may have read differently don't get far.
func TestRequestSmuggling(t *testing.T) {
	f := newFixture(t)
	f.expectSuccess(f.activate(f.admin.Token))
	body, err := json.Marshal(f.event("smuggled"))
	f.Expect(err).NotTo(gomega.HaveOccurred())
	valid := "Authorization: Secret " + f.credentials().WebhookSecret + "\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	second := "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, test := range map[string]struct {
		header, body string
		statuses     string // of the answers, after which the connection is closed
	}{
		"both lengths":          {valid + length + "Transfer-Encoding: chunked\r\n", chunked + second, "200"},
		"both lengths, swapped": {valid + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", chunked + second, "200"},
		"trailers":              {valid + "Transfer-Encoding: chunked\r\n", strings.TrimSuffix(chunked, "\r\n") + "Content-Length: 5\r\n\r\n" + second, "200"},
		"two lengths":           {valid + length + "Content-Length: 3\r\n", string(body) + second, "400"},
		"a list of lengths":     {valid + fmt.Sprintf("Content-Length: %d, 3\r\n", len(body)), string(body) + second, "400"},
		"a signed length":       {valid + fmt.Sprintf("Content-Length: +%d\r\n", len(body)), string(body) + second, "400"},
		"two encodings":         {valid + "Transfer-Encoding: chunked, identity\r\n", chunked + second, "501"},
		"a strange encoding":    {valid + "Transfer-Encoding: xchunked\r\n", chunked + second, "501"},
		"a space in a name":     {valid + "Transfer-Encoding : chunked\r\n", chunked + second, "400"},
		"a bare CR":             {valid + "X: a\rTransfer-Encoding: chunked\r\n", chunked + second, "400"},
		"two hosts":             {valid + "Host: y\r\n" + length, string(body) + second, "400"},
		"lines without CR":      {valid + "Transfer-Encoding: chunked\r\n", strings.ReplaceAll(chunked, "\r\n", "\n") + second, "400"},
		"two credentials":       {valid + "Authorization: Secret planted\r\nConnection: close\r\n" + length, string(body), "400"},
		"two tokens":            {"Authorization: Token planted\r\n" + valid + "Connection: close\r\n" + length, string(body), "400"},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.in(t)
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", f.server.Addr().String())
			f.Expect(err).NotTo(gomega.HaveOccurred())
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(3 * time.Minute))
			_, _ = io.WriteString(conn, "POST /api/webhook/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+test.header+"\r\n"+test.body)
			answers, err := io.ReadAll(conn) // a reset will do
			f.Expect(errors.Is(err, os.ErrDeadlineExceeded)).To(gomega.BeFalse(), "the connection is closed")
			var statuses []string
			for part := range strings.SplitSeq(string(answers), "HTTP/1.1 ") {
				if part != "" {
					statuses = append(statuses, part[:3])
				}
			}
			f.Expect(strings.Join(statuses, " ")).To(gomega.Equal(test.statuses), string(answers))
		})
	}
}

func TestContentTypes(t *testing.T) {
	f := newFixture(t)
	for contentType, accepted := range map[string]bool{
		"application/json": true, "application/json; charset=UTF-8": true, "APPLICATION/JSON": true,
		"": false, "text/plain": false, "application/x-www-form-urlencoded": false, "application/jsonp": false, "application/json;;": false,
	} {
		r := f.send(http.MethodPost, "/api/activate/", strings.NewReader(`{}`), http.Header{"Content-Type": {contentType}})
		if accepted {
			f.expectError(r, 400, "token", "This field is required.")
		} else {
			f.expectError(r, 415, "", `Unsupported media type "`+contentType+`" in request.`)
		}
	}
}

// unknownLength hides a reader's length, so that it is sent in chunks.
type unknownLength struct{ io.Reader }

func TestTooLargeBodies(t *testing.T) {
	f := newFixture(t)
	large := `{"token":"` + strings.Repeat("planted", 10<<20/7) + `"}`
	for _, path := range lifecyclePaths {
		f.expectError(f.post(path, large), 413, "", "The request body is larger than 16384 bytes.")
		f.expectError(f.send(http.MethodPost, path, unknownLength{strings.NewReader(large)}, http.Header{"Content-Type": {"application/json"}}),
			413, "", "The request body is larger than 16384 bytes.")
	}
}

// TestSlowClients checks that a slow client holds its connection no longer than the limits
// allow, and that others are served meanwhile.
func TestSlowClients(t *testing.T) {
	t.Parallel() // it waits
	f := newFixture(t, func(o *Options) {
		o.Limits.ReadHeaderTimeout = 5 * time.Second
		o.Limits.ReadTimeout = 7 * time.Second
	})
	dial := func(request string) net.Conn {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", f.server.Addr().String())
		f.Expect(err).NotTo(gomega.HaveOccurred())
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, request)
		f.Expect(err).NotTo(gomega.HaveOccurred())
		f.Expect(conn.SetReadDeadline(time.Now().Add(3 * time.Minute))).To(gomega.Succeed())
		return conn
	}
	slowHeaders := make([]net.Conn, 50)
	for i := range slowHeaders {
		slowHeaders[i] = dial("POST /api/activate/ HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	}
	slowBody := dial("POST /api/activate/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	shortBody := dial("POST /api/activate/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	f.Expect(shortBody.(*net.TCPConn).CloseWrite()).To(gomega.Succeed())

	f.expectSuccess(f.activate(f.admin.Token))

	for _, conn := range slowHeaders {
		_, err := io.Copy(io.Discard, conn) // until the server closes the connection
		f.Expect(err).NotTo(gomega.HaveOccurred())
	}
	for conn, want := range map[net.Conn]string{slowBody: "408 Request Timeout", shortBody: "400 Bad Request"} {
		answered, err := http.ReadResponse(bufio.NewReader(conn), nil)
		f.Expect(err).NotTo(gomega.HaveOccurred())
		f.Expect(answered.Status).To(gomega.Equal(want))
		_ = answered.Body.Close()
	}
	f.Expect(f.server.lifecycleSlots.Used()).To(gomega.BeZero())
}

// TestConnectionsAreBounded checks that a connection beyond the limit replaces one that is
// waiting for its client, and waits while all are being served.
func TestConnectionsAreBounded(t *testing.T) {
	entered, proceed := make(chan struct{}, 2), make(chan struct{})
	f := newFixture(t, func(o *Options) {
		o.Limits.Connections, o.Limits.Webhooks = 2, 4
		o.Limits.ReadHeaderTimeout, o.Limits.ReadTimeout = 5*time.Minute, 5*time.Minute
		o.Ledger = failing(func(context.Context) error {
			entered <- struct{}{}
			<-proceed
			return nil
		})
	})
	dial := func(request string) net.Conn {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", f.server.Addr().String())
		f.Expect(err).NotTo(gomega.HaveOccurred())
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, request)
		f.Expect(err).NotTo(gomega.HaveOccurred())
		f.Expect(conn.SetReadDeadline(time.Now().Add(3 * time.Minute))).To(gomega.Succeed())
		return conn
	}
	silent := []net.Conn{dial(""), dial("POST /api/act"), dial("POST /api/activate/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")}
	start := time.Now()
	f.expectSuccess(f.activate(f.admin.Token))
	f.Expect(time.Since(start)).To(gomega.BeNumerically("<", 3*time.Minute), "it must not wait for the idle connections to time out")
	f.Eventually(func() float64 { return testutil.ToFloat64(f.server.metrics.evictedConnections) }).Should(gomega.BeNumerically(">=", 2))
	for _, conn := range silent[:2] {
		n, _ := conn.Read(make([]byte, 1))
		f.Expect(n).To(gomega.BeZero(), "the connection must be closed")
	}

	body, err := json.Marshal(f.event(1))
	f.Expect(err).NotTo(gomega.HaveOccurred())
	webhook := fmt.Sprintf("POST /api/webhook/ HTTP/1.1\r\nHost: x\r\nAuthorization: Secret %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		f.credentials().WebhookSecret, len(body), body)
	busy := []net.Conn{dial(webhook), dial(webhook)}
	<-entered
	<-entered
	third := dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	f.Eventually(f.server.listener.full.Load).Should(gomega.BeTrue(), "all connections are being served")
	close(proceed)
	for _, conn := range append(busy, third) {
		answered, err := http.ReadResponse(bufio.NewReader(conn), nil)
		f.Expect(err).NotTo(gomega.HaveOccurred())
		f.Expect(answered.StatusCode).To(gomega.Equal(200))
		_ = answered.Body.Close()
	}
}

// TestPagesDoNotWaitForBodies checks that the connection of a client that doesn't finish the
// body of its request for a public page can be evicted like others that wait for their clients.
func TestPagesDoNotWaitForBodies(t *testing.T) {
	for name, request := range map[string]string{
		"the page":             "GET /api/",
		"the schema":           "GET /api/schema.json",
		"a preflight":          "OPTIONS /api/user/logs/",
		"an unsubscribe page":  "GET /unsubscribe/x",
		"an opt-out":           "POST /unsubscribe/x",
		"an unsubscribe probe": "BREW /unsubscribe/x",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(o *Options) {
				o.Limits.Connections, o.Limits.ReadTimeout, o.Limits.WriteTimeout = 2, 5*time.Minute, 5*time.Minute
				o.AllowedOrigins, o.Unsubscribe = []string{"https://a.example"}, newLinks(t)
			})
			for range 2 {
				conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", f.server.Addr().String())
				f.Expect(err).NotTo(gomega.HaveOccurred())
				t.Cleanup(func() { _ = conn.Close() })
				_, err = io.WriteString(conn, request+" HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\nAccess-Control-Request-Method: GET\r\nContent-Length: 100\r\n\r\nx")
				f.Expect(err).NotTo(gomega.HaveOccurred())
			}
			start := time.Now()
			f.Expect(f.send(http.MethodGet, "/", nil, nil).status).To(gomega.Equal(200))
			f.Expect(time.Since(start)).To(gomega.BeNumerically("<", 3*time.Minute), "it must not wait for the bodies to time out")
		})
	}
}

// TestClientsThatDoNotRead checks that the connection of a client that doesn't read its
// answers can be evicted like others that wait for their clients.
func TestClientsThatDoNotRead(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Limits.Connections, o.Limits.WriteTimeout = 2, 5*time.Minute })
	requests := strings.Repeat("GET /api/schema.json HTTP/1.1\r\nHost: x\r\n\r\n", 50)
	for range 2 {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", f.server.Addr().String())
		f.Expect(err).NotTo(gomega.HaveOccurred())
		t.Cleanup(func() { _ = conn.Close() })
		f.Expect(conn.(*net.TCPConn).SetReadBuffer(4 << 10)).To(gomega.Succeed())
		// Until the server, whose answers pile up, stops reading requests.
		for err == nil {
			f.Expect(conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))).To(gomega.Succeed())
			_, err = io.WriteString(conn, requests)
		}
		f.Expect(err).To(gomega.MatchError(os.ErrDeadlineExceeded))
	}
	start := time.Now()
	f.expectSuccess(f.activate(f.admin.Token))
	f.Expect(time.Since(start)).To(gomega.BeNumerically("<", 3*time.Minute), "it must not wait for the other connections to time out")
}

func TestHugeHeader(t *testing.T) {
	f := newFixture(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/api/webhook/", strings.NewReader("{}"))
	f.Expect(err).NotTo(gomega.HaveOccurred())
	req.Header.Set("Authorization", "Secret "+strings.Repeat("x", 64<<10))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return // the server closed the connection, maybe before its answer was read
	}
	defer func() { _ = resp.Body.Close() }()
	f.Expect(resp.StatusCode).To(gomega.Equal(http.StatusRequestHeaderFieldsTooLarge))
}

func TestPortInUse(t *testing.T) {
	f := newFixture(t)
	_, err := New(Options{
		Address: f.server.Addr().String(), Client: f.client, Activations: f.activations, APIReader: f.client, Platform: f.server.platform, Ledger: f.store, Namespace: namespace,
	})
	f.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("address already in use")))
}

func TestOptionsAreChecked(t *testing.T) {
	f := newFixture(t)
	valid := Options{Address: "127.0.0.1:0", Client: f.client, Activations: f.activations, APIReader: f.client, Platform: f.server.platform, Ledger: f.store, Namespace: namespace}
	for _, spoil := range []func(*Options){
		func(o *Options) { o.Client = nil },
		func(o *Options) { o.Activations = nil },
		func(o *Options) { o.APIReader = nil },
		func(o *Options) { o.Platform = nil },
		func(o *Options) { o.Ledger = nil },
		func(o *Options) { o.Namespace = "" },
		func(o *Options) { o.CertFile = "tls.crt" },
		func(o *Options) { o.CertFile, o.KeyFile = "/nonexistent/tls.crt", "/nonexistent/tls.key" },
	} {
		o := valid
		spoil(&o)
		if s, err := New(o); err == nil {
			t.Error("invalid options were accepted")
			_ = s.Close()
		}
	}
}

// TestShutdown checks the order of a shutdown: the server becomes unready, answers the
// request in flight, and stops listening.
func TestShutdown(t *testing.T) {
	entered, proceed := make(chan struct{}), make(chan struct{})
	f := newFixture(t, func(o *Options) {
		o.Ledger = failing(func(context.Context) error {
			close(entered)
			<-proceed
			return nil
		})
	})
	f.expectSuccess(f.activate(f.admin.Token))
	secret := f.credentials().WebhookSecret
	f.Expect(f.server.Ready(nil)).To(gomega.Succeed())
	f.Expect(f.server.NeedLeaderElection()).To(gomega.BeFalse())

	inFlight := make(chan response, 1)
	go func() { inFlight <- f.webhook("Secret "+secret, f.event(1)) }()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- f.stop() }()
	f.Eventually(func() error { return f.server.Ready(nil) }).ShouldNot(gomega.Succeed())
	select {
	case err := <-stopped:
		t.Fatalf("stopped (%v) while a request was in flight", err)
	default:
	}
	close(proceed)
	f.expectSuccess(<-inFlight)
	f.Expect(<-stopped).To(gomega.Succeed())
	_, err := new(net.Dialer).DialContext(t.Context(), "tcp", f.server.Addr().String())
	f.Expect(err).To(gomega.HaveOccurred())
}

func TestShutdownTimesOut(t *testing.T) {
	entered := make(chan struct{})
	f := newFixture(t, func(o *Options) {
		o.Limits.ShutdownTimeout = 100 * time.Millisecond
		o.Ledger = failing(func(ctx context.Context) error {
			close(entered)
			<-ctx.Done()
			return ctx.Err()
		})
	})
	f.expectSuccess(f.activate(f.admin.Token))
	body, err := json.Marshal(f.event(1))
	f.Expect(err).NotTo(gomega.HaveOccurred())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/api/webhook/", strings.NewReader(string(body)))
	f.Expect(err).NotTo(gomega.HaveOccurred())
	req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Secret " + f.credentials().WebhookSecret}}
	const cut = 0
	answered := make(chan int, 1)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			answered <- cut
			return
		}
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	<-entered
	f.Expect(f.stop()).To(gomega.MatchError(context.DeadlineExceeded))
	// The handler ends when its connection is being closed, and may still get its answer out.
	f.Expect(<-answered).To(gomega.BeElementOf(cut, http.StatusServiceUnavailable), "an event that is not durable must not be acknowledged")
	f.stop = func() error { return nil } // the error was expected
}

// TestTLS checks that a certificate that is replaced on disk is used without a restart.
// serveTLS starts another server with the fixture's parts until the end of the test. It
// returns the server's certificate and a function that replaces it.
func (f *fixture) serveTLS(limits Limits) (s *Server, certificate []byte, renew func() []byte) {
	f.Helper()
	dir := f.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	renew = func() []byte {
		certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
		f.Expect(err).NotTo(gomega.HaveOccurred())
		f.Expect(os.WriteFile(certFile, certPEM, 0o600)).To(gomega.Succeed())
		f.Expect(os.WriteFile(keyFile, keyPEM, 0o600)).To(gomega.Succeed())
		return certPEM
	}
	certificate = renew()
	s, err := New(Options{
		Address: "127.0.0.1:0", CertFile: certFile, KeyFile: keyFile, Limits: limits,
		Client: f.client, Activations: f.activations, APIReader: f.client, Platform: f.server.platform, Ledger: f.store, Namespace: namespace,
	})
	f.Expect(err).NotTo(gomega.HaveOccurred())
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Start(ctx) }()
	f.Cleanup(func() {
		cancel()
		f.Expect(<-done).To(gomega.Succeed())
	})
	return s, certificate, renew
}

func TestTLS(t *testing.T) {
	f := newFixture(t)
	s, first, renew := f.serveTLS(Limits{})
	get := func(trusted []byte) error {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(trusted)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.Addr().String()+"/", nil)
		if err != nil {
			return err
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || resp.ProtoMajor != 1 {
			return errors.New(resp.Proto + " " + resp.Status)
		}
		return nil
	}
	f.Expect(get(first)).To(gomega.Succeed())
	second := renew()
	f.Eventually(func() error { return get(second) }).Should(gomega.Succeed())
	f.Expect(get(first)).NotTo(gomega.Succeed())
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	f := newFixture(t, func(o *Options) { o.Registerer = registry })
	f.expectSuccess(f.activate(f.admin.Token))
	f.post("/api/activate/", "{}")
	f.send(http.MethodGet, "/planted-path", nil, nil)
	secret := f.credentials().WebhookSecret
	f.webhook("Secret "+secret, f.event(1))
	f.webhook("Secret "+secret, f.event(1))
	f.Expect(testutil.GatherAndCompare(registry, strings.NewReader(`
		# HELP rehive_extension_http_requests_total Requests answered, by endpoint and HTTP status code.
		# TYPE rehive_extension_http_requests_total counter
		rehive_extension_http_requests_total{code="200",endpoint="/api/activate/"} 1
		rehive_extension_http_requests_total{code="200",endpoint="/api/webhook/"} 2
		rehive_extension_http_requests_total{code="400",endpoint="/api/activate/"} 1
		rehive_extension_http_requests_total{code="404",endpoint="other"} 1
		# HELP rehive_extension_webhook_events_total Webhooks acknowledged, by whether the event was new or a duplicate.
		# TYPE rehive_extension_webhook_events_total counter
		rehive_extension_webhook_events_total{result="duplicate"} 1
		rehive_extension_webhook_events_total{result="new"} 1
	`), "rehive_extension_http_requests_total", "rehive_extension_webhook_events_total")).To(gomega.Succeed())
	_, err := newMetrics(registry)
	f.Expect(err).To(gomega.HaveOccurred(), "the same registry twice")
}

// TestRefusalsAreLogged checks that each refused lifecycle call is logged with the reason.
func TestRefusalsAreLogged(t *testing.T) {
	f := newFixture(t)
	f.send(http.MethodPost, "/api/activate/", strings.NewReader(`{"token":"planted-token"}`),
		http.Header{"Content-Type": {"application/json"}, "X-Forwarded-For": {"203.0.113.7, planted-text", "::1"}})
	f.Expect(f.logs.String()).To(gomega.And(
		gomega.ContainSubstring(`"Refused a request"`),
		gomega.ContainSubstring(`"endpoint"="/api/activate/"`),
		gomega.ContainSubstring(`"reason"="Invalid user.: checking the token: Rehive answered 401`),
		gomega.ContainSubstring(`"forwardedFor"="203.0.113.7, ::1"`),
	))
}

// jsonOf returns a value as JSON.
func jsonOf(o any) (string, error) {
	b, err := json.Marshal(o)
	return string(b), err
}

var _ Ledger = (ledger.Store)(nil)
var _ = rehive.DefaultBaseURL

// TestWrongURLs checks that the answer to a wrong URL says the right one, because the
// platform shows it to the admin who registered it.
func TestWrongURLs(t *testing.T) {
	f := newFixture(t)
	const helpful = "webhooks are sent to /api/webhook/. Correct the URL that is registered on Rehive."
	for _, target := range []string{
		"/api/webhooks/", "/api/webhook", "/api//webhook/", "//api/webhook/", "/api/webhook//", "/api/Webhook/", "/API/webhook/", "/Api/Webhook/", "/webhook/", "/webhook", "/api/webhook/x/", "/api/webhook/.",
		"/api/webhook.json", "/api/hook/", "/api/hooks", "/api/webhook%2F", "/api/%20webhook/", "/api/webhook/%20", "/api/events/", "/api/notifications/webhook/", "/api", "/api/api/webhook/", "/api/webhook/webhook/",
		"/3/webhook/", "/activate/", "/api/activate", "/api/activate//", "/api/activated/", "/api/deactivate", "/api/Rotate/", "/rotate/?a=b", "/api/rotate/x", "/api/webhooks/?company=x", "/index.php", "/api/admin/webhook",
	} {
		r := f.sendRaw("POST", target, http.Header{"Content-Type": {"application/json"}, "Authorization": {"Secret planted"}}, []byte(`{"id":1}`))
		f.Expect(r.status).To(gomega.Equal(404), target)
		f.Expect(r.body).To(gomega.ContainSubstring(helpful), target)
		f.Expect(r.header.Get("Location")).To(gomega.BeEmpty(), target)
	}
	for _, target := range []string{"/api/admin/nothing/", "/api/user/nothing/", "/api/admin/logs/1/nothing/"} {
		f.expectError(f.sendRaw("POST", target, http.Header{"Content-Type": {"application/json"}}, []byte(`{}`)), 404, "", "Not found.")
	}
	f.expectError(f.sendRaw("GET", "/api/nothing/", http.Header{}, nil), 404, "", "Not found.")
	f.Expect(f.sendRaw("POST", "/api/webhook/?a=b", http.Header{"Content-Type": {"application/json"}}, []byte(`{}`)).status).To(gomega.Equal(400))
}
