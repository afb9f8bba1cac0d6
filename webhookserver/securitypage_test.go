// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"os"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/rehive"
)

// TestSecurityPage keeps the figures of docs/security.md those of the server.
func TestSecurityPage(t *testing.T) {
	g := NewWithT(t)
	page, err := os.ReadFile("../docs/security.md")
	g.Expect(err).NotTo(HaveOccurred())
	l := Limits{}.withDefaults()
	for _, row := range []string{
		fmt.Sprintf("| body of a webhook | %d MiB |", l.WebhookBody>>20),
		fmt.Sprintf("| webhooks' bodies of more than %d KiB in memory at once | %d MiB, half of it for one company |", smallBody>>10, l.BodyBytes>>20),
		fmt.Sprintf("| tokens of unknown callers that Rehive is asked about | %.0f a second, %d at once after a pause |", l.StrangerRate, rehive.StrangerBurst),
		fmt.Sprintf("| tokens that were good within the last hour, or callers known to be good | %.0f a second, %d at once after a pause |", l.KnownRate, knownBurst),
		fmt.Sprintf("| time that a call waits for its turn under these | %.0f s |", l.QueueTime.Seconds()),
		fmt.Sprintf("| request header | %d KiB |", l.HeaderBytes>>10),
		fmt.Sprintf("| nesting of JSON | %d |", l.JSONDepth),
		fmt.Sprintf("| connections at once | %d |", l.Connections),
		fmt.Sprintf("| lifecycle calls at once | %d |", l.LifecycleCalls),
		fmt.Sprintf("| calls of the admin and the user API at once | %d |", l.APICalls),
		fmt.Sprintf("| time for a request to arrive | %.0f s, its header %.0f s |", l.ReadTimeout.Seconds(), l.ReadHeaderTimeout.Seconds()),
		fmt.Sprintf("| time for a webhook to be answered | %.0f s; for a lifecycle call %.0f s; for an API call %.0f s |", l.WebhookBudget.Seconds(), l.LifecycleBudget.Seconds(), l.APIBudget.Seconds()),
		fmt.Sprintf("| idle connection | %.0f s |", l.IdleTimeout.Seconds()),
	} {
		g.Expect(string(page)).To(ContainSubstring(row + "\n"))
	}
}
