// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func TestAddresses(t *testing.T) {
	for address, ok := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "2606:4700::1111": true, "::ffff:1.1.1.1": true, "2a00:1450:4001::1": true,
		"64:ff9b::808:808": false, "64:ff9b::a00:1": false, "64:ff9b:1::1": false, "::ffff:0:10.0.0.1": false, "::ffff:0:8.8.8.8": false, "::8.8.8.8": false, "100::1": false,
		"5f00::1": false, "fec0::1": false, "4000::1": false, "e000::1": false, "2001:db8::1": false, "3fff::1": false, "2001:20::1": false, "192.0.0.9": false, "192.175.48.1": false,
		"127.0.0.1": false, "10.1.2.3": false, "172.31.255.255": false, "192.168.1.1": false, "169.254.169.254": false,
		"100.100.100.200": false, "168.63.129.16": false, "0.0.0.0": false, "255.255.255.255": false, "224.0.0.1": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false,
		"fd00:ec2::254": false, "fe80::1": false, "fe80::1%eth0": false, "ff02::1": false, "64:ff9b::7f00:1": false,
		"2002:7f00:1::": false, "2001:0:1::": false,
	} {
		if err := checkAddress(netip.MustParseAddr(address), nil); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
	allowed := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	if err := checkAddress(netip.MustParseAddr("::ffff:10.0.0.1"), allowed); err != nil {
		t.Errorf("an allowed network: %v", err)
	}
	if err := checkAddress(netip.MustParseAddr("192.168.0.1"), allowed); err == nil {
		t.Error("a network beside the allowed one passes")
	}
	// Through NAT64 the address inside decides.
	allowed = append(allowed, nat64)
	for address, ok := range map[string]bool{"64:ff9b::808:808": true, "64:ff9b::a00:1": true, "64:ff9b::7f00:1": false, "64:ff9b::c0a8:1": false} {
		if err := checkAddress(netip.MustParseAddr(address), allowed); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
	err := checkAddress(netip.MustParseAddr("::ffff:127.0.0.1"), nil)
	if text := AddressRefusal(fmt.Errorf("dialling: %w", err)); !strings.Contains(text, "127.0.0.1") || !strings.Contains(text, "--provider-allow-networks") {
		t.Errorf("the refusal doesn't say what to do: %q", text)
	}
}

func TestBaseURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://api.sendgrid.com": "https://api.sendgrid.com", "https://api.example/x/": "https://api.example/x",
		"http://api.example": "", "ftp://api.example": "", "": "", "https://": "", "https://user:hunter2@api.example": "",
		"https://api.example/?a=b": "", "https://api.example/?": "", "https://api.example/#x": "", "https://10.0.0.1": "",
		"https://[::1]:8443": "", "https://hunter2\x7f": "", "api.example": "", "javascript:alert(1)": "",
	} {
		got, err := New(Options{}).BaseURL(raw)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", raw, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error repeats the URL: %v", err)
		}
	}
	if _, err := New(Options{AllowPlaintext: true}).BaseURL("http://sink.example"); err != nil {
		t.Error(err)
	}
}

// patient returns a client with time limits for a busy machine, unless the options have their own.
func patient(o Options) *Client {
	o.Timeout, o.ConnectTimeout = cmp.Or(o.Timeout, 3*time.Minute), 3*time.Minute
	return New(o)
}

func do(t *testing.T, c *Client, url string) (*Response, *Error) {
	t.Helper()
	t.Cleanup(c.CloseIdleConnections)
	resp, err := c.Do(t.Context(), Request{Method: "POST", URL: url, Body: []byte("body")})
	var e *Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("%T is not an *Error", err)
	}
	return resp, e
}

// A name that resolves to a private address passes every check of the URL; so does an
// address in a form that only some resolvers read. The server must see no connection.
func TestNameOfPrivateAddress(t *testing.T) {
	var asked atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	c := New(Options{AllowPlaintext: true})
	for host, resolves := range map[string]bool{
		"localhost": true, "LOCALHOST": true,
		"2130706433": false, "0x7f000001": false, "017700000001": false, "0177.0.0.1": false, "127.1": false, "127.0.0.1.": false,
		"[::ffff:127.0.0.1]": false, "[::ffff:7f00:1]": false, "[::1%25lo]": false, "①②⑦.⓪.⓪.①": false, "127。0。0。1": false,
	} {
		base, err := c.BaseURL("http://" + host + ":" + port)
		if err != nil {
			if resolves {
				t.Errorf("%s: %v", host, err)
			}
			continue
		}
		_, e := do(t, c, base)
		if e == nil || e.Sent || resolves && e.Kind != AddressRefused {
			t.Errorf("%s: %+v", host, e)
		}
		if asked.Swap(false) {
			t.Errorf("%s: the server was asked", host)
		}
	}
}

func TestNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	if New(Options{}).transport.Proxy != nil {
		t.Error("the client uses a proxy")
	}
}

// A client of trusted URLs dials any address without encryption, and uses the environment's
// proxy.
func TestTrusted(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer server.Close()
	c := patient(Options{Trusted: true})
	defer c.CloseIdleConnections()
	base, err := c.BaseURL(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if resp, e := do(t, c, base); e != nil || resp.Status != http.StatusTeapot {
		t.Errorf("%+v, %v", resp, e)
	}
	if c.transport.Proxy == nil {
		t.Error("the client uses no proxy")
	}
}

func TestNoRedirect(t *testing.T) {
	var elsewhere atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Store(true) }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	resp, e := do(t, patient(Options{AllowNetworks: loopback}), server.URL)
	if e != nil || resp.Status != http.StatusTemporaryRedirect || elsewhere.Load() {
		t.Errorf("%+v, %v, followed: %v", resp, e, elsewhere.Load())
	}
}

func TestLimits(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, strings.Repeat("x", 1000))
	}))
	defer server.Close()
	resp, e := do(t, patient(Options{AllowNetworks: loopback, MaxResponseBytes: 10}), server.URL)
	var bodyErr *Error
	if e != nil || resp.Status != 201 || len(resp.Body) != 10 || !errors.As(resp.BodyErr, &bodyErr) || bodyErr.Kind != ResponseTooLarge {
		t.Errorf("%+v, %v", resp, e)
	}
	if _, e := do(t, patient(Options{AllowNetworks: loopback, MaxRequestBytes: 3}), server.URL); e == nil || e.Kind != RequestTooLarge || e.Sent {
		t.Errorf("%+v", e)
	}
}

func TestFailures(t *testing.T) {
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer silent.Close()
	defer close(release)
	abort := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer abort.Close()
	quiet := log.New(io.Discard, "", 0)
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = quiet
	untrusted.StartTLS()
	defer untrusted.Close()
	pool := x509.NewCertPool()
	pool.AddCert(untrusted.Certificate())
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.Config.ErrorLog = quiet
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	defer old.Close()
	oldPool := x509.NewCertPool()
	oldPool.AddCert(old.Certificate())
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()

	for _, c := range []struct {
		name, url string
		options   Options
		kind      Kind
		sent      bool
	}{
		{"no answer", silent.URL, Options{Timeout: 50 * time.Millisecond}, TimedOut, true},
		{"broken connection", abort.URL, Options{}, ConnectionLost, true},
		{"nothing listens", "http://" + closed.Addr().String(), Options{}, ConnectionRefused, false},
		{"untrusted certificate", untrusted.URL, Options{}, Untrusted, false},
		{"old TLS", old.URL, Options{RootCAs: oldPool}, Untrusted, false},
		{"plain HTTP behind https", strings.Replace(abort.URL, "http:", "https:", 1), Options{}, Untrusted, false},
		{"unresolvable name", "https://nothing.invalid", Options{}, NotFound, false},
		{"invalid URL", "https://a b/", Options{}, InvalidRequest, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.options.AllowNetworks = loopback
			_, e := do(t, patient(c.options), c.url)
			for ; c.kind == TimedOut && e != nil && !e.Sent && c.options.Timeout < 3*time.Minute; _, e = do(t, patient(c.options), c.url) {
				c.options.Timeout *= 2 // the time limit came before the connection
			}
			if e == nil || e.Kind != c.kind || e.Sent != c.sent {
				t.Fatalf("%+v", e)
			}
			if strings.Contains(e.Error(), "127.0.0.1") || strings.Contains(e.Error(), "http") {
				t.Errorf("the text holds an address: %v", e)
			}
		})
	}
	t.Run("trusted", func(t *testing.T) {
		if resp, e := do(t, patient(Options{AllowNetworks: loopback, RootCAs: pool}), untrusted.URL); e != nil || resp.Status != 404 {
			t.Errorf("%v, %v", resp, e)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := patient(Options{AllowNetworks: loopback}).Do(ctx, Request{Method: "GET", URL: silent.URL})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestConnectionReuse(t *testing.T) {
	var conns atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	c := patient(Options{AllowNetworks: loopback})
	for range 5 {
		if _, e := do(t, c, server.URL); e != nil {
			t.Fatal(e)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for five calls", n)
	}
}
