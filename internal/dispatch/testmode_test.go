// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
	"github.com/rehive/extension-operator/internal/testmode"
)

// TestDispatchToCompanyAdmins checks that a company in test mode writes to its own admins and to
// nobody else, and that an event waits while it is unknown who they are.
func TestDispatchToCompanyAdmins(t *testing.T) {
	s := newCompanyScene(t, "company-admins")
	// The dispatcher is idle until the first event.
	var err error
	s.dispatcher.TestMode, err = testmode.New(testmode.Record, []string{testmode.CompanyAdmins}, nil, testmode.NewAdmins(s.dispatcher.Platform, rules.Token, s.clock))
	s.must(err)
	s.user(rehivetest.User{Email: "ada@example.com", Group: "admin"})
	s.user(rehivetest.User{Email: "zoe@example.com"})
	s.rule("sends", "user.update", nil)
	lookups := func() (n int) {
		for _, r := range s.platform.Requests() {
			if r.Path == "/3/admin/users/" {
				n++
			}
		}
		return n
	}
	s.accept("production", "user.update", `{"to": "ada@example.com, zoe@example.com"}`)
	s.deliveries("production", 2)
	if n := lookups(); n != 0 {
		t.Errorf("%d lookups for a company in production", n)
	}
	s.activation.Status.CompanyInfo.Mode = "test"
	s.must(kube.Status().Update(t.Context(), s.activation))
	s.eventually("the company to be in test mode", func() error {
		known, err := rules.Activation(t.Context(), s.activation.Spec.Company)
		if err == nil && known.Status.CompanyInfo.Mode != "test" {
			err = fmt.Errorf("it is in the mode %q", known.Status.CompanyInfo.Mode)
		}
		return err
	})

	remove := s.platform.InjectFault(rehivetest.Fault{Path: "/3/admin/users/", Kind: rehivetest.FaultStatus, Status: 503})
	s.accept("test", "user.update", `{"to": "ada@example.com, zoe@example.com"}`)
	s.eventually("the platform to be asked twice", func() error {
		s.clock.Step(2 * time.Second)
		if n := lookups(); n < 2 {
			return fmt.Errorf("asked %d times", n)
		}
		return nil
	})
	s.deliveries("test", 0)
	remove()
	s.eventually("the event to be decided", func() error {
		s.clock.Step(2 * time.Second)
		stats, err := s.store.Stats(t.Context())
		if err == nil && stats.PendingEvents > 0 {
			err = errors.New("it is pending")
		}
		return err
	})
	got := s.deliveries("test", 2)
	if got[0].Recipient != "ada@example.com" || got[0].State != ledger.DeliveryPending {
		t.Errorf("the admin's message is %s: %s", got[0].State, got[0].Reason)
	}
	if got[1].Recipient != "zoe@example.com" || got[1].State != ledger.DeliverySkipped || got[1].Reason != "TestMode" {
		t.Errorf("the customer's message is %s: %s", got[1].State, got[1].Reason)
	}
}
