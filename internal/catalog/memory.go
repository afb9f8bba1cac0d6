// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"fmt"
	"sync/atomic"

	"github.com/rehive/extension-operator/internal/notify"
)

// MaxCompiled is how many bytes of memory the compiled rules and layouts of one company
// may take, about. Those of a hundred usual emails take some five million.
const MaxCompiled = 64 << 20

// tooMuchMemory is the problem of a rule that does not fit.
var tooMuchMemory = notify.Problem{Field: "spec", Message: fmt.Sprintf(
	"the company's notifications and layouts take more than %d MiB of memory, so this one is not used: shorten or delete some", MaxCompiled>>20)}

// memory counts the memory of compiled rules and layouts, by owner. It is guarded by the
// catalog's mutex, except for freed.
type memory struct {
	held  map[string]int
	freed *atomic.Int64 // how often some was given back
}

// holding is what one rule or layout takes.
type holding struct {
	owner string
	size  int
	// refused says that there was no room; freed is what memory.freed was then.
	refused bool
	freed   int64
}

func newMemory() memory {
	return memory{held: make(map[string]int), freed: new(atomic.Int64)}
}

// ownerOf is whom the rules of an activation count for.
func ownerOf(namespace, activation string) string { return namespace + "/" + activation }

// mayFitNow says whether memory was given back since there was no room.
func (m *memory) mayFitNow(h holding) bool { return h.refused && h.freed != m.freed.Load() }

// replace gives back what was held and takes as many bytes as are needed, if there is room.
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
