// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"context"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"go.uber.org/goleak"

	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
)

func TestMain(m *testing.M) {
	// A second, gomega's own, is short on a busy machine.
	gomega.SetDefaultEventuallyTimeout(3 * time.Minute)
	goleak.VerifyTestMain(m)
}

var bg = context.Background()

// sink starts an SMTP server that is closed with the test.
func sink(t testing.TB, o smtptest.Options) *smtptest.Server {
	t.Helper()
	s, err := smtptest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// start returns a provider that sends to the sink, with the configuration changed by change.
func start(t testing.TB, s *smtptest.Server, change func(*Config)) *Provider {
	t.Helper()
	c := Config{Host: s.Host(), Port: s.Port(), TLS: Plaintext, From: "Shop <shop@example.com>", HELO: "operator.example.com"}
	if change != nil {
		change(&c)
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func message() provider.Message {
	return provider.Message{
		Key: "0123456789abcdef", To: "joe@example.org", Subject: "You paid R 10",
		Text: "You paid.\n", HTML: "<p>You paid.</p>\n", Date: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

// one waits for the only message of a sink.
func one(t *testing.T, s *smtptest.Server) (*smtptest.Message, smtptest.Content) {
	t.Helper()
	ctx, cancel := context.WithTimeout(bg, 3*time.Minute)
	defer cancel()
	all, err := s.Wait(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 {
		t.Fatalf("%d messages came, want 1", len(all))
	}
	content, err := all[0].Parse()
	if err != nil {
		t.Fatalf("%v in\n%s", err, all[0].Raw)
	}
	return all[0], content
}
