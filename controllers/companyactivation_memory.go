// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// memory is what the process remembers between reconciliations to spare the
// platform calls. Losing it costs those calls and nothing else. It keeps
// digests of credentials, not credentials.
type memory struct {
	mu          sync.Mutex
	activations map[types.UID]*remembered
}

type remembered struct {
	// fingerprint is of all that the last good look depended on; it counts
	// until the time given.
	fingerprint [sha256.Size]byte
	until       time.Time
	// kept are superfluous webhooks that the platform refused to delete while
	// the token with the given digest was in use. They do no harm: their events
	// are answered and dropped.
	kept  map[int64]struct{}
	token [sha256.Size]byte
	// cleaned: the platform's webhooks of a leaving company were dealt with.
	cleaned bool
}

func newMemory() *memory { return &memory{activations: make(map[types.UID]*remembered)} }

func (m *memory) of(uid types.UID) *remembered {
	entry, ok := m.activations[uid]
	if !ok {
		entry = &remembered{kept: make(map[int64]struct{})}
		m.activations[uid] = entry
	}
	return entry
}

// fingerprint digests what decides whether the platform is in order.
func (s *scope) fingerprint() [sha256.Size]byte {
	events := slices.Sorted(maps.Keys(s.wanted))
	return sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d %q",
		s.credentials.Token, s.credentials.WebhookSecret,
		s.activation.Annotations[v1alpha1.RequestedAtAnnotation], s.activation.Generation, events))
}

// confirmed returns how much longer the last good look counts.
func (m *memory) confirmed(s *scope, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry, ok := m.activations[s.activation.UID]
	if !ok || entry.fingerprint != s.fingerprint() {
		return 0
	}
	return max(entry.until.Sub(now), 0)
}

func (m *memory) confirm(s *scope, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry := m.of(s.activation.UID)
	entry.fingerprint, entry.until = s.fingerprint(), until
}

// keep remembers that the platform refused to delete a webhook.
func (m *memory) keep(s *scope, webhook int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry, token := m.of(s.activation.UID), sha256.Sum256([]byte(s.credentials.Token))
	if entry.token != token {
		entry.token, entry.kept = token, make(map[int64]struct{})
	}
	entry.kept[webhook] = struct{}{}
}

func (m *memory) kept(s *scope, webhook int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry, ok := m.activations[s.activation.UID]
	if !ok || entry.token != sha256.Sum256([]byte(s.credentials.Token)) {
		return false
	}
	_, kept := entry.kept[webhook]
	return kept
}

// clean says, the first time it is asked, that a leaving company's webhooks are
// yet to be dealt with.
func (m *memory) clean(uid types.UID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry := m.of(uid)
	first := !entry.cleaned
	entry.cleaned = true
	return first
}

func (m *memory) forget(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.activations, uid)
}
