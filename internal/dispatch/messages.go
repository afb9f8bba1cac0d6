// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"sync"

	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/notify"
)

// smallMessages is how many bytes of messages an event may make before they are drawn
// from the budget of memory.
const smallMessages = 64 << 10

// messageMemory draws the memory of an event's messages, which all wait until the last
// rule is decided. An event never waits for more while it holds some: it gives way, and
// draws all of it at its next try.
type messageMemory struct {
	d     *Dispatcher
	grant *flow.Grant
	key   int64
	data  int64 // what the event takes without messages
	made  int64
}

// add counts the messages of a decision, which share their texts.
func (m *messageMemory) add(decision *notify.Decision) error {
	if len(decision.Messages) == 0 {
		return nil
	}
	first := &decision.Messages[0]
	return m.grow(int64(len(first.Subject) + len(first.Text) + len(first.HTML)))
}

// grow counts bytes that the event takes more.
func (m *messageMemory) grow(n int64) error {
	m.made += n
	if m.made <= smallMessages || m.grant.TryGrow(m.data+m.made) {
		return nil
	}
	share := m.d.Memory.Share()
	if m.data+m.made > share {
		return finalError{fmt.Errorf("the event's messages would take more than %d bytes of memory, the most that one company may take: raise --memory-budget, or send less", share), reasonTooLarge}
	}
	m.d.needs.remember(m.key, 2*m.made)
	return errNoMemory
}

// maxNeeds is how many events' needs are remembered. One that is forgotten only finds
// out again.
const maxNeeds = 10_000

// needs remembers how much memory the messages of events took that had to give way.
type needs struct {
	mu    sync.Mutex
	bytes map[int64]int64 // by the event's key
}

func (n *needs) of(key int64) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.bytes[key]
}

func (n *needs) remember(key, bytes int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.bytes == nil || len(n.bytes) >= maxNeeds {
		n.bytes = make(map[int64]int64)
	}
	n.bytes[key] = bytes
}

func (n *needs) forget(key int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.bytes, key)
}
