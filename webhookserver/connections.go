// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// connections is a listener with a bounded number of open connections. When all are
// taken, a new connection takes the place of one that waits for its client: between
// requests, in the middle of a header, of a body that nobody has vouched for, or of an
// answer that the client doesn't read. Strangers' connections go first, and among them the oldest of the network that has
// the most. So neither idle nor slow clients, however many, keep others out, and what
// nobody else needs may be used by one. Only when all connections are being worked on
// does the next one wait.
//
// A connection is a stranger's until a request on it, or lately one from its network,
// showed a good credential, or if it is a trusted proxy's.
type connections struct {
	net.Listener
	limit int
	// readTimeout is the longest time for a body to arrive.
	readTimeout time.Duration
	vouched     func(netip.Addr) bool // for a connection from the address
	evicted     func()

	mu      sync.Mutex
	freed   sync.Cond // when a connection is closed, or waits for its client
	stuck   atomic.Bool
	open    []*connection
	of      map[netip.Addr]*peers
	unknown int // open ones of strangers
	closed  bool
}

// strangersPart is the part of all connections that a new stranger may get although
// it takes the place of a known caller's idle connection.
const strangersPart = 4

// writeBuffer is how much of its answers the kernel keeps for a connection, in bytes; Linux
// takes it twice. By default it is several megabytes, which count as the container's memory.
const writeBuffer = 64 << 10

// peers are the open connections of one network.
type peers struct{ n int }

// connection is one of a listener's. Its deadlines may be set by whoever serves it.
type connection struct {
	net.Conn
	table   *connections
	network netip.Addr
	peers   *peers
	index   int // in open; -1 when closed
	known   bool
	since   atomic.Int64 // nanoseconds: when state changed
	state   atomic.Int32
	// vouchedAt is when a good credential was last seen. It and bodyRead belong to the
	// goroutine that serves the connection.
	vouchedAt time.Time
	bodyRead  bool
}

// States of a connection.
const (
	waitingForClient int32 = iota
	beingServed
	answering // counts as waitingForClient after answerTime
	evictedState
)

// answerTime is how long the kernel may take to accept a piece of an answer. It takes
// microseconds, unless the client doesn't read.
const answerTime = 250 * time.Millisecond

func newConnections(listener net.Listener, limit int, readTimeout time.Duration, vouched func(netip.Addr) bool, evicted func()) *connections {
	t := &connections{Listener: listener, limit: limit, readTimeout: readTimeout, vouched: vouched, evicted: evicted, of: make(map[netip.Addr]*peers)}
	t.freed.L = &t.mu
	return t
}

// Accept implements net.Listener.
func (t *connections) Accept() (net.Conn, error) {
	accepted, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if sized, ok := accepted.(interface{ SetWriteBuffer(size int) error }); ok {
		_ = sized.SetWriteBuffer(writeBuffer) // the default works too
	}
	peer := parseAddress(accepted.RemoteAddr().String())
	c := &connection{Conn: accepted, table: t, network: networkOf(peer), known: t.vouched(peer)}
	c.since.Store(time.Now().UnixNano())
	if !t.admit(c) {
		_ = accepted.Close()
		return nil, net.ErrClosed
	}
	return c, nil
}

// Close implements net.Listener.
func (t *connections) Close() error {
	err := t.Listener.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.freed.Broadcast()
	return err
}

// admit waits until there is room for a connection. It reports false when the listener
// is closed.
func (t *connections) admit(c *connection) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.open) >= t.limit {
		if t.closed {
			return false
		}
		t.stuck.Store(true)
		if t.evictFor(c) {
			continue
		}
		// By then an answer may have taken too long, which nothing else would signal.
		again := time.AfterFunc(answerTime, t.freed.Signal)
		t.freed.Wait()
		again.Stop()
	}
	t.stuck.Store(false)
	c.index = len(t.open)
	t.open = append(t.open, c)
	if c.peers = t.of[c.network]; c.peers == nil {
		c.peers = new(peers)
		t.of[c.network] = c.peers
	}
	c.peers.n++
	if !c.known {
		t.unknown++
	}
	return true
}

