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

// connections is a listener with a bounded number of open connections. At the limit, a new
// connection replaces one that is waiting for its client: between requests, in the middle
// of a header or of an unauthenticated body, or while the client isn't reading the answer.
// Connections of strangers are evicted first, starting with the oldest one of the network
// that has the most. So idle and slow clients, however many, can't keep others out, yet a
// single client may use all the capacity that nobody else needs. A new connection waits
// only while every open one is being served.
//
// A connection belongs to a stranger unless it comes from a trusted proxy, or a request on
// it, or a recent one from its network, carried a valid credential.
type connections struct {
	net.Listener
	limit int
	// readTimeout is the maximum time for a body to arrive.
	readTimeout time.Duration
	isKnown     func(netip.Addr) bool // whether the address belongs to a known caller
	evicted     func()

	mu      sync.Mutex
	freed   sync.Cond   // signalled when a connection closes or starts waiting for its client
	full    atomic.Bool // whether Accept is waiting for room
	open    []*connection
	peers   map[netip.Addr]*peers
	unknown int // number of open connections of strangers
	closed  bool
}

// strangersShare is the fraction (one in …) of all connections up to which a new stranger
// may replace a known caller's idle connection.
const strangersShare = 4

// writeBuffer is the size of a connection's kernel send buffer in bytes; Linux doubles it.
// The default is several megabytes, which count towards the container's memory.
const writeBuffer = 64 << 10

// peers are the open connections of one network.
type peers struct{ n int }

// connection is a connection of a listener. The server that serves it may set its
// deadlines.
type connection struct {
	net.Conn
	table   *connections
	network netip.Addr
	peers   *peers
	index   int // in open; -1 when closed
	known   bool
	closed  chan struct{} // closed with the connection
	since   atomic.Int64  // when state changed, in nanoseconds since the epoch
	state   atomic.Int32
	// vouchedAt is when the last valid credential arrived. It and bodyRead belong to the
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

// answerTime is how long the kernel may take to accept part of an answer. It takes
// microseconds unless the client isn't reading.
const answerTime = 250 * time.Millisecond

func newConnections(listener net.Listener, limit int, readTimeout time.Duration, isKnown func(netip.Addr) bool, evicted func()) *connections {
	t := &connections{Listener: listener, limit: limit, readTimeout: readTimeout, isKnown: isKnown, evicted: evicted, peers: make(map[netip.Addr]*peers)}
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
	c := &connection{Conn: accepted, table: t, network: networkOf(peer), known: t.isKnown(peer), closed: make(chan struct{})}
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
		t.full.Store(true)
		if t.evictFor(c) {
			continue
		}
		// An answer that takes too long makes its connection evictable, which nothing else
		// signals.
		recheck := time.AfterFunc(answerTime, t.freed.Signal)
		t.freed.Wait()
		recheck.Stop()
	}
	t.full.Store(false)
	c.index = len(t.open)
	t.open = append(t.open, c)
	if c.peers = t.peers[c.network]; c.peers == nil {
		c.peers = new(peers)
		t.peers[c.network] = c.peers
	}
	c.peers.n++
	if !c.known {
		t.unknown++
	}
	return true
}

// evictFor closes a connection to make room for a new one. It reports false if none can be
// closed.
func (t *connections) evictFor(c *connection) bool {
	spareKnown := !c.known && t.unknown >= t.limit/strangersShare
	for {
		now := time.Now().UnixNano()
		var victim *connection
		var was int32
		for _, other := range t.open {
			state := other.state.Load()
			waiting := state == waitingForClient || state == answering && now-other.since.Load() >= int64(answerTime)
			if !waiting || other.known && spareKnown {
				continue
			}
			if victim == nil || evictedBefore(other, victim) {
				victim, was = other, state
			}
		}
		if victim == nil {
			return false
		}
		if !victim.state.CompareAndSwap(was, evictedState) {
			continue // its request arrived, or its answer was sent, just now
		}
		t.remove(victim)
		t.evicted()
		_ = victim.Conn.Close() // data still unsent is useless to the client
		return true
	}
}

// evictedBefore reports whether a is evicted in preference to b.
func evictedBefore(a, b *connection) bool {
	switch {
	case a.known != b.known:
		return b.known
	case a.peers.n != b.peers.n:
		return a.peers.n > b.peers.n
	default:
		return a.since.Load() < b.since.Load()
	}
}

// remove removes a connection from the table. Removing it again has no effect.
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
	close(c.closed)
	if c.peers.n--; c.peers.n == 0 {
		delete(t.peers, c.network)
	}
	if !c.known {
		t.unknown--
	}
	t.freed.Signal()
}

// observe tracks the states of connections (http.Server.ConnState). A connection is active
// from the end of a request's header until its answer is written.
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

// serve marks a connection as being served.
func (c *connection) serve() {
	c.state.CompareAndSwap(waitingForClient, beingServed)
}

// Write implements net.Conn.
func (c *connection) Write(b []byte) (int, error) {
	if c.state.Load() != beingServed {
		return c.Conn.Write(b)
	}
	c.since.Store(time.Now().UnixNano()) // before the state, because it is read once the state has changed
	c.state.CompareAndSwap(beingServed, answering)
	n, err := c.Conn.Write(b)
	c.state.CompareAndSwap(answering, beingServed)
	return n, err
}

// wait marks a connection as waiting for its client.
func (c *connection) wait() {
	c.since.Store(time.Now().UnixNano())
	if c.state.CompareAndSwap(beingServed, waitingForClient) && c.table.full.Load() {
		c.table.mu.Lock()
		c.table.freed.Signal()
		c.table.mu.Unlock()
	}
}

// startBody sets a deadline for a body to arrive, according to its size. Until endBody, the
// connection counts as waiting for its client.
func (c *connection) startBody(size int64) {
	wait := bodyTime
	if size < 0 {
		size = 1 << 20
	}
	wait += time.Duration(size) * time.Second / bodyRate
	_ = c.SetReadDeadline(time.Now().Add(min(wait, c.table.readTimeout))) // fails only on a closed connection
	c.wait()
}

// endBody ends what startBody began. It removes the deadline once the body has arrived: if
// one passed while the request is being served, it would cancel the request.
func (c *connection) endBody(err error) {
	if err != nil {
		_ = c.SetReadDeadline(time.Now()) // or else the server would read the rest of it
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	c.serve()
}

// abandonBody allows the unread rest of a request's body a moment to arrive, so that the
// client reads the answer and the connection can be reused.
func (c *connection) abandonBody() {
	_ = c.SetReadDeadline(time.Now().Add(drainTime))
	c.wait()
}

// vouch records that a request on the connection carried a valid credential.
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

// CloseWrite closes the sending side, so that the client reads the answer before a reset.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// connectionOf unwraps a connection of the server. It returns nil for a connection of
// another listener.
func connectionOf(conn net.Conn) *connection {
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	c, _ := conn.(*connection)
	return c
}

type connectionKey struct{}

// withConnection is the ConnContext of the http.Server.
func withConnection(ctx context.Context, conn net.Conn) context.Context {
	if c := connectionOf(conn); c != nil {
		return context.WithValue(ctx, connectionKey{}, c)
	}
	return ctx
}

// connectionFrom returns the connection of a request, or nil if it came through another
// listener.
func connectionFrom(ctx context.Context) *connection {
	c, _ := ctx.Value(connectionKey{}).(*connection)
	return c
}
