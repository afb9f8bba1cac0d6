// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package httpserver provides the HTTP servers for callers inside the cluster, with bounds
// on what a connection costs. Every pod may be able to connect to them, and controller-runtime's
// servers accept any number of connections with a header of a megabyte each.
package httpserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/rehive/extension-operator/internal/flow"
)

const (
	// MaxConnections is how many connections are open at once. Beyond it, the one that has
	// waited longest for its client is closed.
	MaxConnections = 64
	// MaxHeader is the size of the largest request header in bytes. A token of a service
	// account has about one kilobyte.
	MaxHeader = 16 << 10
	// ReadTime is the maximum time for a TLS handshake, and for a request to arrive. Handlers
	// may change it for the body.
	ReadTime = 5 * time.Second
	// handshakesPerProcessor is how many TLS handshakes a second each processor makes. With an
	// RSA key they take about 5 % of it, with other keys less.
	handshakesPerProcessor = 50
	// handshakeBurst is how many seconds' worth of handshakes may come at once.
	handshakeBurst = 2
	// handshakePatience is how long a handshake waits for its turn.
	handshakePatience = 3 * time.Second
	// writeTime bounds a whole call.
	writeTime    = 60 * time.Second
	idleTime     = 90 * time.Second
	shutdownTime = 10 * time.Second
)

// New returns a server that already listens on an address, so that an address in use is an
// error here. A manager starts it before its caches. With a TLS configuration it serves HTTPS.
func New(name, address string, config *tls.Config, handler http.Handler) (*manager.Server, error) {
	return serve(name, address, config, handler, newHandshakes(handshakesPerProcessor*float64(runtime.GOMAXPROCS(0)), handshakePatience))
}

func serve(name, address string, config *tls.Config, handler http.Handler, limited *handshakes) (*manager.Server, error) {
	raw, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for the server %s: %w", name, err)
	}
	l := &listener{Listener: raw, limit: MaxConnections, open: make(map[*connection]struct{})}
	l.changed.L = &l.mu
	var served net.Listener = l
	if config != nil {
		config = config.Clone()
		config.GetConfigForClient = limited.admit
		served = tls.NewListener(l, config)
	}
	timeout := shutdownTime
	return &manager.Server{
		Name: name, Listener: served, ShutdownTimeout: &timeout,
		Server: &http.Server{
			Handler: yielding(handler), MaxHeaderBytes: MaxHeader, ReadTimeout: ReadTime, WriteTimeout: writeTime,
			IdleTimeout: idleTime, ConnState: l.observe,
			ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
				return context.WithValue(ctx, connectionKey{}, connectionOf(conn))
			},
			// Every failed handshake would be an entry otherwise.
			ErrorLog: slog.NewLogLogger(logr.ToSlogHandler(ctrl.Log.WithName(name).V(1)), slog.LevelInfo),
		},
	}, nil
}

// listener is a listener with a bounded number of open connections. At the limit, a new
// connection replaces the one that has waited longest for its client. It waits only while all
// of them are being served.
type listener struct {
	net.Listener
	limit int

	mu      sync.Mutex
	changed sync.Cond // a connection closed or began to wait
	open    map[*connection]struct{}
	closed  bool
}

type connection struct {
	net.Conn
	listener *listener
	// since is when the connection began to wait for its client; zero while a request is
	// served. The listener's mutex guards it.
	since time.Time
}

type connectionKey struct{}

// connectionOf unwraps a connection of the server; nil if it isn't one of this package.
func connectionOf(conn net.Conn) *connection {
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	c, _ := conn.(*connection)
	return c
}

// yielding marks a connection as waiting for its client while the handler reads the body,
// and once the handler has returned: net/http then reads the rest of the body.
func yielding(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, _ := r.Context().Value(connectionKey{}).(*connection); c != nil && r.ContentLength != 0 {
			r.Body = &body{ReadCloser: r.Body, connection: c}
			defer c.wait()
		}
		handler.ServeHTTP(w, r)
	})
}

// body is a request's body. Its connection waits for the client during each Read.
type body struct {
	io.ReadCloser
	connection *connection
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.connection.wait()
	defer b.connection.serve()
	return b.ReadCloser.Read(p)
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.open) >= l.limit && !l.closed {
		if oldest := l.longestWaiting(); oldest != nil {
			delete(l.open, oldest)
			_ = oldest.Conn.Close()
			continue
		}
		l.changed.Wait()
	}
	if l.closed {
		_ = accepted.Close()
		return nil, net.ErrClosed
	}
	c := &connection{Conn: accepted, listener: l, since: time.Now()}
	l.open[c] = struct{}{}
	return c, nil
}

func (l *listener) longestWaiting() (oldest *connection) {
	for c := range l.open {
		if !c.since.IsZero() && (oldest == nil || c.since.Before(oldest.since)) {
			oldest = c
		}
	}
	return oldest
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.changed.Broadcast()
	l.mu.Unlock()
	return l.Listener.Close()
}

// observe tracks the states of connections (http.Server.ConnState). A connection is active
// from the end of a request's header until its response is written.
func (l *listener) observe(conn net.Conn, state http.ConnState) {
	c := connectionOf(conn)
	if c == nil {
		return
	}
	switch state {
	case http.StateActive:
		c.serve()
	case http.StateIdle:
		c.wait()
	default:
	}
}

// wait marks a connection as waiting for its client, and reports whether it was being served.
func (c *connection) wait() (served bool) {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if served = c.since.IsZero(); served {
		c.since = time.Now()
		l.changed.Signal()
	}
	return served
}

// serve marks a connection as being served.
func (c *connection) serve() {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.since = time.Time{}
}

// Write implements net.Conn. A client that doesn't read the response keeps it waiting.
func (c *connection) Write(b []byte) (int, error) {
	if c.wait() {
		defer c.serve()
	}
	return c.Conn.Write(b)
}

// Close implements net.Conn.
func (c *connection) Close() error {
	l := c.listener
	l.mu.Lock()
	delete(l.open, c)
	l.changed.Signal()
	l.mu.Unlock()
	return c.Conn.Close()
}

// handshakes bounds the rate of TLS handshakes, which anybody who can connect may begin, and
// which take a hundred times as long as a request that is refused. The callers who make the
// fewest go first.
type handshakes struct {
	gate     *flow.Gate
	patience time.Duration
}

func newHandshakes(perSecond float64, patience time.Duration) *handshakes {
	burst := max(int(handshakeBurst*perSecond), 1)
	return &handshakes{
		gate: flow.NewGate(flow.GateOptions{
			Rate: perSecond, Burst: burst, FullDemand: float64(burst), Concurrent: MaxConnections, Waiting: MaxConnections,
		}),
		patience: patience,
	}
}

// admit waits for the turn of a handshake (tls.Config.GetConfigForClient), before anything
// expensive is computed. Meanwhile the connection makes room for others.
func (h *handshakes) admit(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	ctx, cancel := context.WithTimeout(hello.Context(), h.patience)
	defer cancel()
	var caller flow.Caller
	if peer, err := netip.ParseAddrPort(hello.Conn.RemoteAddr().String()); err == nil {
		caller = flow.CallerIn(flow.NetworkOf(peer.Addr().Unmap().WithZone("")))
	}
	leave, err := h.gate.Enter(ctx, caller)
	if err != nil {
		return nil, fmt.Errorf("waiting for the turn of a TLS handshake: %w", err)
	}
	leave()
	return nil, nil //nolint:nilnil // the configuration of the server
}
