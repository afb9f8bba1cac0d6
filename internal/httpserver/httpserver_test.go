// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a server over TLS and returns its address and a client that trusts it.
func start(t *testing.T, handler http.Handler) (address string, client *http.Client) {
	t.Helper()
	certificates := httptest.NewTLSServer(http.NotFoundHandler()) // only for its certificate
	defer certificates.Close()
	server, err := New("test", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12, Certificates: certificates.TLS.Certificates}, handler)
	if err != nil {
		t.Fatal(err)
	}
	server.Server.ReadTimeout, server.Server.WriteTimeout = time.Hour, time.Hour // so that no test passes because they end
	run(t, server)
	transport := certificates.Client().Transport.(*http.Transport)
	transport.DisableKeepAlives = true
	t.Cleanup(transport.CloseIdleConnections)
	return server.Listener.Addr().String(), &http.Client{Transport: transport, Timeout: 3 * time.Minute}
}

func run(t *testing.T, server *manager.Server) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestConnectionsThatWait opens more connections than the server holds, each of which waits
// for its client, as any pod can. The server closes the oldest and serves a caller all the
// while.
func TestConnectionsThatWait(t *testing.T) {
	for name, begin := range map[string]string{
		"for a header":                 "GET / HTTP/1.1\r\nHost: x\r\n",
		"for a body":                   "POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
		"for a body that nobody reads": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
		"to send a response of 32 MiB": "GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
		"for a chunk of a body":        "POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
	} {
		t.Run(name, func(t *testing.T) { testWaiting(t, begin) })
	}
}

func testWaiting(t *testing.T, begin string) {
	large := make([]byte, 32<<20) // more than the kernel buffers
	address, client := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/read":
			_, _ = io.Copy(io.Discard, r.Body)
		case "/large":
			_, _ = w.Write(large)
		default:
			_, _ = io.WriteString(w, "ok")
		}
	}))
	var waiting []net.Conn
	defer func() {
		for _, conn := range waiting {
			_ = conn.Close()
		}
	}()
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 3 * time.Minute}, Config: &tls.Config{InsecureSkipVerify: true}}
	for i := range MaxConnections + 8 {
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		waiting = append(waiting, conn)
		if _, err := io.WriteString(conn, begin); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	response, err := client.Get("https://" + address)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	_ = waiting[0].SetReadDeadline(time.Now().Add(3 * time.Minute))
	if _, err := io.Copy(io.Discard, waiting[0]); isTimeout(err) {
		t.Errorf("the oldest connection is still open: %v", err)
	}
}

// TestConnectionsThatAreServed occupies all connections with calls. Another caller waits for
// one of them to end; none is closed.
func TestConnectionsThatAreServed(t *testing.T) {
	var all sync.WaitGroup
	all.Add(MaxConnections)
	release := make(chan struct{})
	address, client := start(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			all.Done()
			<-release
		}
	}))
	get := func(path string, failed chan<- error) {
		response, err := client.Get("https://" + address + path)
		if err == nil {
			_ = response.Body.Close()
		}
		failed <- err
	}
	slow, late := make(chan error, MaxConnections), make(chan error, 1)
	for range MaxConnections {
		go get("/slow", slow)
	}
	all.Wait()
	go get("/", late)
	select {
	case err := <-late:
		t.Errorf("a call got a connection beyond the limit: %v", err)
	case <-time.After(50 * time.Millisecond): // it would have got one by now
	}
	close(release)
	for range MaxConnections {
		if err := <-slow; err != nil {
			t.Error(err)
		}
	}
	if err := <-late; err != nil {
		t.Error(err)
	}
}

// TestLargeHeader sends a header of a megabyte, of which the server must not keep more than its
// limit.
func TestLargeHeader(t *testing.T) {
	address, _ := start(t, http.NotFoundHandler())
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Minute))
	go func() {
		_, _ = conn.Write(append([]byte("GET / HTTP/1.1\r\nX: "), bytes.Repeat([]byte("a"), 1<<20)...))
	}()
	answer, err := io.ReadAll(conn)
	if !bytes.Contains(answer, []byte("431")) && (err == nil || isTimeout(err)) {
		t.Errorf("the header was not refused: %q, %v", answer, err)
	}
}

func TestAddressInUse(t *testing.T) {
	first, err := New("first", "127.0.0.1:0", nil, http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Listener.Close()
	if _, err := New("second", first.Listener.Addr().String(), nil, http.NotFoundHandler()); err == nil {
		t.Error("two servers listen on the same address")
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error) //nolint:errorlint // it is not wrapped
	return ok && timeout.Timeout()
}

// TestHandshakes checks that a handshake beyond the rate is refused, before anything is
// computed for it.
func TestHandshakes(t *testing.T) {
	certificates := httptest.NewTLSServer(http.NotFoundHandler()) // only for its certificate
	defer certificates.Close()
	var computed atomic.Int64
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		computed.Add(1)
		return &certificates.TLS.Certificates[0], nil
	}}
	server, err := serve("test", "127.0.0.1:0", config, http.NotFoundHandler(), newHandshakes(1e-9, 300*time.Millisecond)) // one handshake
	if err != nil {
		t.Fatal(err)
	}
	run(t, server)
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 3 * time.Minute}, Config: &tls.Config{InsecureSkipVerify: true}}
	for i := range 3 {
		conn, err := dialer.DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if (err == nil) != (i == 0) {
			t.Errorf("handshake %d: %v", i, err)
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
	if n := computed.Load(); n != 1 {
		t.Errorf("%d handshakes were computed", n)
	}
}
