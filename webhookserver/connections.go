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

	"k8s.io/apimachinery/pkg/types"

	"github.com/rehive/extension-operator/internal/flow"
)

// connections is a listener with a bounded number of open connections. At the limit, a new
// connection replaces one that is waiting: for its client, between requests, in the middle
// of a header or of a body, or while the client isn't reading the answer; or for a turn
// that its company must leave to others. So idle, slow and greedy clients, however many,
// can't keep others out, yet a single client may use all the capacity that nobody else
// needs. A new connection waits only while every open one is being served. It doesn't replace
// one that began to wait just now, whose request is probably on its way, if that one's party
// has less than half the load: the new connection is closed instead. Nor does it replace a
// known caller's that began to wait just now, while a stranger's may soon make room.
//
// Under pressure, strangers share a quarter of the connections. Among them, those whose
// networks connected most often lately are evicted first. Known callers share the rest:
// the party that has the most connections loses the one that has waited longest.
//
// A connection belongs to a stranger unless it comes from a trusted proxy, or a request on
// it, or a recent one from its network, carried a valid credential.
type connections struct {
	net.Listener
	limit int
	// readTimeout is the maximum time for a body to arrive.
	readTimeout time.Duration
	// lookUp returns the holder that a network's connections count towards, if it is known
	// to call for just one, and whether its callers are known.
	lookUp  func(netip.Addr) (holder, bool)
	evicted func()

	mu      sync.Mutex
	freed   sync.Cond   // signalled when a connection closes or starts waiting
	full    atomic.Bool // whether Accept is waiting for room
	open    []*connection
	parties map[party]*tally
	arrived *flow.Demand // the connections of strangers, by network
	unknown int          // number of open connections of strangers
	closed  bool
}

// strangersShare is the fraction (one in …) of all connections that strangers get under
// pressure.
const strangersShare = 4

// arrivalWindow is how long a stranger's connection counts against its network. It fades
// until twice the window has passed.
const arrivalWindow = 30 * time.Second

// writeBuffer is the size of a connection's kernel send buffer in bytes; Linux doubles it.
// The default is several megabytes, which count towards the container's memory.
const writeBuffer = 64 << 10

// holder names the CompanyActivation that holds a company; the zero value names none.
type holder = types.NamespacedName

// party is who a connection counts towards: the holder of a company, once a request on the connection
// carried a credential of it, or else a network.
type party struct {
	holder  holder
	network netip.Addr
}

// tally is what a party has.
type tally struct {
	n       int     // open connections
	arrived float64 // how often a stranger's network connected lately
}

