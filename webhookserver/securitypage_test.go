// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"fmt"
	"os"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/rehive"
	"github.com/rehive/extension-operator/webhookserver/admin"
)

// TestSecurityPageMatchesLimits compares the figures in docs/security.md with the code's.
func TestSecurityPageMatchesLimits(t *testing.T) {
	g := NewWithT(t)
	page, err := os.ReadFile("../docs/security.md")
	g.Expect(err).NotTo(HaveOccurred())
	l := Limits{}.withDefaults()
	for _, row := range []string{
		fmt.Sprintf("| body of a webhook | %d MiB |", l.WebhookBody>>20),
		fmt.Sprintf("| webhook bodies of more than %d KiB in memory at a time | %d MiB, half of it for one company |", smallBody>>10, l.BodyBytes>>20),
		fmt.Sprintf("| token checks with Rehive for unknown callers | %.0f per second, after a burst of %d |", l.StrangerRate, rehive.StrangerBurst),
		fmt.Sprintf("| token checks with Rehive for tokens that were valid within the last hour, and for known callers | %.0f per second, after a burst of %d |", l.KnownRate, knownBurst),
		fmt.Sprintf("| time for which a call waits for its token check | %.0f s |", l.TurnTime.Seconds()),
		fmt.Sprintf("| time for which a lifecycle call, or a report that has arrived, waits until it is handled | %.0f s; so does a call of the admin or the user API with a large body or heavy work |", l.QueueTime.Seconds()),
		fmt.Sprintf("| reports of providers about messages that are handled at a time | %d, half of them for one provider |", feedbackCalls),
		fmt.Sprintf("| request header | %d KiB |", l.HeaderBytes>>10),
		fmt.Sprintf("| nesting of JSON | %d |", l.JSONDepth),
		fmt.Sprintf("| concurrent connections | %d |", l.Connections),
		fmt.Sprintf("| webhooks that are stored at a time | %d, half of them of one company; others wait for up to %.0f s, and their connections make room for others |", l.Webhooks, l.QueueTime.Seconds()),
		fmt.Sprintf("| concurrent lifecycle calls | %d |", l.LifecycleCalls),
		fmt.Sprintf("| concurrent calls of the admin and the user API | %d |", l.APICalls),
		fmt.Sprintf("| bodies of more than %d KiB of calls of these APIs in memory at a time | %d MiB |", smallBody>>10, l.APIBodyBytes>>20),
		fmt.Sprintf("| responses of more than %d KiB of these APIs in memory at a time | %d MiB; others are refused |", smallAnswer>>10, l.APIAnswerBytes>>20),
		fmt.Sprintf("| streams of new in-app messages | %d, half of them for one company, %d for one user; their connections make room for others |", l.Streams, userStreams),
		fmt.Sprintf("| time for a request to arrive | %.0f s, its header %.0f s; a TLS handshake %.0f s |", l.ReadTimeout.Seconds(), l.ReadHeaderTimeout.Seconds(), l.ReadHeaderTimeout.Seconds()),
		fmt.Sprintf("| TLS handshakes of known callers (with `--http-tls-cert`) | for each processor, %d a second with an RSA key, and 1,%03d with another one, after a burst of twice as many; those of callers that make few go first |", rsaHandshakes, otherHandshakes-1000),
		fmt.Sprintf("| time to answer a webhook | %.0f s; for a lifecycle call %.0f s; for an API call %.0f s |", l.WebhookBudget.Seconds(), l.LifecycleBudget.Seconds(), l.APIBudget.Seconds()),
		fmt.Sprintf("| responses to refused requests, and public pages | 1,%03.0f a second; beyond it, each is delayed by up to %.0f s, and its connection makes room for others |",
			l.FreeAnswers-1000, longestHold.Seconds()),
		fmt.Sprintf("| idle connection | %.0f s |", l.IdleTimeout.Seconds()),
		fmt.Sprintf("| notifications of a company | %d |", admin.MaxNotifications),
		fmt.Sprintf("| layouts of a company | %d |", admin.MaxLayouts),
		fmt.Sprintf("| text of all of a company's notifications and layouts | %d MiB |", admin.MaxTexts>>20),
		fmt.Sprintf("| what a company writes to the API server | %d KiB a second, %d MiB at once after a pause. Each call counts as %d KiB more than what it writes. Beyond it: 429 with `Retry-After` |",
			writeBytes>>10, writeBurst>>20, writeCost>>10),
		fmt.Sprintf("| a response that its client doesn't read | %d KiB of it in the kernel's buffers, which Linux counts twice; after %d ms the connection makes room for others |",
			writeBuffer>>10, answerTime.Milliseconds()),
	} {
		g.Expect(string(page)).To(ContainSubstring(row + "\n"))
	}
}
