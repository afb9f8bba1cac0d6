// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

const (
	// knownTime is how long a network is remembered from which a good credential came.
	knownTime = time.Hour
	// vouchInterval is how often a connection that goes on sending good credentials
	// renews the memory of its network.
	vouchInterval = time.Minute
	// maxKnown is how many networks are remembered at once.
	maxKnown = 8192
	// refusedCalls is how many calls one counts for whose token the platform refuses.
	refusedCalls = 10
)

// knownNetworks remember from where good credentials came. Only a good credential adds
// to it, so that strangers can't push anybody out. Its zero value is ready.
type knownNetworks struct {
	mu    sync.RWMutex
	until map[netip.Addr]time.Time
}

func (k *knownNetworks) contain(network netip.Addr, now time.Time) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return now.Before(k.until[network])
}

func (k *knownNetworks) add(network netip.Addr, now time.Time) {
	if k.contain(network, now.Add(knownTime-vouchInterval)) {
		return // webhooks come by the thousand
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.until == nil {
		k.until = make(map[netip.Addr]time.Time)
	}
	if _, known := k.until[network]; !known && len(k.until) >= maxKnown {
		k.makeRoom(now)
	}
	k.until[network] = now.Add(knownTime)
}

// makeRoom forgets what is over and otherwise what was used the longest time ago.
func (k *knownNetworks) makeRoom(now time.Time) {
	maps.DeleteFunc(k.until, func(_ netip.Addr, until time.Time) bool { return !now.Before(until) })
	if len(k.until) < maxKnown {
		return
	}
	var oldest netip.Addr
	for network, until := range k.until {
		if !oldest.IsValid() || until.Before(k.until[oldest]) {
			oldest = network
		}
	}
	delete(k.until, oldest)
}

// vouchFor notes that a request showed a good credential: that of a webhook, or a token
// that the platform confirmed.
func (s *Server) vouchFor(r *http.Request) {
	now := time.Now()
	c := connectionFrom(r.Context())
	if c != nil {
		fresh := now.Sub(c.vouchedAt) < vouchInterval
		if fresh && len(s.proxies) == 0 {
			return
		}
		c.vouch(now)
	}
	if network := networkOf(s.proxies.caller(r)); network.IsValid() {
		s.knownNetworks.add(network, now)
	}
}

// isKnown is whether a connection from an address is no stranger's.
func (s *Server) isKnown(peer netip.Addr) bool {
	return s.proxies.contain(peer) || s.knownNetworks.contain(networkOf(peer), time.Now())
}

// turn is leave to ask the platform whose token it is.
type turn struct {
	session rehive.Session
	leave   func()
	gate    *flow.Gate
	caller  string
}

// refused notes that the platform refused the token.
func (t *turn) refused() { t.gate.Blame(t.caller, refusedCalls) }

// platformTurn waits, not long, until the platform may be asked about a token. Calls of
// a company whose token was good lately, and from networks that good credentials came
// from, have a budget of their own; others share the small one of strangers.
func (s *Server) platformTurn(ctx context.Context, r *http.Request, token, company string) (*turn, error) {
	network := networkOf(s.proxies.caller(r))
	t := &turn{session: s.platform.WithToken(token), gate: s.knownCalls, caller: network.String()}
	switch {
	case company != "":
		t.caller = "company " + company
	case !s.knownNetworks.contain(network, time.Now()):
		t.gate, t.session = s.strangersCalls, t.session.OfStranger()
	}
	wait := s.limits.QueueTime
	if t.gate == s.knownCalls {
		wait *= 3 // when it rotates tokens, the platform may make many calls at once
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	leave, err := t.gate.Enter(ctx, t.caller)
	if err != nil {
		return nil, rest.Unavailable(fmt.Errorf("waiting to ask the platform: %w", err), tooManyCalls)
	}
	t.leave = leave
	return t, nil
}

const tooManyCalls = "Too many calls are being worked on. Try again later."