// connection is a connection of a listener. The server that serves it may set its
// deadlines.
type connection struct {
	net.Conn
	table   *connections
	network netip.Addr
	since   atomic.Int64 // when state changed, in nanoseconds since the epoch
	state   atomic.Int32

	// These are guarded by the table's mutex.
	party  party
	tally  *tally
	index  int // in open; -1 when removed
	known  bool
	cancel context.CancelFunc // ends the requests; nil before withConnection

	// These belong to the goroutine that serves the connection. The holder is that of the
	// last valid credential, which arrived at vouchedAt.
	holder    holder
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

// requestTime is how long the request of a new connection is probably on its way. On a busy
// machine, even one that has arrived isn't read at once.
const requestTime = time.Second

func newConnections(listener net.Listener, limit int, readTimeout time.Duration, lookUp func(netip.Addr) (holder, bool), evicted func()) *connections {
	t := &connections{
		Listener: listener, limit: limit, readTimeout: readTimeout, lookUp: lookUp, evicted: evicted,
		parties: make(map[party]*tally), arrived: flow.NewDemand(arrivalWindow),
	}
	t.freed.L = &t.mu
	return t
}

// Accept implements net.Listener.
func (t *connections) Accept() (net.Conn, error) {
	for {
		accepted, err := t.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := t.wrap(accepted)
		ok, err := t.admit(c)
		if ok {
			return c, nil
		}
		_ = accepted.Close()
		if err != nil {
			return nil, err
		}
	}
}

// wrap returns the connection that the table keeps for an accepted one.
func (t *connections) wrap(accepted net.Conn) *connection {
	if sized, ok := accepted.(interface{ SetWriteBuffer(size int) error }); ok {
		_ = sized.SetWriteBuffer(writeBuffer) // the default works too
	}
	peer := parseAddress(accepted.RemoteAddr().String())
	c := &connection{Conn: accepted, table: t, network: flow.NetworkOf(peer), index: -1}
	c.party.holder, c.known = t.lookUp(peer)
	c.since.Store(time.Now().UnixNano())
	return c
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

// admit waits until there is room for a connection. It reports false if the connection has
// to make room for others itself; the error is net.ErrClosed when the listener is closed.
func (t *connections) admit(c *connection) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.arrive(c)
	for len(t.open) >= t.limit {
		if t.closed {
			t.leave(c)
			return false, net.ErrClosed
		}
		t.full.Store(true)
		switch t.evictFor(c) {
		case nil:
		case c:
			return false, nil
		default:
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
	return true, nil
}

// arrive has a new connection count towards its party and its network.
func (t *connections) arrive(c *connection) {
	t.count(c, c.party.holder)
	if !c.known {
		t.unknown++
		now, caller := time.Now(), flow.CallerIn(c.network)
		t.arrived.Add(caller, 1, now)
		c.tally.arrived = t.arrived.Of(caller, now)
	}
}

// leave undoes arrive, except that the network has connected lately.
func (t *connections) leave(c *connection) {
	t.discount(c)
	if !c.known {
		t.unknown--
	}
}

// count has a connection count towards a holder, or towards its network if there is none.
func (t *connections) count(c *connection, who holder) {
	t.discount(c)
	c.party = party{holder: who}
	if who == (holder{}) {
		c.party.network = c.network
	}
	if c.tally = t.parties[c.party]; c.tally == nil {
		c.tally = new(tally)
		t.parties[c.party] = c.tally
	}
	c.tally.n++
}

// discount undoes count.
func (t *connections) discount(c *connection) {
	if c.tally == nil {
		return
	}
	if c.tally.n--; c.tally.n == 0 {
		delete(t.parties, c.party)
	}
	c.tally = nil
}

// evictFor closes the connection that has to make room when a new one arrives, which may be
// the new one, and returns it. It returns nil if none can be closed.
func (t *connections) evictFor(c *connection) *connection {
	tooManyStrangers := t.unknown > t.limit/strangersShare
	for {
		now := time.Now().UnixNano()
		var stranger, known candidate
		for _, other := range t.open {
			state := other.state.Load()
			if state != waitingForClient && (state != answering || now-other.since.Load() < int64(answerTime)) {
				continue
			}
			if other.known {
				known.consider(other, state)
			} else {
				stranger.consider(other, state)
			}
		}
		victim := known
		if tooManyStrangers && (stranger.connection != nil || !c.known) || known.connection == nil {
			victim = stranger
		}
		if victim.connection == nil {
			return nil
		}
		if tooManyStrangers && victim.connection.known && now-victim.connection.since.Load() < int64(answerTime) {
			return nil
		}
		if victim.precedes(c, now) {
			t.leave(c)
			t.evicted()
			return c
		}
		if !victim.connection.state.CompareAndSwap(victim.state, evictedState) {
			continue // its request arrived, or its answer was sent, just now
		}
		t.remove(victim.connection)
		t.evicted()
		_ = victim.connection.Conn.Close() // data still unsent is useless to the client
		return victim.connection
	}
}

// candidate is a connection that may be evicted, and the state that it was seen in.
type candidate struct {
	connection *connection
	state      int32
}

// consider replaces the candidate if another connection is evicted in preference to it.
func (e *candidate) consider(other *connection, state int32) {
	if e.connection != nil {
		load, otherLoad := e.connection.tally.load(), other.tally.load()
		if otherLoad < load || otherLoad == load && other.since.Load() >= e.connection.since.Load() {
			return
		}
	}
	e.connection, e.state = other, state
}

// precedes reports whether a new connection has to leave the candidate its place.
func (e *candidate) precedes(arriving *connection, now int64) bool {
	return now-e.connection.since.Load() < int64(requestTime) &&
		(e.connection.known || !arriving.known) &&
		2*e.connection.tally.load() < arriving.tally.load()
}

// load is what counts against a party.
func (h *tally) load() float64 { return float64(h.n) + h.arrived }

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
	if c.cancel != nil {
		c.cancel()
	}
	t.leave(c)
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

// wait marks a connection as waiting for its client or for its turn, until serve: it may be
// evicted, which ends its request's context.
func (c *connection) wait() {
	c.since.Store(time.Now().UnixNano())
	if c.state.CompareAndSwap(beingServed, waitingForClient) && c.table.full.Load() {
		c.table.mu.Lock()
		c.table.freed.Signal()
		c.table.mu.Unlock()
	}
}

// isEvicted reports whether the connection was closed to make room for another.
func (c *connection) isEvicted() bool { return c.state.Load() == evictedState }

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

// vouch records that a request on the connection carried a valid credential, of a
// holder if one is given.
func (c *connection) vouch(now time.Time, who holder) {
	first, other := c.vouchedAt.IsZero(), who != (holder{}) && who != c.holder
	c.vouchedAt = now
	if !first && !other {
		return
	}
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	if c.index < 0 {
		return
	}
	if !c.known {
		c.table.unknown--
		c.known = true
	}
	if other {
		c.holder = who
		c.table.count(c, who)
	}
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

// withConnection is the ConnContext of the http.Server. The context ends with the
// connection.
func withConnection(ctx context.Context, conn net.Conn) context.Context {
	c := connectionOf(conn)
	if c == nil {
		return ctx
	}
	ctx, cancel := context.WithCancel(context.WithValue(ctx, connectionKey{}, c))
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	if c.cancel = cancel; c.index < 0 {
		cancel()
	}
	return ctx
}

// connectionFrom returns the connection of a request, or nil if it came through another
// listener.
func connectionFrom(ctx context.Context) *connection {
	c, _ := ctx.Value(connectionKey{}).(*connection)
	return c
}

// waitAside marks the connection of a request as waiting until the returned function is
// called, so that the connection makes room for others; see connection.wait.
func waitAside(r *http.Request) (done func()) {
	c := connectionFrom(r.Context())
	if c == nil {
		return func() {}
	}
	c.wait()
	return c.serve
}
