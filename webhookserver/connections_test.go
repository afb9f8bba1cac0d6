// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/onsi/gomega"
)

// addressed is a connection from an address.
type addressed struct {
	net.Conn
	from string
}

func (a addressed) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(a.from), 1))
}

// dialed is a listener whose connections come from a channel.
type dialed struct {
	net.Listener
	conns chan net.Conn
}

func (d dialed) Accept() (net.Conn, error) { return <-d.conns, nil }

// table is a table of connections whose clients are given by address.
type table struct {
	*connections
	gomega.Gomega
	conns   chan net.Conn
	known   map[string]holder
	evicted int
}

func newTable(t *testing.T, limit int) *table {
	b := &table{Gomega: gomega.NewWithT(t), conns: make(chan net.Conn, 1), known: map[string]holder{}}
	b.connections = newConnections(dialed{conns: b.conns}, limit, time.Minute, func(a netip.Addr) (holder, bool) {
		who, known := b.known[a.String()]
		return who, known
	}, func() { b.evicted++ })
	return b
}

// accept opens a connection from an address.
func (b *table) accept(from string) *connection {
	_, server := net.Pipe()
	b.conns <- addressed{server, from}
	c, err := b.Accept()
	b.Expect(err).NotTo(gomega.HaveOccurred())
	return c.(*connection)
}

// isOpen reports whether a connection has not been evicted.
func isOpen(c *connection) bool { return !c.isEvicted() }

func TestGreedyCompanyMakesRoom(t *testing.T) {
	b := newTable(t, 16)
	greedy, quiet := holder{Name: "greedy"}, holder{Name: "quiet"}
	// Each from its own network, and after the quiet company's.
	other := b.accept("192.0.2.1")
	other.vouch(time.Now(), quiet)
	for i := range 12 {
		b.accept(fmt.Sprintf("10.0.%d.1", i)).vouch(time.Now(), greedy)
	}
	for i := range 3 {
		b.accept(fmt.Sprintf("192.0.2.%d", 10+i)).vouch(time.Now(), holder{Name: fmt.Sprint("one-", i)})
	}
	b.known["10.1.0.1"] = greedy
	for range 8 { // the ones of the newcomers' that counted from the start
		b.accept("10.1.0.1")
	}
	b.Expect(isOpen(other)).To(gomega.BeTrue())
	b.Expect(b.parties[party{holder: greedy}].n).To(gomega.Equal(12), "its own connections make room for its new ones")
	for i := range 11 {
		b.known["192.0.3.1"] = holder{Name: "new"}
		b.accept("192.0.3.1").vouch(time.Now(), holder{Name: fmt.Sprint("new-", i)})
	}
	b.Expect(isOpen(other)).To(gomega.BeTrue(), "the company with the most connections loses its own first")
	b.Expect(b.evicted).To(gomega.Equal(19))
	b.Expect(b.parties[party{holder: greedy}].n).To(gomega.Equal(1))
}

func TestStrangersShareAQuarter(t *testing.T) {
	b := newTable(t, 16)
	b.known["192.0.2.1"] = holder{Name: "quiet"}
	known := make([]*connection, 16)
	for i := range known {
		known[i] = b.accept("192.0.2.1")
	}
	for i := range 20 {
		b.accept(fmt.Sprintf("10.0.%d.1", i))
		b.Expect(b.unknown).To(gomega.Equal(min(i+1, 4)))
	}
	for range 20 {
		b.accept("192.0.2.1")
	}
	b.Expect(b.unknown).To(gomega.Equal(4), "nor are they evicted below it")
}

// TestFrequentStrangersMakeRoom checks that strangers who connect again and again, from
// however many addresses of a network, don't evict those who connect once.
func TestFrequentStrangersMakeRoom(t *testing.T) {
	b := newTable(t, 64)
	for i := range 512 {
		b.accept(fmt.Sprintf("10.%d.%d.1", i/16%4, i%16))
	}
	newcomer := b.accept("192.0.2.1")
	for i := range 512 {
		b.accept(fmt.Sprintf("10.%d.%d.2", i/16%4, i%16))
	}
	b.Expect(isOpen(newcomer)).To(gomega.BeTrue())
}

// TestNewcomersRequestIsAwaited checks that a newcomer whose request is on its way isn't
// evicted for a stranger who connects again and again, when nothing else can make room.
func TestNewcomersRequestIsAwaited(t *testing.T) {
	b := newTable(t, 16)
	for range 15 {
		b.observe(b.accept("10.0.0.1"), http.StateActive)
	}
	newcomer := b.accept("192.0.2.1")
	for range 16 {
		_, server := net.Pipe()
		b.Expect(b.admit(b.wrap(addressed{server, "10.0.0.1"}))).To(gomega.BeFalse())
	}
	b.Expect(isOpen(newcomer)).To(gomega.BeTrue())
	b.Expect(b.unknown).To(gomega.Equal(16))
	b.known["192.0.2.9"] = holder{Name: "known"}
	b.accept("192.0.2.9")
	b.Expect(isOpen(newcomer)).To(gomega.BeFalse(), "a known caller needn't wait")
}

// TestKnownCallersRequestIsAwaited checks that a known caller whose request is on its way
// isn't evicted for another one while strangers have too many connections.
func TestKnownCallersRequestIsAwaited(t *testing.T) {
	b := newTable(t, 16)
	var stranger *connection
	for range 15 {
		stranger = b.accept("10.0.0.1")
		b.observe(stranger, http.StateActive)
	}
	b.known["192.0.2.9"] = holder{Name: "known"}
	waiting := b.accept("192.0.2.9")
	waiting.since.Store(time.Now().Add(time.Hour).UnixNano()) // however slow this machine is
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		b.accept("192.0.2.9")
	}()
	b.Eventually(b.full.Load, "1m").Should(gomega.BeTrue())
	b.observe(stranger, http.StateIdle)
	<-accepted
	b.Expect(isOpen(waiting)).To(gomega.BeTrue())
	b.Expect(isOpen(stranger)).To(gomega.BeFalse())
}

func TestEvictionEndsTheRequest(t *testing.T) {
	b := newTable(t, 1)
	c := b.accept("192.0.2.1")
	ctx := withConnection(t.Context(), c)
	b.observe(c, http.StateActive)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	b.Expect(err).NotTo(gomega.HaveOccurred())
	waited := make(chan error)
	go func() {
		defer waitAside(request)()
		<-ctx.Done()
		waited <- ctx.Err()
	}()
	next := b.accept("192.0.2.2") // waits until the other does
	b.Expect(<-waited).To(gomega.MatchError(context.Canceled))
	b.Expect(isOpen(c)).To(gomega.BeFalse())
	b.Expect(next.Close()).To(gomega.Succeed())
	b.Expect(b.open).To(gomega.BeEmpty())
	b.Expect(b.parties).To(gomega.BeEmpty())
	b.Expect(b.unknown).To(gomega.BeZero())
}
