// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"time"

	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/ledger"
)

// admission works out how much of each lane a claim may take: what the gates of the
// lane's provider have room for, and a share of the worker's hands. It is for one
// claim.
type admission struct {
	ctx    context.Context
	routes Routes
	free   int // worker slots
	held   map[any]int

	gates  map[ledger.Lane]Gate  // nil if nothing bounds the lane
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
	return flow.Share(a.free, 0)
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
		a.gates[l] = a.gateOf(l)
	}
	bounds := []*ledger.Bound{a.bound(companyKey(l.Company), nil)}
	if g := a.gates[l]; g != nil {
		bounds = append(bounds, a.bound(g, g))
	}
	return bounds
}

// gateOf returns the gate that a lane's messages pass. If the route can't be found there is
// none: when a message is sent, the reason is recorded in its delivery.
func (a *admission) gateOf(l ledger.Lane) Gate {
	// This must not wait: the ledger can't be written meanwhile.
	ctx, cancel := context.WithCancel(a.ctx)
	cancel()
	route, err := a.routes.Route(ctx, l.Company, l.Channel)
	if err != nil {
		return nil
	}
	return route.Gate
}

func (a *admission) bound(key any, g Gate) *ledger.Bound {
	b := a.bounds[key]
	if b == nil {
		b = &ledger.Bound{Left: flow.Share(a.free, a.held[key])}
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
