// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/rehive/extension-operator/internal/httpserver"
)

// TestMetricsServer calls the server of metrics over the network, while more connections
// than it holds wait in the middle of a request.
func TestMetricsServer(t *testing.T) {
	cluster := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":%t}}`,
			r.Header.Get("Authorization") == "Bearer reader")
	}))
	defer cluster.Close()
	runnables, err := metricsServer(&rest.Config{Host: cluster.URL}, &settings{metricsAddress: "127.0.0.1:0", metricsAuth: true})
	if err != nil || len(runnables) != 1 {
		t.Fatal(runnables, err)
	}
	server := runnables[0].(*manager.Server)
	server.Server.ReadTimeout = time.Hour // so that the test can't pass because they end
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	}()
	address := server.Listener.Addr().String()
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: time.Minute}, Config: &tls.Config{InsecureSkipVerify: true}}
	for range httpserver.MaxConnections + 8 {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
	}

	transport := &http.Transport{TLSClientConfig: dialer.Config, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	for _, call := range []struct {
		url, token string
		status     int
	}{
		{"https://" + address + "/metrics", "", http.StatusUnauthorized},
		{"https://" + address + "/metrics", "other", http.StatusForbidden},
		{"https://" + address + "/metrics", "reader", http.StatusOK},
		{"https://" + address + "/", "reader", http.StatusNotFound},
		{"http://" + address + "/metrics", "reader", http.StatusBadRequest}, // it speaks TLS only
	} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, call.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if call.token != "" {
			request.Header.Set("Authorization", "Bearer "+call.token)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatalf("%s with %q: %v", call.url, call.token, err)
		}
		page, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		served := strings.Contains(string(page), "go_goroutines")
		if response.StatusCode != call.status || served != (call.status == http.StatusOK) || response.ProtoMajor != 1 {
			t.Errorf("%s with %q was answered %s %s: %.100s", call.url, call.token, response.Proto, response.Status, page)
		}
	}

	if _, err := metricsServer(&rest.Config{}, &settings{metricsAddress: "127.0.0.1:0", metricsAuth: true, metricsCertDir: t.TempDir()}); err == nil || !strings.HasPrefix(err.Error(), "--metrics-cert-dir: ") {
		t.Errorf("a missing certificate gave %v", err)
	}
	if runnables, err := metricsServer(nil, &settings{metricsAddress: "0"}); err != nil || len(runnables) != 0 {
		t.Errorf("a disabled server gave %v, %v", runnables, err)
	}
}
