// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/rehive/extension-operator/internal/delivery/smtptest"
	"github.com/rehive/extension-operator/internal/tracing/tracingtest"
	"github.com/rehive/extension-operator/test/stage"
)

// evidenceTraces is the place of what a collector received: the traces of all tests on the
// shared stage are searched for planted values.
const evidenceTraces = "a trace"

// collectTraces has a stage's manager export traces of everything to a collector. Call it
// before the stage starts.
func collectTraces(t *testing.T, options *stage.Options) *tracingtest.Collector {
	collector := tracingtest.NewCollector()
	options.ManagerEnvironment = append(options.ManagerEnvironment, "REHIVE_EXTENSION_TRACING=true",
		"OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "OTEL_BSP_SCHEDULE_DELAY=100")
	t.Cleanup(func() {
		collector.Close()
		evidence.Keep(evidenceTraces, collector.Bytes())
		if invalid := collector.Invalid(); len(invalid) > 0 {
			t.Errorf("the collector received invalid requests: %v", invalid)
		}
	})
	return collector
}

// testTraces checks that an event has one trace, across attempts and restarts, with its
// identifiers and the reasons of failures, and nothing about the customer.
func testTraces(t *testing.T) {
	c := newCompany(t, "traced")
	const subject, reply = "a-planted-subject", "a-planted-reply"
	evidence.Plant(subject, "a message's subject")
	evidence.Plant(reply, "a mail server's reply")
	respond := func(code int) {
		set.Mail.Respond(func(at smtptest.Stage, address string) *smtptest.Reply {
			if at != smtptest.StageRcpt || address != c.customer.Email {
				return nil
			}
			return &smtptest.Reply{Code: code, Text: reply + " " + address}
		})
	}
	defer set.Mail.Respond(nil)
	trace := func(id string) string {
		sum := sha256.Sum256(fmt.Appendf(nil, "5:trace,%d:%s,%d:%s,", len(c.id), c.id, len(id), id))
		return hex.EncodeToString(sum[:16])
	}
	// wait waits until the trace of an event has a span with an outcome.
	wait := func(id, name, outcome string) {
		t.Helper()
		if err := set.Eventually(t.Context(), "the trace", func() error {
			for _, s := range traces.Spans(trace(id)) {
				if s.Name == name && s.Attributes["rehive.outcome"] == outcome {
					return nil
				}
			}
			return fmt.Errorf("it is\n%s", tracingtest.Tree(traces.Spans(trace(id))))
		}); err != nil {
			t.Fatalf("%v\n%s", err, set.Manager.LogTail())
		}
	}

	respond(451)
	if status := c.send(t.Context(), "put-off", subject); status != http.StatusOK {
		t.Fatalf("the webhook was answered with %d", status)
	}
	wait("put-off", "process messages", "retried")
	set.Mail.Respond(nil)
	restart(t, set.Manager.Stop)
	c.waitMailed(t, subject)
	wait("put-off", "process messages", "sent")
	respond(550)
	if status := c.send(t.Context(), "refused", subject+" again"); status != http.StatusOK {
		t.Fatalf("the webhook was answered with %d", status)
	}
	wait("refused", "process messages", "failed")

	for id, want := range map[string][]string{
		"put-off": {"CLIENT send smtp error.type=RecipientDeferred", "CONSUMER process messages rehive.outcome=sent", "CLIENT send smtp\n"},
		"refused": {"CONSUMER process messages rehive.outcome=failed error.type=RecipientRefused", "CLIENT send smtp error.type="},
	} {
		spans := traces.Spans(trace(id))
		tree := tracingtest.Tree(spans)
		for _, want := range append(want, "SERVER POST /api/webhook/\n", "\n  PRODUCER send events\n", "\n  CONSUMER process events rehive.outcome=decided\n",
			"\n    INTERNAL evaluate rule\n", "\n    PRODUCER send messages\n", "\n      CONSUMER process messages", "\n        CLIENT send smtp") {
			if !strings.Contains(tree, want) {
				t.Errorf("the trace of %q has no %q:\n%s", id, want, tree)
			}
		}
		if n := strings.Count(tree, "\n"); n != len(spans) {
			t.Errorf("%d of %d spans of %q hang together:\n%s", n, len(spans), id, tree)
		}
		for _, s := range spans {
			if s.Attributes["messaging.system"] == nil {
				continue
			}
			if s.Attributes["rehive.company.id"] != c.id || s.Attributes["rehive.event.id"] != id {
				t.Errorf("the span %s has the attributes %v", s.Name, s.Attributes)
			}
		}
	}
	log, err := os.ReadFile(set.Manager.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(log), "\n") {
		if strings.Contains(line, `"Sent a message"`) && strings.Contains(line, `"put-off"`) && !strings.Contains(line, `"traceID":"`+trace("put-off")+`"`) {
			t.Errorf("the log entry does not name the trace: %s", line)
		}
	}
}
