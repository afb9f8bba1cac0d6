// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providertest

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/outbound"
)

// Message returns a message whose contents are planted, so that they are found wherever
// they leak to.
func Message() provider.Message {
	return provider.Message{
		Key: "0123456789abcdef", Company: "acme", To: "jane@planted.example", Subject: "Planted subject", Text: "Planted text",
		HTML: "<p>Planted text</p>", Date: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

// NotMailboxes are recipients that drivers of email refuse.
func NotMailboxes() []string {
	return []string{
		"jane", "jane@planted.example, joe@planted.example", "jane@planted.example joe@planted.example", "@planted.example", "jane@",
		"\"a\r\nb\"@planted.example", strings.Repeat("x", 65) + "@planted.example", "group:jane@planted.example;", "<>",
	}
}

// Serve starts a server and returns its URL and a client that may call it. Stop ends
// both, and the answers of a fake that hangs.
func Serve(handler http.Handler) (base string, client *outbound.Client, stop func()) {
	server := httptest.NewServer(handler)
	client = outbound.New(outbound.Options{
		AllowNetworks:  []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		AllowPlaintext: true,
	})
	return server.URL, client, func() {
		if fake, ok := handler.(interface{ Close() }); ok {
			fake.Close()
		}
		client.CloseIdleConnections()
		server.Close()
	}
}

// Answer starts a server that gives the same answer to every request, until the test
// ends.
func Answer(t *testing.T, status int, body string) (base string, client *outbound.Client) {
	t.Helper()
	base, client, stop := Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(stop)
	return base, client
}

// CheckReason fails the test unless err is a provider's error with the reason.
func CheckReason(t *testing.T, err error, want string) {
	t.Helper()
	var e *provider.Error
	if !errors.As(err, &e) || e.Reason != want {
		t.Fatalf("%#v, want the reason %s", err, want)
	}
}
