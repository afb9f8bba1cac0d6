// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/internal/ledger"
)

// TestVerifiedAddressesEndBounces has the platform report addresses. Only one that is verified ends
// a suppression, and only that of an address that didn't exist.
func TestVerifiedAddressesEndBounces(t *testing.T) {
	s := newScene(t, "verified")
	const everything = "email HardBounce, email Stop, sms HardBounce"
	for i, test := range []struct{ event, data, left string }{
		{"email.update", `{"email":"ZOE@example.com","verified":true}`, "email Stop, sms HardBounce"},
		{"email.create", `{"email":"zoe@example.com","verified":true}`, "email Stop, sms HardBounce"},
		{"mobile.update", `{"number":"+27 82 000 0001","verified":true}`, "email HardBounce, email Stop"},
		{"mobile.create", `{"number":"+27820000001","verified":true}`, "email HardBounce, email Stop"},
		{"email.update", `{"email":"zoe@example.com","verified":false}`, everything},
		{"email.update", `{"email":"zoe@example.com","verified":true,"archived":true}`, everything},
		{"email.update", `{"email":"ann@example.com","verified":true}`, everything},
		{"email.update", `{"email":7,"verified":"yes"}`, everything},
		{"user.update", `{"email":"zoe@example.com","verified":true}`, everything},
	} {
		for _, p := range []ledger.Suppression{
			{Channel: ledger.ChannelEmail, Address: "zoe@example.com", Reason: ledger.SuppressedHardBounce},
			{Channel: ledger.ChannelEmail, Address: "zoe@example.com", Reason: ledger.SuppressedStop},
			{Channel: ledger.ChannelSMS, Address: "+27820000001", Reason: ledger.SuppressedHardBounce},
		} {
			p.Company = s.activation.Spec.Company
			s.must(s.store.Suppress(t.Context(), p, 0))
		}
		left := func() string {
			page, err := s.store.ListSuppressions(t.Context(), ledger.SuppressionFilter{Company: s.activation.Spec.Company}, 0, 10)
			s.must(err)
			var reasons []string
			for _, p := range page.Suppressions {
				reasons = append(reasons, p.Channel+" "+string(p.Reason))
			}
			slices.Sort(reasons)
			return strings.Join(reasons, ", ")
		}
		s.accept(fmt.Sprint(i), test.event, test.data)
		s.drained()
		if got := left(); got != test.left {
			t.Errorf("after %s %s: %s are left, want %s", test.event, test.data, got, test.left)
		}
		if i > 0 {
			continue
		}
		// The address bounces after the event, which is then replayed.
		s.must(s.store.Suppress(t.Context(), ledger.Suppression{Company: s.activation.Spec.Company, Channel: ledger.ChannelEmail, Address: "zoe@example.com", Reason: ledger.SuppressedHardBounce}, 0))
		first, err := s.store.StoredEvent(t.Context(), s.activation.Spec.Company, "0")
		s.must(err)
		s.replay(first.Key, "again")
		s.drained()
		if got := left(); got != everything {
			t.Errorf("after a replay, %s are left", got)
		}
	}
}