// evictFor closes a connection in favour of a new one, if there is one to close.
func (t *connections) evictFor(c *connection) bool {
	spareKnown := !c.known && t.unknown >= t.limit/strangersPart
	for {
		now := time.Now().UnixNano()
		var victim *connection
		var was int32
		for _, other := range t.open {
			state := other.state.Load()
			waits := state == waitingForClient || state == answering && now-other.since.Load() >= int64(answerTime)
			if !waits || other.known && spareKnown {
				continue
			}
			if victim == nil || goesBefore(other, victim) {
				victim, was = other, state
			}
		}
		if victim == nil {
			return false
		}
		if !victim.state.CompareAndSwap(was, evictedState) {
			continue // its request came, or its answer was sent, at this moment
		}
		t.remove(victim)
		t.evicted()
		_ = victim.Conn.Close() // what was written to it before is of no use any more
		return true
	}
}

// goesBefore is whether a is closed rather than b.
func goesBefore(a, b *connection) bool {
	switch {
	case a.known != b.known:
		return b.known
	case a.peers.n != b.peers.n:
		return a.peers.n > b.peers.n
	default:
		return a.since.Load() < b.since.Load()
	}
}

// remove takes a connection out; the second time nothing happens.
func (t *connections) remove(c *connection) {
	if c.index < 0 {
		return
	}
	last := t.open[len(t.open)-1]
	t.open[c.index] = last
	last.index = c.index
	t.open[len(t.open)-1] = nil
	t.open = t.open[:len(t.open)-1]
	c.index = -1
	if c.peers.n--; c.peers.n == 0 {
		delete(t.of, c.network)
	}
	if !c.known {
		t.unknown--
	}
	t.freed.Signal()
}

// observe follows the states of connections (http.Server.ConnState). A connection is
// active from the end of a request's header until its answer is written.
func (t *connections) observe(conn net.Conn, state http.ConnState) {
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

// serve says that a connection is being worked on.
func (c *connection) serve() {
	c.state.CompareAndSwap(waitingForClient, beingServed)
}

// Write implements net.Conn.
func (c *connection) Write(b []byte) (int, error) {
	if c.state.Load() != beingServed {
		return c.Conn.Write(b)
	}
	c.since.Store(time.Now().UnixNano()) // before the state, which gives it its meaning
	c.state.CompareAndSwap(beingServed, answering)
	n, err := c.Conn.Write(b)
	c.state.CompareAndSwap(answering, beingServed)
	return n, err
}

// wait says that a connection waits for its client.
func (c *connection) wait() {
	c.since.Store(time.Now().UnixNano())
	if c.state.CompareAndSwap(beingServed, waitingForClient) && c.table.stuck.Load() {
		c.table.mu.Lock()
		c.table.freed.Signal()
		c.table.mu.Unlock()
	}
}

// hurry has a body arrive in the time that its size is given, or else reading fails. The
// connection counts as waiting for its client.
func (c *connection) hurry(size int64) {
	wait := bodyTime
	if size < 0 {
		size = 1 << 20
	}
	wait += time.Duration(size) * time.Second / bodyRate
	_ = c.SetReadDeadline(time.Now().Add(min(wait, c.table.readTimeout))) // of a closed connection at worst
	c.wait()
}

// hurried ends what hurry began. If all has arrived no deadline is left: one that passes
// while the request is worked on would cancel the request.
func (c *connection) hurried(err error) {
	if err != nil {
		_ = c.SetReadDeadline(time.Now()) // else the server would read the rest of it
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	c.serve()
}

// abandonBody gives the rest of a request's body, which nobody wants, a moment to
// arrive, so that the client reads the answer and the connection can be used again.
func (c *connection) abandonBody() {
	_ = c.SetReadDeadline(time.Now().Add(drainTime))
	c.wait()
}

// vouch says that a request on the connection showed a good credential.
func (c *connection) vouch(now time.Time) {
	first := c.vouchedAt.IsZero()
	c.vouchedAt = now
	if !first {
		return
	}
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	if !c.known && c.index >= 0 {
		c.table.unknown--
	}
	c.known = true
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.table.mu.Lock()
	c.table.remove(c)
	c.table.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite ends what is sent, so that the client reads the answer before a reset.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// connectionOf returns what a connection of the server is underneath, nil if it is
// another listener's.
func connectionOf(conn net.Conn) *connection {
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	c, _ := conn.(*connection)
	return c
}

type connectionKey struct{}

// withConnection is an http.Server's ConnContext.
func withConnection(ctx context.Context, conn net.Conn) context.Context {
	if c := connectionOf(conn); c != nil {
		return context.WithValue(ctx, connectionKey{}, c)
	}
	return ctx
}

// connectionFrom returns the connection of a request, nil if the server that serves it
// is not this package's.
func connectionFrom(ctx context.Context) *connection {
	c, _ := ctx.Value(connectionKey{}).(*connection)
	return c
}
