// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/ledger"
)

// admission computes how much of each lane one claim may take: as much as the gate of the
// lane's provider has room for, within the company's share of the worker's slots.
type admission struct {
	ctx    context.Context
	routes Routes
	free   int // worker slots
	held   map[any]int

	gates map[ledger.Lane]Gate // nil if nothing bounds the lane
	// bounds are those of the claim; index maps companies and Gates to them.
	bounds []int
	index  map[any]int
	// full reports that some lane had no room. again is the earliest time at which a gate
	// without room should be asked again; zero if none gave a time.
	full  bool
	again time.Time
}

// companyKey is the key of what a company holds, beside Gates.
type companyKey string

// limit returns how many deliveries may be claimed in total. Some slots always stay free;
// otherwise, many small claims would occupy all of them.
func (a *admission) limit() int {
	if a.free <= 0 {
		return 0
	}
	return flow.Share(a.free, 0)
}

// exhausted reports whether any bound is used up.
func (a *admission) exhausted() bool {
	return slices.ContainsFunc(a.bounds, func(left int) bool { return left <= 0 })
}

// claim returns what to claim of the due lanes.
func (a *admission) claim(due iter.Seq2[ledger.Lane, error], lease time.Duration) (ledger.Claim, error) {
	c := ledger.Claim{Limit: a.limit(), Lease: lease, Lanes: []ledger.ClaimLane{}}
	for l, err := range due {
		if err != nil {
			return c, err
		}
		if bounds, open := a.of(l); open {
			c.Lanes = append(c.Lanes, ledger.ClaimLane{Lane: l, Bounds: bounds})
		}
		if len(c.Lanes) == c.Limit {
			break
		}
	}
	c.Bounds = a.bounds
	return c, nil
}

// settle counts what was claimed against the bounds.
func (a *admission) settle(claimed []ledger.ClaimedDelivery) {
	for i := range claimed {
		bounds, _ := a.of(ledger.Lane{Company: claimed[i].Company, Channel: claimed[i].Channel})
		for _, b := range bounds {
			a.bounds[b]--
		}
	}
}

// of returns the indexes of a lane's bounds, and whether all of them leave room.
func (a *admission) of(l ledger.Lane) (bounds []int, open bool) {
	g, known := a.gates[l]
	if !known {
		g = a.gateOf(l)
		a.gates[l] = g
	}
	bounds = []int{a.bound(companyKey(l.Company), nil)}
	if g != nil {
		bounds = append(bounds, a.bound(g, g))
	}
	for _, b := range bounds {
		if a.bounds[b] <= 0 {
			a.full = true
			return bounds, false
		}
	}
	return bounds, true
}

// gateOf returns the gate that a lane's messages pass. If the route can't be found there is
// none: when a message is sent, the reason is recorded in its delivery.
func (a *admission) gateOf(l ledger.Lane) Gate {
	// This must not wait: other companies' messages would wait with it.
	ctx, cancel := context.WithCancel(a.ctx)
	cancel()
	route, err := a.routes.Route(ctx, l.Company, l.Channel)
	if err != nil {
		return nil
	}
	return route.Gate
}

func (a *admission) bound(key any, g Gate) int {
	if i, ok := a.index[key]; ok {
		return i
	}
	left := flow.Share(a.free, a.held[key])
	if g != nil {
		room, again := g.Room()
		left = min(left, room)
		if room <= 0 && !again.IsZero() && (a.again.IsZero() || again.Before(a.again)) {
			a.again = again
		}
	}
	a.index[key] = len(a.bounds)
	a.bounds = append(a.bounds, left)
	return a.index[key]
}

// open reports whether anything of a lane may be claimed.
func (a *admission) open(l ledger.Lane) bool {
	_, open := a.of(l)
	return open
}
