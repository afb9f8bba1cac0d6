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

// TestSecurityPage compares the figures in docs/security.md with those of the server.
func TestSecurityPage(t *testing.T) {
	g := NewWithT(t)
	page, err := os.ReadFile("../docs/security.md")
	g.Expect(err).NotTo(HaveOccurred())
	l := Limits{}.withDefaults()
	for _, row := range []string{
		fmt.Sprintf("| body of a webhook | %d MiB |", l.WebhookBody>>20),
		fmt.Sprintf("| webhook bodies of more than %d KiB in memory at a time | %d MiB, half of it for one company |", smallBody>>10, l.BodyBytes>>20),
		fmt.Sprintf("| token checks with Rehive for unknown callers | %.0f per second, after a burst of %d |", l.StrangerRate, rehive.StrangerBurst),
		fmt.Sprintf("| token checks with Rehive for tokens that were valid within the last hour, and for known callers | %.0f per second, after a burst of %d |", l.KnownRate, knownBurst),
		fmt.Sprintf("| time for which a call waits for one of these | %.0f s |", l.QueueTime.Seconds()),
		fmt.Sprintf("| request header | %d KiB |", l.HeaderBytes>>10),
		fmt.Sprintf("| nesting of JSON | %d |", l.JSONDepth),
		fmt.Sprintf("| concurrent connections | %d |", l.Connections),
		fmt.Sprintf("| concurrent lifecycle calls | %d |", l.LifecycleCalls),
		fmt.Sprintf("| concurrent calls of the admin and the user API | %d |", l.APICalls),
		fmt.Sprintf("| time for a request to arrive | %.0f s, its header %.0f s |", l.ReadTimeout.Seconds(), l.ReadHeaderTimeout.Seconds()),
		fmt.Sprintf("| time to answer a webhook | %.0f s; for a lifecycle call %.0f s; for an API call %.0f s |", l.WebhookBudget.Seconds(), l.LifecycleBudget.Seconds(), l.APIBudget.Seconds()),
		fmt.Sprintf("| idle connection | %.0f s |", l.IdleTimeout.Seconds()),
	} {
		g.Expect(string(page)).To(ContainSubstring(row + "\n"))
	}
}
