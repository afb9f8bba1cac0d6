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

// memory is what the process remembers between reconciliations to save platform calls,
// and to clean up after deleted activations. Losing it costs those calls, and leaves
// webhooks on the platform that are refused.
type memory struct {
	mu          sync.Mutex
	activations map[types.NamespacedName]*remembered
	// departures are those of deleted activations that are not cleaned up yet.
	departures map[types.NamespacedName]*departure
}

type remembered struct {
	uid types.UID

	// fingerprint digests everything that the last check depended on. A check with the
	// same fingerprint would have the same result until the given time.
	fingerprint [sha256.Size]byte
	until       time.Time

	// essentials is the fingerprint without the rules, of the check at checkedAt.
	essentials [sha256.Size]byte
	checkedAt  time.Time

	// accepted is the digest of the token that the platform last accepted.
	accepted [sha256.Size]byte

	// kept are superfluous webhooks that the platform refused to delete while the token
	// with the given digest was in use. They are harmless: their events are answered and
	// dropped.
	kept  map[int64]struct{}
	token [sha256.Size]byte

	// status is the result of the last check. It replaces a status that was overwritten,
	// if another check would have the same result.
	status *v1alpha1.CompanyActivationStatus

	// wakePending: waking the company's pending messages failed and must be retried.
	wakePending bool

	// given are the names of default rules that were created but are not in the cache
	// yet.
	given map[string]struct{}

	// departure is set while the activation holds its company.
	departure *departure
	// released: the finalizer was removed.
	released bool
}

func newMemory() *memory {
	return &memory{activations: make(map[types.NamespacedName]*remembered), departures: make(map[types.NamespacedName]*departure)}
}

// with calls f with the memory of an activation, exclusively.
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

// holds remembers that an activation holds its company.
func (m *memory) holds(a *v1alpha1.CompanyActivation) {
	m.with(a, func(entry *remembered) {
		if entry.departure == nil {
			entry.departure = &departure{uid: a.UID, company: a.Spec.Company}
		}
		entry.departure.purge = purges(a)
	})
}

// doesNotHold remembers that an activation does not hold its company.
func (m *memory) doesNotHold(a *v1alpha1.CompanyActivation) {
	m.with(a, func(entry *remembered) { entry.departure = nil })
}

// departureOf returns the departure of the activation that had a name, unless it is the
// current one, or nil.
func (m *memory) departureOf(key types.NamespacedName, current types.UID, now time.Time) *departure {
	m.mu.Lock()
	defer m.mu.Unlock()
	if entry := m.activations[key]; entry != nil && entry.uid != current {
		delete(m.activations, key)
		if d := entry.departure; d != nil && !entry.released {
			d.since = now
			d.purge = d.purge && current == "" // the rules belong to the current one
			m.departures[key] = d
		}
	}
	return m.departures[key]
}

// forgetDeparture removes the departure that departureOf returned.
func (m *memory) forgetDeparture(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.departures, key)
}

// departureOfDeleting returns the departure of an activation that is being deleted, and
// whether its finalizer has already been removed.
func (m *memory) departureOfDeleting(a *v1alpha1.CompanyActivation) (d *departure, released bool) {
	m.with(a, func(entry *remembered) {
		if entry.departure == nil {
			entry.departure = &departure{uid: a.UID, company: a.Spec.Company}
		}
		d, released = entry.departure, entry.released
	})
	d.purge, d.since = purges(a), a.DeletionTimestamp.Time
	return d, released
}

// fingerprint digests everything that determines the result of a check.
func (s *scope) fingerprint() [sha256.Size]byte {
	events := slices.Sorted(maps.Keys(s.wanted))
	return sha256.Sum256(fmt.Appendf(nil, "%q %q %t %q %d %q",
		s.credentials.Token, s.credentials.WebhookSecret, s.credentials.IsImmutable(),
		s.activation.Annotations[v1alpha1.RequestedAtAnnotation], s.activation.Generation, events))
}

// keepStatus remembers the status that results from a check.
func (m *memory) keepStatus(a *v1alpha1.CompanyActivation) {
	m.with(a, func(entry *remembered) { entry.status = a.Status.DeepCopy() })
}

// restoreStatus replaces a status that may have been overwritten with that of the last
// check, except for the activity, which the activityReporter writes.
func (m *memory) restoreStatus(a *v1alpha1.CompanyActivation) {
	m.with(a, func(entry *remembered) {
		if entry.status != nil {
			activity := a.Status.Activity
			a.Status = *entry.status.DeepCopy()
			a.Status.Activity = activity
		}
	})
}

// remainingValidity returns how much longer the last check is valid.
func (m *memory) remainingValidity(s *scope, now time.Time) (left time.Duration) {
	m.with(s.activation, func(entry *remembered) {
		if entry.fingerprint == s.fingerprint() {
			left = max(entry.until.Sub(now), 0)
		}
	})
	return left
}

// essentials digests everything that determines the result of a check, except the rules.
func (s *scope) essentials() [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d",
		s.credentials.Token, s.credentials.WebhookSecret,
		s.activation.Annotations[v1alpha1.RequestedAtAnnotation], s.activation.Generation))
}

// checked remembers when the platform was checked.
func (m *memory) checked(s *scope, now time.Time) {
	m.with(s.activation, func(entry *remembered) { entry.essentials, entry.checkedAt = s.essentials(), now })
}

// remainingCheckDelay returns how much longer a check should wait because only rules have
// changed since a recent one.
func (m *memory) remainingCheckDelay(s *scope, now time.Time) (left time.Duration) {
	m.with(s.activation, func(entry *remembered) {
		if entry.essentials == s.essentials() {
			left = max(entry.checkedAt.Add(checkInterval).Sub(now), 0)
		}
	})
	return left
}

// settle remembers that another check is pointless until the given time.
func (m *memory) settle(s *scope, until time.Time) {
	m.with(s.activation, func(entry *remembered) {
		entry.fingerprint, entry.until = s.fingerprint(), until
	})
}

// forget makes the next check ask the platform. After a failed check, the result of an earlier one
// no longer holds, even if everything that it depended on becomes the same again.
func (m *memory) forget(a *v1alpha1.CompanyActivation) {
	m.with(a, func(entry *remembered) { entry.until, entry.checkedAt = time.Time{}, time.Time{} })
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
