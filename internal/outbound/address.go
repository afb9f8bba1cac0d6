// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
)

// errAddressRefused is what a dial to a special-purpose address ends with.
var errAddressRefused = errors.New("the address is in a private or special-purpose network, which isn't allowed")

// special are the networks that no provider on the internet lives in: the IANA
// special-purpose registries for IPv4 and IPv6, without their globally reachable
// entries, and the well-known addresses of cloud metadata services outside them.
// Of the mechanisms that carry an IPv4 address inside an IPv6 one, NAT64 is judged by
// the address inside, because clusters with IPv6 alone reach everything through it;
// the rest are refused whole.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // shared address space; Alibaba's metadata
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's platform service
	netip.MustParsePrefix("169.254.0.0/16"),   // link-local; most clouds' metadata
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"), // unspecified, loopback, IPv4-compatible
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), // Teredo and other protocol assignments
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), // 6to4
	netip.MustParsePrefix("3fff::/20"),
	netip.MustParsePrefix("5f00::/16"),
	netip.MustParsePrefix("fc00::/7"), // unique local; AWS's metadata over IPv6
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("fec0::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func checkAddress(ip netip.Addr, allowed []netip.Prefix) error {
	// ::ffff:127.0.0.1 is dialled as 127.0.0.1, and a zone isn't part of a prefix.
	ip = ip.Unmap().WithZone("")
	for _, p := range allowed {
		if p.Contains(ip) {
			return nil
		}
	}
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	for _, p := range special {
		if p.Contains(ip) {
			return errAddressRefused
		}
	}
	return nil
}

// IsAddressRefused tells whether a dial ended because of [Guard].
func IsAddressRefused(err error) bool { return errors.Is(err, errAddressRefused) }

// Guard refuses to dial special-purpose addresses outside the allowed networks. It
// is a net.Dialer's ControlContext, for protocols other than HTTP.
func Guard(allowed []netip.Prefix) func(context.Context, string, string, syscall.RawConn) error {
	return guard(slices.Clone(allowed))
}

// guard refuses a connection after the name was resolved and before the first
// packet leaves.
func guard(allowed []netip.Prefix) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, network, address string, _ syscall.RawConn) error {
		if !strings.HasPrefix(network, "tcp") {
			return errAddressRefused
		}
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return errAddressRefused
		}
		return checkAddress(ap.Addr(), allowed)
	}
}
