// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
)

// A note names the event as the platform does, and is short enough for the API server.
func TestNoteOfQuarantine(t *testing.T) {
	g := NewWithT(t)
	q := ledger.Quarantined{Company: "shop", Key: 7, EventID: "8d5f", Reason: ledger.ReasonUnfinished, Message: "Work on it ended 3 times in a row without an outcome: the operator died or hung."}
	g.Expect(note(q)).To(HavePrefix(`Quarantined event "8d5f" (Unfinished): Work on it ended 3 times`))
	q.Channel = ledger.ChannelEmail
	g.Expect(note(q)).To(HavePrefix(`Quarantined message 7 of event "8d5f" (Unfinished): Work on it ended 3 times`))
	for _, hostile := range []string{strings.Repeat("x", 4096), strings.Repeat("\x00", 4096), strings.Repeat("💸", 1024)} {
		q.EventID, q.Message = hostile, hostile
		g.Expect(len(note(q))).To(BeNumerically("<=", 1024))
	}
}
