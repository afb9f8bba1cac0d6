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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// memory is what the process remembers between reconciliations to spare the
// platform calls. Losing it costs those calls and nothing else. It keeps
// digests of credentials, not credentials.
type memory struct {
	mu          sync.Mutex
	activations map[types.NamespacedName]*remembered
}

type remembered struct {
	uid types.UID

	// fingerprint is of all that the last look depended on. A look with the same
	// would find the same until the time given.
	fingerprint [sha256.Size]byte
	until       time.Time

	// essentials are the same without the rules, of the look that took place at looked.
	essentials [sha256.Size]byte
	looked     time.Time

	// accepted is the digest of the token that the platform accepted last.
	accepted [sha256.Size]byte

	// kept are superfluous webhooks that the platform refused to delete while
	// the token with the given digest was in use. They do no harm: their events
	// are answered and dropped.
	kept  map[int64]struct{}
	token [sha256.Size]byte

	// status is what the last look concluded. It replaces what somebody else wrote when
	// another look would find the same.
	status *v1alpha1.CompanyActivationStatus

	// wakeOwed: the company's waiting messages are still to be woken.
	wakeOwed bool

	// given are the names of default rules that were created and that the cache has not
	// shown yet.
	given map[string]struct{}

	// Of a leaving company: its webhooks were dealt with, its finalizer removed.
	cleaned, released bool
}

func newMemory() *memory {
	return &memory{activations: make(map[types.NamespacedName]*remembered)}
}

// with calls f with what is remembered of an activation, exclusively.
func (m *memory) with(a *v1alpha1.CompanyActivation, f func(*remembered)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := client.ObjectKeyFromObject(a)
	entry := m.activations[key]
	if entry == nil || entry.uid != a.UID {
		entry = &remembered{uid: a.UID}
		m.activations[key] = entry
	}
	f(entry)
}

// forget drops what is remembered of an activation that is gone.
func (m *memory) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.activations, key)
}

// fingerprint digests what decides whether the platform is in order.
func (s *scope) fingerprint() [sha256.Size]byte {
	events := slices.Sorted(maps.Keys(s.wanted))
	return sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d %q",
		s.credentials.Token, s.credentials.WebhookSecret,
		s.activation.Annotations[v1alpha1.RequestedAtAnnotation], s.activation.Generation, events))
}

// keepStatus remembers the status that a look concluded.
func (m *memory) keepStatus(a *v1alpha1.CompanyActivation) {
	m.with(a, func(entry *remembered) { entry.status = a.Status.DeepCopy() })
}

// putStatusBack replaces the status, which somebody may have overwritten, by the one
// that the last look concluded.
func (m *memory) putStatusBack(a *v1alpha1.CompanyActivation) {
	m.with(a, func(entry *remembered) {
		if entry.status != nil {
			a.Status = *entry.status.DeepCopy()
		}
	})
}

// settled returns how much longer another look is pointless.
func (m *memory) settled(s *scope, now time.Time) (left time.Duration) {
	m.with(s.activation, func(entry *remembered) {
		if entry.fingerprint == s.fingerprint() {
			left = max(entry.until.Sub(now), 0)
		}
	})
	return left
}

// essentials digests what decides it, except for the rules.
func (s *scope) essentials() [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d",
		s.credentials.Token, s.credentials.WebhookSecret,
		s.activation.Annotations[v1alpha1.RequestedAtAnnotation], s.activation.Generation))
}

// look remembers when the platform was looked at.
func (m *memory) look(s *scope, now time.Time) {
	m.with(s.activation, func(entry *remembered) { entry.essentials, entry.looked = s.essentials(), now })
}

// soon returns how much longer a look should wait because only rules have changed since
// the last one, which was not long ago.
func (m *memory) soon(s *scope, now time.Time) (left time.Duration) {
	m.with(s.activation, func(entry *remembered) {
		if entry.essentials == s.essentials() {
			left = max(entry.looked.Add(lookInterval).Sub(now), 0)
		}
	})
	return left
}

// settle remembers that another look is pointless until the time given.
func (m *memory) settle(s *scope, until time.Time) {
	m.with(s.activation, func(entry *remembered) {
		entry.fingerprint, entry.until = s.fingerprint(), until
	})
}

// keep remembers that the platform refused to delete a webhook.
func (m *memory) keep(s *scope, webhook int64) {
	m.with(s.activation, func(entry *remembered) {
		if token := sha256.Sum256([]byte(s.credentials.Token)); entry.token != token {
			entry.token, entry.kept = token, make(map[int64]struct{})
		}
		entry.kept[webhook] = struct{}{}
	})
}

func (m *memory) keeps(s *scope, webhook int64) (kept bool) {
	m.with(s.activation, func(entry *remembered) {
		_, kept = entry.kept[webhook]
		kept = kept && entry.token == sha256.Sum256([]byte(s.credentials.Token))
	})
	return kept
}
