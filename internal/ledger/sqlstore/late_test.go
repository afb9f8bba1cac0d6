// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlstore_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/driver"
	"github.com/rehive/extension-operator/internal/ledger/ledgertest"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
	"github.com/rehive/extension-operator/internal/ledger/sqlstore"
)

// lateDriver is a database that, while late is set, runs jobs only after their callers
// have given up.
type lateDriver struct {
	driver.Driver
	late bool
	jobs sync.WaitGroup
}

func (d *lateDriver) Write(ctx context.Context, j *driver.Job) error {
	if !d.late {
		return d.Driver.Write(ctx, j)
	}
	d.jobs.Go(func() { _ = d.Driver.Write(bg, j) })
	return context.DeadlineExceeded
}

func (d *lateDriver) Query(ctx context.Context, run func(driver.Tx) error) error {
	if !d.late {
		return d.Driver.Query(ctx, run)
	}
	d.jobs.Go(func() { _ = d.Driver.Query(bg, run) })
	return context.DeadlineExceeded
}

// A job that runs after its caller has given up touches nothing that the caller reads. The
// race detector watches.
func TestLateJobsTouchNoResults(t *testing.T) {
	g := NewWithT(t)
	database, err := sqlite.OpenDriver(bg, filepath.Join(t.TempDir(), "ledger.db"), ledger.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	d := &lateDriver{Driver: database}
	s := sqlstore.New(d, ledger.Options{})
	closeAfter(t, s)
	ledgertest.Decided(t, s, "shop", "1", ledgertest.Email("rule", "a@example.com"))
	ledgertest.Accept(t, s, "shop", "2")

	d.late = true
	for name, call := range map[string]func() error{
		"claim":          func() error { _, err := s.ClaimEvents(bg, ledger.Claim{Limit: 1, Lease: time.Minute}); return err },
		"next due":       func() error { _, _, err := s.NextEventDue(bg); return err },
		"resend":         func() error { _, err := s.Resend(bg, "shop", 1, ""); return err },
		"release one":    func() error { _, err := s.ReleaseQuarantinedEvent(bg, "shop", 1); return err },
		"cancel company": func() error { return s.CancelCompany(bg, "shop", "Gone", "It is gone.") },
		"spend": func() error {
			_, _, err := s.Spend(bg, "shop", 1, ledger.Quota{Channel: ledger.ChannelEmail, Scope: ledger.ScopeCompany, Limit: 10})
			return err
		},
	} {
		g.Expect(call()).NotTo(Succeed(), name)
		d.jobs.Wait()
	}
	d.late = false
}
