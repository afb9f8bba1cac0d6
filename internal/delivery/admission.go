// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
)

// admission works out how much of each lane a claim may take: what the gates of the
// lane's provider have room for, and a share of the worker's hands. It is for one
// claim.
type admission struct {
	ctx       context.Context
	providers Providers
	free      int // hands
	held      map[any]int

	gates  map[ledger.Lane][]Gate
	bounds map[any]*ledger.Bound // by company and by Gate
	// full is whether a lane was met that has no room, and again when the first of
	// those gates is to be asked again that said when.
	full  bool
	again time.Time
}

// companyKey is the key of what a company holds, beside Gates.
type companyKey string

// limit is how many deliveries may be claimed in all. Some hands stay free each time:
// else many who take a little would leave none.
func (a *admission) limit() int {
	if a.free <= 0 {
		return 0
	}
	return share(a.free, 0)
}

// exhausted tells whether the claim used up a bound, or met one that was.
func (a *admission) exhausted() bool {
	for _, b := range a.bounds {
		if b.Left <= 0 {
			return true
		}
	}
	return false
}

// of returns the bounds of a lane.
func (a *admission) of(l ledger.Lane) []*ledger.Bound {
	if _, known := a.gates[l]; !known {
		a.gates[l] = a.gatesOf(l)
	}
	bounds := []*ledger.Bound{a.bound(companyKey(l.Company), nil)}
	for _, g := range a.gates[l] {
		bounds = append(bounds, a.bound(g, g))
	}
	return bounds
}

// gatesOf returns what a lane's messages must pass. Where the provider can't be found
// that is nothing: who sends finds out why, and says so in the delivery.
func (a *admission) gatesOf(l ledger.Lane) []Gate {
	// Nothing may be waited for: the ledger can't be written meanwhile.
	ctx, cancel := context.WithCancel(a.ctx)
	cancel()
	p, err := a.providers.Provider(ctx, l.Company, l.Channel)
	if gated, ok := p.(Gated); ok && err == nil {
		return gated.Gates()
	}
	return nil
}

func (a *admission) bound(key any, g Gate) *ledger.Bound {
	b := a.bounds[key]
	if b == nil {
		b = &ledger.Bound{Left: share(a.free, a.held[key])}
		if g != nil {
			room, again := g.Room()
			b.Left = min(b.Left, room)
			if room <= 0 && !again.IsZero() && (a.again.IsZero() || again.Before(a.again)) {
				a.again = again
			}
		}
		a.bounds[key] = b
	}
	a.full = a.full || b.Left <= 0
	return b
}

// open tells whether anything of a lane may be claimed.
func (a *admission) open(l ledger.Lane) bool {
	for _, b := range a.of(l) {
		if b.Left <= 0 {
			return false
		}
	}
	return true
}

// share is how many more hands somebody may take who holds some, so that it ends up
// with three times as many as stay free: one alone takes three quarters, and however
// many take what they can get, some are free for the next. Who holds none gets one.
func share(free, held int) int {
	if held == 0 {
		return max(1, 3*free/4)
	}
	return (3*free - held) / 4
}
