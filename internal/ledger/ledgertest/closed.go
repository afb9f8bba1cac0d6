// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	. "github.com/onsi/gomega"

	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
)

func testClosedStoreRefuses(t *testing.T, at Place) {
	g := NewWithT(t)
	s := at.open(t, nil)
	g.Expect(s.Healthy(bg)).To(Succeed())
	g.Expect(s.Close()).To(Succeed())
	g.Expect(s.Close()).To(Succeed())
	_, err := s.AcceptEvent(bg, ledger.Event{Company: "shop", ID: "1"})
	g.Expect(err).To(MatchError(ledger.ErrUnavailable))
	_, err = s.ClaimEvents(bg, ledger.Claim{Limit: 1, Lease: time.Minute})
	g.Expect(err).To(MatchError(ledger.ErrUnavailable))
	_, err = s.ListDeliveries(bg, ledger.DeliveryFilter{})
	g.Expect(err).To(MatchError(ledger.ErrUnavailable))
	g.Expect(s.Healthy(bg)).To(MatchError(ledger.ErrUnavailable))
}
