// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Link is a TCP connection between two parts that can be cut, as networks are.
// It is safe for concurrent use.
type Link struct {
	listener net.Listener
	target   string
	done     sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
}

// newLink listens on a free loopback port and passes on to target.
func newLink(target string) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not block
	if err != nil {
		return nil, fmt.Errorf("listening for a link to %s: %w", target, err)
	}
	l := &Link{listener: listener, target: target, conns: make(map[net.Conn]struct{})}
	l.done.Go(l.accept)
	return l, nil
}

// Address is what to connect to instead of the target.
func (l *Link) Address() string { return l.listener.Addr().String() }

// Cut closes every connection, and each new one at once, until Mend.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for conn := range l.conns {
		_ = conn.Close()
	}
}

// Mend lets connections through again.
func (l *Link) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}

func (l *Link) close() error {
	err := l.listener.Close()
	l.Cut()
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

// keep remembers a connection, or closes it when the link is cut.
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
	server, err := net.Dial("tcp", l.target) //nolint:noctx // loopback, which answers or refuses at once
	if err != nil || !l.keep(server) {
		return
	}
	defer l.drop(server)
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	_, _ = io.Copy(server, client)
	_ = server.Close()
	back.Wait()
}
