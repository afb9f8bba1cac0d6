// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"go.uber.org/goleak"

	"github.com/rehive/extension-operator/internal/delivery/smtp"
	"github.com/rehive/extension-operator/internal/delivery/smtptest"
	"github.com/rehive/extension-operator/internal/ledger/postgres/postgrestest"
)

func TestMain(m *testing.M) {
	// A second, gomega's own, is short on a machine with more to do.
	gomega.SetDefaultEventuallyTimeout(3 * time.Minute)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = postgrestest.StopShared()
		os.Exit(code)
	}))
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

// mailer returns a provider that sends to a mail server.
func mailer(t testing.TB, host string, port int, change func(*smtp.Config)) *smtp.Provider {
	t.Helper()
	c := smtp.Config{Host: host, Port: port, TLS: smtp.Plaintext, From: "Shop <shop@example.com>", HELO: "operator.example.com"}
	if change != nil {
		change(&c)
	}
	p, err := smtp.New(c)
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
