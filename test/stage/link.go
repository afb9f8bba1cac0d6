// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
)

// Link is a proxy between two components that can simulate network failures. It is safe for
// concurrent use.
type Link struct {
	listener net.Listener
	network  string
	target   string
	done     sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	open  chan struct{} // closed while data passes; replaced when it stalls
	conns map[net.Conn]struct{}
}

// newLink listens on an address and forwards connections to target in the same network.
func newLink(network, address, target string) (*Link, error) {
	listener, err := net.Listen(network, address) //nolint:noctx // it does not block
	if err != nil {
		return nil, fmt.Errorf("listening for a link to %s: %w", target, err)
	}
	l := &Link{listener: listener, network: network, target: target, open: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	close(l.open)
	l.done.Go(l.accept)
	return l, nil
}

// newLedgerLink creates a link to a PostgreSQL database and returns the URL that goes
// through it. The directory holds its socket, whose path must be short.
func newLedgerLink(ledgerURL, directory string) (*Link, string, error) {
	u, err := url.Parse(ledgerURL)
	if err != nil {
		return nil, "", errors.New("the ledger's URL can't be read")
	}
	query := u.Query()
	if socket := query.Get("host"); socket != "" {
		const name = ".s.PGSQL.5432"
		link, err := newLink("unix", filepath.Join(directory, name), filepath.Join(socket, name))
		if err != nil {
			return nil, "", err
		}
		query.Set("host", directory)
		u.RawQuery = query.Encode()
		return link, u.String(), nil
	}
	link, err := newLink("tcp", "127.0.0.1:0", u.Host)
	if err != nil {
		return nil, "", err
	}
	u.Host = link.Address()
	return link, u.String(), nil
}

// Address returns the address to connect to instead of the target.
func (l *Link) Address() string { return l.listener.Addr().String() }

// Cut closes all connections, and new ones immediately, until Restore.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for conn := range l.conns {
		_ = conn.Close()
	}
}

// Stall stops forwarding until Restore, like a network that drops all packets: existing
// connections stay open, and new ones are accepted, without any error.
func (l *Link) Stall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
		l.open = make(chan struct{})
	default:
	}
}

// Restore resumes forwarding, including stalled data.
func (l *Link) Restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
	select {
	case <-l.open:
	default:
		close(l.open)
	}
}

func (l *Link) close() error {
	err := l.listener.Close()
	l.Cut()
	l.mu.Lock()
	select {
	case <-l.open:
	default:
		close(l.open)
	}
	l.mu.Unlock()
	l.done.Wait()
	return err
}

func (l *Link) accept() {
	for {
		conn, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && l.keep(conn) {
			l.done.Go(func() { l.pass(conn) })
		}
	}
}

// keep tracks a connection, or closes it if the link is cut.
func (l *Link) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		_ = conn.Close()
		return false
	}
	l.conns[conn] = struct{}{}
	return true
}

func (l *Link) drop(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
	_ = conn.Close()
}

func (l *Link) pass(client net.Conn) {
	defer l.drop(client)
	server, err := net.Dial(l.network, l.target) //nolint:noctx // a local connection succeeds or fails immediately
	if err != nil || !l.keep(server) {
		return
	}
	defer l.drop(server)
	var back sync.WaitGroup
	back.Go(func() { l.copy(client, server) })
	l.copy(server, client)
	back.Wait()
}

// copy forwards data while the link is open, and closes the connection at the end.
func (l *Link) copy(to, from net.Conn) {
	defer func() { _ = to.Close() }()
	_, _ = io.Copy(gate{l, to}, from)
}

// gate is a writer that blocks while the link is stalled.
type gate struct {
	link *Link
	conn net.Conn
}

func (g gate) Write(p []byte) (int, error) {
	g.link.mu.Lock()
	open := g.link.open
	g.link.mu.Unlock()
	<-open
	return g.conn.Write(p)
}

// shortDirectory creates a directory for a socket. It isn't below TMPDIR, because the path
// of a socket must be short.
func shortDirectory() (string, error) {
	dir, err := os.MkdirTemp("/tmp", "stage")
	if err != nil {
		return "", fmt.Errorf("creating a directory for a socket: %w", err)
	}
	return dir, nil
}
