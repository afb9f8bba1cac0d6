// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"fmt"
	"sync/atomic"

	"github.com/rehive/extension-operator/internal/notify"
)

// MaxCompiled is approximately how many bytes the compiled rules and layouts of one company
// may take. A hundred typical emails take about five million.
const MaxCompiled = 64 << 20

// tooMuchMemory is the problem of a rule that does not fit.
var tooMuchMemory = notify.Problem{Field: "spec", Message: fmt.Sprintf(
	"the company's notifications and layouts take more than %d MiB of memory, so this one is not used: shorten or delete some", MaxCompiled>>20)}

// memory counts the memory of compiled rules and layouts, by owner. It is guarded by the
// catalog's mutex, except for freed.
type memory struct {
	held  map[string]int
	freed *atomic.Int64 // how often memory was released
}

// holding is the memory of one rule or layout.
type holding struct {
	owner string
	size  int
	// refused means that there was no room; freed is the value of memory.freed at that
	// time.
	refused bool
	freed   int64
}

func newMemory() memory {
	return memory{held: make(map[string]int), freed: new(atomic.Int64)}
}

// ownerOf returns the owner that the rules of an activation count for.
func ownerOf(namespace, activation string) string { return namespace + "/" + activation }

// mayFitNow reports whether memory was released since there was no room.
func (m *memory) mayFitNow(h holding) bool { return h.refused && h.freed != m.freed.Load() }

// replace releases the held bytes and takes the required number of bytes, if there is room.
func (m *memory) replace(was holding, owner string, size int) holding {
	if was.size > 0 {
		if m.held[was.owner] -= was.size; m.held[was.owner] <= 0 {
			delete(m.held, was.owner)
		}
		m.freed.Add(1)
	}
	if size == 0 {
		return holding{}
	}
	if m.held[owner]+size > MaxCompiled {
		return holding{refused: true, freed: m.freed.Load()}
	}
	m.held[owner] += size
	return holding{owner: owner, size: size}
}
