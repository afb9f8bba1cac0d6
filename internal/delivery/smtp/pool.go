// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"context"
	"sync"
	"time"

	"github.com/rehive/extension-operator/internal/delivery/provider"
)

// pool keeps connections for the next message. The one used last is used
// first, so that those beyond the need grow idle and close.
type pool struct {
	connect func(context.Context) (*conn, error)
	timeout time.Duration
	slots   chan struct{}

	mu     sync.Mutex
	idle   []*conn
	reaper *time.Timer
	closed bool
}

func newPool(size int, timeout time.Duration, connect func(context.Context) (*conn, error)) *pool {
	return &pool{connect: connect, timeout: timeout, slots: make(chan struct{}, size)}
}

// get returns an idle connection, or a new one if there is none or a fresh one is
// needed. It waits while as many as may are in use.
func (p *pool) get(ctx context.Context, fresh bool) (c *conn, reused bool, err error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false, provider.Transient("Timeout", "There was no free connection to the mail server in time.", 0)
	}
	p.mu.Lock()
	if n := len(p.idle); n > 0 && !fresh {
		c, p.idle = p.idle[n-1], p.idle[:n-1]
	}
	p.mu.Unlock()
	if c != nil {
		return c, true, nil
	}
	c, err = p.connect(ctx)
	if err != nil {
		<-p.slots
	}
	return c, false, err
}

// put takes a connection back after a message.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	keep := !c.broken && !c.retire && !p.closed
	if keep {
		c.idle = time.Now()
		p.idle = append(p.idle, c)
		if p.reaper == nil {
			p.reaper = time.AfterFunc(p.timeout, p.reap)
		}
	}
	p.mu.Unlock()
	<-p.slots
	if !keep {
		c.quit()
	}
}

// reap closes what was idle too long.
func (p *pool) reap() {
	p.mu.Lock()
	old := 0
	for old < len(p.idle) && time.Since(p.idle[old].idle) >= p.timeout {
		old++
	}
	dead := append([]*conn(nil), p.idle[:old]...)
	p.idle = append(p.idle[:0:0], p.idle[old:]...)
	p.reaper = nil
	if len(p.idle) > 0 && !p.closed {
		p.reaper = time.AfterFunc(p.timeout-time.Since(p.idle[0].idle), p.reap)
	}
	p.mu.Unlock()
	for _, c := range dead {
		c.quit()
	}
}

// close closes idle connections now and those in use when they come back.
func (p *pool) close() {
	p.mu.Lock()
	dead := p.idle
	p.idle, p.closed = nil, true
	if p.reaper != nil {
		p.reaper.Stop()
		p.reaper = nil
	}
	p.mu.Unlock()
	for _, c := range dead {
		c.quit()
	}
}
