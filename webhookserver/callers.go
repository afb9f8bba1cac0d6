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
	// knownTTL is how long a network is remembered after a valid credential came from it.
	knownTTL = time.Hour
	// renewInterval is how often a connection that keeps sending valid credentials renews
	// the entry of its network.
	renewInterval = time.Minute
	// maxKnown is how many networks are remembered at once.
	maxKnown = 8192
	// refusedCalls is how many ordinary calls a call with a refused token counts for.
	refusedCalls = 10
)

// knownNetworks remembers the networks that valid credentials came from. Only valid
// credentials add entries, so unknown callers can't evict anybody. The zero value is ready
// to use.
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
	if k.contain(network, now.Add(knownTTL-renewInterval)) {
		return // avoid the write lock for each of thousands of webhooks
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.until == nil {
		k.until = make(map[netip.Addr]time.Time)
	}
	if _, known := k.until[network]; !known && len(k.until) >= maxKnown {
		k.makeRoom(now)
	}
	k.until[network] = now.Add(knownTTL)
}

// makeRoom removes the expired entries or, if there are none, the least recently used one.
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

// vouchFor records that a request carried a valid credential: a webhook secret, or a token
// that the platform confirmed.
func (s *Server) vouchFor(r *http.Request) {
	now := time.Now()
	c := connectionFrom(r.Context())
	if c != nil {
		fresh := now.Sub(c.vouchedAt) < renewInterval
		if fresh && len(s.proxies) == 0 {
			return
		}
		c.vouch(now)
	}
	if network := networkOf(s.proxies.caller(r)); network.IsValid() {
		s.knownNetworks.add(network, now)
	}
}

// isKnown reports whether a connection from an address belongs to a known caller.
func (s *Server) isKnown(peer netip.Addr) bool {
	return s.proxies.contain(peer) || s.knownNetworks.contain(networkOf(peer), time.Now())
}

// turn is permission to ask the platform about a token, held until leave is called.
type turn struct {
	session rehive.Session
	leave   func()
	gate    *flow.Gate
	caller  string
}

// refused records that the platform refused the token.
func (t *turn) refused() { t.gate.Blame(t.caller, refusedCalls) }

// platformTurn waits for up to QueueTime (three times that for known callers) until the
// platform may be asked about a token. Calls with a recently valid token, and calls from
// known networks, have a budget of their own; all others share the small budget of
// strangers.
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
		wait *= 3 // the platform may make many calls at once when it rotates tokens
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

const tooManyCalls = "Too many calls are in progress. Try again later."
