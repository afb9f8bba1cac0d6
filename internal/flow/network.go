// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flow

import "net/netip"

// ipv6Network is the part of an IPv6 address that identifies a caller: a single customer
// usually gets a whole /64.
const ipv6Network = 64

// NetworkOf returns what limits for each caller count by: the IPv4 address, or the /64 of an IPv6
// address.
func NetworkOf(address netip.Addr) netip.Addr {
	if !address.Is6() {
		return address
	}
	network, err := address.Prefix(ipv6Network)
	if err != nil {
		return address
	}
	return network.Addr()
}

// CallerIn returns the caller in a network of [NetworkOf], with the larger networks that it
// belongs to: somebody who controls many addresses usually has them in few networks.
func CallerIn(network netip.Addr) Caller {
	larger := [...]int{24, 16}
	if network.Is6() {
		larger = [...]int{48, 32}
	}
	caller := Caller{network.String()}
	for _, bits := range larger {
		if prefix, err := network.Prefix(bits); err == nil {
			caller = append(caller, prefix.String())
		}
	}
	return caller
}
