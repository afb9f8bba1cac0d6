// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ledgertest is what every ledger must do, whatever database it is on, and what
// tests of ledgers have in common.
package ledgertest

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/schema"
)

// Place is where the ledger of one test is: opened again, it is the same ledger.
type Place struct {
	// Open opens the ledger.
	Open func(ctx context.Context, o ledger.Options) (ledger.Store, error)
	// DB opens the database itself, which may be empty yet.
	DB      func() (*sql.DB, error)
	Dialect schema.Dialect
	// Shared is whether several may have the ledger open at the same time.
	Shared bool
}

func (p Place) open(t testing.TB, c clock.PassiveClock) ledger.Store {
	t.Helper()
	// Nobody else is there to be watched for, but where a test says so.
	return p.openWith(t, ledger.Options{Clock: c, PollInterval: time.Hour})
}

func (p Place) openWith(t testing.TB, o ledger.Options) ledger.Store {
	t.Helper()
	s, err := p.Open(bg, o)
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

// query reads one row of the database itself.
func (p Place) query(t testing.TB, query string, to ...any) {
	t.Helper()
	p.database(t, func(db *sql.DB) error { return db.QueryRowContext(bg, query).Scan(to...) })
}

// contents counts the stored contents of deliveries.
func (p Place) contents(t testing.TB) (n int) {
	t.Helper()
	p.query(t, "SELECT COUNT(*) FROM contents", &n)
	return n
}

// exec changes the database itself.
func (p Place) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	p.database(t, func(db *sql.DB) error {
		_, err := db.ExecContext(bg, query, args...)
		return err
	})
}

func (p Place) database(t testing.TB, use func(*sql.DB) error) {
	t.Helper()
	db, err := p.DB()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := use(db); err != nil {
		t.Fatal(err)
	}
}

var bg = context.Background()

// FakeClock returns a clock that doesn't advance by itself.
func FakeClock() *clocktesting.FakeClock {
	return clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
}

// Accept stores an event that must be new.
func Accept(t testing.TB, s ledger.Store, company, id string) {
	t.Helper()
	duplicate, err := s.AcceptEvent(bg, ledger.Event{
		Company: company, ID: id, Name: "transaction.initiate", Data: []byte(`{"id":"` + id + `"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if duplicate {
		t.Fatalf("event %s of %s was a duplicate", id, company)
	}
}

// Fill stores n events of a company, fill-0 and so on.
func Fill(t testing.TB, s ledger.Store, company string, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := g; i < n; i += 8 {
				Accept(t, s, company, fmt.Sprint("fill-", i))
			}
		})
	}
	wg.Wait()
}

// ClaimOne claims the only due event.
func ClaimOne(t testing.TB, s ledger.Store) ledger.ClaimedEvent {
	t.Helper()
	claimed, err := s.ClaimEvents(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if len(claimed) != 1 {
		t.Fatalf("claimed %d events, want 1", len(claimed))
	}
	return claimed[0]
}

// Email is a delivery to be sent.
func Email(rule, recipient string) ledger.NewDelivery {
	return ledger.NewDelivery{
		RuleName: rule, Channel: ledger.ChannelEmail, Recipient: recipient,
		Content: ledger.Content{From: "shop@example.com", Subject: "Paid", Text: "You paid.", HTML: "<p>You paid.</p>"},
	}
}

// Data is an event's data of a usual size.
var Data = make([]byte, 2048)

// LongEmail is an email of a usual size.
func LongEmail(rule string) ledger.NewDelivery {
	d := Email(rule, "joe@example.com")
	d.Content.Text, d.Content.HTML = strings.Repeat("paid ", 100), strings.Repeat("<p>paid</p>", 220)
	return d
}

// ClaimDelivery claims the only due delivery.
func ClaimDelivery(t testing.TB, s ledger.Store) ledger.ClaimedDelivery {
	t.Helper()
	claimed, err := s.ClaimDeliveries(bg, ledger.Claim{Limit: 10, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if len(claimed) != 1 {
		t.Fatalf("claimed %d deliveries, want 1", len(claimed))
	}
	return claimed[0]
}

// Decided stores an event and its deliveries.
func Decided(t testing.TB, s ledger.Store, company, event string, deliveries ...ledger.NewDelivery) {
	t.Helper()
	Accept(t, s, company, event)
	if err := s.CompleteEvent(bg, ClaimOne(t, s), deliveries); err != nil {
		t.Fatal(err)
	}
}

// Pending stores n emails of a company.
func Pending(t testing.TB, s ledger.Store, company string, n int) {
	t.Helper()
	PendingOn(t, s, company, "event", ledger.ChannelEmail, n)
}

// PendingOn stores n deliveries of a company on a channel.
func PendingOn(t testing.TB, s ledger.Store, company, event, channel string, n int) {
	t.Helper()
	deliveries := make([]ledger.NewDelivery, n)
	for i := range deliveries {
		deliveries[i] = Email("rule", fmt.Sprintf("user%d@example.com", i))
		deliveries[i].Channel = channel
	}
	Decided(t, s, company, event, deliveries...)
}

// raised reports whether a signal is raised, and receives it.
func raised(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
