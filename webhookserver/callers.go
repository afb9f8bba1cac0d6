// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
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
	// evictedPart is the fraction (one in …) of a holder's networks that are forgotten at a
	// time, so that finding them costs little for each.
	evictedPart = 32
	// refusedCalls is how many ordinary calls a call with a refused token counts for.
	refusedCalls = 10
)

// knownNetworks remembers the networks that valid credentials came from. Only valid
// credentials add entries, so unknown callers can't evict anybody. The zero value is ready
// to use.
type knownNetworks struct {
	mu       sync.RWMutex
	networks map[netip.Addr]knownNetwork
}

// knownNetwork is what is known about a network.
type knownNetwork struct {
	until time.Time
	// holder is the only one whose credentials came from the network, unless several
	// is set: the platform calls for all companies, but most networks for just one.
	holder  holder
	several bool
}

func (k *knownNetworks) get(network netip.Addr, now time.Time) (known knownNetwork, ok bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	known = k.networks[network]
	return known, now.Before(known.until)
}

// add records a credential, of a holder if one is given.
func (k *knownNetworks) add(network netip.Addr, who holder, now time.Time) {
	known, _ := k.get(network, now)
	if now.Add(knownTTL-renewInterval).Before(known.until) && (known.several || who == known.holder || who == holder{}) {
		return // avoid the write lock for each of thousands of webhooks
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.networks == nil {
		k.networks = make(map[netip.Addr]knownNetwork)
	}
	known, found := k.networks[network]
	if !found && len(k.networks) >= maxKnown {
		k.makeRoom(now)
	}
	switch {
	case !now.Before(known.until) || known.holder == holder{}:
		known.holder, known.several = who, false
	case who != holder{} && who != known.holder:
		known.several = true
	}
	known.until = now.Add(knownTTL)
	k.networks[network] = known
}

// makeRoom removes the expired entries or, if there are none, the least recently used ones
// of the holder that has the most, so that one company can't evict the others' networks.
func (k *knownNetworks) makeRoom(now time.Time) {
	maps.DeleteFunc(k.networks, func(_ netip.Addr, known knownNetwork) bool { return !now.Before(known.until) })
	if len(k.networks) < maxKnown {
		return
	}
	byHolder := make(map[holder][]netip.Addr)
	var most holder
	for network, known := range k.networks {
		who := known.holder
		if known.several {
			who = holder{}
		}
		byHolder[who] = append(byHolder[who], network)
		if len(byHolder[who]) > len(byHolder[most]) {
			most = who
		}
	}
	candidates := byHolder[most]
	slices.SortFunc(candidates, func(a, b netip.Addr) int { return k.networks[a].until.Compare(k.networks[b].until) })
	for _, network := range candidates[:(len(candidates)+evictedPart-1)/evictedPart] {
		delete(k.networks, network)
	}
}

// vouchFor records that a request carried a valid credential: a webhook secret, or a token
// that the platform confirmed. From then on the connection counts towards the holder, if
// one is given.
func (s *Server) vouchFor(r *http.Request, who holder) {
	now := time.Now()
	c := connectionFrom(r.Context())
	if c != nil {
		fresh := now.Sub(c.vouchedAt) < renewInterval && who == c.holder
		if fresh && len(s.proxies) == 0 {
			return
		}
		c.vouch(now, who)
	}
	if network := flow.NetworkOf(s.proxies.caller(r)); network.IsValid() {
		s.knownNetworks.add(network, who, now)
	}
}

// lookUp reports whether a connection from an address belongs to a known caller, and to
// which holder if the caller is known to call for just one.
func (s *Server) lookUp(peer netip.Addr) (holder, bool) {
	if s.proxies.contain(peer) {
		return holder{}, true
	}
	known, ok := s.knownNetworks.get(flow.NetworkOf(peer), time.Now())
	if !ok || known.several {
		return holder{}, ok
	}
	return known.holder, true
}

// turn is permission to ask the platform about a token, held until leave is called.
type turn struct {
	session rehive.Session
	leave   func()
	gate    *flow.Gate
	caller  flow.Caller
}

// refused records that the platform refused the token.
func (t *turn) refused() { t.gate.Blame(t.caller, refusedCalls) }

// platformTurn waits for up to TurnTime until the platform may be asked about a token.
// Calls with a recently valid token, and calls from known networks, have a budget of their
// own; all others share the small budget of strangers.
func (s *Server) platformTurn(ctx context.Context, r *http.Request, token, companyID string) (*turn, error) {
	network := flow.NetworkOf(s.proxies.caller(r))
	t := &turn{session: s.platform.WithToken(token), gate: s.knownCalls, caller: flow.Caller{network.String()}}
	if companyID != "" {
		t.caller = flow.Caller{"company " + companyID}
	} else if known, ok := s.knownNetworks.get(network, time.Now()); !ok {
		t.gate, t.session, t.caller = s.strangersCalls, t.session.OfStranger(), flow.CallerIn(network)
	} else if !known.several && known.holder != (holder{}) {
		// One company may have made any number of networks known.
		t.caller = append(t.caller, "holder "+known.holder.String())
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.TurnTime)
	defer cancel()
	defer waitAside(r)()
	leave, err := t.gate.Enter(ctx, t.caller)
	if err != nil {
		return nil, rest.Unavailable(fmt.Errorf("waiting to ask the platform: %w", err), tooManyCalls)
	}
	t.leave = leave
	return t, nil
}

const tooManyCalls = "Too many calls are in progress. Try again later."
