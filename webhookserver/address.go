// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxHops is how many X-Forwarded-For addresses are read, starting from the right.
const maxHops = 16

// trustedProxies are the networks of the reverse proxies whose X-Forwarded-For header is
// trusted. If there are none, the header is ignored.
type trustedProxies []netip.Prefix

// contain reports whether the address belongs to a trusted proxy.
func (t trustedProxies) contain(address netip.Addr) bool {
	return slices.ContainsFunc(t, func(network netip.Prefix) bool { return network.Contains(address) })
}

// caller returns the address that a request came from: the connection's own or, behind
// trusted proxies, the rightmost X-Forwarded-For address that isn't a trusted proxy. It is
// invalid only if the connection has no IP address.
func (t trustedProxies) caller(r *http.Request) netip.Addr {
	peer := parseAddress(r.RemoteAddr)
	if !t.contain(peer) {
		return peer
	}
	chain := t.chain(r, peer)
	return chain[len(chain)-1]
}

// userChain returns the addresses that the end user's request passed through, ending with
// the caller's, for the platform's access rules. It is nil unless the connection comes from
// a trusted proxy. Like Rehive's extension framework, it strips our own proxies from the
// right and leaves everything else for the platform to judge.
func (t trustedProxies) userChain(r *http.Request) []netip.Addr {
	peer := parseAddress(r.RemoteAddr)
	if !t.contain(peer) {
		return nil
	}
	return t.chain(r, peer)
}

// chain returns the X-Forwarded-For addresses up to the rightmost one that isn't a trusted
// proxy. Each proxy appends the address that it was called from, so the rightmost untrusted
// address is the last that a trusted proxy vouches for; everything to its left is the
// caller's claim. If an entry can't be parsed, or the header ends early, the chain begins
// with the nearest known hop.
func (t trustedProxies) chain(r *http.Request, peer netip.Addr) []netip.Addr {
	var hops []netip.Addr // from the right
	values := r.Header.Values("X-Forwarded-For")
read:
	for i := len(values) - 1; i >= 0; i-- {
		for rest, more := values[i], true; more; {
			var entry string
			comma := strings.LastIndexByte(rest, ',')
			entry, more = rest[comma+1:], comma >= 0
			rest = rest[:max(comma, 0)]
			if strings.TrimSpace(entry) == "" {
				continue // an empty list element means nothing (RFC 9110, 5.6.1)
			}
			address := parseAddress(entry)
			if !address.IsValid() || len(hops) == maxHops {
				break read
			}
			hops = append(hops, address)
		}
	}
	nearest := peer
	for len(hops) > 0 && t.contain(hops[0]) {
		nearest, hops = hops[0], hops[1:]
	}
	if len(hops) == 0 {
		return []netip.Addr{nearest}
	}
	slices.Reverse(hops)
	return hops
}

// parseAddress parses an IP address as RemoteAddr and X-Forwarded-For write it, dropping a
// port, brackets and a zone. An IPv4-mapped IPv6 address becomes an IPv4 address. It
// returns the zero Addr for invalid text.
func parseAddress(text string) netip.Addr {
	text = strings.TrimSpace(text)
	address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		withPort, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}
		}
		address = withPort.Addr()
	}
	return address.Unmap().WithZone("")
}
