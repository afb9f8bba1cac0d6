// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/ledger"
)

// slots are the places of events that are being decided. A company gets more while
// others leave them free, see [flow.Share].
type slots struct {
	mu    sync.Mutex
	free  int
	held  map[string]int // by company
	freed chan struct{}  // has a value after a slot became free
}

func newSlots(n int) *slots {
	return &slots{free: n, held: make(map[string]int), freed: make(chan struct{}, 1)}
}

// tryTake takes a slot for a company, unless the company has its share.
func (s *slots) tryTake(company string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if flow.Share(s.free, s.held[company]) <= 0 {
		return false
	}
	s.free--
	s.held[company]++
	return true
}

// release gives a company's slot back.
func (s *slots) release(company string) {
	s.mu.Lock()
	s.free++
	if s.held[company]--; s.held[company] == 0 {
		delete(s.held, company)
	}
	s.mu.Unlock()
	s.signal()
}

func (s *slots) signal() {
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

// reserve sets all free slots apart for a claim, and waits until there are some. It
// returns nil when ctx is done.
func (s *slots) reserve(ctx context.Context) *reservation {
	for {
		s.mu.Lock()
		if n := s.free; n > 0 {
			s.free = 0
			s.mu.Unlock()
			return &reservation{slots: s, n: n, bounds: make(map[string]int)}
		}
		s.mu.Unlock()
		select {
		case <-s.freed:
		case <-ctx.Done():
			return nil
		}
	}
}

// reservation is what one claim may use.
type reservation struct {
	slots *slots
	n     int
	// claim is what to claim; bounds has the index of each company's bound in it, and
	// full is whether a company was met that has its share.
	claim  ledger.Claim
	bounds map[string]int
	full   bool
}

// limit is how many events may be claimed. Some slots stay free, else many companies
// that take a little would leave none for new events.
func (r *reservation) limit() int { return flow.Share(r.n, 0) }

// admit adds lanes to the claim whose companies may have more slots.
func (r *reservation) admit(due iter.Seq2[ledger.Lane, error]) error {
	r.claim.Limit, r.claim.Lanes = r.limit(), []ledger.ClaimLane{}
	for l, err := range due {
		if err != nil {
			return err
		}
		r.slots.mu.Lock()
		room := flow.Share(r.n, r.slots.held[l.Company])
		r.slots.mu.Unlock()
		if room <= 0 {
			r.full = true
			continue
		}
		r.bounds[l.Company] = len(r.claim.Bounds)
		r.claim.Lanes = append(r.claim.Lanes, ledger.ClaimLane{Lane: l, Bounds: []int{len(r.claim.Bounds)}})
		r.claim.Bounds = append(r.claim.Bounds, room)
		if len(r.claim.Lanes) == r.claim.Limit {
			break
		}
	}
	return nil
}

// bounded reports whether a company could have had more events except for its bound.
func (r *reservation) bounded() bool { return r.full || slices.Contains(r.claim.Bounds, 0) }

// settle gives the slots to the companies whose events were claimed, and the others
// back.
func (r *reservation) settle(claimed []ledger.ClaimedEvent) {
	for i := range claimed {
		r.claim.Bounds[r.bounds[claimed[i].Company]]--
	}
	r.slots.mu.Lock()
	r.slots.free += r.n - len(claimed)
	for i := range claimed {
		r.slots.held[claimed[i].Company]++
	}
	r.slots.mu.Unlock()
}

// drain waits until nobody holds a slot, and keeps all of them.
func (s *slots) drain(n int) {
	for n > 0 {
		s.mu.Lock()
		n -= s.free
		s.free = 0
		s.mu.Unlock()
		if n > 0 {
			<-s.freed
		}
	}
}
