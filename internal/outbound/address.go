// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
)

// addressError is what a dial to an address that isn't allowed ends with.
type addressError struct{ address string }

func (e *addressError) Error() string {
	return fmt.Sprintf("the address %s is in a private or special-purpose network, which only --provider-allow-networks can allow", e.address)
}

var (
	// global6 is all that is assigned for global unicast in IPv6. Every other address
	// is link-local, unique local, multicast, or a form that carries an IPv4 address.
	global6 = netip.MustParsePrefix("2000::/3")
	// nat64 carries an IPv4 address, through which clusters that have IPv6 alone reach
	// everything. Once it is allowed, the address inside decides.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
	// special are the networks of IPv4, and those of global6, in which no provider on
	// the internet lives: IANA's special-purpose registries without the entries that
	// are globally reachable, and the well-known addresses of cloud metadata services
	// outside them.
	special = prefixes(
		"0.0.0.0/8",
		"10.0.0.0/8",
		"100.64.0.0/10", // shared address space; Alibaba's metadata
		"127.0.0.0/8",
		"168.63.129.16/32", // Azure's platform service
		"169.254.0.0/16",   // link-local; most clouds' metadata
		"172.16.0.0/12",
		"192.0.0.0/24",
		"192.0.2.0/24",
		"192.31.196.0/24",
		"192.52.193.0/24",
		"192.88.99.0/24",
		"192.168.0.0/16",
		"192.175.48.0/24",
		"198.18.0.0/15",
		"198.51.100.0/24",
		"203.0.113.0/24",
		"224.0.0.0/4",
		"240.0.0.0/4",
		"2001::/23", // Teredo and other protocol assignments
		"2001:db8::/32",
		"2002::/16", // 6to4
		"2620:4f:8000::/48",
		"3fff::/20",
	)
)

func prefixes(all ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(all))
	for i, p := range all {
		parsed[i] = netip.MustParsePrefix(p)
	}
	return parsed
}

func checkAddress(ip netip.Addr, allowed []netip.Prefix) error {
	// ::ffff:127.0.0.1 is dialled as 127.0.0.1, and a zone isn't part of a prefix.
	ip = ip.Unmap().WithZone("")
	refused := &addressError{ip.String()}
	in := func(all []netip.Prefix, ip netip.Addr) bool {
		return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
	if nat64.Contains(ip) && slices.Contains(allowed, nat64) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	switch {
	case in(allowed, ip):
		return nil
	case ip.Is6() && !global6.Contains(ip), in(special, ip):
		return refused
	}
	return nil
}

// IsAddressRefused reports whether [Guard] refused a dial.
func IsAddressRefused(err error) bool { return AddressRefusal(err) != "" }

// AddressRefusal returns the end of a sentence that names the address that [Guard]
// refused to dial and what can be done about it; empty if err isn't of that kind.
func AddressRefusal(err error) string {
	var refused *addressError
	if errors.As(err, &refused) {
		return refused.Error()
	}
	return ""
}

// Guard refuses to dial special-purpose addresses outside the allowed networks. It
// is a net.Dialer's ControlContext, for protocols other than HTTP.
func Guard(allowed []netip.Prefix) func(context.Context, string, string, syscall.RawConn) error {
	return guard(slices.Clone(allowed))
}

// guard refuses a connection after the name was resolved and before the first
// packet leaves.
func guard(allowed []netip.Prefix) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, network, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || !strings.HasPrefix(network, "tcp") {
			return &addressError{address}
		}
		return checkAddress(ap.Addr(), allowed)
	}
}
