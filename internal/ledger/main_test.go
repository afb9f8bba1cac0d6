// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"go.uber.org/goleak"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

// childEnv names what a child process of the test does instead of the tests; the
// ledger's path is in childPath.
const (
	childEnv  = "LEDGER_TEST_CHILD"
	childPath = "LEDGER_TEST_PATH"
)

var children = map[string]func(path string) error{}

func TestMain(m *testing.M) {
	// A second, gomega's own, is short on a machine with more to do.
	gomega.SetDefaultEventuallyTimeout(20 * time.Second)
	if name := os.Getenv(childEnv); name != "" {
		if err := children[name](os.Getenv(childPath)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := stopPostgresServer(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}))
}

// child is this test program, told to do something else.
func child(t *testing.T, name, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+name, childPath+"="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

func ledgerPath(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "state", "ledger.db")
}

// open opens a ledger that is closed with the test.
func open(t testing.TB, path string, c clock.PassiveClock) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{Path: path, Clock: c})
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

func fakeClock() *clocktesting.FakeClock {
	return clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
}

// accept stores an event that must be new.
func accept(t testing.TB, s *Store, company, id string) {
	t.Helper()
	duplicate, err := s.AcceptEvent(context.Background(), Event{
		Company: company, ID: id, Name: "transaction.initiate", Data: []byte(`{"id":"` + id + `"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if duplicate {
		t.Fatalf("event %s of %s was a duplicate", id, company)
	}
}

// claimOne claims the only due event.
func claimOne(t testing.TB, s *Store) ClaimedEvent {
	t.Helper()
	claimed, err := s.ClaimEvents(context.Background(), 10, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if len(claimed) != 1 {
		t.Fatalf("claimed %d events, want 1", len(claimed))
	}
	return claimed[0]
}

// email is a delivery to be sent.
func email(rule, recipient string) NewDelivery {
	return NewDelivery{
		RuleName: rule, Channel: ChannelEmail, Recipient: recipient,
		Content: Content{From: "shop@example.com", Subject: "Paid", Text: "You paid.", HTML: "<p>You paid.</p>"},
	}
}

func claimDelivery(t testing.TB, s *Store) ClaimedDelivery {
	t.Helper()
	claimed, err := s.ClaimDeliveries(context.Background(), Claim{Limit: 10, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if len(claimed) != 1 {
		t.Fatalf("claimed %d deliveries, want 1", len(claimed))
	}
	return claimed[0]
}

// raised tells whether a signal has a value, and takes it.
func raised(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

var bg = context.Background()

// insertBareEvent stores an event that nobody has claimed.
const insertBareEvent = `
	INSERT INTO events (company, event_id, name, received_at, next_attempt_at, updated_at, data)
	VALUES ($1, $2, $3, $4, $5, $5, $6)
	ON CONFLICT (company, event_id) DO NOTHING`
